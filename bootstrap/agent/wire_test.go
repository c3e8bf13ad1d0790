package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
	"github.com/zkboot/zkboot/verify"
)

var zeroSum = strings.Repeat("0", 64)

// line is a served host and the connection to it.
type line struct {
	bootstrap.Host
	operator, agent net.Conn
	served          chan error // of Serve, once
}

// start serves h on a pipe and connects to it.
func start(t *testing.T, h bootstrap.Host, o ConnectOptions) *line {
	t.Helper()
	l := serveOnly(t, h, ServeOptions{SHA256: zeroSum})
	var err error
	if l.Host, err = Connect(t.Context(), l.operator, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func serveOnly(t *testing.T, h bootstrap.Host, o ServeOptions) *line {
	t.Helper()
	operator, agent := net.Pipe()
	l := &line{operator: operator, agent: agent, served: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { l.served <- Serve(ctx, agent, h, o) }()
	t.Cleanup(func() {
		cancel()
		operator.Close()
	})
	return l
}

// end waits for Serve to return.
func (l *line) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-l.served:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Serve does not return")
		return nil
	}
}

func sampleState() bootstrap.State {
	s := bootstrap.NewState(
		bootstrap.File{Path: "/etc/a", Content: "x\n", Sum: "y", Mode: 0o644, Owner: "root", Group: "root"},
		bootstrap.Sysctl{Setting: sysctl.Setting{Key: "vm.swappiness", Value: "60"}},
		bootstrap.Unit{Name: "a.service", Running: true, Rev: "r"},
	)
	s.Unread = map[bootstrap.ID]string{"file:/etc/b": "permission denied"}
	s.Manifests = map[string]bootstrap.Manifest{"main.zookeeper": {Format: 1, Owner: "main.zookeeper", Cluster: "c",
		Entries: []bootstrap.Entry{{ID: "package:x", Hash: "h", Before: bootstrap.Thing{Resource: bootstrap.Package{Name: "x", Version: "1"}}}}}}
	return s
}

func createStep(path string) bootstrap.Step {
	f := bootstrap.File{Path: path, Content: "x", Mode: 0o644, Owner: "root", Group: "root"}
	return bootstrap.Step{Action: bootstrap.ActionCreate, Owner: "main.zookeeper", Cluster: "c", Target: f.ID(), Want: bootstrap.Thing{Resource: f}}
}

func TestEveryMethodCrossesTheWire(t *testing.T) {
	steps := []bootstrap.Step{createStep("/etc/a"), createStep("/etc/b")}
	h := &fakeHost{
		look: func(_ context.Context, ids ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
			if want := []bootstrap.ID{"file:/etc/a", "sysctl:vm.swappiness"}; !reflect.DeepEqual(ids, want) {
				return bootstrap.Facts{}, bootstrap.State{}, fmt.Errorf("look at %s", ids)
			}
			return bootstrap.Facts{Hostname: "zk1", CPU: verify.CPU{Count: 2}}, sampleState(), nil
		},
		change: func(_ context.Context, got ...bootstrap.Step) error {
			if !reflect.DeepEqual(got, steps) {
				return fmt.Errorf("change %v", got)
			}
			return nil
		},
		probe: func(_ context.Context, q verify.Query) (verify.Result, error) {
			if q.Jitter == nil || q.Jitter.Sleep != time.Millisecond {
				return verify.Result{}, fmt.Errorf("probe %+v", q)
			}
			return verify.Result{Jitter: &verify.Latency{Samples: 3, P99: 1.5}}, nil
		},
		lock:   func(_ context.Context, who string) error { return expect("anna", who) },
		reveal: func(_ context.Context, path string) (string, error) { return "s3cret", expect("/etc/secret", path) },
	}
	l := start(t, h, ConnectOptions{})
	ctx := t.Context()

	facts, state, err := l.Look(ctx, "file:/etc/a", "sysctl:vm.swappiness")
	if err != nil || facts.Hostname != "zk1" || facts.CPU.Count != 2 || !reflect.DeepEqual(state, sampleState()) {
		t.Errorf("look: %+v, %+v, %v", facts, state, err)
	}
	if err := l.Change(ctx, steps...); err != nil {
		t.Errorf("change: %v", err)
	}
	r, err := l.Probe(ctx, verify.Query{Jitter: &verify.JitterQuery{Sleep: time.Millisecond}})
	if err != nil || r.Jitter == nil || r.Jitter.P99 != 1.5 {
		t.Errorf("probe: %+v, %v", r, err)
	}
	if err := l.Lock(ctx, "anna"); err != nil {
		t.Errorf("lock: %v", err)
	}
	if secret, err := l.Reveal(ctx, "/etc/secret"); err != nil || secret != "s3cret" {
		t.Errorf("reveal: %q, %v", secret, err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := l.end(t); err != nil {
		t.Errorf("serve: %v", err)
	}
	if h.closes() == 0 {
		t.Error("the host was not closed")
	}
}

func expect(want, got string) error {
	if got != want {
		return fmt.Errorf("want %q, got %q", want, got)
	}
	return nil
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	steps := []bootstrap.Step{createStep("/etc/a"), createStep("/etc/b")}
	for _, tc := range []struct {
		name string
		err  error
		is   error
		step int // -1: no StepError
	}{
		{"stale step", &bootstrap.StepError{Index: 1, Step: steps[1], Err: fmt.Errorf("%w: mode was 0644, is 0600", bootstrap.ErrStale)}, bootstrap.ErrStale, 1},
		{"broken step", &bootstrap.StepError{Index: 0, Step: steps[0], Err: errors.New("no room")}, nil, 0},
		{"locked", fmt.Errorf("%w: held by anna", bootstrap.ErrLocked), bootstrap.ErrLocked, -1},
		{"refused", fmt.Errorf("%w: not now", bootstrap.ErrRefused), bootstrap.ErrRefused, -1},
		{"file", &os.PathError{Op: "open", Path: "/x", Err: os.ErrNotExist}, os.ErrNotExist, -1},
		{"plain", errors.New("odd"), nil, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := start(t, &fakeHost{change: func(context.Context, ...bootstrap.Step) error { return tc.err }}, ConnectOptions{})
			err := l.Change(t.Context(), steps...)
			if err == nil || err.Error() != tc.err.Error() {
				t.Fatalf("want the text %q, got %v", tc.err, err)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v is not %v", err, tc.is)
			}
			if errors.Is(err, bootstrap.ErrUnreachable) {
				t.Errorf("%v says that the host is unreachable", err)
			}
			var step *bootstrap.StepError
			if got := errors.As(err, &step); got != (tc.step >= 0) || (got && (step.Index != tc.step || !reflect.DeepEqual(step.Step, steps[tc.step]))) {
				t.Errorf("want step %d, got %+v", tc.step, step)
			}
		})
	}
}

func TestProgressArrivesInOrderBeforeTheResult(t *testing.T) {
	things := newFakeThings()
	things.block = func(_ context.Context, note func(string)) {
		for i := range 3 {
			note(fmt.Sprint("note ", i))
		}
	}
	var got []string
	l := start(t, newTestHost(t, t.TempDir(), things), ConnectOptions{Progress: func(s string) { got = append(got, s) }})
	locked(t, l)
	if err := l.Change(t.Context(), createStep("/etc/a")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"note 0", "note 1", "note 2"}; !reflect.DeepEqual(got, want) {
		t.Errorf("want %q, got %q", want, got)
	}
}

func TestAHostDoesNotSteerTheTerminal(t *testing.T) {
	things := newFakeThings()
	things.block = func(_ context.Context, note func(string)) { note("\x1b[2Jdone") }
	things.before = func(string) error { return errors.New("line 1\n\x1b]0;title\aline 2") }
	var got string
	l := start(t, newTestHost(t, t.TempDir(), things), ConnectOptions{Progress: func(s string) { got = s }})
	locked(t, l)
	err := l.Change(t.Context(), createStep("/etc/a"))
	if want := "\uFFFD[2Jdone"; got != want {
		t.Errorf("note: want %q, got %q", want, got)
	}
	if err, want := stepError(t, err, 0), "line 1\n\uFFFD]0;title\uFFFDline 2"; err.Error() != want {
		t.Errorf("error: want %q, got %q", want, err)
	}
}

func TestCancelReachesTheHost(t *testing.T) {
	cancelled := make(chan struct{})
	begun := make(chan struct{})
	l := start(t, &fakeHost{change: func(ctx context.Context, _ ...bootstrap.Step) error {
		close(begun)
		<-ctx.Done()
		close(cancelled)
		return ctx.Err()
	}, reveal: func(context.Context, string) (string, error) { return "still here", nil }}, ConnectOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if err := l.Change(ctx, createStep("/etc/a")); !errors.Is(err, context.Canceled) {
		t.Errorf("want context.Canceled, got %v", err)
	}
	<-cancelled
	if s, err := l.Reveal(t.Context(), "/x"); err != nil || s != "still here" {
		t.Errorf("the connection did not outlive the call: %q, %v", s, err)
	}
}

// A dpkg that runs is not cut off: Serve waits for it, and keeps the host open.
func TestServeWaitsForWhatCannotBeCancelled(t *testing.T) {
	release, begun := make(chan struct{}), make(chan struct{})
	h := &fakeHost{change: func(context.Context, ...bootstrap.Step) error {
		close(begun)
		<-release
		return nil
	}}
	l := start(t, h, ConnectOptions{})
	failed := make(chan error, 1)
	go func() { failed <- l.Change(t.Context(), createStep("/etc/a")) }()
	<-begun
	l.operator.Close()
	if err := <-failed; !errors.Is(err, bootstrap.ErrUnreachable) {
		t.Errorf("want ErrUnreachable, got %v", err)
	}
	select {
	case err := <-l.served:
		t.Fatalf("Serve returned under a running change: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if h.closes() != 0 {
		t.Error("the host was closed under a running change")
	}
	close(release)
	l.end(t)
	if h.closes() != 1 {
		t.Errorf("the host was closed %d times, want once", h.closes())
	}
}

func TestTwoOperatorsOneLock(t *testing.T) {
	root := t.TempDir()
	anna := start(t, newTestHost(t, root, newFakeThings()), ConnectOptions{})
	ben := start(t, newTestHost(t, root, newFakeThings()), ConnectOptions{})
	if err := anna.Lock(t.Context(), "anna@laptop\napply"); err != nil {
		t.Fatal(err)
	}
	if err := anna.Lock(t.Context(), "anna again"); err != nil {
		t.Errorf("locking twice: %v", err)
	}
	err := ben.Lock(t.Context(), "ben")
	if want := fmt.Sprintf("locked by another apply: held by anna@laptop apply (pid %d)", os.Getpid()); !errors.Is(err, bootstrap.ErrLocked) || err.Error() != want {
		t.Errorf("want %q, got %v", want, err)
	}
	if err := ben.Change(t.Context(), createStep("/etc/a")); !errors.Is(err, bootstrap.ErrLocked) {
		t.Errorf("a change without the lock: want ErrLocked, got %v", err)
	}
	if err := anna.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ben.Lock(t.Context(), "ben"); err != nil {
		t.Errorf("the lock was not given back by Close: %v", err)
	}
}

func TestLockIsGivenBackWhenTheLineBreaks(t *testing.T) {
	root := t.TempDir()
	anna := start(t, newTestHost(t, root, newFakeThings()), ConnectOptions{})
	locked(t, anna)
	anna.operator.Close()
	anna.end(t)
	ben := start(t, newTestHost(t, root, newFakeThings()), ConnectOptions{})
	locked(t, ben)
}

func TestAgentEndsInSilence(t *testing.T) {
	l := serveOnly(t, &fakeHost{}, ServeOptions{SHA256: zeroSum, pace: pace{ask: 10 * time.Millisecond, wait: 20 * time.Millisecond}})
	// The operator reads and says nothing, as a frozen one does.
	go io.Copy(io.Discard, l.operator)
	if err := l.end(t); !errors.Is(err, yamux.ErrKeepAliveTimeout) {
		t.Errorf("want a keepalive timeout, got %v", err)
	}
}

func TestOperatorNoticesASilentAgent(t *testing.T) {
	operator, agent := net.Pipe()
	defer agent.Close()
	go io.Copy(io.Discard, agent)
	_, err := Connect(t.Context(), operator, ConnectOptions{pace: pace{ask: 10 * time.Millisecond, wait: 20 * time.Millisecond}})
	if !errors.Is(err, bootstrap.ErrUnreachable) {
		t.Errorf("want ErrUnreachable, got %v", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	operator, agent := net.Pipe()
	defer operator.Close()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	h := &fakeHost{}
	go func() { served <- Serve(ctx, agent, h, ServeOptions{SHA256: zeroSum}) }()
	c, err := Connect(t.Context(), operator, ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Errorf("want context.Canceled, got %v", err)
	}
	if h.closes() != 1 {
		t.Errorf("the host was closed %d times, want once", h.closes())
	}
}
