package sysctl

import (
	"fmt"
	"slices"
)

// Access is what the agent may do with a key.
type Access int

const (
	Unread   Access = iota // nobody looked
	Writable               // read, and open to writing
	ReadOnly               // not open to writing; the text is empty where reading is denied too
	Absent                 // the kernel does not show the key, as in a container's namespace
)

// Value is what a host has for one key.
type Value struct {
	Text   string // as in /proc/sys
	Access Access
	// Later is the line that decides the key at boot instead of ours, from
	// [Overrides]; nil when ours does.
	Later *Origin
}

// State is the verdict on one setting.
type State int

const (
	Unknown    State = iota // nobody looked
	Unchanged               // the host has what is wanted
	Differs                 // the host has another value, and it can be changed
	Applied                 // it differed before, and does no longer; see [Outcome]
	HostOwned               // the value can only be changed outside of this container
	Overridden              // live as wanted, but a later file takes it back at boot
)

// String names the state for reports.
func (s State) String() string {
	names := []string{"unknown", "unchanged", "differs", "applied", "owned by the host", "overridden by a later file"}
	if s < 0 || int(s) >= len(names) {
		return names[Unknown]
	}
	return names[s]
}

// Drift is one setting against one host.
type Drift struct {
	Setting Setting
	State   State
	Live    string  // normalized; empty when absent or not readable
	Target  string  // what a change would write
	Later   *Origin // a line that spoils the setting at boot; nil when none does
}

// String is one line for a report.
func (d Drift) String() string {
	text := fmt.Sprintf("%s: %s", d.Setting.Key, d.State)
	switch d.State {
	case Differs, HostOwned:
		text += fmt.Sprintf(", is %q, want %s %q", d.Live, d.Setting.Rule, Normalize(d.Setting.Value))
	case Unchanged, Applied, Overridden:
		text += fmt.Sprintf(", is %q", d.Live)
	}
	switch {
	case d.Later == nil:
	case d.Later.Unset:
		text += fmt.Sprintf("; %s:%d leaves it unset at boot", d.Later.Path, d.Later.Line)
	default:
		text += fmt.Sprintf("; %s:%d sets %q at boot by %s", d.Later.Path, d.Later.Line, d.Later.Value, d.Later.Key)
	}
	return text
}

// Diff compares settings with what a host has, by canonical key, and returns one
// drift for each setting that wants something, in the order given. A key that
// cannot be written is never an error: it is [HostOwned] unless it happens to be
// as wanted. A key missing from have is [Unknown].
func Diff(want []Setting, have map[string]Value) []Drift {
	var drifts []Drift
	for _, s := range want {
		if s.Rule == Leave {
			continue
		}
		v := have[Canonical(s.Key)]
		d := Drift{Setting: s, Live: Normalize(v.Text), Target: s.Target(v.Text)}
		if v.Later != nil && (v.Later.Unset || !s.Satisfied(v.Later.Value)) {
			later := *v.Later
			d.Later = &later
		}
		switch {
		case v.Access == Unread:
			d.State = Unknown
		case v.Access != Absent && s.Satisfied(v.Text) && d.Later != nil:
			d.State = Overridden
		case v.Access != Absent && s.Satisfied(v.Text):
			d.State = Unchanged
		case v.Access == Writable:
			d.State = Differs
		default:
			d.State = HostOwned
		}
		drifts = append(drifts, d)
	}
	return drifts
}

// Outcome is the drift after a change, told against the drift before it: what
// differed and is now as wanted is [Applied]. Later is kept, so a change that the
// next boot takes back still says so. What still differs was not taken by the
// kernel.
func Outcome(before, after []Drift) []Drift {
	outcome := slices.Clone(after)
	for i, d := range outcome {
		changed := slices.ContainsFunc(before, func(b Drift) bool {
			return b.State == Differs && b.Setting.Key == d.Setting.Key
		})
		if changed && (d.State == Unchanged || d.State == Overridden) {
			outcome[i].State = Applied
		}
	}
	return outcome
}

// Resolve gives each setting the value it comes to on a host, in the order
// given, and drops those that want nothing. Without it a drop-in would lower at
// boot what AtLeast leaves alone today, such as the fs.file-max of 2^63-1 that
// systemd sets. A raise-only key that nobody looked at is dropped for the same
// reason, as at first boot, where there are no facts yet; one that is absent or
// not readable keeps the wanted value.
func Resolve(want []Setting, have map[string]Value) []Setting {
	var resolved []Setting
	for _, s := range want {
		if s.Rule == Leave {
			continue
		}
		switch v := have[Canonical(s.Key)]; {
		case v.Access == Unread && s.Rule == AtLeast:
			continue
		case v.Access == Writable || v.Access == ReadOnly:
			s.Value = s.Target(v.Text)
		}
		resolved = append(resolved, s)
	}
	return resolved
}
