package haproxy

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// version is HAProxy's, without what the distribution adds: what matters here changed with
// a branch, not with a patch.
type version struct{ major, minor, patch int }

// oldest is the first version that this package can work with: named defaults sections
// (2.4), close-spread-time and "add server" without experimental-mode (2.6).
var oldest = version{2, 6, 0}

// parseVersion reads a version such as 2.6.12-1+deb12u4 or 3.0-dev1.
func parseVersion(text string) (version, error) {
	main, _, _ := strings.Cut(text, "-")
	parts := strings.Split(main, ".")
	var n [3]int
	if len(parts) < 2 || len(parts) > 3 {
		return version{}, fmt.Errorf("%q is not a version of haproxy", text)
	}
	for i, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil || v < 0 {
			return version{}, fmt.Errorf("%q is not a version of haproxy", text)
		}
		n[i] = v
	}
	return version{n[0], n[1], n[2]}, nil
}

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.patch) }

func (v version) before(o version) bool {
	return cmp.Or(cmp.Compare(v.major, o.major), cmp.Compare(v.minor, o.minor), cmp.Compare(v.patch, o.patch)) < 0
}
