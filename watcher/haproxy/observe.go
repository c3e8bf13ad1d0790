package haproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/watcher"
)

// forgetHealth is the time after which verdicts of a HAProxy that is gone mean nothing.
const forgetHealth = 5 * time.Second

// askAtOnce is how many backends are asked for in one line. It bounds how long an answer gets,
// and how many are asked for their connections in one look.
const askAtOnce = 20

// look asks HAProxy how it is: whether it is still the same worker, which servers are down,
// and which slots are free again. It asks on a connection of its own and holds no lock
// meanwhile, so that a long answer delays no change.
func (s *Sink) look(ctx context.Context, out *watcher.Outcome) {
	s.mu.Lock()
	whole := s.looks%max(1, len(s.backends)/statsAtOnce) == 0 || s.rt == nil
	s.looks++
	s.mu.Unlock()
	seen, active, err := s.glance(ctx, whole)
	if err != nil {
		s.lost(ctx, err, out)
		return
	}
	s.mu.Lock()
	if s.rt != nil && (seen.pid != s.rt.info.pid || seen.stopping) {
		s.disconnect()
	}
	if s.rt == nil {
		s.retryAt = time.Time{}
		s.warn(s.sync(ctx, s.backends, purpose{kind: "command"}, out))
	}
	if short := s.short(); len(short) > 0 && s.rt != nil && !s.frozen {
		s.warn(s.sync(ctx, short, purpose{kind: "command"}, out))
	}
	odd, busy := s.odd(active)
	s.mu.Unlock()
	s.eachOf(ctx, odd, func(name string) string { return "show servers state " + name }, func(b *backend, text string) {
		s.examine(ctx, b, text, out)
	})
	s.eachOf(ctx, busy, func(name string) string { return "show stat " + name + " 4 -1" }, func(b *backend, text string) {
		s.warn(b.settle(text))
	})
}

// eachOf asks about some backends, and has each answer taken over under the lock.
func (s *Sink) eachOf(ctx context.Context, names []string, question func(name string) string, take func(b *backend, text string)) {
	for some := range slices.Chunk(names, askAtOnce) {
		lines := make([]string, len(some))
		for i, name := range some {
			lines[i] = question(name)
		}
		texts, err := s.see(ctx, lines...)
		if err != nil {
			s.warn(running(err))
			return
		}
		s.mu.Lock()
		for i, name := range some {
			if b := s.backend(name); b != nil {
				take(b, texts[i])
			}
		}
		s.mu.Unlock()
	}
}

// lost is a look that was not answered. Where there has been no HAProxy for a while, what
// was known of its servers' health is forgotten with it.
func (s *Sink) lost(ctx context.Context, err error, out *watcher.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnect()
	if running(err) != nil {
		s.warn(s.connect(ctx, out)) // counts what is not answered
		return
	}
	if s.goneSince.IsZero() {
		s.goneSince = time.Now()
	}
	if time.Since(s.goneSince) < forgetHealth {
		return
	}
	for _, b := range s.backends {
		for i := range b.servers {
			b.servers[i].down, b.servers[i].ejected = false, false
		}
	}
}

// short returns the backends that have instances without a server: by now one may be free.
func (s *Sink) short() []*backend {
	return slices.DeleteFunc(slices.Clone(s.backends), func(b *backend) bool { return b.missing == 0 })
}

// odd returns the backends of which fewer servers are up than shall be, or were the last
// time; and some that have servers whose last connections may have ended.
func (s *Sink) odd(active map[string]int) (odd, busy []string) {
	for _, b := range s.backends {
		n, told := active[b.name]
		if b.quiet && !told {
			continue // 16,000 servers each second are a tenth of what zkwatch takes at rest
		}
		up, down := 0, false
		waits := false
		for i := range b.servers {
			x := &b.servers[i]
			if x.admin == ready && x.weight > 0 {
				up++
			}
			down = down || x.down && x.admin != maint
			waits = waits || x.busy
		}
		b.quiet = !waits
		if told && b.known && (n != up || down) {
			odd = append(odd, b.name)
		}
		if waits && b.live && len(busy) < askAtOnce {
			busy = append(busy, b.name)
		}
	}
	return odd, busy
}

// examine takes over the health of one backend's servers, lets tiers follow it, and lifts what
// the breaker may not keep down. The caller holds the lock.
func (s *Sink) examine(ctx context.Context, b *backend, text string, out *watcher.Outcome) {
	if err := b.judge(text); err != nil || s.rt == nil || s.frozen {
		s.warn(err)
		return
	}
	if b.route.Tiers != nil {
		s.warn(s.sync(ctx, []*backend{b}, purpose{kind: "command", why: "tiers follow the servers' health"}, out))
	}
	if s.rt == nil {
		return
	}
	if jobs := b.lift(); len(jobs) > 0 {
		if _, err := s.execute(ctx, jobs, purpose{kind: "command"}, out); err != nil {
			s.warn(err)
			s.disconnect()
		}
	}
}

// judge takes over which servers are down, and which of them by the breaker: real traffic
// put them down, and no check has failed since.
func (b *backend) judge(text string) error {
	if b.route.Tiers != nil {
		b.touch()
	}
	at := map[string]int{}
	for i, x := range b.servers {
		at[x.name] = i
	}
	for r, err := range parseState(text) {
		if err != nil {
			return err
		}
		i, ok := at[r.server.name]
		if !ok || r.backend != b.name || b.servers[i].addr != r.server.addr || b.servers[i].admin == maint {
			continue // it was changed while the answer was on its way
		}
		x := &b.servers[i]
		x.down, x.since = r.server.down, r.server.since
		x.ejected = x.down && (r.hana || x.ejected && r.checked)
	}
	return nil
}

// lift returns what lets servers in again that the breaker ejected beyond its share: those
// that have been out the longest. HAProxy itself knows no such cap.
func (b *backend) lift() []job {
	if b.route.Breaker.Off || b.orphan() {
		return nil
	}
	total := 0
	var out []int
	for i, x := range b.servers {
		if x.admin != ready || x.weight == 0 {
			continue
		}
		total++
		if x.ejected {
			out = append(out, i)
		}
	}
	allowed := total * int(b.route.Breaker.Eject) / 100
	if len(out) <= allowed {
		return nil
	}
	slices.SortStableFunc(out, func(i, j int) int { return cmp.Compare(b.servers[j].since, b.servers[i].since) })
	why := fmt.Sprintf("the breaker ejected %d of %d servers, and may at most %d", len(out), total, allowed)
	var jobs []job
	for _, i := range out[:len(out)-allowed] {
		to := b.servers[i]
		to.down, to.ejected = false, false
		jobs = append(jobs, job{b: b, change: change{index: i, to: to, commands: health(b, to, "up")}, why: why})
	}
	return jobs
}

func (s *Sink) backend(name string) *backend {
	i, ok := slices.BinarySearchFunc(s.backends, name, func(b *backend, name string) int { return strings.Compare(b.name, name) })
	if !ok {
		return nil
	}
	return s.backends[i]
}

// warn logs what Run goes on after, once as long as it stays the same.
func (s *Sink) warn(err error) {
	if err == nil || errors.Is(err, errLater) {
		return
	}
	text := err.Error()
	if last := s.warned.Swap(&text); last == nil || *last != text {
		s.o.Log.Warn("haproxy", "error", text)
	}
}
