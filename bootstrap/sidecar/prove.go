package sidecar

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// settleFor bounds how long Prove looks again at sidecars that do not look whole: a service
// is announced after its check has passed a few times, and reaches the others after that.
const (
	settleFor  = 20 * time.Second
	settlePoll = 500 * time.Millisecond
)

// Prove implements bootstrap.Role: the checks whose ids begin with "sidecar.".
func (r Role) Prove(ctx context.Context, s *bootstrap.Spec, now bootstrap.Site, h bootstrap.Hosts) []verify.Check {
	if len(s.Sidecars) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	ticker := time.NewTicker(settlePoll)
	defer ticker.Stop()
	checks := judge(now, askAll(ctx, s, h))
	for verify.WorstOf(checks) != verify.Pass {
		select {
		case <-ctx.Done():
			return checks
		case <-ticker.C:
		}
		if next := judge(now, askAll(ctx, s, h)); ctx.Err() == nil { // else it was cut short and says nothing
			checks = next
		}
	}
	return checks
}

func judge(now bootstrap.Site, all []heard) []verify.Check {
	return []verify.Check{judgeRunning(now, all), judgeApplied(all), judgeRegistered(all)}
}

// verdicts collects what is wrong, each with its host.
type verdicts struct {
	worst verify.Verdict
	why   []string
}

func (v *verdicts) add(verdict verify.Verdict, host, format string, args ...any) {
	v.worst = verify.Worst(v.worst, verdict)
	v.why = append(v.why, host+": "+fmt.Sprintf(format, args...))
}

func (v *verdicts) check(id, text string) verify.Check {
	return verify.Finding(id, v.worst, text, strings.Join(v.why, "; "))
}

// judgeRunning looks at the units and at whether zkwatch answers.
func judgeRunning(now bootstrap.Site, all []heard) verify.Check {
	v := verdicts{worst: verify.Pass}
	whole := 0
	for _, h := range all {
		before := len(v.why)
		units := []string{watchUnit}
		if h.proxied() {
			units = append(units, proxyUnit)
		}
		for _, name := range units {
			u, _ := now.Hosts[h.host].State.Find(bootstrap.NewID(bootstrap.KindUnit, name)).(bootstrap.Unit)
			if !u.Running && now.Hosts[h.host].Err == nil {
				v.add(verify.Fail, h.host, "%s does not run", name)
			}
		}
		if h.err != nil {
			v.add(verify.Fail, h.host, "%v", h.err)
		}
		if len(v.why) == before {
			whole++
		}
	}
	return v.check("sidecar.running", fmt.Sprintf("%d of %d hosts", whole, len(all)))
}

// judgeApplied asks whether every host serves what the registry says. A service without
// instances is worth a word and no failure: it may not have been started yet.
func judgeApplied(all []heard) verify.Check {
	v := verdicts{worst: verify.Pass}
	status := statusOf(all)
	for _, h := range all {
		if h.err != nil {
			continue // judgeRunning said it
		}
		for _, name := range h.routed() {
			i := slices.IndexFunc(status.Services, func(s ServiceStatus) bool { return s.Service == name })
			s, known := h.service(name)
			why := h.behind(name, status.Services[i].Revision)
			switch {
			case why != "" && known && (s.current() || s.Held != nil):
				v.add(verify.Warn, h.host, "%s: %s", name, why) // a moment later it may have caught up
			case why != "":
				v.add(verify.Fail, h.host, "%s: %s", name, why)
			case len(s.Instances) == 0:
				v.add(verify.Warn, h.host, "%s has no instance", name)
			}
		}
	}
	var text []string
	for _, s := range status.Services {
		text = append(text, fmt.Sprintf("%s: revision %x on %d of %d hosts", s.Service, s.Revision, s.Applied, s.Hosts))
	}
	return v.check("sidecar.applied", strings.Join(text, ", "))
}

// judgeRegistered asks whether what is healthy is announced. A service that fails its check
// is kept out on purpose.
func judgeRegistered(all []heard) verify.Check {
	v := verdicts{worst: verify.Pass}
	announced, wanted := 0, 0
	for _, h := range all {
		wanted += len(h.is.Register)
		for _, note := range h.status().Withheld {
			name, _, _ := strings.Cut(note, ":")
			verdict := verify.Warn
			if r, known := h.registration(name); !known || r.Healthy && !r.Draining {
				verdict = verify.Fail
			}
			v.add(verdict, h.host, "%s", note)
		}
		announced += len(h.status().Announce)
	}
	return v.check("sidecar.registered", fmt.Sprintf("%d of %d announced", announced, wanted))
}
