package sysctl

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// Normalize puts one space between the fields of a value and none around them.
// /proc/sys separates fields with tabs and ends with a newline.
func Normalize(value string) string { return strings.Join(strings.Fields(value), " ") }

// Canonical gives the dotted form of a key in either notation of sysctl.d(5):
// if the first separator is a slash the key is a path, else dots separate and a
// slash stands for a dot inside a name ("net.ipv4.conf.eth0/200.forwarding").
// https://www.freedesktop.org/software/systemd/man/latest/sysctl.d.html
func Canonical(key string) string {
	p := keyPath(key)
	first, _, _ := strings.Cut(p, "/")
	if strings.Contains(first, ".") {
		// Has no dotted form: its first separator would read as a slash.
		return "/" + p
	}
	return swapSeparators(p)
}

// ProcPath is the file that holds the key, under /proc/sys. The key must have
// passed [Validate]: one with a parent component is refused there, not here.
func ProcPath(key string) string { return "/proc/sys/" + keyPath(key) }

func keyPath(key string) string {
	if i := strings.IndexAny(key, "/."); i >= 0 && key[i] == '.' {
		key = swapSeparators(key)
	}
	parts := slices.DeleteFunc(strings.Split(key, "/"), func(p string) bool { return p == "" || p == "." })
	return strings.Join(parts, "/")
}

func swapSeparators(key string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, key)
}

// keyProblem says what makes a canonical key unusable, or nothing. It is
// stricter than systemd only where no kernel has such a name.
func keyProblem(key string) string {
	switch {
	case key == "" || key == "/":
		return "is empty"
	case strings.ContainsAny(key[:1], "/-#;"):
		return "starts with a character that no kernel setting has"
	case strings.ContainsFunc(key, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == '=' || r == '\uFFFD' // Map writes U+FFFD for bytes that are not UTF-8
	}):
		return "holds a space, a control character, an equals sign or bytes that are not UTF-8"
	case slices.Contains(strings.Split(keyPath(key), "/"), ".."):
		return "holds a parent directory"
	}
	return ""
}

func isGlob(key string) bool { return strings.ContainsAny(key, "*?[") }

// globMatches compares as glob(7) does on files: a star stays inside one
// component, so it is the paths that are matched. A malformed pattern matches
// nothing.
func globMatches(pattern, key string) bool {
	ok, err := path.Match(strings.ReplaceAll(keyPath(pattern), "[!", "[^"), keyPath(key))
	return ok && err == nil
}

// twins are pairs in which writing one clears the other to 0.
// https://docs.kernel.org/admin-guide/sysctl/vm.html#dirty-bytes
func twins() [][2]string {
	return [][2]string{
		{"vm.dirty_background_bytes", "vm.dirty_background_ratio"},
		{"vm.dirty_bytes", "vm.dirty_ratio"},
	}
}

// Twin returns the key that the kernel sets to 0 when key is written, as
// vm.dirty_ratio for vm.dirty_bytes, or "" for a key without one. To put back a
// recorded 0, write the recorded value of the twin: the kernel refuses 0 bytes.
func Twin(key string) string {
	for _, pair := range twins() {
		switch Canonical(key) {
		case pair[0]:
			return pair[1]
		case pair[1]:
			return pair[0]
		}
	}
	return ""
}

func sameValue(key, a, b string) bool {
	if Canonical(key) == ReservedPorts {
		pa, errA := ParsePorts(a)
		pb, errB := ParsePorts(b)
		return errA == nil && errB == nil && slices.Equal(pa, pb)
	}
	return Normalize(a) == Normalize(b)
}

// number is sign and magnitude: kernel values reach from -1 to 2^64-1
// (kernel.shmmax), which no one integer type of Go holds.
type number struct {
	negative  bool
	magnitude uint64
}

func (n number) less(m number) bool {
	if n.negative != m.negative {
		return n.negative
	}
	if n.negative {
		return n.magnitude > m.magnitude
	}
	return n.magnitude < m.magnitude
}

func (n number) String() string {
	text := strconv.FormatUint(n.magnitude, 10)
	if n.negative {
		return "-" + text
	}
	return text
}

// parseNumbers reads a value made of whole numbers; false for anything else.
func parseNumbers(value string) ([]number, bool) {
	fields := strings.Fields(value)
	numbers := make([]number, 0, len(fields))
	for _, field := range fields {
		digits, negative := strings.CutPrefix(field, "-")
		magnitude, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			return nil, false
		}
		numbers = append(numbers, number{negative: negative && magnitude > 0, magnitude: magnitude})
	}
	return numbers, len(numbers) > 0
}

func atLeast(have, want []number) bool {
	if len(have) != len(want) {
		return false
	}
	for i := range have {
		if have[i].less(want[i]) {
			return false
		}
	}
	return true
}

// maxNumbers takes the higher number of each field; both have the same length.
func maxNumbers(a, b []number) []number {
	higher := slices.Clone(a)
	for i := range higher {
		if higher[i].less(b[i]) {
			higher[i] = b[i]
		}
	}
	return higher
}

func formatNumbers(numbers []number) string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = n.String()
	}
	return strings.Join(texts, " ")
}
