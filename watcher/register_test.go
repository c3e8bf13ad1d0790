package watcher

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zkboot/zkboot/watcher/config"
)

func TestAnnouncedWhileTheCheckPasses(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.expect("one pass", "")
		w.after(time.Second)
		w.expect("two passes", "announce shop-1")
		want := Announcement{Name: "shop-1", Service: "shop", At: w.cfg.Services["shop"],
			Instance: Instance{Host: "10.0.0.1", Port: 8001, Name: "app1", Weight: DefaultWeight, Zone: "z1"}}
		if diff := cmp.Diff(want, w.reg.nodes["shop-1"]); diff != "" {
			t.Errorf("the announcement (-want +got):\n%s", diff)
		}
		w.after(time.Hour)
		w.expect("an hour without change", "")
		w.ill("shop-1", errRefused)
		for range 300 { // and no longer: a fourth failure would be in the status
			if w.after(10 * time.Millisecond); w.reg.there() == "" {
				break
			}
		}
		w.expect("three failures", "withdraw shop-1")
		s := w.status("shop-1")
		if diff := cmp.Diff(RegistrationStatus{Name: "shop-1", Service: "shop", Addr: "10.0.0.1:8001", Why: "connection refused (3 in a row, down after 3)",
			LastCheck: "connection refused", Fails: 3, Flips: 2}, s, cmpopts.IgnoreFields(RegistrationStatus{}, "Since", "Checks")); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		w.ill("shop-1", nil)
		w.after(2 * time.Second)
		w.expect("two passes", "announce shop-1")
		e := w.r.Journal.Entries("shop", 0)
		if len(e) != 3 || e[1].Event != "connection refused (3 in a row, down after 3)" || e[1].Actions[0] != (Action{Kind: "withdraw", Text: "10.0.0.1:8001"}) {
			t.Errorf("the journal does not say why: %+v", e)
		}
	})
}

// The time from the death of a service to its withdrawal is less than interval x fall,
// whenever in an interval it dies.
func TestDetectionBound(t *testing.T) {
	for ms := 0; ms < 1000; ms += 50 {
		inWorld(t, 1, func(t *testing.T, w *world) {
			w.after(5*time.Second + time.Duration(ms)*time.Millisecond)
			w.expect("start", "announce shop-1")
			w.ill("shop-1", errRefused)
			died := time.Now()
			for w.reg.there() != "" {
				w.after(time.Millisecond)
				if time.Since(died) > time.Minute {
					t.Fatal("never withdrawn")
				}
			}
			if took := time.Since(died); took > 3*time.Second+10*time.Millisecond {
				t.Errorf("dead %dms into an interval: withdrawn after %v, want 3s at most", ms, took)
			}
		})
	}
}

// A restart of zkwatch, also by SIGKILL, is not seen: what the process before announced
// stays until the new one has announced the same or knows better.
func TestARestartIsNotSeen(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.expect("start", "announce shop-1")
		w.stop()
		w.expect("the end", "")
		w.ill("shop-1", errRefused) // less than fall failures after the start
		w.run()
		w.after(1500 * time.Millisecond)
		w.ill("shop-1", nil)
		w.after(time.Hour)
		w.expect("the same is announced again, which writes nothing", "")
		if s := w.status("shop-1"); !s.Announced || !s.Healthy {
			t.Errorf("status after the restart: %+v", s)
		}
		w.stop()
		w.ill("shop-1", errRefused)
		w.run()
		w.after(10 * time.Second)
		w.expect("the service died meanwhile", "withdraw shop-1")
	})
}

func TestFlappingServiceIsDamped(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.expect("start", "announce shop-1, announce shop-2")
		for range 100 { // it dies after 5 s, each time
			w.ill("shop-1", errRefused)
			w.after(5 * time.Second)
			if got := w.reg.there(); got != "shop-2" {
				t.Fatalf("announced 5 s after its death: %q; the way down is never delayed", got)
			}
			if s := w.status("shop-1"); s.Healthy {
				t.Fatalf("status 5 s after its death: %+v", s)
			}
			w.ill("shop-1", nil)
			w.after(5 * time.Second)
		}
		calls := strings.Count(w.reg.said(), "shop-1")
		if most := flipBurst + 100 + 1; calls > most || calls < 50 {
			t.Errorf("%d changes in 1000 s, want one in 10 s and the burst: at most %d", calls, most)
		}
		w.ill("shop-1", errRefused)
		w.after(5 * time.Second)
		w.ill("shop-1", nil)
		w.after(5 * time.Second)
		if why := w.status("shop-1").Why; !strings.Contains(why, "goes up and down too often: up in ") {
			t.Errorf("the status does not say what it waits for: %q", why)
		}
		w.after(20 * time.Second)
		if got := w.reg.there(); got != "shop-1 shop-2" {
			t.Errorf("healthy for 25 s, but announced are %q", got)
		}
	})
}

func TestTheRegistryIsTriedAgain(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.reg.set(func() { w.reg.fail = errRegistry })
		w.after(time.Minute)
		tries := strings.Count(w.reg.said(), "announce shop-1 failed")
		if tries < 10 || tries > 40 {
			t.Errorf("%d tries in a minute, want a growing pause of up to 5 s", tries)
		}
		if s := w.status("shop-1"); !s.Healthy || s.Announced || !strings.Contains(s.Why, "the registry: no quorum") {
			t.Errorf("status: %+v", s)
		}
		if e := w.r.Journal.Entries("shop", 0); len(e) != 1 || e[0].Error != "no quorum" {
			t.Errorf("the journal holds %d entries, want one about the first try: %+v", len(e), e)
		}
		w.reg.set(func() { w.reg.fail = nil })
		w.after(5 * time.Second)
		w.expect("the registry is back", "announce shop-1")
	})
}

func TestADeadServiceIsNotAnnouncedByALateCall(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.reg.set(func() { w.reg.hang = true })
		w.after(1500 * time.Millisecond)
		w.ill("shop-1", errRefused)
		w.after(time.Second)
		w.reg.set(func() { w.reg.hang = false }) // for calls to come: the one under way hangs on
		w.after(2 * time.Second)
		w.expect("the announcement is ended when the service dies, not by its timeout", "announce shop-1 failed")
		w.after(time.Minute)
		w.expect("and it is not there", "")
		if got := w.reg.there(); got != "" {
			t.Errorf("announced are %q", got)
		}
	})
}

func TestACheckThatNeverReturns(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.expect("start", "announce shop-1")
		w.mu.Lock()
		w.disk = make(chan struct{})
		before := w.asked["shop-1"]
		w.mu.Unlock()
		w.after(time.Minute)
		w.expect("it counts as failing", "withdraw shop-1")
		if w.most != 1 || w.asked["shop-1"] != before+1 {
			t.Errorf("%d more checks, %d at once; want one that is waited for", w.asked["shop-1"]-before, w.most)
		}
		if got := w.status("shop-1").LastCheck; !strings.Contains(got, "does not return and cannot be ended") {
			t.Errorf("the last check is %q", got)
		}
		w.mu.Lock()
		close(w.disk)
		w.disk = nil
		w.mu.Unlock()
		w.after(5 * time.Second)
		w.expect("the disk is back", "announce shop-1")
	})
}

func TestWrongRegistrationsAreAllNamed(t *testing.T) {
	w := newWorld(t, 2)
	check := config.ServiceCheck{TCP: "127.0.0.1:1"}
	w.cfg.Services["far"] = config.Service{Registry: "elsewhere"}
	w.cfg.Services["alias"] = w.cfg.Services["shop"]
	w.cfg.Register = map[string]config.Registration{
		"a":      {Service: "shop", Port: 1, Check: check},
		"b":      {Service: "alias", Port: 1, Check: check},
		"c":      {Service: "none", Port: 1, Check: check},
		"d":      {Service: "far", Port: 1, Check: check},
		"e":      {Service: "shop", Port: 2},
		"all":    {Service: "shop", Port: 3, Check: check},
		"../etc": {Service: "shop", Port: 4, Check: check},
		".f":     {Service: "shop", Port: 5, Check: check},
	}
	r := &Registrations{Config: w.cfg, Registrars: map[string]Registrar{"main": w.reg}}
	err := r.Run(t.Context())
	want := `register["../etc"]: the name is used for a file in the spool: it cannot be "all", begin with a dot or hold a slash
register[".f"]: the name is used for a file in the spool: it cannot be "all", begin with a dot or hold a slash
register["all"]: the name is used for a file in the spool: it cannot be "all", begin with a dot or hold a slash
register["b"]: announces 10.0.0.1:1 in main /services/shop, which register["a"] does already
register["c"]: service "none" is not configured
register["d"]: service "far" is in registry "elsewhere", which cannot be announced to
register["e"]: check: a check has exactly one of http, tcp and exec`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.cfg.Address = ""
	w.cfg.Register = map[string]config.Registration{"a": {Service: "shop", Port: 1, Check: check}}
	if err := r.Run(t.Context()); err == nil || err.Error() != `register["a"]: no address: neither the registration nor the host has one` {
		t.Errorf("no address: got %v", err)
	}
	for what, err := range map[string]error{"Hold": r.Hold(t.Context(), "a"), "Release": r.Release(t.Context(), "a"), "Undrain": r.Undrain(t.Context(), "all")} {
		if !errors.Is(err, ErrNoRegistration) {
			t.Errorf("%s of registrations that do not run: got %v", what, err)
		}
	}
}
