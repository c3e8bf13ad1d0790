package verify

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
