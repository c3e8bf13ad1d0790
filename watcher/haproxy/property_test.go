package haproxy

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// Whatever happens, and in whatever order: what is wanted is served; a live instance keeps
// its server as long as the worker lives; no server in rotation or with connections gets
// another address (the fake watches that); and the file says the same as the worker.
func TestWhateverHappensTheWantedIsServed(t *testing.T) {
	dir := memory(t)
	rapid.Check(t, func(rt *rapid.T) {
		file := fmt.Sprintf("%s/%d/zkwatch.cfg", dir, rapid.Uint64().Draw(rt, "dir"))
		c := config.Config{Routes: two(), HAProxy: config.HAProxy{File: file, Socket: fakeRuntime, Master: fakeMaster, ReloadInterval: 1}}
		config.Default(&c)
		m := &machine{rt: rt, t: t, c: c, wanted: map[string][]watcher.Instance{}}
		m.r = rigFor(t, c, newFake(t, file))
		defer os.RemoveAll(file[:strings.LastIndex(file, "/")])
		defer func() { m.r.disconnect() }()
		m.r.tick(t)
		m.r.fake.start()
		m.apply("inventory")
		m.apply("orders")
		actions := map[string]func(*rapid.T){
			"inventory": func(*rapid.T) { m.apply("inventory") },
			"orders":    func(*rapid.T) { m.apply("orders") },
			"look":      func(*rapid.T) { m.r.tick(t) },
			"use":       func(*rapid.T) { m.use() },
			"reload":    func(*rapid.T) { m.r.fake.reload(); m.r.tick(t) },
			"restart":   func(*rapid.T) { m.r.fake.stop(); m.r.tick(t); m.r.fake.start(); m.r.tick(t) },
			"zkwatch":   func(*rapid.T) { m.upgrade() },
			"meddle":    func(*rapid.T) { m.meddle() },
			"nonsense":  func(*rapid.T) { m.nonsense() },
		}
		actions[""] = func(*rapid.T) { m.check() }
		rt.Repeat(actions)
	})
}

// memory is a directory in which a sync costs nothing, where there is one.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "zkhap")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

type machine struct {
	rt     *rapid.T
	t      *testing.T
	c      config.Config
	r      *rig
	wanted map[string][]watcher.Instance
}

func (m *machine) apply(service string) {
	var set []watcher.Instance
	for n := range 24 {
		switch rapid.IntRange(0, 5).Draw(m.rt, "instance") {
		case 0, 1:
			set = append(set, at(n))
		case 2:
			set = append(set, heavy(at(n), rapid.IntRange(0, 3).Draw(m.rt, "weight")))
		case 3:
			set = append(set, draining(at(n)))
		}
	}
	before, pid := m.places(), m.r.fake.pid
	if _, err := m.r.Apply(m.t.Context(), []watcher.Set{{Service: service, Instances: set}}); err != nil {
		m.rt.Fatal(err)
	}
	m.wanted[service] = set
	after := m.places()
	for addr, place := range before {
		if now, still := after[addr]; still && now != place && m.r.fake.pid == pid {
			m.rt.Fatalf("%s moved from %s to %s", addr, place, now)
		}
	}
}

// places says on which server each address of each backend is.
func (m *machine) places() map[string]string {
	m.r.fake.mu.Lock()
	defer m.r.fake.mu.Unlock()
	out := map[string]string{}
	for name, servers := range m.r.fake.backends {
		for _, s := range servers {
			if s.admin != maint {
				out[name+" "+s.addr.String()] = s.name
			}
		}
	}
	return out
}

// check looks as Run does: what an Apply could not do by itself is done now.
func (m *machine) check() {
	m.r.tick(m.t)
	for service, be := range map[string]string{"inventory": "zkwatch-a", "orders": "zkwatch-b"} {
		want := map[string]string{}
		for _, i := range m.wanted[service] {
			want[i.Addr()] = "weight " + strconv.Itoa(i.Weight)
			if i.Draining {
				want[i.Addr()] = "drain"
			}
		}
		if got := m.r.fake.serving(be); !maps.Equal(got, want) {
			m.rt.Fatalf("%s serves %v, want %v", be, got, want)
		}
	}
	text, err := os.ReadFile(m.c.HAProxy.File)
	if err != nil {
		m.rt.Fatal(err)
	}
	_, lines, ok := parseDocument(text)
	if !ok {
		m.rt.Fatalf("the file is broken:\n%s", text)
	}
	for service, be := range map[string]string{"inventory": "zkwatch-a", "orders": "zkwatch-b"} {
		got := map[string]int{}
		for _, l := range lines[be] {
			if !l.free {
				got[l.addr.String()] = l.weight
			}
		}
		want := map[string]int{}
		for _, i := range m.wanted[service] {
			want[i.Addr()] = i.Weight
			if i.Draining {
				want[i.Addr()] = 0
			}
		}
		if !maps.Equal(got, want) {
			m.rt.Fatalf("the file has %v for %s, want %v", got, be, want)
		}
	}
}

// use gives a server some connections, or ends them.
func (m *machine) use() {
	m.r.fake.mu.Lock()
	defer m.r.fake.mu.Unlock()
	for _, be := range []string{"zkwatch-a", "zkwatch-b"} {
		servers := m.r.fake.backends[be]
		s := servers[rapid.IntRange(0, len(servers)-1).Draw(m.rt, "server")]
		s.used = 0
		if s.admin != maint {
			s.used = rapid.IntRange(0, 2).Draw(m.rt, "used")
		}
	}
}

func (m *machine) upgrade() {
	m.r.disconnect()
	m.r = rigFor(m.t, m.c, m.r.fake)
	for service, set := range m.wanted {
		if _, err := m.r.Apply(m.t.Context(), []watcher.Set{{Service: service, Instances: set}}); err != nil {
			m.rt.Fatal(err)
		}
	}
}

// meddle is somebody at the runtime API.
func (m *machine) meddle() {
	m.r.fake.mu.Lock()
	servers := m.r.fake.backends["zkwatch-a"]
	s := servers[rapid.IntRange(0, len(servers)-1).Draw(m.rt, "server")]
	s.admin = admin(rapid.IntRange(0, 2).Draw(m.rt, "state"))
	s.weight = rapid.IntRange(0, 9).Draw(m.rt, "weight")
	m.r.fake.mu.Unlock()
	if _, err := m.r.Audit(m.t.Context()); err != nil {
		m.rt.Fatal(err)
	}
}

// nonsense makes the next change get an answer that nobody knows, once.
func (m *machine) nonsense() {
	left := 1
	says := rapid.SampledFrom([]string{"Internal error.\n", "eof"}).Draw(m.rt, "answer")
	m.r.fake.mu.Lock()
	m.r.fake.answer = func(cmd string) (string, bool) {
		if left > 0 && strings.HasPrefix(cmd, "set server") {
			left--
			return says, true
		}
		return "", false
	}
	m.r.fake.mu.Unlock()
	defer func() {
		m.r.fake.mu.Lock()
		m.r.fake.answer = nil
		m.r.fake.mu.Unlock()
	}()
	m.apply("inventory")
}
