package bootstrap

import (
	"errors"
	"maps"
	"slices"

	"github.com/zkboot/zkboot/sysctl"
)

// Overrides are the operator's own kernel settings, in the order of their keys. They hold
// exactly: who names a value means it.
func (t Tuning) Overrides() []sysctl.Setting {
	var out []sysctl.Setting
	for _, k := range slices.Sorted(maps.Keys(t.Sysctl)) {
		out = append(out, sysctl.Setting{Key: k, Value: t.Sysctl[k]})
	}
	return out
}

// Check reports overrides that cannot be, each with its key.
func (t Tuning) Check() Report {
	var r Report
	var all interface{ Unwrap() []error }
	if !errors.As(sysctl.Validate(t.Overrides()), &all) {
		return r
	}
	for _, err := range all.Unwrap() {
		var one *sysctl.SettingError
		if errors.As(err, &one) {
			r.Errorf(Path("tuning.sysctl").Key(one.Key), "%s", one.Problem)
		}
	}
	return r
}

// Lasting are the settings for a drop-in: what this host lets us set, each with the value
// that it comes to there. In a container the others would fail at every boot.
func Lasting(settings []sysctl.Setting, have State) []sysctl.Setting {
	live := map[string]sysctl.Value{}
	var mine []sysctl.Setting
	for _, s := range settings {
		seen, ok := have.Find(Sysctl{Setting: s}.ID()).(Sysctl)
		if ok && seen.HostOwned {
			continue
		}
		if ok {
			live[s.Key] = sysctl.Value{Text: seen.Setting.Value, Access: sysctl.Writable}
		}
		mine = append(mine, s)
	}
	return sysctl.Resolve(mine, live)
}
