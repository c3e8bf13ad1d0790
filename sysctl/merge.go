package sysctl

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Owned is the tuning of one owner on a host, such as "zookeeper".
type Owned struct {
	Owner  string
	Tuning Tuning
}

// Claim is what one owner wants of one key.
type Claim struct {
	Owner   string
	Setting Setting
}

// ConflictError is two owners whose wishes for one key cannot both hold.
type ConflictError struct {
	Key  string
	A, B Claim
}

// Error names the key, both owners and both wishes, and the way out.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("sysctl[\"%s\"]: %s wants %s %s, %s wants %s %s; set the key in the operator's settings to decide",
		e.Key, e.A.Owner, e.A.Setting.Rule, e.A.Setting.Value, e.B.Owner, e.B.Setting.Rule, e.B.Setting.Value)
}

// thpKey stands for transparent huge pages in a conflict; it is no sysctl.
const thpKey = "transparent_hugepage"

// Merge joins the tunings of all owners of one host; neither their order nor a
// repetition matters. AtLeast takes the highest number of each field, PortSet
// the union, an Exact value holds when it satisfies everyone. The overrides are
// the operator's and win over every owner, without a conflict.
//
// Limits bind one unit and one user, so they stay with their owners: the result
// has none. The error joins every fault: the [*SettingError] of the owners and of
// the overrides, then the [*ConflictError] in the order of keys.
func Merge(owned []Owned, overrides []Setting) (Tuning, error) {
	claims, err := collect(owned)
	errs := []error{err, Validate(overrides)}
	decided := make(map[string]Setting)
	for _, o := range overrides {
		key := Canonical(o.Key)
		o.Key, o.Value = key, canonicalValue(o)
		o.Why = cmp.Or(o.Why, "set by the operator")
		for _, c := range claims[key] {
			o.Namespaced = o.Namespaced || c.Setting.Namespaced
		}
		decided[key] = o
		delete(claims, key)
		if o.Rule != Leave {
			delete(claims, Twin(key)) // writing the override would clear it
		}
	}
	for _, key := range slices.Sorted(maps.Keys(claims)) {
		setting, conflict := decide(key, claims[key])
		if conflict == nil {
			conflict = twinConflict(key, claims)
		}
		if conflict != nil {
			errs = append(errs, conflict)
			continue
		}
		decided[key] = setting
	}
	merged := Tuning{Sysctl: sorted(slices.Collect(maps.Values(decided)))}
	var conflict error
	merged.THP, conflict = mergeTHP(owned)
	for _, o := range owned {
		merged.Swap = merged.Swap.stricter(o.Tuning.Swap)
	}
	if err := errors.Join(append(errs, conflict)...); err != nil {
		return Tuning{}, err
	}
	return merged, nil
}

// Part is what one of the owners has to set of what they all come to: the keys that it
// asks for itself, with values that suit everyone, and those that the operator decides.
// Limits and transparent huge pages are its own. Two owners set the keys that both ask for
// alike. The error is that of Merge.
func Part(owner string, owned []Owned, overrides []Setting) (Tuning, error) {
	merged, err := Merge(owned, overrides)
	if err != nil {
		return Tuning{}, err
	}
	mine := make(map[string]bool)
	for _, o := range overrides {
		mine[Canonical(o.Key)] = true
	}
	part := Tuning{Swap: merged.Swap}
	for _, o := range owned {
		if o.Owner != owner {
			continue
		}
		for _, s := range o.Tuning.Sysctl {
			if s.Rule != Leave {
				mine[Canonical(s.Key)] = true
			}
		}
		part.Limits = o.Tuning.Limits
		if o.Tuning.THP != THPLeave {
			part.THP = merged.THP
		}
	}
	part.Sysctl = slices.DeleteFunc(merged.Sysctl, func(s Setting) bool { return s.Rule == Leave || !mine[s.Key] })
	return part, nil
}

// collect gathers the claims by key, each list in an order that does not depend
// on the order of the owners.
func collect(owned []Owned) (map[string][]Claim, error) {
	claims := make(map[string][]Claim)
	var errs []error
	for _, o := range owned {
		for _, s := range o.Tuning.Sysctl {
			for _, problem := range s.problems() {
				errs = append(errs, &SettingError{Key: s.Key, Problem: problem + " (from " + o.Owner + ")"})
			}
			s.Key = Canonical(s.Key)
			s.Value = canonicalValue(s)
			claims[s.Key] = append(claims[s.Key], Claim{o.Owner, s})
		}
	}
	for _, list := range claims {
		slices.SortFunc(list, func(a, b Claim) int {
			return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Setting.Rule, b.Setting.Rule),
				cmp.Compare(a.Setting.Value, b.Setting.Value), cmp.Compare(a.Setting.Why, b.Setting.Why),
				cmp.Compare(a.Setting.Source, b.Setting.Source))
		})
	}
	slices.SortStableFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return claims, errors.Join(errs...)
}

// decide settles one key among sorted claims.
func decide(key string, claims []Claim) (Setting, *ConflictError) {
	asking := slices.DeleteFunc(slices.Clone(claims), func(c Claim) bool { return c.Setting.Rule == Leave })
	if len(asking) == 0 {
		asking = claims
	}
	merged := asking[0].Setting
	best := asking[0]
	for _, c := range asking[1:] {
		switch {
		case merged.Rule == c.Setting.Rule && merged.Rule != Exact && sameShape(merged, c.Setting):
			if merged.Value = merged.Target(c.Setting.Value); merged.Value == c.Setting.Value {
				best = c
			}
		case merged.Rule == Exact && c.Setting.Satisfied(merged.Value):
		case c.Setting.Rule == Exact && merged.Satisfied(c.Setting.Value):
			merged.Rule, merged.Value, best = Exact, c.Setting.Value, c
		default:
			return Setting{}, &ConflictError{Key: key, A: best, B: c}
		}
	}
	return credit(merged, asking), nil
}

// sameShape refuses a field-wise maximum of values with unequal fields.
func sameShape(a, b Setting) bool {
	return a.Rule != AtLeast || len(strings.Fields(a.Value)) == len(strings.Fields(b.Value))
}

// credit gives the merged setting the reasons of those who asked for its value,
// or of all when it is nobody's alone, and the widest use that one of them has.
func credit(merged Setting, claims []Claim) Setting {
	granted := slices.DeleteFunc(slices.Clone(claims), func(c Claim) bool { return c.Setting.Value != merged.Value })
	if len(granted) == 0 || merged.Rule == PortSet {
		granted = claims
	}
	var reasons, sources []string
	merged.Level, merged.Namespaced = granted[0].Setting.Level, false
	for _, c := range granted {
		merged.Level = min(merged.Level, c.Setting.Level)
		merged.Namespaced = merged.Namespaced || c.Setting.Namespaced
		reasons = append(reasons, c.Setting.Why)
		sources = append(sources, c.Setting.Source)
	}
	merged.Why, merged.Source = joinDistinct(reasons, "; "), joinDistinct(sources, " ")
	return merged
}

func joinDistinct(texts []string, separator string) string {
	var distinct []string
	for _, text := range texts {
		if text != "" && !slices.Contains(distinct, text) {
			distinct = append(distinct, text)
		}
	}
	return strings.Join(distinct, separator)
}

// twinConflict finds two owners who set both keys of a pair that clears itself.
// It reports once, at the first key in order.
func twinConflict(key string, claims map[string][]Claim) *ConflictError {
	asks := func(c Claim) bool { return c.Setting.Rule != Leave }
	twin := Twin(key)
	i, j := slices.IndexFunc(claims[key], asks), slices.IndexFunc(claims[twin], asks)
	if twin < key || i < 0 || j < 0 {
		return nil
	}
	return &ConflictError{Key: key + " and " + twin, A: claims[key][i], B: claims[twin][j]}
}

func mergeTHP(owned []Owned) (THP, error) {
	owned = slices.SortedFunc(slices.Values(owned), func(a, b Owned) int {
		return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Tuning.THP, b.Tuning.THP))
	})
	var merged Owned
	for _, o := range owned {
		want := o.Tuning.THP
		switch {
		case want.Satisfied(merged.Tuning.THP):
		case merged.Tuning.THP.Satisfied(want):
			merged = o
		default:
			claim := func(o Owned) Claim {
				return Claim{o.Owner, Setting{Key: thpKey, Value: string(o.Tuning.THP)}}
			}
			return THPLeave, &ConflictError{Key: thpKey, A: claim(merged), B: claim(o)}
		}
	}
	return merged.Tuning.THP, nil
}

// canonicalValue spells equal values alike, as the kernel reads them back.
func canonicalValue(s Setting) string {
	if numbers, ok := parseNumbers(s.Value); ok && s.Rule == AtLeast {
		return formatNumbers(numbers)
	}
	if ports, err := ParsePorts(s.Value); err == nil && (s.Rule == PortSet || s.Key == ReservedPorts) {
		return ports.String()
	}
	return Normalize(s.Value)
}
