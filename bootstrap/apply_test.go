package bootstrap_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// mute is a host whose connection breaks before its third look, which is the one that
// proves the result.
type mute struct {
	bootstrap.Host
	looks int
}

func (h *mute) Look(ctx context.Context, ids ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
	if h.looks++; h.looks > 2 {
		return bootstrap.Facts{}, bootstrap.State{}, errors.New("the line was cut")
	}
	return h.Host.Look(ctx, ids...)
}

func TestAHostThatIsLostBeforeTheProofIsNamedAsSuch(t *testing.T) {
	s := newSite(t)
	e := s.engine(t)
	open := e.Open
	e.Open = func(ctx context.Context, spec *bootstrap.Spec, name string) (bootstrap.Host, error) {
		h, err := open(ctx, spec, name)
		if name == "zk2" && err == nil {
			h = &mute{Host: h}
		}
		return h, err
	}
	p, r := e.Plan(t.Context(), s.spec, converge)
	if r.Failed() {
		t.Fatal(r.Err())
	}
	err := e.Apply(t.Context(), p).Err()
	if !errors.Is(err, bootstrap.ErrUnreachable) || !strings.Contains(err.Error(), "zk2: look: the line was cut") {
		t.Errorf("got %v; want that zk2 cannot be reached", err)
	}
}

// Two resources of one configuration may change one host at the same time: the second waits
// for the first, and says for whom.
func TestApplyWaitsForALock(t *testing.T) {
	for name, c := range map[string]struct {
		release time.Duration
		took    time.Duration
		locked  bool
	}{
		"until it is given back":     {release: 90 * time.Second, took: 90 * time.Second},
		"until its patience is over": {release: 10 * time.Minute, took: 5 * time.Minute, locked: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				e := s.engine(t)
				e.LockPatience = 5 * time.Minute
				var notes []string
				e.Events = func(ev bootstrap.Event) {
					if ev.Kind == bootstrap.EventNote {
						notes = append(notes, ev.Host+": "+ev.Step)
					}
				}
				p, r := e.Plan(t.Context(), s.spec, converge)
				if r.Failed() {
					t.Fatal(r.Err())
				}
				other := s.machines["zk2"].Open()
				if err := other.Lock(t.Context(), "the other one"); err != nil {
					t.Fatal(err)
				}
				defer time.AfterFunc(c.release, func() { other.Close() }).Stop()
				start := time.Now()
				err := e.Apply(t.Context(), p).Err()
				if errors.Is(err, bootstrap.ErrLocked) != c.locked || !c.locked && err != nil {
					t.Errorf("locked out %t, got %v", c.locked, err)
				}
				// It asks once a second, and two things may be due in one moment.
				if took := time.Since(start).Round(time.Second); took != c.took && took != c.took+time.Second {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if want := []string{"zk2: waiting for the lock: locked by another apply: held by the other one"}; !slices.Equal(notes, want) {
					t.Errorf("said %q, want %q", notes, want)
				}
			})
		})
	}
}
