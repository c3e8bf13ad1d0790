package watcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

func TestAChangeIsAppliedAtOnceAndItsBurstTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.show("api", "a b")
		r.wait(time.Second)
		r.show("api", "a b c")
		for _, more := range []string{"a b c d", "a b c d e", "b c d e"} {
			r.wait(5 * time.Millisecond)
			r.show("api", more)
		}
		r.wait(time.Second)
		r.wantApplied("0s api=a b", "1s api=a b c", "1.035s api=b c d e")
	})
}

func TestServicesThatAreDueTogetherAreOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api", "db", "web").start()
		defer r.stop()
		gate := make(chan struct{})
		r.sink.now(func(s *fakeSink) { s.gate = gate })
		r.show("web", "w")
		r.show("db", "d")
		r.show("api", "a")
		gate <- struct{}{}
		gate <- struct{}{}
		synctest.Wait()
		r.wantApplied("0s web=w", "0s api=a db=d")
	})
}

// Scenario 1, and "stale for ever": what is served stays, and everybody can see how old it is.
func TestRegistryAwayForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.show("api", "a b c")
		r.wait(time.Hour)
		r.lose("api", "no server answers")
		r.wait(100 * time.Hour)

		r.wantApplied("0s api=a b c")
		s := r.status("api")
		if s.Truth != Unknown || s.Reason != "no server answers" || time.Since(s.Since) != 100*time.Hour || time.Since(s.Read) != 101*time.Hour ||
			names(s.Instances) != "a b c" {
			t.Errorf("status %+v, want unknown for 100 hours, read 101 hours ago, and all served", s)
		}
		if audits, _, _ := r.sink.did(); audits < 100*60 {
			t.Errorf("%d audits in 100 hours: the proxy is on its own", audits)
		}
		r.show("api", "a b c")
		if s := r.status("api"); s.Truth != Known || s.Reason != "" || time.Since(s.Since) != 0 {
			t.Errorf("status %+v after the registry came back, want known", s)
		}
		r.wantApplied("0s api=a b c")
	})
}

// Scenario 2.
func TestStartWithoutARegistryServesTheStoredSets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api", "db", "new")
		r.d.Store = openStore(t, nil)
		r.start()
		r.show("db", "x y")
		r.show("api", "a b")
		r.show("new", "") // read, but there was never an instance
		r.wait(5 * time.Second)
		r.rev -= 2
		r.show("api", "a b") // an audit found the same
		r.wait(5 * time.Second)

		r = r.restart(r.d.Config)
		defer r.stop()
		r.wantApplied("10s api=a b db=x y")
		s := r.status("api")
		if s.Truth != Unknown || s.Reason != "from disk; not read yet" || names(s.Instances) != "a b" || time.Since(s.Read) != 5*time.Second {
			t.Errorf("status %+v, want unknown, from disk, read 5 seconds ago", s)
		}
		r.lose("api", "no server answers")
		r.wait(time.Hour)
		if s := r.status("api"); s.Reason != "from disk; no server answers" || time.Since(s.Read) != time.Hour+5*time.Second {
			t.Errorf("status %+v, want it to say where the set is from, why it is not better, and its age", s)
		}
		r.wantApplied("10s api=a b db=x y")
		if got := r.has("new"); got != "none" {
			t.Errorf("the sink was told %q of a service that nobody could read", got)
		}
		r.show("api", "a") // one of two is left: the set from disk is the measure, and small
		r.show("db", "")
		if r.has("api") != "a" || r.has("db") != "x y" || r.status("db").Held == nil {
			t.Errorf("api %q and db %q, want one gone and the other held", r.has("api"), r.has("db"))
		}
		r.lose("api", "no server answers")
		if s := r.status("api"); s.Reason != "no server answers" {
			t.Errorf("reason %q, although the set is not from disk any more", s.Reason)
		}
	})
}

func TestWhatIsNoLongerRoutedIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api", "db")
		r.d.Store = openStore(t, nil)
		r.start()
		r.show("api", "a")
		r.show("db", "x")
		r = r.restart(testConfig("api"))
		r.show("api", "a b")
		r = r.restart(testConfig("api", "db"))
		defer r.stop()
		if r.has("api") != "a b" || r.has("db") != "none" {
			t.Errorf("served from disk: api %q and db %q, want api alone", r.has("api"), r.has("db"))
		}
	})
}

// Scenario 16: the whole fleet starts again and finds what it had.
func TestAnUnchangedSetIsNotAppliedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api", "db")
		r.d.Store = openStore(t, nil)
		r.start()
		r.show("api", "a b")
		r.show("db", "x y*")
		r.wait(10 * time.Second)

		r = r.restart(r.d.Config)
		defer r.stop()
		written := modified(t, r.d.Store)
		r.rev -= 2 // nothing happened in the registry
		r.show("api", "a b")
		r.show("db", "x y*")
		r.wait(time.Hour)
		r.wantApplied("10s api=a b db=x y*") // of which the proxy has every bit: no command
		if now := modified(t, r.d.Store); now != written {
			t.Errorf("the sets were stored at %s and again at %s", written, now)
		}
	})
}

// Scenario 29: no decision depends on what a clock on the wall shows.
func TestClocksThatAreDecadesOffDecideNothing(t *testing.T) {
	for _, off := range []time.Duration{-30 * 365 * 24 * time.Hour, 30 * 365 * 24 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, "api")
				r.d.Store = openStore(t, nil)
				wall := func() time.Time { return time.Now().Round(0).Add(off) }
				r.d.Store.put("api", stored{Service: r.d.Config.Services["api"], Revision: 7, Read: wall(), Instances: set("a b c d")})
				r.start()
				defer r.stop()
				show := func(revision int64, instances string) {
					r.source.show(Snapshot{Service: "api", Truth: Known, Instances: set(instances), Revision: revision, Event: "children changed", At: wall()})
					synctest.Wait()
				}
				show(8, "a b c d e f")
				show(9, "a b c d e f g")
				r.wait(time.Second)
				show(10, "a")
				r.wait(4*time.Minute + 59*time.Second)
				if got := r.has("api"); got != "a b c d e f g" {
					t.Errorf("after 4m59s %q is served, want all still held", got)
				}
				r.wait(time.Second)
				r.wantApplied("0s api=a b c d", "0s api=a b c d e f", "20ms api=a b c d e f g", "5m1s api=a")
			})
		})
	}
}

// Scenario 32: a service whose instances come and go all the time costs two changes a
// second at most, and the others nothing.
func TestAFlappingServiceDoesNotStarveOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testConfig("api", "flappy")
		c.Settle.Max = config.Duration(500 * time.Millisecond)
		r := rigOf(t, c).start()
		defer r.stop()
		r.show("flappy", "a b c d")
		r.show("api", "x")
		for n := range 1000 { // 10 seconds
			r.show("flappy", []string{"a b c d", "a b d", "a c d e"}[n%3])
			if n == 500 {
				r.show("api", "x y")
			}
			r.wait(10 * time.Millisecond)
		}
		flaps, api := 0, ""
		for _, line := range r.applied() {
			if strings.Contains(line, "flappy") {
				flaps++
			}
			if strings.Contains(line, "api=x y") {
				api = line
			}
		}
		if flaps < 10 || flaps > 25 {
			t.Errorf("flappy was applied %d times in 10 seconds, want about 20", flaps)
		}
		if !strings.HasPrefix(api, "5s ") {
			t.Errorf("api was applied as %q, want at 5s, when it changed", api)
		}
	})
}

// Scenario 33, with both ends that it can have.
func TestAnEmptyRegistryIsHeldUntilTimeOrAnOperatorBelievesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api", "db").start()
		defer r.stop()
		r.show("api", "a b c")
		r.show("db", "x")
		r.wait(time.Second)
		r.show("api", "")
		r.show("db", "")
		r.wait(time.Minute)
		s := r.status("api")
		if s.Truth != Empty || s.Held == nil || s.Held.Until.Sub(r.begin) != 5*time.Minute+time.Second || names(s.Instances) != "a b c" || s.Revision != 1 {
			t.Errorf("status %+v, want empty, held until 5m1s, and revision 1 served", s)
		}
		if err := r.d.Accept("db"); err != nil {
			t.Fatal(err)
		}
		r.wait(4*time.Minute - time.Second)
		r.wantApplied("0s api=a b c", "0s db=x", "1m1s db=")
		if s := r.status("db"); s.Held != nil || len(s.Instances) != 0 || s.Revision != 4 {
			t.Errorf("status %+v, want an empty set of revision 4 served", s)
		}
		r.wait(time.Second)
		if r.has("api") != "" || r.status("api").Held != nil {
			t.Errorf("api is still %q after its time", r.has("api"))
		}
		if err := r.d.Accept("api"); !errors.Is(err, ErrNothingHeld) {
			t.Errorf("accepted once more: %v, want %v", err, ErrNothingHeld)
		}
		if err := r.d.Accept("nobody"); !errors.Is(err, ErrNoRoute) {
			t.Errorf("accepted what is not routed: %v, want %v", err, ErrNoRoute)
		}
	})
}

// Scenario 36.
func TestAServiceThatCannotBeReadKeepsNoOtherBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api", "db").start()
		defer r.stop()
		r.show("api", "a")
		r.show("db", "x")
		r.lose("db", "the child list is greater than 1 MiB")
		r.wait(time.Second)
		r.show("api", "a b")
		r.wantApplied("0s api=a", "0s db=x", "1s api=a b")
		if s := r.status("db"); s.Truth != Unknown || names(s.Instances) != "x" {
			t.Errorf("db is %+v, want unknown and served", s)
		}
		if s := r.status("api"); s.Truth != Known {
			t.Errorf("api is %s, want known", s.Truth)
		}
	})
}

// Scenario 37: 1,000 events a second of 10 services, and a sink that takes its time.
func TestAStormIsCoalescedAndOthersGetThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var services []string
		for n := range 10 {
			services = append(services, fmt.Sprintf("storm%d", n))
		}
		r := newRig(t, append(services, "quiet")...).start()
		defer r.stop()
		gate := make(chan struct{})
		r.sink.now(func(s *fakeSink) { s.gate = gate })
		end := make(chan struct{})
		go func() { // 50 ms an Apply
			for {
				select {
				case <-end:
					return
				case <-time.After(50 * time.Millisecond):
				}
				select {
				case <-end:
					return
				case gate <- struct{}{}:
				}
			}
		}()
		for n := range 3000 {
			r.rev++
			r.source.show(Snapshot{Service: services[n%10], Truth: Known, Instances: set(fmt.Sprintf("a b c%d", n)), Revision: r.rev, Event: "children changed"})
			if n == 1500 {
				r.show("quiet", "q")
			}
			time.Sleep(time.Millisecond)
			if letters := r.letters(); letters > len(services)+1 {
				t.Fatalf("%d letters wait for the loop, of %d services", letters, len(services)+1)
			}
		}
		r.wait(2 * time.Second)
		close(end)
		synctest.Wait()
		if n := len(r.applied()); n > 75 {
			t.Errorf("%d calls of the sink for 3,000 events in 3 seconds", n)
		}
		first := slices.IndexFunc(r.applied(), func(line string) bool { return strings.Contains(line, "quiet=q") })
		if first < 0 {
			t.Fatal("the quiet service was never applied")
		}
		if at := r.sink.calls[first].at.Sub(r.begin); at > 1700*time.Millisecond {
			t.Errorf("the quiet service changed after 1.5s and was applied after %s", at)
		}
		for n, service := range services {
			if want := fmt.Sprintf("a b c%d", 2990+n); r.has(service) != want {
				t.Errorf("%s is %q in the end, want %q", service, r.has(service), want)
			}
		}
	})
}

func TestASlowSinkGetsTheNewestAndBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		gate := make(chan struct{})
		r.sink.now(func(s *fakeSink) { s.gate = gate })
		r.show("api", "a")
		for n := range 100 {
			r.wait(100 * time.Millisecond)
			r.show("api", fmt.Sprintf("a b%d", n))
		}
		if s := r.status("api"); !s.Pending || names(s.Instances) != "a b99" || s.Revision != 0 {
			t.Errorf("status %+v, want the newest pending, and no revision served", s)
		}
		if err := r.d.Alive(context.Background()); err != nil {
			t.Errorf("the loop waits for the sink: %v", err)
		}
		gate <- struct{}{}
		gate <- struct{}{}
		synctest.Wait()
		r.wantApplied("10s api=a", "10s api=a b99")
		if s := r.status("api"); s.Pending || s.Revision != r.rev {
			t.Errorf("status %+v, want revision %d served", s, r.rev)
		}
	})
}
