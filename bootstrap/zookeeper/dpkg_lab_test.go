//go:build lab

package zookeeper_test

import (
	"os/exec"
	"testing"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/bootstrap"
)

// Versions are ordered as dpkg itself orders them.
func TestOrderOfVersionsIsDpkgs(t *testing.T) {
	version := rapid.StringMatching(`([0-9]:)?[0-9][0-9a-cZ.+~]{0,7}(-[0-9a-cZ.+~]{1,4})?`)
	rapid.Check(t, func(rt *rapid.T) {
		a, b := version.Draw(rt, "a"), version.Draw(rt, "b")
		older := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", a, "lt", b).Run() == nil
		newer := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", a, "gt", b).Run() == nil
		if got := bootstrap.CompareDebian(a, b); (got < 0) != older || (got > 0) != newer {
			rt.Fatalf("%q and %q: %d, dpkg says older %t, newer %t", a, b, got, older, newer)
		}
	})
}
