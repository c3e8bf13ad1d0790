package watcher

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// manager is a service manager that writes down what it is told.
type manager struct {
	mu   sync.Mutex
	told []string
}

func (m *manager) notify(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, state)
}

// since returns what was told after the first n words, and how many there are now.
func (m *manager) since(n int) (string, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.told[n:], "; "), len(m.told)
}

// inSystemd runs a stage in fake time, as a unit with WatchdogSec=30.
func inSystemd(t *testing.T, change func(s *stage), test func(s *stage, m *manager)) {
	c := stageConfig(t, nil)
	synctest.Test(t, func(t *testing.T) {
		s, m := newStage(t, nil), &manager{}
		s.Config, s.Notify, s.Watchdog = c, m.notify, 30*time.Second
		if change != nil {
			change(s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		s.stop = sync.OnceValue(func() error { cancel(); return <-done })
		test(s, m)
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestTheServiceManagerHearsOfEachStep(t *testing.T) {
	inSystemd(t, nil, func(s *stage, m *manager) {
		time.Sleep(time.Second)
		synctest.Wait()
		told, n := m.since(0)
		if told != "READY=1; WATCHDOG=1; STATUS=serving 1 services with 2 instances" {
			t.Errorf("after a second: %s", told)
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if told, n = m.since(n); told != "WATCHDOG=1; WATCHDOG=1; WATCHDOG=1" {
			t.Errorf("while nothing happens: %s", told)
		}
		if err := s.Reload(s.t.Context(), s.Config); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		told, n = m.since(n)
		if !strings.HasPrefix(told, "RELOADING=1\nMONOTONIC_USEC=") || !strings.HasSuffix(told, "; READY=1") {
			t.Errorf("a reload: %s", told)
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if told, _ = m.since(n); told != "STOPPING=1" {
			t.Errorf("the end: %s", told)
		}
	})
}

// A host must boot when its registry is down: ready comes late, with what is missing.
func TestReadyWithoutARegistry(t *testing.T) {
	inSystemd(t, func(s *stage) { s.ensemble.noAnswer = true }, func(s *stage, m *manager) {
		time.Sleep(readyWithin - time.Millisecond)
		synctest.Wait()
		if told, _ := m.since(0); told != "" {
			t.Errorf("too early: %s", told)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if told, _ := m.since(0); told != "READY=1; WATCHDOG=1; STATUS=serving 1 services with 0 instances, 1 not readable now; registry main: connecting" {
			t.Errorf("told %s", told)
		}
	})
}

// Scenario 2: what is on disk is served before the registry has answered, and that is ready.
func TestReadyFromDiskWithoutARegistry(t *testing.T) {
	inSystemd(t, func(s *stage) {
		store, err := OpenStore(s.Config.StateDir)
		if err != nil {
			t.Fatal(err)
		}
		store.put("web", stored{Service: s.Config.Services["web"], Revision: 3, Read: time.Now(), Instances: set("10.0.0.1")})
		if err := store.flush(); err != nil {
			t.Fatal(err)
		}
		s.ensemble.noAnswer = true
	}, func(s *stage, m *manager) {
		time.Sleep(readyLook)
		synctest.Wait()
		if told, _ := m.since(0); !strings.HasPrefix(told, "READY=1; WATCHDOG=1; STATUS=serving 1 services with 1 instances, 1 not readable now") {
			t.Errorf("told %s", told)
		}
		if got := s.proxy.serving("web"); got != "10.0.0.1:80" {
			t.Errorf("served %q", got)
		}
	})
}

// The watchdog is fed by the parts that work, not by a goroutine that has nothing to do.
func TestTheWatchdogStarvesWhenALoopIsStuck(t *testing.T) {
	inSystemd(t, nil, func(s *stage, m *manager) {
		time.Sleep(time.Second)
		synctest.Wait()
		blocked, release := make(chan struct{}), make(chan struct{})
		s.now.discovery.inbox.call(func(*loop, time.Time) { close(blocked); <-release })
		<-blocked
		_, n := m.since(0)
		time.Sleep(time.Minute)
		if told, _ := m.since(n); told != "" {
			t.Errorf("while discovery is stuck: %s", told)
		}
		close(release)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if told, _ := m.since(n); !strings.Contains(told, "WATCHDOG=1") {
			t.Errorf("when it turns again: %q", told)
		}
	})
}

// A proxy that does not answer is no reason to be killed: it is served from elsewhere.
func TestTheWatchdogIsFedWhileTheProxyHangs(t *testing.T) {
	stuck := make(chan struct{})
	inSystemd(t, func(s *stage) { stuck = make(chan struct{}); s.proxy.stuck = stuck }, func(s *stage, m *manager) {
		time.Sleep(readyWithin + 21*time.Second)
		synctest.Wait()
		if told, _ := m.since(0); strings.Count(told, "WATCHDOG=1") < 4 {
			t.Errorf("told %s", told)
		}
		close(stuck)
	})
}

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status Status
		want   string
	}{
		{"a host that only registers", Status{Registrations: []RegistrationStatus{{Announced: true}, {}}}, "1 of 2 registrations announced"},
		{"held", Status{HAProxy: &ProxyStatus{}, Services: []ServiceStatus{{Truth: Known, Held: &Hold{}, Instances: set("a b")}}},
			"serving 1 services with 2 instances, 1 held by the guard"},
		{"a refused configuration", Status{HAProxy: &ProxyStatus{}, Refused: "x"}, "serving 0 services with 0 instances; the newest configuration was refused"},
		{"nothing at all", Status{}, ""},
	} {
		if got := tt.status.Summary(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
