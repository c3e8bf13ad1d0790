//go:build lab

package haproxy

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// Instances come, go and change their weight ten thousand times among 200 services of 20
// instances each: no reload, and each change is one short round trip.
func TestTenThousandChangesNeedNoReload(t *testing.T) {
	const services, each, changes = 200, 20, 10_000
	all, err := watchertest.StartBackend("0.0.0.0:0") // behind every address of 127.0.0.0/8
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(all.Close)
	_, text, _ := net.SplitHostPort(all.Addr())
	listens, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]config.Route{}
	for n := range services {
		// Checks are rare here: they would be most of what this machine does.
		routes[fmt.Sprintf("svc%03d", n)] = config.Route{Service: fmt.Sprintf("svc%03d", n), Bind: fmt.Sprintf("127.0.0.1:%d", 21000+n), Check: config.RouteCheck{Inter: config.Duration(time.Minute)}}
	}
	instance := func(service, n int) watcher.Instance {
		return watcher.Instance{ID: fmt.Sprintf("i%03d", n), Host: fmt.Sprintf("127.%d.%d.%d", 1+service/250, 1+service%250, 1+n), Port: listens, Weight: 1}
	}
	sets := make([][]watcher.Instance, services)
	h := watchertest.HAProxy(t)
	if err := h.SetBefore("global\n    maxconn 500\n"); err != nil {
		t.Fatal(err)
	}
	k := attach(t, h, routes)
	var first []watcher.Set
	for s := range sets {
		for n := range each {
			sets[s] = append(sets[s], instance(s, n))
		}
		first = append(first, watcher.Set{Service: fmt.Sprintf("svc%03d", s), Instances: sets[s]})
	}
	if _, err := k.Apply(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	k.tickFile(t)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, 10*time.Second, "the sink is connected", func() bool { return k.Status().Connected })
	rng := rand.New(rand.NewPCG(3, 4))
	var took []time.Duration
	for range changes {
		s := rng.IntN(services)
		set := slices.Clone(sets[s])
		switch n := rng.IntN(len(set)); {
		case rng.IntN(3) == 0:
			set[n].Weight = 1 + rng.IntN(256)
		case len(set) > each-5 && (rng.IntN(2) == 0 || len(set) >= each+5):
			set = slices.Delete(set, n, n+1)
		default:
			for i := 0; ; i++ { // the first that is not there
				if !slices.ContainsFunc(set, func(x watcher.Instance) bool { return x.ID == fmt.Sprintf("i%03d", i) }) {
					set = append(set, instance(s, i))
					break
				}
			}
		}
		slices.SortFunc(set, func(a, b watcher.Instance) int { return compare(a.ID, b.ID) })
		sets[s] = set
		began := time.Now()
		out, err := k.Apply(t.Context(), []watcher.Set{{Service: fmt.Sprintf("svc%03d", s), Instances: set}})
		took = append(took, time.Since(began))
		if err != nil || out.Pending {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	slices.Sort(took)
	st := k.Status()
	t.Logf("%d changes of %d instances: p50 %s, p99 %s, max %s; %d commands, %d reloads", changes, services*each, took[changes/2], took[changes*99/100], took[changes-1], st.Commands, st.Reloads)
	if st.Reloads > 0 {
		t.Errorf("%d reloads, want none", st.Reloads)
	}
	if p50 := took[changes/2]; p50 > 10*time.Millisecond {
		t.Errorf("half of the changes took more than %s", p50)
	}
	for s := range sets {
		var want []string
		for _, i := range sets[s] {
			want = append(want, i.Addr())
		}
		slices.Sort(want)
		if got := served(k.Sink, prefix+fmt.Sprintf("svc%03d", s)); !slices.Equal(got, want) {
			t.Fatalf("svc%03d has %v, want %v", s, got, want)
		}
	}
}
