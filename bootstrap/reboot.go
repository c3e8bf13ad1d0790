package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// rebootWaves reboots every host that has a unit with turns, one at a time; with
// Intent.Required only those that say they need it. Nothing is kept about who has been
// rebooted.
func rebootWaves(s *Spec, all []compiled, now Site, in Intent) ([]Wave, error) {
	planned := map[string]bool{} // once is enough, whatever the number of roles
	blind := ""
	waves, err := turnWaves(s, all, now, in, func(at place) (first, turn []Step) {
		why, required := NeedsReboot(at.seen.Facts)
		if planned[at.host] || in.Required && !required {
			return nil, nil
		}
		planned[at.host] = true
		if at.seen.Facts.BootID == "" && blind == "" {
			blind = at.host
		}
		st := at.step(ActionReboot, Boot{Why: why})
		st.Was = Thing{Boot{BootID: at.seen.Facts.BootID}}
		return nil, []Step{st}
	})
	if err == nil && blind != "" {
		return nil, Finding{Severity: SeverityError, Host: blind, Step: string(in.Verb), Err: ErrRefused,
			Text: "expected /proc/sys/kernel/random/boot_id to say which boot it is in, found " + now.Hosts[blind].Facts.Unknown["boot_id"],
			Hint: "reboot this host by hand: a new boot could not be told from the old one"}
	}
	return waves, err
}

// NeedsReboot says whether a host asks for a reboot, and why: a package left a note, or a
// newer kernel of the same flavour is installed than the one that runs. What could not be
// read asks for nothing.
func NeedsReboot(f Facts) (why string, required bool) {
	var reasons []string
	if newest := newestKernel(f.Kernel, f.Kernels); newest != "" {
		reasons = append(reasons, "kernel "+f.Kernel+" -> "+newest)
	}
	if f.RebootRequired != nil {
		text := "/run/reboot-required"
		if len(f.RebootRequired) > 0 {
			text += " of " + strings.Join(f.RebootRequired, ", ")
		}
		reasons = append(reasons, text)
	}
	return strings.Join(reasons, "; "), len(reasons) > 0
}

// newestKernel is the newest installed one that is newer than the running one, "" where
// there is none. Flavours ("cloud-amd64") are not compared with each other.
func newestKernel(running string, installed []string) string {
	newest := running
	for _, k := range installed {
		if flavour(k) == flavour(running) && CompareDebian(k, newest) > 0 {
			newest = k
		}
	}
	if newest == running {
		return ""
	}
	return newest
}

// flavour is what follows the version and the ABI number: "6.1.0-18-cloud-amd64" has
// "cloud-amd64".
func flavour(kernel string) string {
	parts := strings.Split(kernel, "-")
	for i, p := range parts {
		if i > 0 && (p == "" || !digit(p[0])) {
			return strings.Join(parts[i:], "-")
		}
	}
	return ""
}

// reboots reports whether a host's steps end its connection.
func reboots(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Action == ActionReboot })
}

// bootPoll is how often a host that reboots is tried again, and bootTry how long one try may
// take: a host that is down may swallow what is sent to it.
const (
	bootPoll = 2 * time.Second
	bootTry  = 30 * time.Second
)

// bootDoubt bounds the wait for a new boot where a host said that the reboot did not work:
// what it was asked with may have been ended by the reboot itself.
const bootDoubt = 2 * time.Minute

// reboot is change for steps that end with a reboot: it waits until the host answers in
// another boot, takes its lock again, and puts the new connection into the place of the old
// one.
func (e *Engine) reboot(s *Spec) func(ctx context.Context, name, title string, steps []Step, hosts Hosts) error {
	return func(ctx context.Context, name, title string, steps []Step, hosts Hosts) error {
		was, ok := steps[len(steps)-1].Was.Resource.(Boot)
		if !ok || was.BootID == "" {
			return errors.New("the plan does not say which boot the host was in: plan again")
		}
		h, ok := hosts[name]
		if !ok {
			return fmt.Errorf("%w: it was not opened", ErrUnreachable)
		}
		patience := cmp.Or(e.BootPatience, 15*time.Minute)
		var cutOff error
		err := e.timed(name, fmt.Sprintf("%s (%s)", title, plural(len(steps), "step")), func() error {
			err := h.Change(ctx, steps...)
			switch {
			case err == nil || errors.Is(err, ErrStale) || errors.Is(err, ErrLocked) || errors.Is(err, ErrRefused) || ctx.Err() != nil:
				return err
			case !errors.Is(err, ErrUnreachable):
				patience = min(patience, bootDoubt)
			}
			cutOff = err
			return nil
		})
		if err != nil {
			return err
		}
		e.drop(name)
		delete(hosts, name)
		return e.timed(name, "boot", func() error {
			h, err := e.awaitBoot(ctx, s, name, was.BootID, patience)
			if err == nil {
				hosts[name] = h
				return nil
			}
			var f Finding
			if cutOff != nil && errors.As(err, &f) {
				f.Text += fmt.Sprintf("; asked to reboot it said: %v", cutOff)
				f.Err = errors.Join(f.Err, cutOff)
				return f
			}
			return err
		})
	}
}

// awaitBoot opens and locks a host as soon as it answers in another boot than the one it was
// in.
func (e *Engine) awaitBoot(ctx context.Context, s *Spec, name, was string, patience time.Duration) (Host, error) {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(bootPoll)
	defer tick.Stop()
	for {
		h, err := e.tryBoot(ctx, s, name, was)
		if err == nil || errors.Is(err, ErrLocked) {
			return h, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-bounded.Done():
			return nil, Finding{Severity: SeverityError, Host: name, Step: "reboot",
				Text: fmt.Sprintf("expected it to answer in a new boot within %s, last seen: %v", patience, err),
				Hint: "look at its console; once it is back, run plan to see what is left", Err: fmt.Errorf("%w: %w", ErrUnreachable, err)}
		case <-tick.C:
		}
	}
}

// tryBoot asks a host once which boot it is in. Until it is another the host is given up
// again: it is still going down. A connection lives no longer than the context it was opened
// with, so that this one is bounded by a timer, which stops when the host is taken.
func (e *Engine) tryBoot(ctx context.Context, s *Spec, name, was string) (Host, error) {
	ctx, cancel := context.WithCancel(ctx)
	limit := time.AfterFunc(bootTry, cancel)
	h, err := e.Open(ctx, s, name)
	if err != nil {
		cancel()
		return nil, err
	}
	_, state, err := h.Look(ctx, bootID)
	boot, seen := state.Find(bootID).(Boot)
	switch {
	case err == nil && (!seen || boot.BootID == ""):
		err = fmt.Errorf("it does not say which boot it is in: %s", state.Unread[bootID])
	case err == nil && boot.BootID == was:
		err = errors.New("it is still in the old boot")
	case err == nil && !boot.Up: // what starts may yet end connections
		err = errors.New("it is still starting its services")
	case err == nil:
		err = e.lockHost(ctx, name, h)
	}
	if err == nil && !limit.Stop() {
		err = context.DeadlineExceeded
	}
	if err != nil {
		_ = h.Close() // a host on its way down need not answer
		cancel()
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open[name] = h
	return h, nil
}
