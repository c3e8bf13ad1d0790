package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// machine is a host that is there or not.
type machine struct {
	bootstrap.Host
	ctx            context.Context // that it was opened with
	off            *atomic.Bool
	opened, closed *atomic.Int32
}

func (m machine) DialContext(context.Context, string, string) (net.Conn, error) {
	if m.off.Load() || m.ctx.Err() != nil { // a connection ends with the context that it was opened with
		return nil, fmt.Errorf("%w: the stream is gone", bootstrap.ErrUnreachable)
	}
	ours, theirs := net.Pipe()
	return ours, theirs.Close()
}

func (m machine) Look(context.Context, ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
	if m.off.Load() || m.ctx.Err() != nil {
		return bootstrap.Facts{}, bootstrap.State{}, errors.New("no answer")
	}
	return bootstrap.Facts{}, bootstrap.State{}, nil
}

func (m machine) Close() error { m.closed.Add(1); return nil }

// open takes a second, and fails while the machine is off.
func (m machine) open(ctx context.Context, _ string) (bootstrap.Host, error) {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if m.off.Load() {
		return nil, bootstrap.ErrUnreachable
	}
	m.opened.Add(1)
	m.ctx = ctx
	return m, nil
}

func newMachine() machine {
	return machine{off: &atomic.Bool{}, opened: &atomic.Int32{}, closed: &atomic.Int32{}}
}

// A host that goes and comes back is connected to anew, and nobody waits for it meanwhile.
func TestLinesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		l := newLines(t.Context(), []string{"zk1"}, m.open)
		dial := func() error {
			begin := time.Now()
			conn, err := l.all["zk1"].DialContext(t.Context(), "tcp", "10.0.0.1:2181")
			if err == nil {
				conn.Close()
			}
			if took := time.Since(begin); took > 0 {
				t.Errorf("a dial waited %s", took)
			}
			return err
		}
		if err := dial(); !errors.Is(err, bootstrap.ErrUnreachable) {
			t.Errorf("before it is connected to: %v", err)
		}
		if hosts, err := l.hosts(t.Context()); err != nil || len(hosts) != 1 {
			t.Fatalf("%v, %v", hosts, err)
		}
		if err := dial(); err != nil {
			t.Error(err)
		}
		m.off.Store(true)
		for range 2 { // the connection breaks; then it is not there
			if err := dial(); !errors.Is(err, bootstrap.ErrUnreachable) {
				t.Errorf("while it is off: %v", err)
			}
		}
		if _, err := l.hosts(t.Context()); !errors.Is(err, bootstrap.ErrUnreachable) {
			t.Errorf("while it is off: %v", err)
		}
		m.off.Store(false)
		if _, err := l.hosts(t.Context()); err != nil {
			t.Error(err)
		}
		if err := dial(); err != nil {
			t.Error(err)
		}
		l.close()
		if m.opened.Load() != 2 || m.closed.Load() != 2 {
			t.Errorf("opened %d, closed %d, want 2 and 2", m.opened.Load(), m.closed.Load())
		}
	})
}

// A connection that nobody has found broken yet is found by asking.
func TestLinesAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		l := newLines(t.Context(), []string{"zk1"}, m.open)
		hosts, err := l.hosts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l.check(t.Context(), hosts)
		if m.closed.Load() != 0 {
			t.Error("dropped a host that answers")
		}
		m.off.Store(true)
		l.check(t.Context(), hosts)
		synctest.Wait()
		if m.closed.Load() != 1 {
			t.Error("kept a host that does not answer")
		}
		l.close()
	})
}

// Closing does not wait for a host that is being connected to.
func TestLinesCloseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		l := newLines(t.Context(), []string{"zk1"}, m.open)
		l.all["zk1"].get()
		begin := time.Now()
		l.close()
		if took := time.Since(begin); took > 0 {
			t.Errorf("took %s", took)
		}
	})
}
