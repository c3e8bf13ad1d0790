package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// fakeThings is a machine in memory. It refuses what the real one refuses: runs of
// mixed kinds or directions, and things that cannot be deleted.
type fakeThings struct {
	have   map[bootstrap.ID]bootstrap.Resource
	unread map[bootstrap.ID]string
	runs   []string                            // what apply was called with
	before func(point string) error            // called around each effect
	block  func(context.Context, func(string)) // called at the beginning of apply
}

func newFakeThings(have ...bootstrap.Resource) *fakeThings {
	f := &fakeThings{have: map[bootstrap.ID]bootstrap.Resource{}, before: func(string) error { return nil }}
	for _, r := range have {
		f.have[r.ID()] = seen(r)
	}
	return f
}

// seen is what a look finds of what was wanted.
func seen(r bootstrap.Resource) bootstrap.Resource {
	switch r := r.(type) {
	case bootstrap.File:
		return bootstrap.File{Path: r.Path, Content: r.Content, Sum: r.ContentSum(), Mode: r.Mode, Owner: r.Owner, Group: r.Group,
			Compare: r.Compare, Keep: r.Keep}
	case bootstrap.Dir:
		r.Contents, r.Data = false, false
		return r
	case bootstrap.Sysctl:
		r.Setting.Rule, r.Setting.Why, r.Setting.Source = 0, "", ""
		return r
	case bootstrap.Unit:
		r.RestartOn, r.Turn = nil, false
		return r
	}
	return r
}

func (f *fakeThings) look(_ context.Context, ids []bootstrap.ID, _ map[bootstrap.ID]bootstrap.Entry) (bootstrap.State, error) {
	var found []bootstrap.Resource
	unread := map[bootstrap.ID]string{}
	for _, id := range ids {
		if why, ok := f.unread[id]; ok {
			unread[id] = why
		} else if r, ok := f.have[id]; ok {
			found = append(found, r)
		}
	}
	s := bootstrap.NewState(found...)
	if len(unread) > 0 {
		s.Unread = unread
	}
	return s, nil
}

func (f *fakeThings) apply(ctx context.Context, steps []bootstrap.Step, note func(string)) error {
	if f.block != nil {
		f.block(ctx, note)
	}
	run := ""
	for _, s := range steps {
		run += fmt.Sprintf("%s %s;", s.Action, s.Target)
		if s.Target.Kind() != steps[0].Target.Kind() || deletes(s) != deletes(steps[0]) {
			return fmt.Errorf("mixed run: %s", run)
		}
	}
	f.runs = append(f.runs, run)
	for i, s := range steps {
		if err := f.do(s); err != nil {
			return &bootstrap.StepError{Index: i, Step: s, Err: err}
		}
	}
	return nil
}

func (f *fakeThings) do(s bootstrap.Step) error {
	if err := f.before("before " + s.String()); err != nil {
		return err
	}
	switch {
	case s.Action == bootstrap.ActionFetch || s.Action == bootstrap.ActionReboot:
	case s.Action == bootstrap.ActionStop:
		u, _ := s.Want.Resource.(bootstrap.Unit)
		u.Running, u.Rev = false, ""
		f.have[s.Target] = seen(u)
	case s.Action == bootstrap.ActionCreate || s.Action == bootstrap.ActionUpdate || s.Action.Traceless():
		f.have[s.Target] = seen(s.Want.Resource)
	case s.Action == bootstrap.ActionDelete && s.Target.Kind() != bootstrap.KindSysctl && s.Target.Kind() != bootstrap.KindKernel:
		delete(f.have, s.Target)
	default:
		return fmt.Errorf("nobody told the fake to %s", s)
	}
	return f.before("after " + s.String())
}

// tester is what both *testing.T and *rapid.T are.
type tester interface {
	rapid.TB
	Context() context.Context
	Cleanup(func())
}

// newTestHost is a Local host with a directory of its own and fake things.
func newTestHost(t tester, root string, f *fakeThings) *Host {
	t.Helper()
	h := Local(Options{Root: root})
	h.things = f
	h.gather = func(_ context.Context, q verify.FactsQuery) (verify.Facts, error) {
		facts := verify.Facts{Hostname: "zk1"}
		for _, d := range q.Dirs {
			facts.Dirs = append(facts.Dirs, verify.Dir{Path: d})
		}
		for _, pid := range q.PIDs {
			facts.Processes = append(facts.Processes, verify.ProcessLimits{Process: verify.Process{PID: pid}})
		}
		return facts, nil
	}
	h.probe = func(context.Context, verify.Query, func(string)) (verify.Result, error) {
		return verify.Result{}, errors.New("nobody told the fake to probe")
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// locked takes the lock for the test.
func locked(t tester, h bootstrap.Host) {
	t.Helper()
	if err := h.Lock(t.Context(), t.Name()); err != nil {
		t.Fatal(err)
	}
}

// plan is what the engine would do: look and diff.
func plan(t tester, h bootstrap.Host, owner bootstrap.Owner, d bootstrap.Desired, in bootstrap.Intent) []bootstrap.Step {
	t.Helper()
	var ids []bootstrap.ID
	for _, r := range d.Resources {
		ids = append(ids, r.ID())
	}
	_, state, err := h.Look(t.Context(), ids...)
	if err != nil {
		t.Fatal(err)
	}
	return bootstrap.Diff(owner, d, state, in)
}

// fakeHost is a Host of functions. A method without one fails.
type fakeHost struct {
	look   func(context.Context, ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error)
	change func(context.Context, ...bootstrap.Step) error
	probe  func(context.Context, verify.Query) (verify.Result, error)
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	lock   func(context.Context, string) error
	reveal func(context.Context, string) (string, error)
	list   func(context.Context, string) ([]bootstrap.DataFile, error)
	read   func(context.Context, string, int64) (io.ReadCloser, error)

	mu     sync.Mutex
	closed int
}

var errUntold = errors.New("nobody told the fake")

func (f *fakeHost) Look(ctx context.Context, ids ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
	if f.look == nil {
		return bootstrap.Facts{}, bootstrap.State{}, errUntold
	}
	return f.look(ctx, ids...)
}

func (f *fakeHost) Change(ctx context.Context, steps ...bootstrap.Step) error {
	if f.change == nil {
		return errUntold
	}
	return f.change(ctx, steps...)
}

func (f *fakeHost) Probe(ctx context.Context, q verify.Query) (verify.Result, error) {
	if f.probe == nil {
		return verify.Result{}, errUntold
	}
	return f.probe(ctx, q)
}

func (f *fakeHost) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if f.dial == nil {
		return nil, errUntold
	}
	return f.dial(ctx, network, addr)
}

func (f *fakeHost) Lock(ctx context.Context, who string) error {
	if f.lock == nil {
		return errUntold
	}
	return f.lock(ctx, who)
}

func (f *fakeHost) Reveal(ctx context.Context, path string) (string, error) {
	if f.reveal == nil {
		return "", errUntold
	}
	return f.reveal(ctx, path)
}

func (f *fakeHost) ListData(ctx context.Context, dir string) ([]bootstrap.DataFile, error) {
	if f.list == nil {
		return nil, errUntold
	}
	return f.list(ctx, dir)
}

func (f *fakeHost) ReadData(ctx context.Context, path string, size int64) (io.ReadCloser, error) {
	if f.read == nil {
		return nil, errUntold
	}
	return f.read(ctx, path, size)
}

func (f *fakeHost) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func (f *fakeHost) closes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}
