package txnlog

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind tells the two kinds of files apart.
type Kind string

// The kinds are the first parts of the names.
const (
	Log      Kind = "log"
	Snapshot Kind = "snapshot"
)

// Name is a file's name taken apart. The Zxid of a log is that of its first transaction,
// that of a snapshot is the last one that it certainly holds.
type Name struct {
	Kind   Kind
	Zxid   uint64
	Suffix string // of a compressed snapshot: "gz" or "snappy"
}

// ParseName reads a name such as "log.100000001"; false for every other file that may lie
// in a version-2 directory. Only the form that a server writes is taken, so that two names
// are never of one zxid.
func ParseName(text string) (Name, bool) {
	kind, rest, _ := strings.Cut(text, ".")
	hex, suffix, _ := strings.Cut(rest, ".")
	zxid, err := strconv.ParseUint(hex, 16, 64)
	n := Name{Kind: Kind(kind), Zxid: zxid, Suffix: suffix}
	if err != nil || n.String() != text {
		return Name{}, false
	}
	switch {
	case n.Kind == Log:
		return n, suffix == ""
	case n.Kind == Snapshot:
		return n, suffix == "" || suffix == "gz" || suffix == "snappy"
	}
	return Name{}, false
}

// String is the name of the file.
func (n Name) String() string {
	s := fmt.Sprintf("%s.%x", n.Kind, n.Zxid)
	if n.Suffix != "" {
		s += "." + n.Suffix
	}
	return s
}

// Behind returns the logs that a server reads after it has loaded a snapshot of that zxid,
// in their order: those that begin behind it, and the last that begins before, since a
// snapshot is taken while the log is written.
func Behind(zxid uint64, logs []Name) []Name {
	sorted := slices.SortedFunc(slices.Values(logs), func(a, b Name) int { return cmp.Compare(a.Zxid, b.Zxid) })
	first := 0
	for i, n := range sorted {
		if n.Zxid <= zxid {
			first = i
		}
	}
	return sorted[first:]
}
