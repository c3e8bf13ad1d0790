package bootstrap_test

import (
	"context"
	"errors"
	"strings"
	"testing"

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
