package haproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/zkboot/zkboot/watcher"
)

// retryAfter is the pause after a connection that was not answered as it must be.
const retryAfter = time.Second

// purpose is what changes are made for, as the journal will say.
type purpose struct {
	kind string // of the actions
	why  string // default: why the set came
}

// job is one change of one backend, or one command that changes no server.
type job struct {
	b *backend
	change
	why string
}

// sync makes HAProxy serve what the backends of list want. What does not work is tried once
// more on a new connection, against what HAProxy says that it has; a backend for which it
// does not work then either is set aside for a reload, so that the others go on.
func (s *Sink) sync(ctx context.Context, list []*backend, p purpose, out *watcher.Outcome) error {
	defer func() { out.Pending = out.Pending || slices.ContainsFunc(list, s.waits) }()
	if s.frozen {
		return nil
	}
	var first error
	tried := map[*backend]bool{} // nil stands for the connection itself
	for {
		if s.rt == nil {
			if err := s.connect(ctx, out); err != nil {
				return errors.Join(first, running(err))
			}
			list = slices.Clone(s.backends) // another worker, or other hands: everything is compared
		}
		failed, err := s.push(ctx, list, p, out)
		if err == nil {
			return first
		}
		s.disconnect()
		switch {
		case ctx.Err() != nil, failed == nil && tried[nil]:
			return errors.Join(first, err)
		case tried[failed]:
			failed.stuck = err.Error()
			out.Actions = append(out.Actions, watcher.Action{Kind: "refused", Text: failed.name + " waits for a reload", Why: failed.stuck, Service: failed.route.Service})
			first = cmp.Or(first, err)
		}
		tried[failed] = true
	}
}

// waits says whether something that a backend wants is not served yet.
func (s *Sink) waits(b *backend) bool {
	return b.known && !b.orphan() && (s.frozen || s.rt == nil || !b.live || b.missing > 0 || b.stuck != "")
}

// running drops an error that says only that there is no HAProxy, or not for long.
func running(err error) error {
	for _, gone := range []error{fs.ErrNotExist, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}

// errLater is the error of the time between two attempts to connect.
var errLater = errors.New("haproxy: the runtime API did not answer as it must a moment ago; it is tried again soon")

// connect opens the runtime API and takes over what HAProxy has.
func (s *Sink) connect(ctx context.Context, out *watcher.Outcome) error {
	if time.Now().Before(s.retryAt) {
		return errLater
	}
	rt, err := dialRuntime(ctx, s.dial, s.o.Config.Socket)
	var text string
	switch {
	case err != nil:
	case rt.info.stopping: // its successor is about to take the socket over
		rt.close()
		err = syscall.ECONNREFUSED
	default:
		if text, err = rt.text(ctx, "show servers state"); err == nil {
			err = s.load(rt.info.pid, text)
		}
		if err != nil {
			rt.close()
		}
	}
	if err != nil {
		var wrong *answerError
		silent := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.EAGAIN) // or nobody takes connections
		if ctx.Err() == nil && (silent || errors.As(err, &wrong)) {
			s.hangs++
		}
		if running(err) != nil {
			s.retryAt = time.Now().Add(retryAfter)
		}
		return fmt.Errorf("haproxy: %w", err)
	}
	s.rt, s.hangs, s.reloads.hung, s.goneSince, s.dirty = rt, 0, false, time.Time{}, true
	if s.counts.Pid != rt.info.pid {
		err = s.newWorker(ctx, out)
	}
	return err
}

func (s *Sink) disconnect() {
	if s.rt != nil {
		s.rt.close()
		s.rt = nil
	}
}

// load takes over the servers that HAProxy has. A worker that is new to us was started
// from a file, so nothing is known against it.
func (s *Sink) load(pid int, text string) error {
	rows := map[string][]server{}
	for r, err := range parseState(text) {
		if err != nil {
			return err
		}
		if strings.HasPrefix(r.backend, prefix) {
			rows[r.backend] = append(rows[r.backend], own(r.server))
		}
	}
	fresh := s.counts.Pid != pid
	for _, b := range s.backends {
		servers, live := rows[b.name]
		if live || fresh {
			b.take(slices.Clone(servers), fresh) // without the room for more
		}
		b.live = live
		delete(rows, b.name)
	}
	s.backends = slices.DeleteFunc(s.backends, func(b *backend) bool { return b.orphan() && !b.live })
	for name, servers := range rows {
		b := &backend{name: strings.Clone(name), live: true}
		b.take(servers, true)
		s.backends = append(s.backends, b)
	}
	slices.SortFunc(s.backends, func(a, b *backend) int { return cmp.Compare(a.name, b.name) })
	return nil
}

// own makes a server of a row: its strings no longer hold the whole answer in memory.
func own(r server) server {
	kind, n, ok := number(r.name)
	switch {
	case ok && kind == 's' && r.id == n:
		r.name = slotName(n)
	case ok && kind == 'x':
		r.name = overflowName(n)
	default:
		r.name, r.foreign = strings.Clone(r.name), true
	}
	r.busy = r.admin == maint && r.addr != placeholder
	return r
}

// take replaces the servers by what HAProxy has. A new worker believes every server to be
// up (GitHub haproxy/haproxy #918): those that were down are remembered as suspects.
func (b *backend) take(servers []server, fresh bool) {
	b.touch()
	old := make(map[netip.AddrPort]server, len(b.servers))
	for _, s := range b.servers {
		if s.admin != maint {
			old[s.addr] = s
		}
	}
	for i, s := range servers {
		was, ok := old[s.addr]
		if s.admin == drain {
			servers[i].drained = new(time.Now())
			if ok && was.admin == drain && !fresh {
				servers[i].drained = was.drained
			}
		}
		if ok && s.admin != maint {
			servers[i].suspect = fresh && was.down
			servers[i].ejected = was.ejected && s.down && !fresh
		}
	}
	if fresh {
		b.noAdd, b.stuck, b.missing = "", "", 0
	}
	slices.SortFunc(servers, func(x, y server) int {
		return cmp.Or(order(x.foreign, y.foreign), order(x.overflow(), y.overflow()), cmp.Compare(x.id, y.id))
	})
	b.servers = servers
}

// push sends what the backends of list need, all in one go, and then what needs a second
// look: instances that found no free slot. It returns the backend that an answer was wrong for.
func (s *Sink) push(ctx context.Context, list []*backend, p purpose, out *watcher.Outcome) (*backend, error) {
	var jobs []job
	var short []*backend
	for _, b := range list {
		if !b.live || !b.known || b.stuck != "" {
			continue
		}
		changes, parks, missing := b.plan(b.wanted())
		if b.missing = len(missing); b.missing > 0 {
			short = append(short, b)
		} else {
			changes = append(changes, parks...)
		}
		jobs = append(jobs, b.jobs(changes, p)...)
	}
	if failed, err := s.execute(ctx, jobs, p, out); err != nil {
		return failed, err
	}
	for _, b := range short {
		if err := s.makeRoom(ctx, b, p, out); err != nil {
			return b, err
		}
	}
	return nil, nil
}

// jobs says what changes are for.
func (b *backend) jobs(changes []change, p purpose) []job {
	out := make([]job, len(changes))
	for i, c := range changes {
		out[i] = job{b: b, change: c, why: cmp.Or(p.why, b.set.Why)}
	}
	return out
}

// makeRoom serves targets that found no free slot: on slots whose last connections have
// ended by now, then on servers beyond the slots, then on those that are given up for it.
// What is left waits for a reload with more slots.
func (s *Sink) makeRoom(ctx context.Context, b *backend, p purpose, out *watcher.Outcome) error {
	want := b.wanted()
	if err := s.settle(ctx, b); err != nil {
		return err
	}
	changes, _, missing := b.plan(want)
	if b.mayAdd() {
		changes = append(changes, b.overflow(missing)...)
	}
	if err := s.executeOf(ctx, b, changes, p, out); err != nil {
		return err
	}
	_, parks, missing := b.plan(want)
	if len(missing) > 0 {
		parks = b.allButOne(parks, want)
	}
	if err := s.executeOf(ctx, b, parks, p, out); err != nil {
		return err
	}
	if b.missing = len(missing); b.missing == 0 || len(parks) == 0 {
		return nil
	}
	if err := s.settle(ctx, b); err != nil {
		return err
	}
	changes, _, missing = b.plan(want)
	b.missing = len(missing)
	return s.executeOf(ctx, b, changes, p, out)
}

// executeOf executes changes of one backend. It remembers when no server can be added.
func (s *Sink) executeOf(ctx context.Context, b *backend, changes []change, p purpose, out *watcher.Outcome) error {
	_, err := s.execute(ctx, b.jobs(changes, p), p, out)
	var wrong *answerError
	if errors.As(err, &wrong) && strings.HasPrefix(wrong.command, "add server") {
		b.noAdd = err.Error()
	}
	return err
}

// settle asks which servers in maintenance have no connections left, if there are any.
func (s *Sink) settle(ctx context.Context, b *backend) error {
	if !slices.ContainsFunc(b.servers, func(x server) bool { return x.busy }) {
		return nil
	}
	text, err := s.rt.text(ctx, "show stat "+b.name+" 4 -1")
	if err != nil {
		return err
	}
	return b.settle(text)
}

// settle takes over which servers in maintenance have no connections left.
func (b *backend) settle(text string) error {
	used, err := parseConns(b.name, text)
	if err != nil {
		return err
	}
	idle := map[string]bool{}
	for _, c := range used {
		idle[c.server] = c.used == 0
	}
	for i, x := range b.servers {
		if x.busy && idle[x.name] {
			b.servers[i].busy = false
		}
	}
	return nil
}

// mayAdd says whether "add server" makes a server like the slots. It does not know cookies
// before 3.0, nor what the operator's own default-server lines say, and needs an algorithm
// that takes servers in at any time.
func (b *backend) mayAdd() bool {
	r := b.route
	return b.noAdd == "" && r.Cookie == "" && (r.Balance == "roundrobin" || r.Balance == "leastconn") && !hasRaw(r.Backend, "default-server")
}

// execute sends the commands of jobs and takes over those that were acknowledged. It
// returns the backend of the first that was not, or none when the connection failed.
func (s *Sink) execute(ctx context.Context, jobs []job, p purpose, out *watcher.Outcome) (*backend, error) {
	var cmds []command
	for _, j := range jobs {
		cmds = append(cmds, j.commands...)
	}
	if len(cmds) == 0 {
		return nil, nil
	}
	n, err := s.rt.do(ctx, cmds)
	s.counts.Commands += int64(n)
	for _, j := range jobs {
		if n < len(j.commands) {
			var wrong *answerError
			if errors.As(err, &wrong) {
				return j.b, err
			}
			return nil, err
		}
		n -= len(j.commands)
		j.b.done(j.change)
		s.dirty = true
		out.Actions = append(out.Actions, watcher.Action{Kind: p.kind, Text: joined(j.commands), Why: j.why, Service: j.b.route.Service})
	}
	return nil, err
}

func joined(cmds []command) string {
	texts := make([]string, len(cmds))
	for i, c := range cmds {
		texts[i] = c.text
	}
	return strings.Join(texts, "; ")
}

// newWorker greets a worker that this sink has not met: it takes everything for up, until
// its first checks. Servers that were down are put down at once, but never all of a backend.
func (s *Sink) newWorker(ctx context.Context, out *watcher.Outcome) error {
	known := s.counts.Pid != 0
	s.counts.Pid = s.rt.info.pid
	s.counts.Version = s.rt.info.version.String()
	s.dirty = true
	s.findLoaded()
	if s.reloads.pid != s.counts.Pid {
		s.reloads.forget()
		s.doc = s.wanted
		s.counts.Refused = ""
		for _, b := range s.backends {
			b.limit, b.stuckTried = 0, false
			b.touch()
		}
		if known {
			out.Actions = append(out.Actions, watcher.Action{Kind: "repair", Text: fmt.Sprintf("haproxy has a new worker, pid %d", s.counts.Pid), Why: "started or reloaded by others: everything is compared"})
		}
	}
	var jobs []job
	for _, b := range s.backends {
		var suspects []job
		up := 0
		for i, x := range b.servers {
			switch {
			case x.admin == ready && x.suspect && !x.down:
				to := x
				to.down, to.suspect = true, false
				suspects = append(suspects, job{b: b, change: change{index: i, to: to, commands: health(b, x, "down")}, why: "was down before the reload"})
			case x.admin == ready && !x.down && x.weight > 0:
				up++
			}
		}
		if up > 0 {
			jobs = append(jobs, suspects...)
		}
	}
	_, err := s.execute(ctx, jobs, purpose{kind: "command"}, out)
	if err != nil {
		s.disconnect()
	}
	return err
}

// health returns the command for what HAProxy shall believe of a server until its checks
// say otherwise.
func health(b *backend, x server, verdict string) []command {
	return []command{{text: "set server " + b.name + "/" + x.name + " health " + verdict}}
}
