package watcher

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// reading is the board at a second. A notice is "host:revision" or "host:revision=conns";
// the instance was marked draining at revision 50, and grace is 10 s.
type reading struct {
	at      int
	notices string
}

func notices(text string) []Notice {
	var out []Notice
	for _, f := range strings.Fields(text) {
		n := Notice{Services: map[string]Applied{"other": {Revision: 99}}, Draining: map[string]map[string]int{"other": {"i1": 3}}}
		host, rest, serves := strings.Cut(f, ":")
		n.Host = host
		if serves {
			var a Applied
			conns := 0
			switch _, err := fmt.Sscanf(rest, "%d=%d", &a.Revision, &conns); {
			case err == nil:
				n.Draining["shop"] = map[string]int{"i1": conns, "i2": 7}
			default:
				fmt.Sscanf(rest, "%d", &a.Revision)
				n.Draining["shop"] = map[string]int{"i2": 0}
			}
			n.Services["shop"] = a
		}
		out = append(out, n)
	}
	return out
}

func TestDrainEndsOnlyWhenItShould(t *testing.T) {
	start := time.Now()
	for name, tt := range map[string]struct {
		readings []reading
		want     string // at the last reading; before it the drain must go on
		waiting  string // what is said of the consumers at the end
	}{
		"all have applied it and count none, twice": {
			readings: []reading{{0, "a:50=0 b:60=0"}, {1, "a:50=0 b:60=0"}}, want: DrainedByConsumers, waiting: ", 2 consumers"},
		"once is not enough": {
			readings: []reading{{0, "a:50=0"}}},
		"a count from before the mark was applied": {
			readings: []reading{{0, "a:49=0"}, {30, "a:49=0"}, {60, "a:49=0"}}, waiting: "; a has not applied it"},
		"applied, but not counted yet": {
			readings: []reading{{0, "a:50"}, {30, "a:50"}, {60, "a:50"}}, waiting: "; a has not counted"},
		"connections left": {
			readings: []reading{{0, "a:50=2 b:50=0"}, {30, "a:50=1 b:50=0"}, {60, "a:50=1 b:50=0"}}, waiting: "; a has 1 connections"},
		"connections that come back, by a cookie": {
			readings: []reading{{0, "a:50=0"}, {1, "a:50=1"}, {2, "a:50=0"}}},
		"one more consumer between the two readings": {
			readings: []reading{{0, "a:50=0"}, {1, "a:50=0 b:40"}, {2, "a:50=0 b:50"}, {3, "a:50=0 b:50=0"}, {4, "a:50=0 b:50=0"}}, want: DrainedByConsumers},
		"hosts of other services do not matter": {
			readings: []reading{{0, "a:50=0 x y"}, {1, "a:50=0 x y"}}, want: DrainedByConsumers, waiting: ", 1 consumers"},
		"nobody posts: not before grace": {
			readings: []reading{{0, ""}, {5, ""}, {9, "x"}}},
		"nobody posts: after grace": {
			readings: []reading{{0, ""}, {5, "x y"}, {10, ""}}, want: DrainedByGrace, waiting: ", 0 consumers"},
		"somebody posts just before grace is over": {
			readings: []reading{{0, ""}, {9, "a:50=1"}, {10, "a:50=1"}, {30, "a:50=1"}}},
		"a consumer that is gone gets grace from then on": {
			readings: []reading{{0, "a:50=3"}, {20, ""}, {29, ""}}, waiting: "; a is gone"},
		"and no more": {
			readings: []reading{{0, "a:50=3"}, {20, ""}, {30, ""}, {31, ""}}, want: DrainedByConsumers},
		"a consumer that was gone and is back counts again": {
			readings: []reading{{0, "a:50=3"}, {1, ""}, {12, ""}, {13, "a:50=3"}, {14, ""}, {23, ""}}, waiting: "; a is gone"},
		"a consumer that was done may go": {
			readings: []reading{{0, "a:50=0 b:50=1"}, {1, "b:50=1"}, {2, "b:50=0"}, {3, "b:50=0"}}, want: DrainedByConsumers},
		"a consumer that gives the service up is gone": {
			readings: []reading{{0, "a:50=3"}, {1, "a"}, {10, "a"}}, waiting: "; a is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			d := drainRule{service: "shop", at: Announced{ID: "i1", Revision: 50}, grace: 10 * time.Second, since: start}
			got := ""
			for i, r := range tt.readings {
				if got != "" {
					t.Fatalf("over by %q before reading %d", got, i)
				}
				got = d.see(start.Add(time.Duration(r.at)*time.Second), notices(r.notices))
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.waiting != "" && d.text() != tt.waiting {
				t.Errorf("text is %q, want %q", d.text(), tt.waiting)
			}
		})
	}
}

// As long as one host posts connections or an older revision, no sequence of what the
// others do ends the drain.
func TestDrainNeverEndsWhileSomeoneIsConnected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Now()
		d := drainRule{service: "shop", at: Announced{ID: "i1", Revision: 50}, grace: 10 * time.Second, since: start}
		now := start
		for range rapid.IntRange(1, 50).Draw(t, "readings") {
			now = now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
			text := rapid.SampledFrom([]string{"busy:50=1", "busy:70=900", "busy:49=0", "busy:50", "busy:1"}).Draw(t, "busy")
			for _, h := range []string{"a", "b"} {
				text += " " + rapid.SampledFrom([]string{"", h, h + ":50=0", h + ":50=2", h + ":40=0"}).Draw(t, h)
			}
			if got := d.see(now, notices(text)); got != "" {
				t.Fatalf("over by %q at %q", got, text)
			}
		}
	})
}

func TestConsumersAreReportedByHost(t *testing.T) {
	d := drainRule{service: "shop", at: Announced{ID: "i1", Revision: 50}, grace: time.Second}
	now := time.Now()
	d.see(now, notices("c:50=0 a:50=4 d:7 b:50"))
	d.see(now, notices("c:50=0 a:50=4 b:50"))
	want := []Consumer{{Host: "a", Applied: true, Connections: 4}, {Host: "b", Applied: true, Connections: -1},
		{Host: "c", Applied: true, Done: true}, {Host: "d", Connections: -1, Gone: true}}
	if diff := cmp.Diff(want, d.seen()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
