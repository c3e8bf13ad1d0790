package sysctl

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// File is a configuration file of a host. A file that links to /dev/null, which
// masks others of its name, has no data.
type File struct {
	Path string // absolute
	Data []byte
}

// Assignment is one line of a sysctl.d file.
type Assignment struct {
	Key   string // canonical; may be a glob(7) pattern
	Value string // as written, without the blanks around it
	// IgnoreErrors is the "-" before an assignment.
	IgnoreErrors bool
	// Exclude is a line of "-" and a key alone: nothing sets the key, neither an
	// earlier line nor a pattern.
	Exclude bool
	Line    int // from 1
}

// Glob reports whether the key is a pattern.
func (a Assignment) Glob() bool { return isGlob(a.Key) }

// String is the line in the form that [ParseSysctlD] reads.
func (a Assignment) String() string {
	switch {
	case a.Exclude:
		return "-" + a.Key
	case a.IgnoreErrors:
		return "-" + a.Key + " = " + a.Value
	}
	return a.Key + " = " + a.Value
}

// ParseSysctlD reads a file in the format of sysctl.d(5). As in systemd-sysctl a
// faulty line does not spoil the others: what could be read is returned along
// with the errors, one a line and joined, each with path and line.
// https://www.freedesktop.org/software/systemd/man/latest/sysctl.d.html
func ParseSysctlD(f File) ([]Assignment, error) {
	var found []Assignment
	var errs []error
	for number, line := range lines(f.Data) {
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, value, isAssignment := strings.Cut(line, "=")
		key, dash := strings.CutPrefix(trim(key), "-")
		a := Assignment{
			Key: Canonical(trim(key)), Value: trim(value), Line: number,
			IgnoreErrors: dash && isAssignment, Exclude: dash && !isAssignment,
		}
		problem := ""
		if keyProblem(a.Key) != "" {
			problem = "key " + keyProblem(a.Key)
		} else if !isAssignment && !dash {
			problem = "is neither an assignment nor a key after a dash"
		}
		if problem != "" {
			errs = append(errs, fmt.Errorf("%s:%d: %s", f.Path, number, problem))
			continue
		}
		found = append(found, a)
	}
	return found, errors.Join(errs...)
}

// RenderSysctlD is the drop-in that sets the settings at boot, in the order of
// their keys, with reason and source above each; Leave rows are left out.
// Settings must have passed [Validate], and [Resolve] where the host is known:
// at boot a file sets, and does not only raise.
func RenderSysctlD(owner string, settings []Setting) []byte {
	var b bytes.Buffer
	writeHeader(&b, owner)
	for _, s := range sorted(settings) {
		if s.Rule == Leave {
			continue
		}
		b.WriteByte('\n')
		writeReason(&b, s.Why, s.Source)
		a := Assignment{Key: Canonical(s.Key), Value: Normalize(s.Value)}
		b.WriteString(a.String() + "\n")
	}
	return b.Bytes()
}

func writeHeader(b *bytes.Buffer, owner string) {
	writeComment(b, "Written by zkboot for "+owner+"; the next apply overwrites changes made here.")
}

func writeReason(b *bytes.Buffer, why, source string) {
	writeComment(b, why)
	writeComment(b, source)
}

// writeComment folds all blanks, so that no text can break out of its comment.
func writeComment(b *bytes.Buffer, text string) {
	if text = Normalize(text); text != "" {
		b.WriteString("# " + text + "\n")
	}
}

// trim takes away the blanks that systemd does.
func trim(s string) string { return strings.Trim(s, " \t\r") }

// lines yields the trimmed lines of a file with their numbers, from 1.
func lines(data []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		number := 0
		for line := range strings.SplitSeq(string(data), "\n") {
			number++
			if !yield(number, trim(line)) {
				return
			}
		}
	}
}
