package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// fakeRegistry is a registry in memory, a registrar and a board. It writes down every call
// that changed something, and refuses what the contract of Registrar does not allow.
type fakeRegistry struct {
	t     *testing.T
	start time.Time

	mu      sync.Mutex
	nodes   map[string]Announcement
	rev     int64
	calls   []string // "1.5s announce shop-1"
	busy    map[string]bool
	fail    error // of every call
	hang    bool  // every call waits for its context
	notices []Notice
	noBoard error
	reads   []time.Time
}

var errRegistry = errors.New("no quorum")

func (f *fakeRegistry) do(ctx context.Context, name, text string, change func() bool) error {
	f.mu.Lock()
	if f.busy[name] {
		f.t.Errorf("%s: two calls at once for %s", text, name)
	}
	f.busy[name] = true
	fail, hang := f.fail, f.hang
	f.mu.Unlock()
	if hang {
		<-ctx.Done()
		fail = ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy[name] = false
	if fail != nil {
		f.calls = append(f.calls, f.now()+" "+text+" failed")
		return fail
	}
	if change() {
		f.rev++
		f.calls = append(f.calls, f.now()+" "+text)
	}
	return nil
}

func (f *fakeRegistry) now() string { return time.Since(f.start).Round(time.Millisecond).String() }

func (f *fakeRegistry) Announce(ctx context.Context, a Announcement) (Announced, error) {
	text := "announce " + a.Name
	if a.Instance.Draining {
		text = "drain " + a.Name
	}
	var at Announced
	err := f.do(ctx, a.Name, text, func() bool {
		old, there := f.nodes[a.Name]
		f.nodes[a.Name] = a
		at = Announced{ID: a.Instance.Addr(), Revision: f.rev + 1}
		if same := there && fmt.Sprint(old) == fmt.Sprint(a); same {
			at.Revision = f.rev
			return false
		}
		return true
	})
	return at, err
}

func (f *fakeRegistry) Withdraw(ctx context.Context, name string) error {
	return f.do(ctx, name, "withdraw "+name, func() bool {
		_, there := f.nodes[name]
		delete(f.nodes, name)
		return there
	})
}

func (f *fakeRegistry) Post(context.Context, Notice) error {
	return errors.New("registrations do not post")
}

func (f *fakeRegistry) Notices(context.Context) ([]Notice, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads = append(f.reads, time.Now())
	return f.notices, f.noBoard
}

// set changes the fake under its lock.
func (f *fakeRegistry) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// said returns the calls since the last time, without their times, by registration.
func (f *fakeRegistry) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, c := range f.calls {
		_, text, _ := strings.Cut(c, " ")
		out = append(out, text)
	}
	f.calls = nil
	slices.SortStableFunc(out, func(a, b string) int { return strings.Compare(strings.Fields(a)[1], strings.Fields(b)[1]) })
	return strings.Join(out, ", ")
}

// there lists what is announced.
func (f *fakeRegistry) there() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(f.nodes)), " ")
}

// world is a host with its registrations, in fake time.
type world struct {
	t    *testing.T
	reg  *fakeRegistry
	cfg  *config.Config
	r    *Registrations
	stop func()

	mu    sync.Mutex
	sick  map[string]error // by the address that is checked; nil: passes
	asked map[string]int
	disk  chan struct{} // checks wait until it is closed, whatever their context says
	most  int           // checks of one service at once
}

// newWorld has the registrations shop-1 to shop-n on ports 8001 and so on, all healthy,
// with an interval of 1 s, rise 2 and fall 3, and a drain with 10 s of grace and 60 s at most.
func newWorld(t *testing.T, n int) *world {
	w := &world{t: t, sick: map[string]error{}, asked: map[string]int{}, reg: &fakeRegistry{t: t, start: time.Now(), nodes: map[string]Announcement{}, busy: map[string]bool{}},
		cfg: &config.Config{Address: "10.0.0.1", Zone: "z1",
			Services: map[string]config.Service{"shop": {Registry: "main", Path: "/services/shop", Format: config.Plain}},
			Register: map[string]config.Registration{},
			Drain:    config.Drain{Spool: t.TempDir(), OnTerm: "keep", Grace: config.Duration(10 * time.Second), Timeout: config.Duration(time.Minute)}}}
	for i := range n {
		name := fmt.Sprintf("shop-%d", i+1)
		w.cfg.Register[name] = config.Registration{Service: "shop", Port: 8001 + i, Check: config.ServiceCheck{TCP: name, Interval: config.Duration(time.Second),
			Timeout: config.Duration(time.Second), Rise: 2, Fall: 3}}
	}
	return w
}

// inWorld runs a test in a bubble of fake time, with the registrations running.
func inWorld(t *testing.T, n int, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, n)
		w.run()
		defer func() { w.stop() }()
		test(t, w)
	})
}

// run starts zkwatch on the host, as if for the first time.
func (w *world) run() {
	w.r = &Registrations{Config: w.cfg, Registrars: map[string]Registrar{"main": w.reg}, Board: map[string]Board{"main": w.reg},
		Journal: NewJournal(1000), Log: slog.New(slog.DiscardHandler), HostName: "app1", makeCheck: w.check}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.r.Run(ctx) }()
	synctest.Wait()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
}

func (w *world) check(c config.ServiceCheck) (check, error) {
	running := 0
	return func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked[c.TCP]++
		running++
		w.most = max(w.most, running)
		defer func() { running-- }()
		if disk := w.disk; disk != nil {
			w.mu.Unlock()
			<-disk
			w.mu.Lock()
		}
		return w.sick[c.TCP]
	}, nil
}

var errRefused = errors.New("connection refused")

// ill makes a service fail, or heals it with nil.
func (w *world) ill(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sick[name] = err
}

// after lets time pass and everything settle.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// expect compares the calls since the last time.
func (w *world) expect(when, want string) {
	w.t.Helper()
	synctest.Wait()
	if got := w.reg.said(); got != want {
		w.t.Errorf("%s: the registry was asked for %q, want %q", when, got, want)
	}
}

func (w *world) status(name string) RegistrationStatus {
	w.t.Helper()
	for _, s := range w.r.Status() {
		if s.Name == name {
			return s
		}
	}
	w.t.Fatalf("no status of %s", name)
	return RegistrationStatus{}
}
