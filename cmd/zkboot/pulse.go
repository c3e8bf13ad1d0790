package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/drill"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// pulseLine is what a pulse saw, for machines.
type pulseLine struct {
	Type    string `json:"type"` // "pulse"
	Writes  int    `json:"writes"`
	StallMS int64  `json:"longest_stall_ms"`
	Lost    int    `json:"lost_acks"`
	Error   string `json:"error,omitempty"` // why not all of it is known
}

// pulse writes to the ensemble while the plan is carried out, where that restarts or changes
// members that serve; done says what the writer saw. That it could not write is a word and
// fails nothing. A lost write does: nobody may think that all went well.
func (s *session) pulse(ctx context.Context, p *bootstrap.Plan) (done func(*bootstrap.Report)) {
	if !disturbs(p) {
		return func(*bootstrap.Report) {}
	}
	pulse := drill.StartPulse(ctx, drill.PulseOptions{Spec: p.Spec, Open: s.opener(), Rate: s.pulseRate(ctx, p.Spec)})
	return func(report *bootstrap.Report) {
		r := pulse.Stop()
		if r.Lost > 0 {
			report.Add(bootstrap.Finding{Severity: bootstrap.SeverityError, Step: "pulse", Text: r.String(),
				Hint: "stop here: compare the members with `zkboot verify`, and keep the data of all of them"})
		}
		if j := s.machine(); j != nil {
			line := pulseLine{Type: "pulse", Writes: r.Writes, StallMS: r.Stall.Milliseconds(), Lost: r.Lost}
			if r.Err != nil {
				line.Error = r.Err.Error()
			}
			j.write(line)
			return
		}
		_ = s.print(func(w io.Writer) error { // whoever read stdout has gone; the report tells what matters
			_, err := fmt.Fprintf(w, "\n%s\n", r)
			return err
		})
	}
}

// gentlePulse is what is written a second to an ensemble that writes may break while its members
// restart: too few to meet that moment often, enough to see a stall of half a second.
const gentlePulse = 2

// pulseRate is how often a second the pulse writes. A plan that was stored has seen nobody yet.
func (s *session) pulseRate(ctx context.Context, spec *bootstrap.Spec) int {
	now := s.engine.LastSeen()
	if len(now.Hosts) == 0 {
		now, _ = s.engine.Look(ctx, spec)
	}
	if zookeeper.Frail(spec, now) {
		return gentlePulse
	}
	return drill.DefaultPulse
}

// disturbs reports whether a plan restarts or changes members of an ensemble that serves
// meanwhile. A restore takes away what was written, and says so itself.
func disturbs(p *bootstrap.Plan) bool {
	if p.Spec.Ensemble == nil || p.Intent.Verb == bootstrap.VerbDestroy || p.Intent.Verb == bootstrap.VerbRestore {
		return false
	}
	role := zookeeper.New().Name()
	found := false
	for _, w := range p.Waves {
		if slices.ContainsFunc(w.Site, zookeeper.Forms) {
			return false
		}
		found = found || w.Rolling && w.Role == role ||
			slices.ContainsFunc(slices.Concat(w.Site, w.Then), func(st bootstrap.SiteStep) bool { return st.Role == role })
	}
	return found
}
