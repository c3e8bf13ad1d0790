package watcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// A fakeSource publishes what a test shows, and nothing that it was not asked for.
type fakeSource struct {
	t     testing.TB
	fail  chan error    // ends Run
	began chan struct{} // closed when Run has begun; nil: nobody asks

	mu      sync.Mutex
	asked   map[string]config.Service
	publish func(Snapshot)
	starts  int
}

func (s *fakeSource) Run(ctx context.Context, services map[string]config.Service, publish func(Snapshot)) error {
	s.mu.Lock()
	s.asked, s.publish = services, publish
	s.starts++
	s.mu.Unlock()
	if s.began != nil {
		close(s.began)
	}
	select {
	case err := <-s.fail:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (s *fakeSource) started() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starts
}

func (s *fakeSource) show(snap Snapshot) {
	s.t.Helper()
	s.mu.Lock()
	publish := s.publish
	_, ok := s.asked[snap.Service]
	s.mu.Unlock()
	if !ok {
		s.t.Fatalf("the test shows %q, and the source was asked for %v", snap.Service, slices.Sorted(maps.Keys(s.asked)))
	}
	publish(snap)
}

// A fakeSink keeps the sets that it is given. It objects to calls that overlap, to sets that
// are out of order or of services it does not know, and to sets that it has already.
type fakeSink struct {
	t        testing.TB
	services []string

	mu     sync.Mutex
	busy   bool
	sets   map[string]Set
	calls  []fakeApply
	audits int
	counts int
	report func(Outcome)
	starts int

	gate      chan struct{} // Apply waits for an element; nil: it does not
	err       error         // of Apply
	pending   bool
	conns     map[InstanceKey]int
	connErr   error
	countGate chan struct{} // Conns waits until it is closed; nil: it does not
	fail      chan error    // ends Run
}

// now has the sink behave differently from now on.
func (s *fakeSink) now(f func(*fakeSink)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// did counts the calls that change nothing, and the starts.
func (s *fakeSink) did() (audits, counts, starts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.audits, s.counts, s.starts
}

// tell reports what the sink did by itself.
func (s *fakeSink) tell(out Outcome) {
	s.mu.Lock()
	report := s.report
	s.mu.Unlock()
	report(out)
	synctest.Wait()
}

type fakeApply struct {
	at   time.Time
	sets []Set
}

func (s *fakeSink) Run(ctx context.Context, report func(Outcome)) error {
	s.mu.Lock()
	s.report = report
	s.starts++
	s.mu.Unlock()
	select {
	case err := <-s.fail:
		return err
	case <-ctx.Done():
		return nil
	}
}

// enter objects to overlapping calls.
func (s *fakeSink) enter() (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy {
		s.t.Error("two calls of the sink at once")
	}
	s.busy = true
	return func() {
		s.mu.Lock()
		s.busy = false
		s.mu.Unlock()
	}
}

func (s *fakeSink) Apply(ctx context.Context, sets []Set) (Outcome, error) {
	defer s.enter()()
	s.mu.Lock()
	gate, err := s.gate, s.err
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, fakeApply{time.Now(), sets})
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Pending: s.pending}
	for n, set := range sets {
		if n > 0 && sets[n-1].Service >= set.Service {
			s.t.Errorf("sets out of order: %s after %s", set.Service, sets[n-1].Service)
		}
		s.check(set)
		s.sets[set.Service] = set
		out.Actions = append(out.Actions, Action{Kind: "command", Text: "serve " + names(set.Instances), Service: set.Service})
	}
	if len(sets) == 0 {
		s.t.Error("Apply without sets")
	}
	return out, nil
}

func (s *fakeSink) check(set Set) {
	if !slices.Contains(s.services, set.Service) {
		s.t.Errorf("the sink does not know %q", set.Service)
	}
	if set.Why == "" {
		s.t.Errorf("%s: a set without a reason", set.Service)
	}
	if !slices.IsSortedFunc(set.Instances, byID) {
		s.t.Errorf("%s: out of order: %s", set.Service, names(set.Instances))
	}
	old, had := s.sets[set.Service]
	if had && sameSet(old.Instances, set.Instances) {
		s.t.Errorf("%s: applied again without a change: %s", set.Service, names(set.Instances))
	}
}

func (s *fakeSink) Audit(context.Context) (Outcome, error) {
	defer s.enter()()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.audits++
	return Outcome{Pending: s.pending}, nil
}

func (s *fakeSink) Conns(ctx context.Context) (map[InstanceKey]int, error) {
	defer s.enter()()
	s.mu.Lock()
	gate := s.countGate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts++
	return maps.Clone(s.conns), s.connErr
}

// A fakeBoard keeps what was posted.
type fakeBoard struct {
	mu    sync.Mutex
	at    []time.Time
	posts []Notice
	err   error
}

func (b *fakeBoard) Post(_ context.Context, n Notice) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at, b.posts = append(b.at, time.Now()), append(b.posts, n)
	return b.err
}

func (b *fakeBoard) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// times lists when something was posted.
func (b *fakeBoard) times() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.at)
}

func (b *fakeBoard) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.posts, b.at = nil, nil
}

func (b *fakeBoard) Notices(context.Context) ([]Notice, error) {
	return nil, errors.New("discovery has no business to read the board")
}

// A rig is a Discovery between fakes, inside a bubble of fake time.
type rig struct {
	t      *testing.T
	d      *Discovery
	source *fakeSource
	sink   *fakeSink
	board  *fakeBoard
	rev    int64
	begin  time.Time
	stop   func()
}

// testConfig has one route for each service.
func testConfig(services ...string) *config.Config {
	c := &config.Config{Host: "app1", Registries: map[string]config.Registry{"main": {}}, Services: map[string]config.Service{},
		Routes: map[string]config.Route{}, Guard: testGuard, Settle: testSettle, Audit: config.Duration(45 * time.Second),
		Board: config.Board{Every: config.Duration(10 * time.Second)}}
	for _, name := range services {
		c.Services[name] = config.Service{Registry: "main", Path: "/services/" + name, Format: config.Plain}
		c.Routes["to-"+name] = config.Route{Service: name}
	}
	return c
}

func newRig(t *testing.T, services ...string) *rig {
	return rigOf(t, testConfig(services...))
}

func rigOf(t *testing.T, c *config.Config) *rig {
	r := &rig{t: t, begin: time.Now(), source: &fakeSource{t: t, fail: make(chan error)}, board: &fakeBoard{},
		sink: &fakeSink{t: t, services: slices.Collect(maps.Keys(c.Services)), sets: map[string]Set{}, fail: make(chan error)}}
	r.d = &Discovery{Config: c, Sources: map[string]Source{"main": r.source}, Sink: r.sink, Journal: NewJournal(1000), Version: "v1"}
	return r
}

// start runs the Discovery until stop is called, which waits for its end.
func (r *rig) start() *rig {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.d.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}
	synctest.Wait()
	return r
}

// restart stops the Discovery and starts another one on the same sink and store file.
func (r *rig) restart(c *config.Config) *rig {
	r.stop()
	next := rigOf(r.t, c)
	next.rev, next.begin = r.rev, r.begin
	r.sink.services = slices.Collect(maps.Keys(c.Services))
	next.sink, next.d.Sink = r.sink, r.sink
	r.sink.sets, r.sink.calls = map[string]Set{}, nil // a new process does not know what the last one had told it
	if r.d.Store != nil {
		next.d.Store = openStore(r.t, r.d.Store)
	}
	return next.start()
}

func openStore(t *testing.T, old *Store) *Store {
	t.Helper()
	dir := t.TempDir()
	if old != nil {
		dir = old.dir()
	}
	s, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// show publishes a set of a service as the next revision, and lets everybody come to rest.
func (r *rig) show(service, instances string) {
	r.t.Helper()
	r.rev++
	snap := Snapshot{Service: service, Truth: Known, Instances: set(instances), Revision: r.rev, Event: "children changed", At: time.Now()}
	if instances == "" {
		snap.Truth, snap.Instances = Empty, nil
	}
	r.source.show(snap)
	synctest.Wait()
}

func (r *rig) lose(service, reason string) {
	r.t.Helper()
	r.source.show(Snapshot{Service: service, Truth: Unknown, Reason: reason, Event: "connection lost", At: time.Now()})
	synctest.Wait()
}

func (r *rig) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// until waits for a time since the beginning.
func (r *rig) until(d time.Duration) { r.wait(d - time.Since(r.begin)) }

func (r *rig) status(service string) ServiceStatus {
	r.t.Helper()
	for _, s := range r.d.Services() {
		if s.Service == service {
			return s
		}
	}
	r.t.Fatalf("no status of %q", service)
	return ServiceStatus{}
}

// applied lists what the sink was told: when, since the beginning, and which sets.
func (r *rig) applied() []string {
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	var out []string
	for _, call := range r.sink.calls {
		line := call.at.Sub(r.begin).String()
		for _, s := range call.sets {
			line += fmt.Sprintf(" %s=%s", s.Service, names(s.Instances))
		}
		out = append(out, line)
	}
	return out
}

func (r *rig) wantApplied(want ...string) {
	r.t.Helper()
	if got := r.applied(); !slices.Equal(got, want) {
		r.t.Fatalf("applied\n\t%q\nwant\n\t%q", got, want)
	}
}

// letters counts what waits for the loop.
func (r *rig) letters() int {
	r.d.inbox.mu.Lock()
	defer r.d.inbox.mu.Unlock()
	return len(r.d.inbox.letters)
}

// has returns what the sink serves of a service, "none" when it was told nothing.
func (r *rig) has(service string) string {
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	s, ok := r.sink.sets[service]
	if !ok {
		return "none"
	}
	return names(s.Instances)
}
