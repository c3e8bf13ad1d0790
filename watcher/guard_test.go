package watcher

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/watcher/config"
)

var testGuard = config.Guard{Threshold: 50, Min: 2, Hold: config.Duration(5 * time.Minute)}

// set makes instances of a text such as "a b* c@9": a star drains, and @ names an address
// where the ID is not one.
func set(text string) []Instance {
	var out []Instance
	for _, word := range strings.Fields(text) {
		word, draining := strings.CutSuffix(word, "*")
		id, host, ok := strings.Cut(word, "@")
		if !ok {
			host = id
		}
		out = append(out, Instance{ID: id, Host: host, Port: 80, Weight: 1, Draining: draining})
	}
	slices.SortFunc(out, byID)
	return out
}

// names is the reverse of set.
func names(instances []Instance) string {
	words := make([]string, len(instances))
	for n, i := range instances {
		words[n] = i.ID
		if i.Host != i.ID {
			words[n] += "@" + i.Host
		}
		if i.Draining {
			words[n] += "*"
		}
	}
	return strings.Join(words, " ")
}

// A guardStep is what the registry shows at a time, and what is served then.
type guardStep struct {
	at    string // since the beginning
	sees  string // a set, "-" for empty, "?" for unknown, "ok" for an operator's word, "" for time alone
	serve string // the set, "-" for empty, "none" when there never was one
	held  string // "from -> to until"; empty when nothing is held
}

func TestGuard(t *testing.T) {
	tests := []struct {
		name  string
		disk  string // what an earlier run left behind
		steps []guardStep
	}{
		{"growth and change of place are believed", "", []guardStep{
			{"0s", "a b", "a b", ""}, {"1s", "a b c d e f g h", "a b c d e f g h", ""}, {"2s", "i j k l m n o p", "i j k l m n o p", ""}}},
		{"a loss within the threshold is believed", "", []guardStep{
			{"0s", "a b c d", "a b c d", ""}, {"1s", "a b", "a b", ""}}},
		{"a greater one is held, and believed in the end", "", []guardStep{
			{"0s", "a b c d", "a b c d", ""}, {"1s", "a", "a b c d", "4 -> 1 until 5m1s"},
			{"5m0s", "", "a b c d", "4 -> 1 until 5m1s"}, {"5m1s", "", "a", ""}}},
		{"empty is held, and believed in the end", "", []guardStep{
			{"0s", "a", "a", ""}, {"1s", "-", "a", "1 -> 0 until 5m1s"}, {"5m1s", "", "-", ""}}},
		{"small sets may shrink, but not to none", "", []guardStep{
			{"0s", "a b", "a b", ""}, {"1s", "b", "b", ""}, {"2s", "-", "b", "2 -> 0 until 5m2s"}, {"5m2s", "", "-", ""}}},
		{"a bleed of small steps counts together", "", []guardStep{
			{"0s", "a b c d e f", "a b c d e f", ""}, {"1s", "a b c d e", "a b c d e", ""}, {"2s", "a b c d", "a b c d", ""},
			{"3s", "a b c", "a b c", ""}, {"4s", "a b", "a b c", "6 -> 2 until 5m4s"}, {"5s", "a", "a b c", "6 -> 1 until 5m5s"},
			{"5m4s", "", "a", ""}}},
		{"growth beyond what was lost before is a new measure", "", []guardStep{
			{"0s", "a b c d", "a b c d", ""}, {"1s", "a b c", "a b c", ""}, {"2s", "a b c d e f g h i j", "a b c d e f g h i j", ""},
			{"3s", "a b c", "a b c d e f g h i j", "10 -> 3 until 5m3s"}}},
		{"a bleed that takes longer than the hold does not", "", []guardStep{
			{"0s", "a b c d e f", "a b c d e f", ""}, {"2m", "a b c d e", "a b c d e", ""}, {"4m", "a b c d", "a b c d", ""},
			{"6m", "a b c", "a b c", ""}, {"10m", "a b", "a b", ""}}},
		{"what comes during a hold is served at once, also as it changed", "", []guardStep{
			{"0s", "a b c d e f", "a b c d e f", ""}, {"1s", "a", "a b c d e f", "6 -> 1 until 5m1s"},
			{"2s", "a@new g", "a@new b c d e f g", "6 -> 2 until 5m1s"}}},
		{"growth back ends a hold", "", []guardStep{
			{"0s", "a b c d", "a b c d", ""}, {"1s", "a", "a b c d", "4 -> 1 until 5m1s"}, {"2s", "a b", "a b", ""}}},
		{"new instances end it as well", "", []guardStep{
			{"0s", "a b c d", "a b c d", ""}, {"1s", "-", "a b c d", "4 -> 0 until 5m1s"}, {"2s", "x", "a b c d x", "4 -> 1 until 5m1s"},
			{"3s", "x y", "x y", ""}}},
		{"each instance is held from its own loss", "", []guardStep{
			{"0s", "a b c d", "a b c d", ""}, {"1s", "a", "a b c d", "4 -> 1 until 5m1s"}, {"4m", "-", "a b c d", "4 -> 0 until 9m0s"},
			{"5m1s", "", "a", "1 -> 0 until 9m0s"}, {"9m", "", "-", ""}}},
		{"what came during a hold counts when a part of the loss is believed", "", []guardStep{
			{"0s", "a b c d e f g h", "a b c d e f g h", ""}, {"1s", "a b", "a b c d e f g h", "8 -> 2 until 5m1s"},
			{"2m", "x", "a b c d e f g h x", "8 -> 1 until 7m0s"}, {"5m1s", "", "a b x", "3 -> 1 until 7m0s"},
			{"6m", "x*", "a b x*", "2 -> 0 until 7m0s"}, {"7m", "", "x*", ""}}},
		{"one that came back and is lost again is held anew", "", []guardStep{
			{"0s", "a b c d", "a b c d", ""}, {"1s", "-", "a b c d", "4 -> 0 until 5m1s"}, {"2s", "a", "a b c d", "4 -> 1 until 5m1s"},
			{"3s", "-", "a b c d", "4 -> 0 until 5m3s"}, {"5m1s", "", "a", "1 -> 0 until 5m3s"}}},
		{"draining is no loss, and what drained may leave", "", []guardStep{
			{"0s", "a b c d", "a b c d", ""}, {"1s", "a b* c* d*", "a b* c* d*", ""}, {"2s", "a", "a", ""}}},
		{"what drains does not count in a bleed either", "", []guardStep{
			{"0s", "a b c d e f", "a b c d e f", ""}, {"1s", "a b c d e", "a b c d e", ""}, {"2s", "a b c d* e*", "a b c d* e*", ""},
			{"3s", "a b d* e*", "a b d* e*", ""}, {"4s", "a d* e*", "a b d* e*", "4 -> 1 until 5m4s"}}},
		{"one that comes and drains during a hold does not end it", "", []guardStep{
			{"0s", "a b c d", "a b c d", ""}, {"1s", "a", "a b c d", "4 -> 1 until 5m1s"},
			{"2s", "a x", "a x", ""}, {"3s", "-", "a x", "4 -> 0 until 5m3s"},
			{"4s", "y", "a x y", "4 -> 1 until 5m3s"}, {"5s", "y*", "a x y*", "4 -> 0 until 5m3s"}, {"6s", "y", "a x y", "4 -> 1 until 5m3s"},
			{"7s", "y*", "a x y*", "4 -> 0 until 5m3s"}, {"8s", "-", "a x y*", "4 -> 0 until 5m8s"}, {"9s", "y*", "a x y*", "4 -> 0 until 5m3s"}}},
		{"one that drained, left, came back and drains again is excused once", "", []guardStep{
			{"0s", "a b c d e f", "a b c d e f", ""}, {"1s", "a f*", "a b c d e f*", "5 -> 1 until 5m1s"}, {"2s", "a", "a b c d e", "5 -> 1 until 5m1s"},
			{"3s", "a f", "a b c d e f", "6 -> 2 until 5m1s"}, {"4s", "a f*", "a b c d e f*", "5 -> 1 until 5m1s"}}},
		{"the last one that drained does not leave an empty set at once", "", []guardStep{
			{"0s", "a", "a", ""}, {"1s", "a*", "a*", ""}, {"2s", "-", "a*", "0 -> 0 until 5m2s"}, {"5m2s", "", "-", ""}}},
		{"to be left with draining ones alone is held", "", []guardStep{
			{"0s", "a b c", "a b c", ""}, {"1s", "a b c*", "a b c*", ""}, {"2s", "c*", "a b c*", "2 -> 0 until 5m2s"}, {"5m2s", "", "c*", ""}}},
		{"one that drained leaves while others are held", "", []guardStep{
			{"0s", "a b c d", "a b c d", ""}, {"1s", "a b c d*", "a b c d*", ""}, {"2s", "a", "a b c", "3 -> 1 until 5m2s"}}},
		{"the same address under another ID has not left", "", []guardStep{
			{"0s", "a1@x b1@y c1@z", "a1@x b1@y c1@z", ""}, {"1s", "a2@x", "a2@x b1@y c1@z", "3 -> 1 until 5m1s"},
			{"2s", "a3@x", "a3@x b1@y c1@z", "3 -> 1 until 5m1s"}, {"3s", "a3@x b3@y c3@z", "a3@x b3@y c3@z", ""}}},
		{"unknown changes nothing", "", []guardStep{
			{"0s", "a b", "a b", ""}, {"1s", "?", "a b", ""}, {"100h", "", "a b", ""}, {"100h", "a", "a", ""}}},
		{"the clock of a hold stands still while nobody sees", "", []guardStep{
			{"0s", "a b c", "a b c", ""}, {"1m", "-", "a b c", "3 -> 0 until 6m0s"}, {"2m", "?", "a b c", "3 -> 0 until 6m0s"},
			{"12m", "", "a b c", "3 -> 0 until 16m0s"}, {"12m", "-", "a b c", "3 -> 0 until 16m0s"}, {"15m", "", "a b c", "3 -> 0 until 16m0s"},
			{"16m", "", "-", ""}}},
		{"an operator's word ends a hold", "", []guardStep{
			{"0s", "a b c", "a b c", ""}, {"1s", "-", "a b c", "3 -> 0 until 5m1s"}, {"2s", "ok", "-", ""}, {"3s", "a", "a", ""}}},
		{"and a registry that fell silent meanwhile does not matter", "", []guardStep{
			{"0s", "a b c", "a b c", ""}, {"1s", "a", "a b c", "3 -> 1 until 5m1s"}, {"2s", "?", "a b c", "3 -> 1 until 5m1s"}, {"3s", "ok", "a", ""}}},
		{"after a loss was believed the rest is the measure", "", []guardStep{
			{"0s", "a b c d e f", "a b c d e f", ""}, {"1s", "a b", "a b c d e f", "6 -> 2 until 5m1s"}, {"5m1s", "", "a b", ""}, {"5m2s", "a", "a", ""}}},
		{"a set from disk is served, and measured against", "a b c d", []guardStep{
			{"1h", "", "a b c d", ""}, {"2h", "a", "a b c d", "4 -> 1 until 2h5m0s"}, {"2h5m", "", "a", ""}}},
		{"what drains in it by now is no loss", "a b c d e", []guardStep{
			{"1h", "a b c d* e*", "a b c d* e*", ""}, {"1h1s", "a b", "a b", ""}}},
		{"an empty first answer is held, for the proxy may have others", "", []guardStep{
			{"0s", "-", "none", "0 -> 0 until 5m0s"}, {"5m", "", "-", ""}, {"6m", "a", "a", ""}}},
		{"until there is something", "", []guardStep{
			{"0s", "-", "none", "0 -> 0 until 5m0s"}, {"1s", "a", "a", ""}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			begin := time.Now()
			g := guard{rules: testGuard}
			if tt.disk != "" {
				g.restore(set(tt.disk), begin)
			}
			for n, step := range tt.steps {
				at, err := time.ParseDuration(step.at)
				if err != nil {
					t.Fatal(err)
				}
				drive(&g, step.sees, begin.Add(at))
				if got := describe(&g, begin, begin.Add(at)); got != step.serve+"|"+step.held {
					t.Fatalf("step %d at %s: served and held %q, want %q", n, step.at, got, step.serve+"|"+step.held)
				}
			}
		})
	}
}

func drive(g *guard, sees string, now time.Time) {
	switch sees {
	case "":
		g.tick(now)
	case "?":
		g.unknown(now)
	case "ok":
		g.accept(now)
	case "-":
		g.see(nil, now)
	default:
		g.see(set(sees), now)
	}
}

func describe(g *guard, begin, now time.Time) string {
	served := names(g.served)
	switch {
	case g.served == nil:
		served = "none"
	case len(g.served) == 0:
		served = "-"
	}
	held := ""
	if h := g.hold(now); h != nil {
		held = fmt.Sprintf("%d -> %d until %s", h.From, h.To, h.Until.Sub(begin))
	}
	return served + "|" + held
}

func TestSetsUpToMinMayShrinkFreely(t *testing.T) {
	tests := []struct{ before, after, want string }{
		{"a b c d", "a", "a|"},
		{"a b c d", "-", "a b c d|4 -> 0 until 5m0s"},
		{"a b c d e", "a", "a b c d e|5 -> 1 until 5m0s"},
	}
	for _, tt := range tests {
		g, now := guard{rules: config.Guard{Threshold: 50, Min: 4, Hold: testGuard.Hold}}, time.Now()
		drive(&g, tt.before, now)
		drive(&g, tt.after, now)
		if got := describe(&g, now, now); got != tt.want {
			t.Errorf("%q and then %q: served and held %q, want %q", tt.before, tt.after, got, tt.want)
		}
	}
}

func TestGuardSaysWhichRuleHolds(t *testing.T) {
	tests := []struct{ before, after, want string }{
		{"a b c d", "a", "1 left of 4, a loss of more than 50%"},
		{"a b c d", "-", "empty, after 4"},
		{"a b c d*", "d*", "none left that takes traffic, after 3"},
		{"", "-", "the first answer is empty, and there is no earlier set to compare it with"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			g, now := guard{rules: testGuard}, time.Now()
			if tt.before != "" {
				drive(&g, tt.before, now)
			}
			drive(&g, tt.after, now.Add(time.Second))
			h := g.hold(now.Add(time.Second))
			if h == nil || h.Rule != tt.want || !h.Since.Equal(now.Add(time.Second)) {
				t.Errorf("held %+v, want the rule %q since one second", h, tt.want)
			}
		})
	}
}

// A guardRun is a guard under random events, and what a reader of the registry knows.
type guardRun struct {
	g      guard
	now    time.Time
	want   map[string]bool          // what the registry shows; nil before the first answer
	absent map[string]time.Duration // for how long, while it could be read, it has not shown what it once did
	known  bool
	drains map[string]bool // last seen so
}

func newGuardRun(t *rapid.T) *guardRun {
	return &guardRun{now: time.Now(), absent: map[string]time.Duration{}, drains: map[string]bool{},
		g: guard{rules: config.Guard{Threshold: config.Percent(rapid.IntRange(0, 100).Draw(t, "threshold")),
			Min: rapid.IntRange(0, 4).Draw(t, "min"), Hold: config.Duration(10 * time.Second)}}}
}

// wait lets time pass and ticks, as the loop does, whenever the guard asked for it.
func (r *guardRun) wait(d time.Duration) {
	end := r.now.Add(d)
	for {
		at, ok := r.g.deadline(r.now)
		if !ok || at.After(end) {
			break
		}
		r.pass(at)
		r.g.tick(r.now)
	}
	r.pass(end)
}

func (r *guardRun) pass(to time.Time) {
	for id := range r.absent {
		if r.known {
			r.absent[id] += to.Sub(r.now)
		}
	}
	r.now = to
}

func (r *guardRun) see(instances []Instance) {
	r.known = true
	seen := map[string]bool{}
	for _, i := range instances {
		seen[i.ID], r.drains[i.ID] = true, i.Draining
		delete(r.absent, i.ID)
	}
	for id := range r.want {
		if _, ok := r.absent[id]; !seen[id] && !ok {
			r.absent[id] = 0
		}
	}
	r.want = seen
	r.g.see(instances, r.now)
}

// drawSet draws a set over few IDs, so that they come and go and come back.
func drawSet(t *rapid.T) []Instance {
	var words []string
	for _, id := range strings.Split("abcdefgh", "") {
		if n := rapid.IntRange(0, 9).Draw(t, id); n == 9 {
			words = append(words, id+"*")
		} else if n > 4 {
			words = append(words, id)
		}
	}
	return set(strings.Join(words, " "))
}

func TestGuardProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newGuardRun(t)
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			before, stable, accepted := r.g.served, r.g.hold(r.now) == nil, false
			switch event := rapid.SampledFrom([]string{"see", "see", "empty", "unknown", "wait", "wait", "accept"}).Draw(t, "event"); event {
			case "see":
				r.see(drawSet(t))
			case "empty":
				r.see(nil)
			case "unknown":
				r.known = false
				r.g.unknown(r.now)
				if names(before) != names(r.g.served) {
					t.Fatalf("unknown changed %q to %q", names(before), names(r.g.served))
				}
			case "wait":
				known := r.known
				r.wait(time.Duration(rapid.IntRange(1, 12000).Draw(t, "ms")) * time.Millisecond)
				if !known && names(before) != names(r.g.served) {
					t.Fatalf("time changed %q to %q while nobody saw", names(before), names(r.g.served))
				}
			case "accept":
				accepted = r.g.accept(r.now)
			}
			r.check(t, before, accepted)
			if stable && !accepted {
				r.checkLoss(t, before)
			}
		}
	})
}

// check holds after every event: what is there is served, nothing is emptied before it was
// absent for the whole hold, and nothing is held for longer than that.
func (r *guardRun) check(t *rapid.T, before []Instance, accepted bool) {
	hold := time.Duration(r.g.rules.Hold)
	for id := range r.want {
		if _, ok := find(r.g.served, id); !ok {
			t.Fatalf("%s is there and not served: %q", id, names(r.g.served))
		}
	}
	if len(before) > 0 && len(r.g.served) == 0 && !accepted {
		for _, i := range before {
			if r.want[i.ID] || r.absent[i.ID] < hold {
				t.Fatalf("emptied although %s was absent for %s only", i.ID, r.absent[i.ID])
			}
		}
	}
	for _, i := range r.g.served {
		if gone, ok := r.absent[i.ID]; ok && gone >= hold {
			t.Fatalf("%s is still served %s after it was lost", i.ID, gone)
		}
	}
	if held := r.g.hold(r.now) != nil; r.want != nil && !held && len(r.g.served) != len(r.want) {
		t.Fatalf("nothing is held, but %q is served instead of %v", names(r.g.served), r.want)
	}
}

// checkLoss holds after an event on a set of which nothing was held: no more than the
// threshold of it is gone, but for what drained and what was absent for the whole hold.
func (r *guardRun) checkLoss(t *rapid.T, before []Instance) {
	all, lost := 0, 0
	for _, i := range before {
		if i.Draining || r.drains[i.ID] {
			continue
		}
		all++
		if _, ok := find(r.g.served, i.ID); !ok && r.absent[i.ID] < time.Duration(r.g.rules.Hold) {
			lost++
		}
	}
	if left := live(r.g.served); lost > 0 && all > r.g.rules.Min && (all-left)*100 > int(r.g.rules.Threshold)*all {
		t.Fatalf("%q became %q at once", names(before), names(r.g.served))
	}
}

// However a set bleeds within one hold, what is served stays above the threshold.
func TestGuardCountsABleedTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(3, 200).Draw(t, "size")
		threshold := rapid.IntRange(1, 100).Draw(t, "threshold")
		g, now := guard{rules: config.Guard{Threshold: config.Percent(threshold), Min: 2, Hold: config.Duration(time.Hour)}}, time.Now()
		var all []Instance
		for n := range size {
			all = append(all, Instance{ID: fmt.Sprintf("i%03d", n), Host: fmt.Sprintf("h%d", n), Port: 80})
		}
		for g.see(all, now); len(all) > 0; g.see(all, now) {
			all = all[min(len(all), rapid.IntRange(1, 9).Draw(t, "step")):]
			now = now.Add(time.Second)
		}
		if least := max(1, (size*(100-threshold)+99)/100); len(g.served) < least || len(g.served) > least+9 {
			t.Fatalf("of %d, at a threshold of %d%%, %d are served", size, threshold, len(g.served))
		}
	})
}

func BenchmarkGuardOneOfTwenty(b *testing.B) {
	var all []Instance
	for n := range 20 {
		all = append(all, Instance{ID: fmt.Sprintf("10.0.0.%02d:80", n), Host: fmt.Sprintf("10.0.0.%d", n), Port: 80})
	}
	g, now := guard{rules: testGuard}, time.Now()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		g.see(all[n%2:], now)
	}
}
