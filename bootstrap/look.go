package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Look sees every host of the spec, one round trip each. A host that does not answer is in
// the Site with its error. The hosts that do are returned open, unless LookOnly.
func (e *Engine) Look(ctx context.Context, s *Spec) (Site, Hosts) {
	return e.lookAll(ctx, s, 0)
}

// lookAll looks at every host and waits up to boot for those whose first boot is not over.
func (e *Engine) lookAll(ctx context.Context, s *Spec, boot time.Duration) (Site, Hosts) {
	if e.LookOnly {
		return e.visit(ctx, s, boot), Hosts{}
	}
	hosts, report := e.Hosts(ctx, s)
	site := Site{Hosts: map[string]Seen{}}
	for _, f := range report.Findings {
		site.Hosts[f.Host] = Seen{Err: f}
	}
	var mu sync.Mutex
	e.each(hosts.Names(), func(name string) {
		seen := e.look(ctx, s, name, hosts[name], boot)
		mu.Lock()
		defer mu.Unlock()
		site.Hosts[name] = seen
	})
	for name, seen := range site.Hosts {
		if seen.Err != nil {
			delete(hosts, name)
		}
	}
	return e.keep(site), hosts
}

// visit opens, looks at and closes one host after another, Limit of them at once.
func (e *Engine) visit(ctx context.Context, s *Spec, boot time.Duration) Site {
	site := Site{Hosts: map[string]Seen{}}
	var mu sync.Mutex
	e.each(s.HostNames(), func(name string) {
		var seen Seen
		h, err := e.host(ctx, s, name)
		if err != nil {
			var report Report
			report.HostError(name, "connect", err)
			seen.Err = report.Findings[0]
		} else {
			seen = e.look(ctx, s, name, h, boot)
			e.drop(name)
		}
		mu.Lock()
		defer mu.Unlock()
		site.Hosts[name] = seen
	})
	return e.keep(site)
}

// keep remembers what was seen last.
func (e *Engine) keep(site Site) Site {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = site
	return site
}

// LastSeen is what the last Look of this Engine saw: after an Apply, what its proof rests
// on.
func (e *Engine) LastSeen() Site {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

func (e *Engine) look(ctx context.Context, s *Spec, name string, h Host, boot time.Duration) Seen {
	ids := []ID{}
	for _, role := range e.Roles {
		ids = append(ids, role.Queries(s, name)...)
		ids = append(ids, verdictFile(OwnerOf(s.Name, role.Name())))
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var seen Seen
	seen.Err = e.timed(name, "look", func() (err error) {
		seen.Facts, seen.State, err = h.Look(ctx, ids...)
		if boot == 0 {
			return err
		}
		limited, cancel := context.WithTimeoutCause(ctx, boot, fmt.Errorf(
			"cloud-init is still running after %s: wait for `cloud-init status --wait` on the host, then run again", boot))
		defer cancel()
		for err == nil && seen.Facts.CloudInit == cloudInitRunning {
			if err = e.pause(limited, name); err == nil {
				seen.Facts, seen.State, err = h.Look(ctx, ids...)
			}
		}
		return err
	})
	if seen.Err != nil {
		e.drop(name)
		seen.Err = away(name, "look", seen.Err)
	}
	return seen
}

// away is a finding about a host that could not be asked: it always wraps ErrUnreachable,
// and says what its cause says.
func away(host, step string, err error) error {
	f := Finding{Severity: SeverityError, Host: host, Step: step, Text: err.Error()}
	var said Finding
	if errors.As(err, &said) {
		f = said
	}
	f.Err = err
	if !errors.Is(err, ErrUnreachable) {
		f.Err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return f
}

// cloudInitRunning is what verify.Facts.CloudInit says while the first boot goes on.
const cloudInitRunning = "running"

// pause waits a little for cloud-init: until it is done it installs packages, makes users
// and may even reboot.
func (e *Engine) pause(ctx context.Context, host string) error {
	e.Emit(Event{Kind: EventNote, Host: host, Step: "waiting for cloud-init to end"})
	tick := time.NewTimer(5 * time.Second)
	defer tick.Stop()
	select {
	case <-tick.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
