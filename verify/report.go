package verify

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"slices"
)

// Report is the outcome for a whole site, in the form scripts rely on.
// Fill it, call Conclude, and hand it to one of the writers.
type Report struct {
	Verdict  Verdict               `json:"verdict"`
	Checks   []Check               `json:"checks"` // of the site as a whole
	Ensemble EnsembleReport        `json:"ensemble"`
	Pairs    []PairReport          `json:"pairs"`
	Hosts    map[string]HostReport `json:"hosts"` // by host name
}

// EnsembleReport holds the checks of the running ensemble.
type EnsembleReport struct {
	Checks []Check `json:"checks"`
}

// PairReport holds the checks of the way from one host to another.
type PairReport struct {
	From   string  `json:"from"`
	To     string  `json:"to"`
	Checks []Check `json:"checks"`
}

// HostReport holds the checks of one host, and the fsync probe's figures where it ran.
type HostReport struct {
	Verdict Verdict      `json:"verdict"`
	Checks  []Check      `json:"checks"`
	Fsync   *FsyncResult `json:"fsync"`
}

// Conclude sets the verdict of each host and of the report to the worst of
// what is below it.
func (r *Report) Conclude() {
	r.Verdict = Worst(WorstOf(r.Checks), WorstOf(r.Ensemble.Checks))
	for _, p := range r.Pairs {
		r.Verdict = Worst(r.Verdict, WorstOf(p.Checks))
	}
	for name, h := range r.Hosts {
		h.Verdict = WorstOf(h.Checks)
		r.Hosts[name] = h
		r.Verdict = Worst(r.Verdict, h.Verdict)
	}
}

// section is a list of checks under a title, as every writer but JSON shows it.
type section struct {
	title  string
	name   string // for machines: "host.zk1", "pair.zk1.zk2", "ensemble", "site"
	checks []Check
	fsync  *FsyncResult
}

// sections returns what has checks: hosts by name, then pairs, then the
// ensemble, then the site.
func (r Report) sections() []section {
	var out []section
	for _, name := range slices.Sorted(maps.Keys(r.Hosts)) {
		h := r.Hosts[name]
		out = append(out, section{"host " + name, "host." + name, h.Checks, h.Fsync})
	}
	for _, p := range r.sortedPairs() {
		out = append(out, section{p.From + " to " + p.To, "pair." + p.From + "." + p.To, p.Checks, nil})
	}
	out = append(out, section{"ensemble", "ensemble", r.Ensemble.Checks, nil}, section{"site", "site", r.Checks, nil})
	return slices.DeleteFunc(out, func(s section) bool { return len(s.checks) == 0 && s.fsync == nil })
}

func (r Report) sortedPairs() []PairReport {
	return slices.SortedFunc(slices.Values(r.Pairs), func(a, b PairReport) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
}

// WriteJSON writes the report as indented JSON. Lists are never null, and
// figures that do not exist are null rather than absent, so that a script needs
// no default for either.
func (r Report) WriteJSON(w io.Writer) error {
	out := Report{Verdict: r.Verdict, Checks: filled(r.Checks), Pairs: []PairReport{}, Hosts: map[string]HostReport{}}
	out.Ensemble.Checks = filled(r.Ensemble.Checks)
	for _, p := range r.sortedPairs() {
		p.Checks = filled(p.Checks)
		out.Pairs = append(out.Pairs, p)
	}
	for name, h := range r.Hosts {
		h.Checks = filled(h.Checks)
		if h.Fsync != nil {
			f := *h.Fsync
			f.Windows, f.Sizes = filled(f.Windows), filled(f.Sizes)
			h.Fsync = &f
		}
		out.Hosts[name] = h
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// filled returns list, or an empty one for nil.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
