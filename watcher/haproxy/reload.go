package haproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/zkboot/zkboot/watcher"
)

const (
	// awaitSets is how long a change of structure waits for the first set of every service,
	// so that new backends do not start empty.
	awaitSets = 2 * time.Second
	// hangsForReload is how many connections in a row may go unanswered before a new worker
	// is asked for.
	hangsForReload = 3
	maxBackoff     = 10 * time.Minute
)

// reloadState is what is known of reloads.
type reloadState struct {
	began    time.Time // when Run began
	last     time.Time // of the last attempt
	failures int       // in a row
	pid      int       // of the worker that our own last reload brought
	hung     bool      // one was tried because nobody answered
	// refused are files by shapeKey, each with the reason. ignored says that HAProxy does not
	// read our file at all.
	refused map[string]string
	ignored bool
}

// forget allows everything again: somebody else reloaded HAProxy, so the world has changed.
func (r *reloadState) forget() { *r = reloadState{began: r.began, last: r.last, pid: r.pid} }

// reloadWhy says what only a reload can bring, or nothing. The caller holds the lock.
func (s *Sink) reloadWhy() string {
	if s.rt == nil {
		if s.hangs >= hangsForReload && !s.reloads.hung {
			return "the runtime API does not answer"
		}
		return ""
	}
	if s.rt.shape != s.doc.shape {
		return "the structure changed"
	}
	for _, b := range s.backends {
		switch {
		case b.stuck != "" && !b.stuckTried:
			return b.name + ": " + b.stuck
		case b.limit > 0:
		case b.missing > 0:
			return fmt.Sprintf("%s: %d instances found no slot", b.name, b.missing)
		case b.folds():
			return fmt.Sprintf("%s: %d servers live beyond its slots", b.name, b.overflowing())
		}
	}
	return ""
}

// due says whether a reload may be made now, and why one is needed.
func (s *Sink) due() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	why := s.reloadWhy()
	if why == "" {
		return "", false
	}
	if s.reloads.ignored || s.reloads.refused[s.key(true)] != "" || s.file.trouble != "" && time.Now().Before(s.file.next) {
		return why, false
	}
	early := time.Since(s.reloads.began) < awaitSets && slices.ContainsFunc(s.backends, func(b *backend) bool { return !b.known && !b.orphan() })
	return why, !early && !time.Now().Before(s.nextReload())
}

func (s *Sink) nextReload() time.Time {
	if s.reloads.last.IsZero() {
		return time.Time{}
	}
	wait := time.Duration(s.o.Config.ReloadInterval) << min(s.reloads.failures, 10)
	return s.reloads.last.Add(min(wait, max(maxBackoff, time.Duration(s.o.Config.ReloadInterval))))
}

// reload makes HAProxy load the file. No command is sent meanwhile: the old worker would
// refuse it or forget it. What the sets became in that time is compared with the new
// worker at its end.
func (s *Sink) reload(ctx context.Context, why string, out *watcher.Outcome) {
	s.mu.Lock()
	taken := s.newBinds()
	s.frozen = true
	s.mu.Unlock()
	err := bindable(ctx, taken)
	if err == nil && !s.flush(ctx, true, out) {
		s.thaw(ctx, out)
		return
	}
	began, pid := time.Now(), 0
	if err == nil {
		pid, err = s.master.reload(ctx)
	}
	s.mu.Lock()
	if err != nil && ctx.Err() != nil { // zkwatch ends: the master goes on, and the next one looks
		s.frozen = false
		s.mu.Unlock()
		return
	}
	s.reloads.last = time.Now()
	if err != nil {
		s.failed(err, out)
	} else {
		s.counts.Reloads++
		s.counts.LastReload, s.counts.ReloadWhy = s.reloads.last, why
		out.Actions = append(out.Actions, watcher.Action{Kind: "reload", Text: "new worker after " + time.Since(began).Round(time.Millisecond).String(), Why: why})
		s.reloads.failures, s.reloads.pid = 0, pid
		for _, b := range s.backends {
			b.stuckTried = b.stuckTried || b.stuck != ""
		}
		s.disconnect()
	}
	s.mu.Unlock()
	s.eye.shut() // of the old worker; whether it was replaced the next look tells
	s.thaw(ctx, out)
	if err == nil {
		s.confirm(out)
	}
	s.flush(ctx, false, out) // after a failure the old file again, before anybody restarts HAProxy
}

// thaw lets commands through again, and first those for what changed meanwhile.
func (s *Sink) thaw(ctx context.Context, out *watcher.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen, s.retryAt = false, time.Time{}
	hung := s.hangs >= hangsForReload
	if err := s.sync(ctx, s.backends, purpose{kind: "command"}, out); err != nil {
		s.o.Log.Warn("haproxy: after a reload", "error", err)
	}
	s.reloads.hung = hung && s.rt == nil
}

// confirm looks whether the worker of our own reload has what it was to load.
func (s *Sink) confirm(out *watcher.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.rt == nil || s.rt.info.pid != s.reloads.pid: // gone again; the next worker is looked at as any other
	case s.rt.shape != s.doc.shape:
		s.reloads.ignored = true
		s.refuse(fmt.Sprintf("haproxy does not load %s: its command line must name it with -f", s.o.Config.File), out)
	case s.rt.shape == s.wanted.shape:
		s.counts.Refused = ""
	}
}

// failed notes a reload that did not come to be. The old worker goes on; the file gets back
// what that worker has, so that HAProxy can be restarted; and the same is not tried again
// until something changes. A master that did not answer has refused nothing: it is asked
// again, later each time. The caller holds the lock.
func (s *Sink) failed(err error, out *watcher.Outcome) {
	s.reloads.failures++
	s.counts.ReloadFailures++
	var silent *masterError
	if !errors.As(err, &silent) {
		s.refuse(err.Error(), out)
		return
	}
	if s.reloads.failures == 1 {
		out.Actions = append(out.Actions, watcher.Action{Kind: "refused", Text: "reload", Why: err.Error()})
	}
}

// refuse remembers that a file is no good and falls back to what HAProxy runs: its
// structure, or where that is the wanted one, its number of slots. The caller holds the lock.
func (s *Sink) refuse(why string, out *watcher.Outcome) {
	if s.reloads.refused == nil {
		s.reloads.refused = map[string]string{}
	}
	for _, key := range []string{s.key(false), s.key(true)} {
		if key != s.file.runs {
			s.reloads.refused[key] = why
		}
	}
	s.counts.Refused = why
	out.Actions = append(out.Actions, watcher.Action{Kind: "refused", Text: "reload", Why: why})
	s.dirty = true
	s.file.next = time.Time{}
	if s.loaded != nil && s.loaded.shape != s.doc.shape {
		s.doc = *s.loaded
		return
	}
	for _, b := range s.backends {
		if have := b.slotsNow(); b.live && b.slotCount(s.o.Config.SlotsMin, true) > have {
			b.limit = have
			b.touch()
		}
	}
}

// findLoaded looks for the document that HAProxy runs: ours, or one of those on disk. What
// runs need not be checked. The caller holds the lock.
func (s *Sink) findLoaded() {
	defer func() {
		s.file.runs = ""
		if s.loaded != nil {
			s.file.runs = shapeKey(*s.loaded, func(name string) int {
				b := s.backend(name)
				if b == nil {
					return 0
				}
				return b.slotsNow()
			})
		}
	}()
	if s.rt.shape == s.wanted.shape {
		s.loaded = &s.wanted
		return
	}
	if s.loaded != nil && s.loaded.shape == s.rt.shape {
		return
	}
	s.loaded = nil
	for _, file := range []string{s.o.Config.File, s.lastGood()} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if doc, _, ok := parseDocument(text); ok && doc.shape == s.rt.shape {
			s.loaded = &doc
			return
		}
	}
}

// newBinds returns the addresses that the new structure listens on and the running one does not.
func (s *Sink) newBinds() []string {
	if s.loaded == nil {
		return nil
	}
	old := s.loaded.binds()
	return slices.DeleteFunc(s.doc.binds(), func(b string) bool {
		_, port, _ := net.SplitHostPort(b)
		return slices.ContainsFunc(old, func(o string) bool { return strings.HasSuffix(o, ":"+port) })
	})
}

// binds returns what a document listens on.
func (d document) binds() []string {
	var out []string
	for _, l := range d.lines {
		if rest, ok := strings.CutPrefix(l, "    bind "); ok {
			addr, _, _ := strings.Cut(rest, " ")
			out = append(out, addr)
		}
	}
	return out
}

// bindable tries addresses out. A reload that finds one taken fails as well, but only
// after HAProxy paused all its listeners for two seconds to see whether that helps.
func bindable(ctx context.Context, addrs []string) error {
	var errs []error
	for _, a := range addrs {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", strings.Replace(a, "*", "0.0.0.0", 1))
		if err == nil {
			l.Close()
			continue
		}
		if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) {
			errs = append(errs, fmt.Errorf("cannot listen on %s: %w", a, err))
		} // anything else, such as a port that only root may use, HAProxy knows better
	}
	return errors.Join(errs...)
}
