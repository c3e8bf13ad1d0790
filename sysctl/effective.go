package sysctl

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// Dirs are the directories that systemd-sysctl reads, strongest first: a file in
// one hides every file of the same name in those after it.
// https://www.freedesktop.org/software/systemd/man/latest/sysctl.d.html
func Dirs() []string {
	return []string{"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"}
}

// Origin is the line that decides a key at boot.
type Origin struct {
	Path  string
	Line  int    // from 1; 0 when the whole file decides, by hiding another
	Key   string // as assigned: a pattern, or the twin that clears the key
	Value string
	// Unset tells that the line keeps the key from being set at all.
	Unset bool
}

// Effective tells what systemd-sysctl would set at boot, by canonical key. Files
// that it would not read are skipped, and so are lines that it could not.
//
// Patterns match the keys a kernel has, which a pure function cannot list, so
// they are tried on keys only. A key assigned by name is in the result in any
// case, and no pattern touches it, wherever the pattern stands.
func Effective(files []File, keys ...string) map[string]Origin {
	var named, globs assignments
	for _, f := range readOrder(files) {
		parsed, _ := ParseSysctlD(f) // systemd logs faulty lines and goes on
		for _, a := range parsed {
			if a.Glob() {
				globs = globs.put(f.Path, a)
			} else {
				named = named.put(f.Path, a)
			}
		}
	}
	effective := make(map[string]Origin)
	for _, key := range keys {
		for _, o := range globs {
			if globMatches(o.Key, Canonical(key)) && !o.Unset {
				effective[Canonical(key)] = o
			}
		}
	}
	for _, o := range named {
		effective[o.Key] = o
		// Origins come in the order of writing, so a later twin clears this one.
		if before, ok := effective[Twin(o.Key)]; ok && !before.Unset && !o.Unset && o.Value != "0" {
			effective[Twin(o.Key)] = Origin{Path: o.Path, Line: o.Line, Key: o.Key, Value: "0"}
		}
	}
	return effective
}

// Overrides tells which of the keys that our file sets are decided by another at
// boot, and by which line. Files may hold an older version of ours or none.
// Whether the other value matters is for [Diff] to say.
func Overrides(ours File, files []File) map[string]Origin {
	others := slices.DeleteFunc(slices.Clone(files), func(f File) bool { return f.Path == ours.Path })
	all := append(others, ours)
	assigned, _ := ParseSysctlD(ours)
	keys := make([]string, len(assigned))
	for i, a := range assigned {
		keys[i] = a.Key
	}
	effective := Effective(all, keys...)
	overridden := make(map[string]Origin)
	for _, key := range keys {
		switch o, ok := effective[key]; {
		case !ok:
			overridden[key] = Origin{Path: hider(ours, all), Key: key, Unset: true}
		case o.Path != ours.Path:
			overridden[key] = o
		}
	}
	return overridden
}

// hider is the file that is read instead of ours.
func hider(ours File, files []File) string {
	for _, f := range readOrder(files) {
		if path.Base(f.Path) == path.Base(ours.Path) {
			return f.Path
		}
	}
	return ""
}

// readOrder drops what is hidden or not read and sorts by file name.
func readOrder(files []File) []File {
	dirs := Dirs()
	rank := func(f File) int { return slices.Index(dirs, path.Dir(f.Path)) }
	read := slices.DeleteFunc(slices.Clone(files), func(f File) bool {
		return rank(f) < 0 || !strings.HasSuffix(f.Path, ".conf")
	})
	slices.SortStableFunc(read, func(a, b File) int {
		return cmp.Or(cmp.Compare(path.Base(a.Path), path.Base(b.Path)), cmp.Compare(rank(a), rank(b)))
	})
	return slices.CompactFunc(read, func(a, b File) bool { return path.Base(a.Path) == path.Base(b.Path) })
}

// assignments are origins in the order in which systemd-sysctl writes them.
type assignments []Origin

// put adds a line. A repeated key moves to the end, unless the value is the same:
// then the earlier line stands.
// https://github.com/systemd/systemd/blob/main/src/sysctl/sysctl.c
func (as assignments) put(file string, a Assignment) assignments {
	next := Origin{Path: file, Line: a.Line, Key: a.Key, Value: a.Value, Unset: a.Exclude}
	i := slices.IndexFunc(as, func(o Origin) bool { return o.Key == next.Key })
	if i >= 0 {
		if as[i].Value == next.Value && as[i].Unset == next.Unset {
			return as
		}
		as = slices.Delete(as, i, i+1)
	}
	return append(as, next)
}
