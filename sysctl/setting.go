package sysctl

import (
	"errors"
	"slices"
	"strings"
)

// ReservedPorts is the key whose value is a set of ports. The kernel prints it
// back in its own form ("7000,7001" reads as "7000-7001"), so it is always
// compared as a set.
const ReservedPorts = "net.ipv4.ip_local_reserved_ports"

// Rule says how a wanted value binds a live one.
type Rule int

const (
	// Exact wants the value and no other.
	Exact Rule = iota
	// AtLeast wants each number of the value or a higher one. It never lowers
	// what an operator raised; tuned writes the same idea as "=>".
	AtLeast
	// PortSet wants the ports of the value to be in the live set, and keeps
	// those that an operator added.
	PortSet
	// Leave wants nothing. The row exists to say why the key is not touched.
	Leave
)

// String names the rule for messages.
func (r Rule) String() string {
	switch r {
	case Exact:
		return "exactly"
	case AtLeast:
		return "at least"
	case PortSet:
		return "all ports of"
	case Leave:
		return "left alone"
	}
	return "unknown rule"
}

// Level says on which hosts a setting may be used.
type Level int

const (
	// Safe settings suit every host, also one that runs something else.
	Safe Level = iota
	// Dedicated settings change how the whole host writes to disk or gives up
	// on peers; they are for hosts that do nothing but their role.
	Dedicated
)

// String names the level for messages.
func (l Level) String() string {
	if l == Dedicated {
		return "dedicated"
	}
	return "safe"
}

// Setting is one wanted kernel value.
type Setting struct {
	// Key is the dotted name, as in "vm.swappiness"; see [Canonical].
	Key string
	// Value is in the unit of the key; fields are separated by one space. It is
	// empty for Leave.
	Value string
	Rule  Rule
	Level Level
	// Namespaced tells that a container with its own network namespace can set
	// the key. All others belong to the outer host.
	Namespaced bool
	// Why is the reason, one sentence; it becomes the comment in the drop-in.
	Why string
	// Source is the public page the value or the reason comes from.
	Source string
}

// Satisfied reports whether the live text, as read from /proc/sys, already is
// what the setting wants. Text that cannot be read as the value's shape never
// satisfies.
func (s Setting) Satisfied(live string) bool {
	switch s.Rule {
	case Leave:
		return true
	case AtLeast:
		have, okHave := parseNumbers(live)
		want, okWant := parseNumbers(s.Value)
		return okHave && okWant && atLeast(have, want)
	case PortSet:
		have, errHave := ParsePorts(live)
		want, errWant := ParsePorts(s.Value)
		return errHave == nil && errWant == nil && have.ContainsAll(want)
	default:
		return sameValue(s.Key, s.Value, live)
	}
}

// Target is the text to write when live is what the host has. It equals live
// when live satisfies, and under AtLeast and PortSet takes nothing away.
func (s Setting) Target(live string) string {
	switch s.Rule {
	case Leave:
		return Normalize(live)
	case AtLeast:
		have, okHave := parseNumbers(live)
		want, okWant := parseNumbers(s.Value)
		if okHave && okWant && len(have) == len(want) {
			return formatNumbers(maxNumbers(have, want))
		}
	case PortSet:
		have, errHave := ParsePorts(live)
		want, errWant := ParsePorts(s.Value)
		if errHave == nil && errWant == nil {
			return have.Union(want).String()
		}
	}
	return Normalize(s.Value)
}

// Within returns the settings that a host of the given level may use, in the
// same order: Dedicated keeps all, Safe drops the dedicated ones.
func Within(settings []Setting, level Level) []Setting {
	return slices.DeleteFunc(slices.Clone(settings), func(s Setting) bool { return s.Level > level })
}

// SettingError is one fault of one setting.
type SettingError struct {
	Key     string // as given
	Problem string
}

// Error names the key as a path and the problem.
func (e *SettingError) Error() string { return "sysctl[\"" + e.Key + "\"]: " + e.Problem }

// Validate checks settings that did not come from a preset. It returns every
// fault, each a [*SettingError], joined in the order of the settings.
func Validate(settings []Setting) error {
	var errs []error
	writes := make(map[string]bool) // keys so far; false for those left alone
	for _, s := range settings {
		key := Canonical(s.Key)
		for _, problem := range s.problems() {
			errs = append(errs, &SettingError{Key: s.Key, Problem: problem})
		}
		if _, twice := writes[key]; twice {
			errs = append(errs, &SettingError{Key: s.Key, Problem: "is given twice; keep one"})
		}
		if twin := Twin(key); s.Rule != Leave && writes[twin] {
			errs = append(errs, &SettingError{Key: s.Key, Problem: "clears " + twin + ", which is given too; keep one"})
		}
		writes[key] = writes[key] || s.Rule != Leave && key != ""
	}
	return errors.Join(errs...)
}

func (s Setting) problems() []string {
	var found []string
	key := Canonical(s.Key)
	switch {
	case keyProblem(key) != "":
		found = append(found, "key "+keyProblem(key))
	case isGlob(key):
		found = append(found, "key is a pattern; name each key")
	case !strings.Contains(key, "."):
		found = append(found, "key names a directory of /proc/sys; want a name such as vm.swappiness")
	}
	if s.Rule < Exact || s.Rule > Leave {
		return append(found, "rule is unknown")
	}
	if s.Rule == Leave {
		return found
	}
	if strings.ContainsAny(s.Value, "\n\x00") {
		return append(found, "value spans lines; want one line")
	}
	if s.Rule == PortSet || key == ReservedPorts {
		if _, err := ParsePorts(s.Value); err != nil {
			found = append(found, err.Error())
		}
		return found
	}
	if Normalize(s.Value) == "" {
		return append(found, "value is empty")
	}
	if _, ok := parseNumbers(s.Value); s.Rule == AtLeast && !ok {
		found = append(found, "value "+s.Value+" is not a list of whole numbers, which a raise-only setting needs")
	}
	return found
}
