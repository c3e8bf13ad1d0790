package verify

// Verdict is the outcome of one check, or the worst outcome of many.
type Verdict string

// The verdicts, as they stand in every output.
const (
	Pass          Verdict = "pass"
	Warn          Verdict = "warn"
	Fail          Verdict = "fail"
	Unknown       Verdict = "unknown" // could not be read or measured; Why says what stood in the way
	NotApplicable Verdict = "n/a"     // the question does not arise on this host
)

// rank orders verdicts for Worst. Unknown and n/a stand below pass, so that
// neither worsens it; a verdict this package never made ranks as a failure.
func (v Verdict) rank() int {
	switch v {
	case "", NotApplicable:
		return 0
	case Unknown:
		return 1
	case Pass:
		return 2
	case Warn:
		return 3
	}
	return 4
}

// Worst returns the worst of the verdicts: fail, warn, pass, unknown, n/a in
// that order. Of nothing it returns n/a: what nobody looked at has not passed.
func Worst(verdicts ...Verdict) Verdict {
	worst := NotApplicable
	for _, v := range verdicts {
		if v.rank() > worst.rank() {
			worst = v
		}
	}
	return worst
}

// Check is the answer to one question about a host, a pair of hosts or the
// ensemble. Value, Warn and Fail are in Unit and nil where the question has no
// figure; a check without a figure says what was seen in Text.
type Check struct {
	ID      string   `json:"id"` // one of Checks
	Verdict Verdict  `json:"verdict"`
	Value   *float64 `json:"value"`
	Text    string   `json:"text"` // what was seen, for a person
	Unit    string   `json:"unit"` // "ms", "%", "bytes", "/s", "x" (a ratio), "" (a count or no figure)
	Warn    *float64 `json:"warn"` // the limit from which on the verdict is warn
	Fail    *float64 `json:"fail"` // the limit from which on the verdict is fail
	Why     string   `json:"why"`  // why the verdict is not pass; empty on pass
	Hint    string   `json:"hint"` // what to do about it; empty on pass
}

// WorstOf returns the worst verdict of the checks.
func WorstOf(checks []Check) Verdict {
	worst := NotApplicable
	for _, c := range checks {
		worst = Worst(worst, c.Verdict)
	}
	return worst
}
