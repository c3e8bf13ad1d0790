package bootstrap_test

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

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
)

// far is a site of many hosts, each of which takes a second to open, to look at and to close.
type far struct {
	spec     *bootstrap.Spec
	machines map[string]*bootstraptest.Machine

	mu         sync.Mutex
	open, most int
	refuses    string // a host that does not close
}

func newFar(hosts int) *far {
	f := &far{spec: &bootstrap.Spec{Name: "main", Hosts: map[string]bootstrap.HostSpec{}}, machines: map[string]*bootstraptest.Machine{}}
	for i := range hosts {
		name := fmt.Sprintf("h%03d", i)
		f.spec.Hosts[name] = bootstrap.HostSpec{Address: fmt.Sprintf("10.0.0.%d", i+1)}
		f.machines[name] = newMachine(name)
	}
	return f
}

func (f *far) engine() *bootstrap.Engine {
	return &bootstrap.Engine{Open: func(ctx context.Context, s *bootstrap.Spec, name string) (bootstrap.Host, error) {
		time.Sleep(time.Second)
		h, err := bootstraptest.Site(f.machines)(ctx, s, name)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open++
		f.most = max(f.most, f.open)
		return &farHost{Host: h, site: f, name: name}, nil
	}}
}

type farHost struct {
	bootstrap.Host
	site *far
	name string
}

func (h *farHost) Look(ctx context.Context, ids ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
	time.Sleep(time.Second)
	return h.Host.Look(ctx, ids...)
}

func (h *farHost) Close() error {
	time.Sleep(time.Second)
	h.site.mu.Lock()
	defer h.site.mu.Unlock()
	h.site.open--
	if h.name == h.site.refuses {
		return errors.New("it does not end")
	}
	return h.Host.Close()
}

func TestAHundredHosts(t *testing.T) {
	for _, c := range []struct {
		name     string
		lookOnly bool
		most     int           // connections at once
		kept     int           // connections after Look
		look     time.Duration // four rounds of at most 32 for each thing that takes a second
		close    time.Duration
	}{
		{"to be changed afterwards", false, 100, 100, 8 * time.Second, 4 * time.Second},
		{"only looked at", true, 32, 0, 12 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFar(100)
				delete(f.machines, "h042")
				f.refuses = "h007"
				e := f.engine()
				e.LookOnly = c.lookOnly
				start := time.Now()
				now, hosts := e.Look(t.Context(), f.spec)
				if took := time.Since(start); took > c.look {
					t.Errorf("the look took %s, want at most %s", took, c.look)
				}
				names := slices.DeleteFunc(slices.Sorted(maps.Keys(f.spec.Hosts)), func(n string) bool { return n == "h042" })
				if got := now.Reachable(); !slices.Equal(got, names) {
					t.Errorf("seen: %v", got)
				}
				var finding bootstrap.Finding
				if err := now.Hosts["h042"].Err; !errors.Is(err, bootstrap.ErrUnreachable) || !errors.As(err, &finding) || finding.Host != "h042" || finding.Step != "connect" {
					t.Errorf("of the host that is away it says %#v", err)
				}
				if want := max(c.kept-1, 0); len(hosts) != want || f.open != want {
					t.Errorf("%d hosts returned, %d open; want %d", len(hosts), f.open, want)
				}
				if f.most > c.most {
					t.Errorf("%d were open at once, want at most %d", f.most, c.most)
				}
				start = time.Now()
				err := e.Close()
				if took := time.Since(start); took > c.close || f.open != 0 {
					t.Errorf("Close took %s, want at most %s, and left %d open", took, c.close, f.open)
				}
				if said := err != nil && err.Error() == "h007: it does not end"; said == c.lookOnly {
					t.Errorf("Close said %v", err)
				}
			})
		})
	}
}
