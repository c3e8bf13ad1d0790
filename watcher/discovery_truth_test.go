package watcher

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestARevisionThatGoesBack(t *testing.T) {
	const reason = "the registry answers with revision 7, older than 10 that was read before; believed if it stands for 1m7.5s"
	show := func(r *rig, revision int64, instances string) {
		r.rev = revision - 1
		r.show("api", instances)
	}
	start := func(t *testing.T) *rig {
		r := newRig(t, "api").start()
		show(r, 10, "a b")
		r.wait(time.Second)
		r.begin = time.Now()
		show(r, 7, "a b c")
		if s := r.status("api"); s.Truth != Unknown || s.Reason != reason || s.Revision != 10 {
			t.Errorf("status %+v, want unknown because of the older revision, and 10 served", s)
		}
		r.wait(time.Second)
		return r
	}
	tests := []struct {
		name string
		then func(r *rig)
		want []string
	}{
		{"a server that lags catches up", func(r *rig) {
			show(r, 8, "b c")
			r.until(2 * time.Second)
			show(r, 10, "a b")
			r.until(time.Hour)
			if s := r.status("api"); s.Truth != Known || s.Revision != 10 {
				r.t.Errorf("status %+v, want 10 known", s)
			}
		}, nil},
		{"a registry that was put back stays so", func(r *rig) {
			r.until(time.Minute)
			show(r, 8, "a b c d")
			r.until(67499 * time.Millisecond)
			r.wantApplied("-1s api=a b")
			r.until(68 * time.Second)
			show(r, 9, "a b c")
			if s := r.status("api"); s.Truth != Known || s.Revision != 9 {
				r.t.Errorf("status %+v, want 9 known", s)
			}
		}, []string{"1m7.5s api=a b c d", "1m8s api=a b c"}},
		{"nobody vouches for it while the registry is away", func(r *rig) {
			r.until(time.Minute)
			r.lose("api", "no server answers")
			r.until(time.Hour)
			show(r, 7, "a b c")
			r.until(time.Hour + 2*time.Minute)
		}, []string{"1h1m7.5s api=a b c"}},
		{"nor while it shows nothing of use", func(r *rig) {
			r.until(time.Minute)
			r.source.show(Snapshot{Service: "api", Truth: Known, Revision: 11, Rejected: []Rejection{{"a", "no JSON"}}})
			r.until(time.Hour)
			if s := r.status("api"); s.Truth != Unknown {
				r.t.Errorf("status %+v, want unknown", s)
			}
		}, nil},
		{"an operator believes it", func(r *rig) {
			if err := r.d.Accept("api"); err != nil {
				r.t.Error(err)
			}
			synctest.Wait()
		}, []string{"1s api=a b c"}},
		{"what was wiped is empty, and a loss like any other", func(r *rig) {
			show(r, 1, "")
			r.until(2 * time.Minute)
			if s := r.status("api"); s.Truth != Empty || s.Held == nil {
				r.t.Errorf("status %+v, want empty and held", s)
			}
			r.until(time.Hour)
		}, []string{"6m7.5s api="}},
		{"none at all is compared with nothing", func(r *rig) {
			show(r, 0, "b")
			if s := r.status("api"); s.Truth != Known || s.Revision != 10 {
				r.t.Errorf("status %+v, want known, and still 10", s)
			}
		}, []string{"1s api=b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t)
				defer r.stop()
				tt.then(r)
				r.wantApplied(append([]string{"-1s api=a b"}, tt.want...)...)
			})
		})
	}
}

func TestEntriesOfWhichNoneCanBeUsedAreNotEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.show("api", "a b")
		r.source.show(Snapshot{Service: "api", Truth: Known, Revision: 9, Rejected: []Rejection{{"a", "port 70000"}, {"b", "no JSON"}}})
		r.wait(time.Hour)
		if s := r.status("api"); s.Truth != Unknown || s.Reason != "none of 2 entries can be used; a: port 70000" || len(s.Rejected) != 2 || s.Held != nil {
			t.Errorf("status %+v", s)
		}
		r.source.show(Snapshot{Service: "api", Truth: Known, Revision: 10})
		r.wait(time.Second)
		if s := r.status("api"); s.Truth != Unknown || s.Reason != "the source shows no instance and does not say that it is empty" {
			t.Errorf("status %+v", s)
		}
		r.source.show(Snapshot{Service: "api", Truth: Known, Revision: 11, Instances: set("b"), Rejected: []Rejection{{"a", "port 70000"}}})
		r.wait(time.Second)
		r.wantApplied("0s api=a b", "1h0m1s api=b")
	})
}

func TestAnAddressIsServedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		in := set("n_0000000001@x n_0000000002@y n_0000000003@x")
		slices.Reverse(in) // nor does it trust the order
		r.source.show(Snapshot{Service: "api", Truth: Known, Revision: 1, Instances: in})
		r.wait(time.Second)
		r.wantApplied("0s api=n_0000000002@y n_0000000003@x")
		if s := r.status("api"); len(s.Rejected) != 1 || s.Rejected[0] != (Rejection{"n_0000000001", "the same address as n_0000000003"}) {
			t.Errorf("rejected %+v", s.Rejected)
		}
	})
}

func TestWhatWasReadJustBeforeTheRegistryWasLostIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.show("api", "a")
		r.wait(time.Second)
		r.show("api", "a b")
		r.rev++
		r.source.publish(Snapshot{Service: "api", Truth: Known, Instances: set("a b c"), Revision: r.rev}) // waits for silence
		r.source.publish(Snapshot{Service: "api", Truth: Unknown, Reason: "gone"})
		synctest.Wait()
		r.wantApplied("0s api=a", "1s api=a b", "1s api=a b c")
		if s := r.status("api"); s.Truth != Unknown || s.Reason != "gone" || s.Revision != 3 {
			t.Errorf("status %+v, want unknown, and revision 3 served", s)
		}
		r.source.publish(Snapshot{Service: "api", Truth: Unknown, Reason: "gone again"})
		r.source.publish(Snapshot{Service: "api", Truth: Known, Instances: set("a b c"), Revision: r.rev})
		r.wait(time.Second)
		if s := r.status("api"); s.Truth != Known {
			t.Errorf("status %+v, want known: that came last", s)
		}
	})
}

// A host that was paused has seen nothing meanwhile, so the time counts towards nothing.
func TestTimeInWhichTheProcessDidNotRunDecidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api", "db")
		r.d.setup()
		l, now := newLoop(r.d), time.Now()
		turn := func(after time.Duration) {
			now = now.Add(after)
			l.turn(t.Context(), now)
			synctest.Wait()
			l.turn(t.Context(), now)
		}
		put := func(service string, truth Truth, revision int64, instances string) {
			r.d.inbox.put(Snapshot{Service: service, Truth: truth, Revision: revision, Instances: set(instances)})
			turn(20 * time.Millisecond)
		}
		turn(0)
		put("api", Known, 1, "a b c")
		put("db", Known, 2, "x")
		put("api", Empty, 3, "")
		put("db", Known, 1, "x y")
		turn(10 * time.Minute)
		turn(time.Hour)
		if r.has("api") != "a b c" || r.has("db") != "x" {
			t.Errorf("api is %q and db %q after a pause, want them as they were", r.has("api"), r.has("db"))
		}
		for range 68 {
			turn(beat)
		}
		if r.has("api") != "a b c" || r.has("db") != "x y" {
			t.Errorf("api is %q and db %q after 68 seconds, want the older revision of db believed", r.has("api"), r.has("db"))
		}
		for range 232 {
			turn(beat)
		}
		if r.has("api") != "" {
			t.Errorf("api is %q after five minutes, want the loss believed", r.has("api"))
		}
	})
}

// Names alone are served until the data has been read, but only where nothing is served yet.
func TestAProvisionalSnapshot(t *testing.T) {
	provisional := func(instances string) Snapshot {
		return Snapshot{Service: "api", Truth: Known, Provisional: true, Instances: set(instances), Event: "first read"}
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.source.show(provisional(""))
		r.wait(time.Second)
		if s := r.status("api"); s.Truth != Unknown || s.Reason != "not read yet" {
			t.Errorf("status %+v after no names, want that it was not read", s)
		}
		r.source.show(provisional("a b c"))
		r.wait(10 * time.Millisecond)
		r.show("api", "a b* c")
		r.wait(time.Second)
		r.lose("api", "no server answers")
		r.source.show(provisional("a b"))
		r.wait(time.Second)
		if s := r.status("api"); s.Truth != Unknown || s.Revision != 1 {
			t.Errorf("status %+v, want it unknown until it is read whole", s)
		}
		r.show("api", "a b*")
		r.wantApplied("1s api=a b c", "1.03s api=a b* c", "3.01s api=a b*")
	})
}

func TestAnEmptySnapshotHasNoInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.show("api", "a")
		r.source.show(Snapshot{Service: "api", Truth: Empty, Revision: 2, Instances: set("b"), Reason: "no such path"}) // whatever that means
		r.wait(time.Second)
		r.wantApplied("0s api=a")
		if s := r.status("api"); s.Truth != Empty || s.Reason != "no such path" || s.Held == nil {
			t.Errorf("status %+v, want empty, how so, and held", s)
		}
	})
}

func TestSetsDifferInWhatTheProxyMustKnow(t *testing.T) {
	one := Instance{ID: "a", Host: "h", Port: 1, Name: "n", Weight: 1, Zone: "z", Labels: map[string]string{"k": "v"}, Draining: false}
	if !sameSet([]Instance{one}, []Instance{one}) || !sameSet(nil, []Instance{}) {
		t.Error("a set differs from itself")
	}
	for field := range reflect.TypeFor[Instance]().NumField() {
		other := one
		switch v := reflect.ValueOf(&other).Elem().Field(field); v.Kind() {
		case reflect.String:
			v.SetString("other")
		case reflect.Int:
			v.SetInt(7)
		case reflect.Bool:
			v.SetBool(true)
		default:
			v.Set(reflect.ValueOf(map[string]string{"k": "w"}))
		}
		if sameSet([]Instance{one}, []Instance{other}) {
			t.Errorf("the same although %s differs", reflect.TypeFor[Instance]().Field(field).Name)
		}
	}
}

// A source that reads again makes a new slice of what is the same. Whoever keeps the old one
// keeps everything twice.
func TestEqualSetsAreOneInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api")
		r.d.Store = openStore(t, nil)
		r.start()
		defer r.stop()
		for _, tt := range []struct{ name, served string }{{"first", "a b c"}, {"the same, read again", "a b c"}, {"another", "a c"}, {"that one, read again", "a c"}} {
			shown := set(tt.served)
			r.rev++
			r.source.show(Snapshot{Service: "api", Truth: Known, Instances: shown, Revision: r.rev, Event: "children changed", At: time.Now()})
			r.wait(time.Second)
			r.d.mu.Lock()
			s := r.d.services["api"]
			kept, _ := r.d.Store.get("api", s.conf)
			for at, have := range map[string][]Instance{"want": s.guard.want, "served": s.guard.served, "stable": s.guard.stable, "sent": s.out.sent, "the store": kept.Instances} {
				if !oneSlice(have, shown) {
					t.Errorf("%s: %s has a slice of its own, %q", tt.name, at, names(have))
				}
			}
			r.d.mu.Unlock()
		}
		r.wantApplied("0s api=a b c", "2s api=a c")
	})
}

func TestAnAuditThatFindsWhatNoEventToldIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		for n, instances := range []string{"a", "a", "a b"} {
			r.source.show(Snapshot{Service: "api", Truth: Known, Instances: set(instances), Revision: int64(n), Event: []string{"children changed", "audit", "audit"}[n]})
			r.wait(time.Second)
		}
		if s := r.status("api"); s.Missed != 1 {
			t.Errorf("%d missed, want 1", s.Missed)
		}
	})
}

func TestTheJournalTellsWhichEventAndRuleLedToWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api", "db").start()
		defer r.stop()
		gate := make(chan struct{}, 9)
		r.sink.now(func(s *fakeSink) { s.gate = gate })
		r.show("db", "z")
		r.show("db", "y")
		r.show("api", "a b c d e f g h")
		for range 9 {
			gate <- struct{}{}
		}
		r.wait(time.Second)
		r.show("api", "a")
		r.wait(5 * time.Minute)
		r.lose("api", "no server answers")
		var got []string
		for _, e := range r.d.Journal.Entries("api", 0) {
			line := e.At.Sub(r.begin).String() + " " + e.Event + " | " + e.Rule
			for _, a := range e.Actions {
				line += " | " + a.Text
			}
			got = append(got, line)
		}
		want := []string{
			"5m1s connection lost | unknown: no server answers",
			"5m1s children changed | hold is over | serve a",
			"5m1s children changed | hold ended: hold is over; 1 served",
			"1s children changed | held: 1 left of 8, a loss of more than 50%; held back: b, c, d, e, f and 2 more",
			"0s children changed | as read | serve a b c d e f g h",
			"0s children changed | known",
		}
		if !slices.Equal(got, want) {
			t.Errorf("the journal has\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
	})
}
