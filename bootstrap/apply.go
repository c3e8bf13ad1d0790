package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zkboot/zkboot/verify"
)

// Apply carries out a plan: lock every host, see that none has changed since the plan was
// made, prove the hardware, then the waves in order, and at the end prove the roles. It
// stops after the wave in which something broke; planning again shows what is left. Where
// nothing is left to do the proof alone is made: the run before may have ended without it.
func (e *Engine) Apply(ctx context.Context, p *Plan) Report {
	var report Report
	if p.Format != PlanFormat {
		report.HostError("", "apply", fmt.Errorf("the plan has format %d, this zkboot reads %d: plan again", p.Format, PlanFormat))
		return report
	}
	hosts, r := e.Hosts(ctx, p.Spec)
	for name := range hosts {
		if _, planned := p.Seen[name]; !planned {
			delete(hosts, name)
		}
	}
	for _, f := range r.Findings {
		if _, planned := p.Seen[f.Host]; planned {
			report.Add(f)
		}
	}
	if report.Failed() {
		return report
	}
	if p.Empty() {
		if p.Intent.Verb != VerbDestroy {
			report.Merge(e.proveRoles(ctx, p.Spec, hosts))
		}
		return report
	}
	if report.Merge(e.lock(ctx, hosts)); report.Failed() {
		return report
	}
	now, r := e.unchanged(ctx, p)
	if report.Merge(r); report.Failed() {
		return report
	}
	if report.Merge(e.prove(ctx, p, hosts, now)); report.Failed() {
		return report
	}
	for _, w := range p.Waves {
		if report.Merge(e.wave(ctx, p, w, hosts)); report.Failed() {
			return report
		}
	}
	if p.Intent.Verb != VerbDestroy {
		report.Merge(e.proveRoles(ctx, p.Spec, hosts))
	}
	return report
}

// lock takes the lock of every host in the order of their names, so that two runs can never
// hold half of the site each.
func (e *Engine) lock(ctx context.Context, hosts Hosts) Report {
	var report Report
	for _, name := range hosts.Names() {
		if err := e.lockHost(ctx, name, hosts[name]); err != nil {
			report.HostError(name, "lock", err)
			return report
		}
	}
	return report
}

// lockPoll is how often a lock that is taken is tried again.
const lockPoll = time.Second

// lockHost takes the lock of a host, and waits for it as long as LockPatience allows.
func (e *Engine) lockHost(ctx context.Context, name string, h Host) error {
	err := h.Lock(ctx, e.Who)
	if e.LockPatience <= 0 || !errors.Is(err, ErrLocked) {
		return err
	}
	e.Emit(Event{Kind: EventNote, Host: name, Step: "waiting for the lock: " + err.Error()})
	patience := time.NewTimer(e.LockPatience)
	defer patience.Stop()
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for errors.Is(err, ErrLocked) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-patience.C:
			return fmt.Errorf("%w; waited %s for it", err, e.LockPatience)
		case <-tick.C:
		}
		err = h.Lock(ctx, e.Who)
	}
	return err
}

// unchanged looks again, now under the lock, and refuses when a host is no longer what the
// plan rests on.
func (e *Engine) unchanged(ctx context.Context, p *Plan) (Site, Report) {
	var report Report
	now, _ := e.Look(ctx, p.Spec)
	for _, name := range p.Spec.HostNames() {
		want, planned := p.Seen[name]
		if !planned {
			continue
		}
		seen := now.Hosts[name]
		switch {
		case seen.Err != nil:
			report.HostError(name, "look", seen.Err)
		case seen.State.Fingerprint() != want:
			report.HostError(name, "apply", fmt.Errorf("%w: plan again and look at what is different", ErrStale))
		}
	}
	return now, report
}

func (e *Engine) wave(ctx context.Context, p *Plan, w Wave, hosts Hosts) Report {
	if w.Rolling {
		return e.roll(ctx, p, w, hosts)
	}
	var report Report
	for _, gate := range slices.Concat(w.Before, w.Site) {
		if err := e.do(ctx, p.Spec, gate, gate.Hosts, hosts); err != nil {
			report.HostError("", gate.Title, err)
			return report
		}
	}
	var mu sync.Mutex
	e.each(w.Hosts(), func(name string) {
		if err := e.change(ctx, name, w.Title, w.Steps[name], hosts); err != nil {
			mu.Lock()
			defer mu.Unlock()
			report.HostError(name, stepOf(err), err)
		}
	})
	sortFindings(&report)
	if report.Failed() {
		return report
	}
	for _, gate := range slices.Concat(w.Then, w.After) {
		about := gate.Hosts
		if len(about) == 0 {
			about = w.Hosts()
		}
		if err := e.do(ctx, p.Spec, gate, about, hosts); err != nil {
			report.HostError("", gate.Title, err)
			return report
		}
	}
	return report
}

// roll gives every host of the wave its turn. The role picks the next one from what is seen
// at that moment, since a leader moves; a gate that does not open, a step that breaks or a
// role that refuses ends the wave.
func (e *Engine) roll(ctx context.Context, p *Plan, w Wave, hosts Hosts) Report {
	var report Report
	role := e.role(w.Role)
	if role == nil {
		report.HostError("", w.Title, fmt.Errorf("the plan needs role %q, which this program does not have", w.Role))
		return report
	}
	for left := w.Hosts(); len(left) > 0; {
		now, _ := e.Look(ctx, p.Spec)
		next, ok, err := role.Next(p.Spec, now, Intent{Verb: VerbTurn, Hosts: left})
		if err == nil && (!ok || len(next.Hosts) != 1 || !slices.Contains(left, next.Hosts[0])) {
			err = fmt.Errorf("role %s names nobody among %v for the next turn", w.Role, left)
		}
		if err != nil {
			report.HostError("", w.Title, err)
			return report
		}
		host := next.Hosts[0]
		if err := e.turn(ctx, p.Spec, w, host, hosts); err != nil {
			report.HostError(host, stepOf(err), err)
			return report
		}
		left = slices.DeleteFunc(left, func(h string) bool { return h == host })
	}
	return report
}

func (e *Engine) turn(ctx context.Context, s *Spec, w Wave, host string, hosts Hosts) error {
	for _, gate := range w.Before {
		if err := e.do(ctx, s, gate, []string{host}, hosts); err != nil {
			return err
		}
	}
	change := e.change
	if reboots(w.Steps[host]) {
		change = e.reboot(s)
	}
	if err := change(ctx, host, w.Title, w.Steps[host], hosts); err != nil {
		return err
	}
	for _, gate := range w.After {
		if err := e.do(ctx, s, gate, []string{host}, hosts); err != nil {
			return err
		}
	}
	return nil
}

// change sends the steps of one host in one call.
func (e *Engine) change(ctx context.Context, name, title string, steps []Step, hosts Hosts) error {
	h, ok := hosts[name]
	if !ok {
		return fmt.Errorf("%w: it was not opened", ErrUnreachable)
	}
	what := fmt.Sprintf("%s (%s)", title, plural(len(steps), "step"))
	return e.timed(name, what, func() error { return h.Change(ctx, steps...) })
}

// do lets the role of a site step carry it out for the given hosts.
func (e *Engine) do(ctx context.Context, s *Spec, st SiteStep, about []string, hosts Hosts) error {
	role := e.role(st.Role)
	if role == nil {
		return fmt.Errorf("the plan needs role %q, which this program does not have", st.Role)
	}
	st.Hosts = about
	return e.timed("", st.Title, func() error { return role.Do(ctx, s, hosts, st) })
}

func (e *Engine) role(name string) Role {
	for _, r := range e.Roles {
		if r.Name() == name {
			return r
		}
	}
	return nil
}

// proveRoles lets every role prove what stands now, and turns failed checks into errors.
func (e *Engine) proveRoles(ctx context.Context, s *Spec, hosts Hosts) Report {
	var report Report
	now, _ := e.Look(ctx, s)
	for _, name := range s.HostNames() {
		if err := now.Hosts[name].Err; err != nil {
			report.HostError(name, "look", err) // not for a role to explain: it saw nothing there
		}
	}
	if report.Failed() {
		return report
	}
	for _, role := range e.Roles {
		var checks []verify.Check
		_ = e.timed("", "prove "+role.Name(), func() error {
			checks = role.Prove(ctx, s, now, hosts)
			return nil
		})
		for _, c := range checks {
			if c.Verdict == verify.Fail {
				report.Add(Finding{Severity: SeverityError, Step: c.ID, Text: c.Text + ": " + c.Why, Hint: c.Hint})
			}
		}
	}
	return report
}

// stepOf names the step in which a change broke.
func stepOf(err error) string {
	var se *StepError
	if errors.As(err, &se) {
		return se.Step.String()
	}
	return ""
}
