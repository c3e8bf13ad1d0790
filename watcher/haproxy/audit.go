package haproxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/watcher"
)

// Audit compares every server that HAProxy has with what this sink left there, and the
// file on disk with what it shall be. What others changed is repaired, or only reported
// where the configuration says so; it is left alone then until the wanted set changes it.
func (s *Sink) Audit(ctx context.Context) (watcher.Outcome, error) {
	var out watcher.Outcome
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file.doubt = true
	if s.frozen || s.rt == nil {
		err := s.sync(ctx, s.backends, purpose{kind: "repair"}, &out)
		return out, err
	}
	var names []string
	for _, b := range s.backends {
		if b.live && b.known {
			names = append(names, b.name)
		}
	}
	var errs []error
	// Other changes may go first between two lines of questions.
	for some := range slices.Chunk(names, askAtOnce) {
		errs = append(errs, s.auditSome(ctx, some, &out))
		if ctx.Err() != nil {
			break
		}
		s.mu.Unlock()
		s.mu.Lock()
	}
	out.Pending = slices.ContainsFunc(s.backends, s.waits)
	return out, errors.Join(errs...)
}

func (s *Sink) auditSome(ctx context.Context, names []string, out *watcher.Outcome) error {
	if s.rt == nil || s.frozen {
		out.Pending = true
		return nil
	}
	var list []*backend
	var lines []string
	for _, name := range names {
		if b := s.backend(name); b != nil && b.live {
			list, lines = append(list, b), append(lines, "show servers state "+name)
		}
	}
	if len(list) == 0 {
		return nil
	}
	texts, err := s.rt.ask(ctx, lines...)
	for i, text := range texts {
		same := false
		if err == nil {
			same, err = list[i].agrees(text)
		}
		if err == nil && !same {
			var found []watcher.Action
			found, err = list[i].audit(text, s.o.Config.Foreign == "report")
			out.Actions = append(out.Actions, found...)
			s.dirty = true
		}
	}
	if err != nil {
		s.disconnect()
		return err
	}
	return s.sync(ctx, list, purpose{kind: "repair", why: "changed by others"}, out)
}

// audit takes over what HAProxy has where it differs from what this sink left there. With
// report it says so and marks the servers to be left alone.
func (b *backend) audit(text string, report bool) ([]watcher.Action, error) {
	now := make([]server, 0, len(b.servers))
	for r, err := range parseState(text) {
		if err != nil {
			return nil, err
		}
		now = append(now, own(r.server))
	}
	was := map[string]server{}
	for _, x := range b.servers {
		was[x.name] = x
	}
	wanted := map[string]target{}
	for _, t := range b.targets() {
		wanted[t.addr.String()] = t
	}
	var found []watcher.Action
	for i, x := range now {
		old, known := was[x.name]
		diff := difference(old, known, x)
		if diff == "" {
			now[i].busy, now[i].freed, now[i].leave = old.busy, old.freed, old.leave
			continue
		}
		if report {
			leave := wanted[x.addr.String()]
			now[i].leave = &leave
			found = append(found, watcher.Action{Kind: "foreign", Text: b.name + "/" + x.name + ": " + diff, Why: "changed by others; reported only", Service: b.route.Service})
		}
	}
	b.take(now, false)
	return found, nil
}

// agrees says whether HAProxy has what this sink left there, as nearly every audit finds of
// every server. It then takes over, in place, what HAProxy decides by itself, and what was done
// to servers that nothing is sent to. It knows HAProxy's order: slots, then overflow servers, the
// later the further behind (cli_parse_add_server appends, 2.6 to 3.0); of another one it says no.
func (b *backend) agrees(text string) (bool, error) {
	n, moved := 0, false
	for r, err := range parseState(text) {
		if err != nil {
			return false, err
		}
		if n == len(b.servers) {
			return false, nil
		}
		x, is := &b.servers[n], r.server
		if x.name != is.name || x.id != is.id || difference(*x, true, is) != "" {
			return false, nil
		}
		moved = moved || x.addr != is.addr || x.weight != is.weight || x.down != is.down
		x.addr, x.weight, x.down, x.since = is.addr, is.weight, is.down, is.since
		x.ejected, x.suspect = x.ejected && is.down, false
		n++
	}
	if moved {
		b.touch()
	}
	return n == len(b.servers), nil
}

// difference says how a server is other than it was left.
func difference(was server, known bool, is server) string {
	switch {
	case !known && is.admin == maint:
		return ""
	case !known:
		return fmt.Sprintf("a server that nobody asked for, %s, at %s", is.admin, is.addr)
	case was.admin != is.admin:
		return fmt.Sprintf("state %s instead of %s", is.admin, was.admin)
	case is.admin == maint:
		return ""
	case was.addr != is.addr:
		return fmt.Sprintf("address %s instead of %s", is.addr, was.addr)
	case was.admin == ready && was.weight != is.weight:
		return fmt.Sprintf("weight %d instead of %d", is.weight, was.weight)
	}
	return ""
}

// openingTime is how long a connection may take from the choice of a server until HAProxy
// counts it, on a busy machine.
const openingTime = time.Second

// Conns returns how many connections draining instances still have from this host, with
// those of workers that were replaced: they serve what they had begun. An instance that
// began to drain less than a second ago has at least one, since a connection that is being
// opened may not be counted yet. It is an error when one of the processes cannot be asked:
// no answer is not zero.
func (s *Sink) Conns(ctx context.Context) (map[watcher.InstanceKey]int, error) {
	out := map[watcher.InstanceKey]int{}
	at := map[string]map[string][]watcher.InstanceKey{} // backend, address
	var young []watcher.InstanceKey
	s.mu.Lock()
	for _, b := range s.backends {
		for _, i := range b.set.Instances {
			if !i.Draining {
				continue
			}
			key := watcher.InstanceKey{Service: b.set.Service, ID: i.ID}
			out[key] = 0
			if addr, err := address(i); err == nil {
				if b.drainsFor(addr) < openingTime {
					young = append(young, key)
				}
				if at[b.name] == nil {
					at[b.name] = map[string][]watcher.InstanceKey{}
				}
				at[b.name][addr.String()] = append(at[b.name][addr.String()], key)
			}
		}
	}
	s.mu.Unlock()
	if len(at) == 0 {
		return out, nil
	}
	count := func(backend, text string) error {
		used, err := parseConns(backend, text)
		for _, c := range used {
			for _, key := range at[backend][c.addr.String()] {
				out[key] += c.used
			}
		}
		return err
	}
	err := s.everyWorker(ctx, at, count)
	for _, key := range young {
		out[key] = max(out[key], 1)
	}
	return out, err
}

// drainsFor returns how long an address has been in drain; a long time when it has no server.
func (b *backend) drainsFor(addr netip.AddrPort) time.Duration {
	for _, x := range b.servers {
		if x.addr == addr && x.admin != maint {
			if x.drained != nil {
				return time.Since(*x.drained)
			}
			break
		}
	}
	return openingTime
}

// isGone is the answer of a worker that does not have the backend: it was started before, or
// after, the route was there.
func isGone(text string) bool { return strings.TrimSpace(text) == "No such proxy." }

// everyWorker asks the worker and those before it for the connections of some backends.
func (s *Sink) everyWorker(ctx context.Context, backends map[string]map[string][]watcher.InstanceKey, count func(backend, text string) error) error {
	p, err := s.master.procs(ctx)
	if err != nil {
		if running(err) == nil {
			if _, err := ask(ctx, s.dial, s.o.Config.Socket, "show info", opTimeout); err != nil && running(err) == nil {
				return nil // no HAProxy, no connections
			}
		}
		return fmt.Errorf("haproxy: connections of old workers: %w", err)
	}
	for name := range backends {
		text, err := ask(ctx, s.dial, s.o.Config.Socket, "show stat "+name+" 4 -1", opTimeout)
		if err == nil && !isGone(text) {
			err = count(name, text)
		}
		for _, w := range p.old {
			if err != nil {
				break
			}
			text, err = ask(ctx, s.master.dial, s.master.path, fmt.Sprintf("@!%d show stat %s 4 -1", w.pid, name), opTimeout)
			if err == nil && !isGone(text) {
				err = count(name, text)
			}
		}
		if err != nil {
			return fmt.Errorf("haproxy: connections of %s: %w", name, err)
		}
	}
	return nil
}
