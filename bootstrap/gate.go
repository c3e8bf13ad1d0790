package bootstrap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/zkboot/zkboot/verify"
)

// verdict is what the hardware gate found on a host, stored there so that the next apply
// does not probe again. It holds for the thresholds and the machine it was found on.
type verdict struct {
	Format     int                 `json:"format"` // 1
	Thresholds string              `json:"thresholds"`
	Machine    string              `json:"machine"`
	Verdict    verify.Verdict      `json:"verdict"`
	Fsync      *verify.FsyncResult `json:"fsync,omitempty"`
}

func verdictPath(o Owner) string { return "/etc/zkboot/" + string(o) + ".verdict.json" }

func verdictFile(o Owner) ID { return NewID(KindFile, verdictPath(o)) }

func thresholdsKey(t verify.Thresholds) string {
	b, err := json.Marshal(t)
	if err != nil {
		return "unhashable"
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// proven reports whether the host carries a passed verdict for these thresholds.
func proven(owner Owner, seen Seen, t verify.Thresholds) bool {
	f, ok := seen.State.Find(verdictFile(owner)).(File)
	if !ok {
		return false
	}
	var v verdict
	if err := json.Unmarshal([]byte(f.Content), &v); err != nil {
		return false
	}
	return v.Format == 1 && v.Thresholds == thresholdsKey(t) && v.Machine == seen.Facts.MachineID &&
		(v.Verdict == verify.Pass || v.Verdict == verify.Warn)
}

// gate judges, before any change, the hosts that no verdict is stored for: by their facts
// now, and by a probe when the plan is applied. Hosts where the service already runs are
// judged by its own figures (Verify), not by a probe that would slow it down.
func (e *Engine) gate(plan *Plan, all []compiled, now Site) Report {
	t, report := plan.Spec.thresholds()
	if report.Failed() || plan.Empty() || plan.Intent.Verb == VerbDestroy {
		return report
	}
	for _, c := range all {
		owner := OwnerOf(plan.Spec.Name, c.role.Name())
		for _, host := range now.Reachable() {
			d, seen := c.want[host], now.Hosts[host]
			if d.SyncDir == "" || !plan.Intent.Probe && (proven(owner, seen, t) || running(d, seen.State)) {
				continue
			}
			plan.Prove = append(plan.Prove, Proof{Host: host, Owner: owner, Dir: d.SyncDir, Needs: d.Needs})
			report.Merge(refusals(host, verify.JudgeHost(seen.Facts, d.Needs, t)))
		}
	}
	slices.SortStableFunc(plan.Prove, func(a, b Proof) int { return slices.Compare([]string{a.Host}, []string{b.Host}) })
	return report
}

func running(d Desired, have State) bool {
	if d.Takeover.Standing {
		return true
	}
	for _, r := range d.Resources {
		if u, ok := r.(Unit); ok && u.Turn {
			if seen, ok := have.Find(u.ID()).(Unit); ok && seen.Running {
				return true
			}
		}
	}
	return false
}

// refusals turns failed checks into errors that wrap ErrHardware, and warnings into
// warnings.
func refusals(host string, checks []verify.Check) Report {
	var report Report
	for _, c := range checks {
		f := Finding{Host: host, Step: c.ID, Text: c.Text, Hint: c.Hint}
		if c.Why != "" {
			f.Text += ": " + c.Why
		}
		switch c.Verdict {
		case verify.Fail:
			f.Severity, f.Err = SeverityError, ErrHardware
		case verify.Warn:
			f.Severity = SeverityWarning
		default:
			continue
		}
		report.Add(f)
	}
	return report
}

// prove runs the probes of the plan on all hosts at once. Either every host passes and the
// verdicts are stored, or nothing at all is changed.
func (e *Engine) prove(ctx context.Context, p *Plan, hosts Hosts, now Site) Report {
	t, report := p.Spec.thresholds()
	if report.Failed() {
		return report
	}
	var mu sync.Mutex
	found := make([]verdict, len(p.Prove))
	index := map[string][]int{}
	for i, q := range p.Prove {
		index[q.Host] = append(index[q.Host], i)
	}
	names := make([]string, 0, len(index))
	for h := range index {
		names = append(names, h)
	}
	e.each(names, func(host string) {
		for _, i := range index[host] {
			v, r := e.probe(ctx, p.Prove[i], hosts[host], t)
			v.Machine = now.Hosts[host].Facts.MachineID
			found[i] = v
			mu.Lock()
			report.Merge(r)
			mu.Unlock()
		}
	})
	sortFindings(&report)
	if report.Failed() {
		return report
	}
	for i, q := range p.Prove {
		if err := storeVerdict(ctx, q, hosts[q.Host], now.Hosts[q.Host].State, found[i]); err != nil {
			report.HostError(q.Host, "store the verdict", err)
		}
	}
	return report
}

func (e *Engine) probe(ctx context.Context, q Proof, h Host, t verify.Thresholds) (verdict, Report) {
	var report Report
	var res verify.Result
	err := e.timed(q.Host, "prove the hardware", func() (err error) {
		res, err = h.Probe(ctx, verify.GateQuery(q.Needs))
		return err
	})
	if err != nil {
		report.HostError(q.Host, "prove the hardware", err)
		return verdict{}, report
	}
	if res.Fsync == nil { // an unmeasured disk is not a fit one
		report.Add(Finding{Severity: SeverityError, Host: q.Host, Step: "disk.fsync.p99", Err: ErrHardware,
			Text: "the disk could not be measured: " + res.Unknown["fsync"], Hint: "mend that and apply again"})
		return verdict{}, report
	}
	checks := verify.JudgeProbe(res, t)
	return verdict{Format: 1, Thresholds: thresholdsKey(t), Verdict: verify.WorstOf(checks), Fsync: res.Fsync}, refusals(q.Host, checks)
}

// storeVerdict writes the verdict. It is a File of the role's owner, so that it goes when
// the owner goes.
func storeVerdict(ctx context.Context, q Proof, h Host, have State, v verdict) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the verdict: %w", err)
	}
	want := verdictResource(q.Owner)
	want.Content = string(b) + "\n"
	st := Step{Action: ActionCreate, Owner: q.Owner, Target: want.ID(), Was: Thing{have.Find(want.ID())}, Want: Thing{want}}
	if st.Was.Resource != nil {
		st.Action = ActionUpdate
	}
	return h.Change(ctx, st)
}

// verdictResource is the verdict as a thing that is kept once it is there.
func verdictResource(o Owner) File {
	return File{Path: verdictPath(o), Mode: 0o644, Owner: "root", Group: "root", Compare: ComparePresence}
}
