package bootstrap_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/bootstrap"
)

// The orders are those of Debian Policy 5.6.12 and of dpkg's own tests,
// https://git.dpkg.org/cgit/dpkg/dpkg.git/tree/lib/dpkg/t/t-version.c
func TestCompareDebian(t *testing.T) {
	for _, rising := range [][]string{
		{"3.8.0-11+deb12u1", "3.8.0-11+deb12u2", "3.8.0-11+deb12u2+roll1", "3.8.0-12", "3.8.1-1", "3.9.3-1", "3.10.0-1", "1:3.4.0-1"},
		{"~~", "~~a", "~", "", "a"},
		{"3.9.4~rc1-1", "3.9.4-1"},
		{"17.0.9+9-1~deb12u1", "17.0.10+7-1~deb12u1", "17.0.10+7-1"},
		{"6.1.0-9-amd64", "6.1.0-18-amd64", "6.1.0-21-amd64", "6.12.0-1-amd64"},
		{"1.0a", "1.0b", "1.0z", "1.0+"},
	} {
		for i, a := range rising {
			for j, b := range rising {
				want := 0
				if i < j {
					want = -1
				} else if i > j {
					want = 1
				}
				if got := bootstrap.CompareDebian(a, b); got != want {
					t.Errorf("%q and %q: %d, want %d", a, b, got, want)
				}
			}
		}
	}
	for _, same := range [][2]string{{"0:1.0", "1.0"}, {"1.0-0", "1.0"}, {"1.00", "1.0"}, {"1.0-1", "1.0-01"}} {
		if got := bootstrap.CompareDebian(same[0], same[1]); got != 0 {
			t.Errorf("%q and %q: %d, want 0", same[0], same[1], got)
		}
	}
}

func TestCompareDebianIsAnOrder(t *testing.T) {
	version := rapid.StringMatching(`([0-9]:)?[0-9][0-9a-c.+~]{0,6}(-[0-9a-c.+~]{1,4})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := version.Draw(t, "a"), version.Draw(t, "b"), version.Draw(t, "c")
		ab, bc, ac := bootstrap.CompareDebian(a, b), bootstrap.CompareDebian(b, c), bootstrap.CompareDebian(a, c)
		if bootstrap.CompareDebian(a, a) != 0 || bootstrap.CompareDebian(b, a) != -ab {
			t.Fatalf("%q and %q are not ordered", a, b)
		}
		if ab <= 0 && bc <= 0 && ac > 0 {
			t.Fatalf("%q <= %q <= %q, but not %[1]q <= %[3]q", a, b, c)
		}
	})
}
