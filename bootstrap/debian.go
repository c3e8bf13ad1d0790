package bootstrap

import (
	"cmp"
	"strings"
)

// CompareDebian orders versions as dpkg does: -1 where a is older than b, 0 where neither
// is, 1 where a is newer. It takes any text, also the releases of kernels, which Debian
// orders in the same way.
// https://www.debian.org/doc/debian-policy/ch-controlfields.html#version
func CompareDebian(a, b string) int {
	epochA, upstreamA, revisionA := splitDebian(a)
	epochB, upstreamB, revisionB := splitDebian(b)
	return cmp.Or(compareDigits(epochA, epochB), comparePart(upstreamA, upstreamB), comparePart(revisionA, revisionB))
}

// splitDebian takes "[epoch:]upstream[-revision]" apart.
func splitDebian(v string) (epoch, upstream, revision string) {
	epoch, upstream, found := strings.Cut(v, ":")
	if !found {
		epoch, upstream = "0", v
	}
	if i := strings.LastIndexByte(upstream, '-'); i >= 0 {
		return epoch, upstream[:i], upstream[i+1:]
	}
	return epoch, upstream, "0"
}

// comparePart takes turns between what is no digit, by letter, and numbers, by value.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !digit(a[0]) || b != "" && !digit(b[0]) {
			if c := cmp.Compare(weight(a), weight(b)); c != 0 {
				return c
			}
			a, b = a[1:], b[1:] // equal weights other than 0 are equal letters
		}
		numberA, restA := leadingDigits(a)
		numberB, restB := leadingDigits(b)
		if c := compareDigits(numberA, numberB); c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return 0
}

// weight orders the first byte of what is left: a tilde before the end, the end and digits
// before letters, letters before all else.
func weight(s string) int {
	switch {
	case s == "" || digit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case s[0] >= 'A' && s[0] <= 'Z' || s[0] >= 'a' && s[0] <= 'z':
		return int(s[0])
	}
	return int(s[0]) + 256
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func leadingDigits(s string) (number, rest string) {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

// compareDigits compares numbers of any length.
func compareDigits(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
