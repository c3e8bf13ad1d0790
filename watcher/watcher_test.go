package watcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// fakeEnsemble is a registry in memory that says what was done to it. It shows what its
// sets hold, and knows nothing of a service that is not among them.
type fakeEnsemble struct {
	mu       sync.Mutex
	sets     map[string][]Instance
	did      []string
	running  int // sources
	closed   int
	noAnswer bool
	posts    []Notice
}

func (e *fakeEnsemble) note(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.did = append(e.did, fmt.Sprintf(format, args...))
}

// told returns what was done since the last call.
func (e *fakeEnsemble) told() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	did := e.did
	e.did = nil
	return strings.Join(did, "; ")
}

type fakeConnection struct{ *fakeEnsemble }

func (c fakeConnection) Source() Source       { return c }
func (c fakeConnection) Registrar() Registrar { return c }
func (c fakeConnection) Board(string) Board   { return c }
func (c fakeConnection) Status() RegistryStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noAnswer {
		return RegistryStatus{State: "connecting"}
	}
	return RegistryStatus{Connected: true, State: "connected", Server: "127.0.0.1:2181", Session: "0x1", LastReply: time.Now()}
}

func (c fakeConnection) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
}

func (c fakeConnection) Run(ctx context.Context, services map[string]config.Service, publish func(Snapshot)) error {
	c.mu.Lock()
	c.running++
	for name := range services {
		if c.noAnswer {
			publish(Snapshot{Service: name, Truth: Unknown, Reason: "not connected", Event: "start", At: time.Now()})
			continue
		}
		publish(Snapshot{Service: name, Truth: Known, Revision: 7, Instances: c.sets[name], Event: "first read", At: time.Now()})
	}
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	return nil
}

func (c fakeConnection) Announce(_ context.Context, a Announcement) (Announced, error) {
	c.note("announce %s draining=%v", a.Instance.Addr(), a.Instance.Draining)
	return Announced{ID: a.Instance.Addr(), Revision: 1}, nil
}

func (c fakeConnection) Withdraw(_ context.Context, name string) error {
	c.note("withdraw %s", name)
	return nil
}

func (c fakeConnection) Post(_ context.Context, n Notice) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posts = append(c.posts, n)
	return nil
}

func (c fakeConnection) Notices(context.Context) ([]Notice, error) { return nil, nil }

// fakeProxy is a sink in memory.
type fakeProxy struct {
	mu     sync.Mutex
	serves map[string]string
	calls  int
	runs   int
	routes []ServerCount
	stuck  chan struct{} // Apply waits for it; nil: it does not
}

func (p *fakeProxy) Describe() ProxyStatus {
	return ProxyStatus{Version: "2.6.12", Worker: 4711, Routes: p.routes}
}

func (p *fakeProxy) Run(ctx context.Context, report func(Outcome)) error {
	p.mu.Lock()
	p.runs++
	p.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (p *fakeProxy) Apply(_ context.Context, sets []Set) (Outcome, error) {
	if p.stuck != nil {
		<-p.stuck
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	for _, s := range sets {
		var addrs []string
		for _, i := range s.Instances {
			addrs = append(addrs, i.Addr())
		}
		p.serves[s.Service] = strings.Join(addrs, " ")
	}
	return Outcome{Actions: []Action{{Kind: "command", Text: "set server"}, {Kind: "reload", Text: "reload", Why: "new route"}}}, nil
}

func (p *fakeProxy) Audit(context.Context) (Outcome, error)             { return Outcome{}, nil }
func (p *fakeProxy) Conns(context.Context) (map[InstanceKey]int, error) { return nil, nil }

func (p *fakeProxy) serving(service string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.serves[service]
}

// stage is a Watcher with everything around it in memory.
type stage struct {
	*Watcher
	t        *testing.T
	ensemble *fakeEnsemble
	proxy    *fakeProxy
	opened   int
	proxies  int
	openErr  error
	stop     func() error
}

// newStage makes a Watcher that serves service web through a route, from a registry with
// two instances of it.
func newStage(t *testing.T, change func(c *config.Config)) *stage {
	s := &stage{t: t, proxy: &fakeProxy{serves: map[string]string{}}, ensemble: &fakeEnsemble{sets: map[string][]Instance{
		"web": set("10.0.0.1 10.0.0.2"), "api": set("10.0.0.3")}}}
	s.Watcher = &Watcher{Config: stageConfig(t, change), Version: "v1",
		Open: func(string, config.Registry) (Registry, error) {
			s.opened++
			return fakeConnection{s.ensemble}, s.openErr
		},
		Proxy: func(*config.Config) (Sink, error) {
			s.proxies++
			return s.proxy, nil
		}}
	return s
}

func stageConfig(t *testing.T, change func(c *config.Config)) *config.Config {
	c := &config.Config{Host: "app1", Address: "10.0.0.9", StateDir: filepath.Join(t.TempDir(), "state"),
		Registries: map[string]config.Registry{"main": {ZooKeeper: &config.ZooKeeper{Servers: []string{"127.0.0.1:2181"}}}},
		Services: map[string]config.Service{"web": {Registry: "main", Path: "/services/web/instances"},
			"api": {Registry: "main", Path: "/services/api/instances"}},
		Routes: map[string]config.Route{"web": {Service: "web", Bind: "127.0.0.1:3000"}},
		Drain:  config.Drain{Spool: filepath.Join(t.TempDir(), "spool")},
		Status: config.Status{Listen: "none"}}
	if change != nil {
		change(c)
	}
	config.Default(c)
	if c.Status.Socket == "/run/zkwatch/zkwatch.sock" {
		c.Status.Socket = ""
	}
	return c
}

// start runs the Watcher until the test ends or stop is called.
func (s *stage) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	s.t.Cleanup(func() { _ = s.stop() })
	eventually(s.t, "a running watcher", func() bool { return s.current().registrations != nil })
}

func (s *stage) registration(name string) (RegistrationStatus, bool) {
	for _, r := range s.Status("").Registrations {
		if r.Name == name {
			return r, true
		}
	}
	return RegistrationStatus{}, false
}

func (s *stage) awaitAnnounced(name string) {
	s.t.Helper()
	eventually(s.t, name+" to be announced", func() bool {
		r, _ := s.registration(name)
		return r.Announced
	})
}

// local is a registration of a service that is there.
func local(t *testing.T, port int) config.Registration {
	web := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok") }))
	t.Cleanup(web.Close)
	return config.Registration{Service: "web", Port: port, Check: config.ServiceCheck{HTTP: web.URL, Rise: 1,
		Interval: config.Duration(20 * time.Millisecond), Timeout: config.Duration(time.Second)}}
}

func TestARunServesAnnouncesAndEndsInOrder(t *testing.T) {
	s := newStage(t, func(c *config.Config) {
		c.Register = map[string]config.Registration{"web-1": local(t, 8080)}
	})
	s.start()
	s.awaitAnnounced("web-1")
	eventually(t, "the route to be served", func() bool { return s.proxy.serving("web") == "10.0.0.1:80 10.0.0.2:80" })
	eventually(t, "the notice on the board", func() bool {
		s.ensemble.mu.Lock()
		defer s.ensemble.mu.Unlock()
		return len(s.ensemble.posts) > 0 && s.ensemble.posts[0].Services["web"].Instances == 2
	})
	got := s.Status("")
	if got.Host != "app1" || got.HAProxy.Worker != 4711 || got.HAProxy.Reloads != 1 || got.HAProxy.Why != "new route" || len(got.Routes) != 1 || got.Routes[0].Bind != "127.0.0.1:3000" {
		t.Errorf("status %+v, haproxy %+v", got, got.HAProxy)
	}
	if none := s.Status("api"); len(none.Services)+len(none.Routes)+len(none.Registrations) > 0 {
		t.Errorf("the status of api has parts of web: %+v", none)
	}
	if err := s.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	s.ensemble.mu.Lock()
	defer s.ensemble.mu.Unlock()
	if s.ensemble.running != 0 || s.ensemble.closed != 1 {
		t.Errorf("%d sources run and %d connections were closed, want 0 and 1", s.ensemble.running, s.ensemble.closed)
	}
	if did := strings.Join(s.ensemble.did, "; "); strings.Contains(did, "withdraw") {
		t.Errorf("a stop with on_term keep did %s: the next start must find everything in place", did)
	}
}

func TestOnTermDrainWithdrawsBeforeTheEnd(t *testing.T) {
	s := newStage(t, func(c *config.Config) {
		c.Register = map[string]config.Registration{"web-1": local(t, 8080)}
		c.Drain.OnTerm, c.Drain.Grace = "drain", config.Duration(50*time.Millisecond)
	})
	s.start()
	s.awaitAnnounced("web-1")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if did := s.ensemble.told(); !strings.HasSuffix(did, "announce 10.0.0.9:8080 draining=true; withdraw web-1") {
		t.Errorf("did %s", did)
	}
}

// Scenario 30: a reload is felt only by what it changes.
func TestReloadIsFeltOnlyByWhatChanged(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(t *testing.T, c *config.Config)
		did     string // in the registry
		opened  int
		proxies int
		serves  string // of api
	}{
		{"nothing", func(*testing.T, *config.Config) {}, "", 0, 0, ""},
		{"a registration is added", func(t *testing.T, c *config.Config) { c.Register["web-2"] = local(t, 8081) }, "announce 10.0.0.9:8081 draining=false", 0, 0, ""},
		{"a registration is removed", func(t *testing.T, c *config.Config) { delete(c.Register, "web-1") }, "withdraw web-1", 0, 0, ""},
		{"a route is added", func(t *testing.T, c *config.Config) {
			c.Routes["api"] = config.Route{Service: "api", Bind: "127.0.0.1:3001"}
		}, "", 0, 1, "10.0.0.3:80"},
		{"the guard changes", func(t *testing.T, c *config.Config) { c.Guard.Threshold = 10 }, "", 0, 1, ""},
		{"drain changes", func(t *testing.T, c *config.Config) { c.Drain.Grace *= 2 }, "", 0, 0, ""},
		{"the proxy is given up", func(t *testing.T, c *config.Config) { c.HAProxy.Disabled, c.Routes = true, nil }, "", 0, 0, ""},
		{"a registry is added", func(t *testing.T, c *config.Config) {
			c.Registries["other"] = config.Registry{ZooKeeper: &config.ZooKeeper{Servers: []string{"127.0.0.1:2182"}}}
		}, "", 1, 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			one := local(t, 8080)
			s := newStage(t, func(c *config.Config) { c.Register = map[string]config.Registration{"web-1": one} })
			s.start()
			s.awaitAnnounced("web-1")
			eventually(t, "the route to be served", func() bool { return s.proxy.serving("web") != "" })
			opened, proxies := s.opened, s.proxies
			s.ensemble.told()
			checks := func() int64 { r, _ := s.registration("web-1"); return r.Checks }
			before := checks()

			c := clone(s.Config)
			tt.change(t, &c)
			config.Default(&c)
			if err := s.Reload(t.Context(), &c); err != nil {
				t.Fatal(err)
			}
			for name := range c.Register {
				s.awaitAnnounced(name)
			}
			eventually(t, "api to be served", func() bool { return s.proxy.serving("api") == tt.serves })
			if did := s.ensemble.told(); did != tt.did {
				t.Errorf("did %q in the registry, want %q", did, tt.did)
			}
			if got := s.opened - opened; got != tt.opened {
				t.Errorf("%d connections were opened, want %d", got, tt.opened)
			}
			if got := s.proxies - proxies; got != tt.proxies {
				t.Errorf("%d sinks were made, want %d", got, tt.proxies)
			}
			if _, stays := c.Register["web-1"]; stays && checks() < before {
				t.Error("the checks of a registration that did not change began anew")
			}
			if !s.Status("").Loaded.After(s.Status("").Started) {
				t.Error("the status does not show when the configuration was loaded")
			}
		})
	}
}

// clone copies what a change may touch.
func clone(c *config.Config) config.Config {
	out := *c
	out.Registries, out.Routes, out.Register = maps.Clone(c.Registries), maps.Clone(c.Routes), maps.Clone(c.Register)
	return out
}

// A configuration that cannot be carried out leaves the old one in force, and says so.
func TestReloadThatFailsChangesNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(s *stage, c *config.Config)
		want   string
	}{
		{"registry", func(s *stage, c *config.Config) {
			s.openErr = errors.New("auth_file: permission denied")
			c.Registries = map[string]config.Registry{"main": {ZooKeeper: &config.ZooKeeper{Servers: []string{"127.0.0.1:2182"}}}}
		}, `registries["main"]: auth_file: permission denied`},
		{"listener", func(s *stage, c *config.Config) { c.Status.Listen = "192.0.2.1:9180" }, "only a loopback address"},
		{"host", func(s *stage, c *config.Config) { c.Host = "app2" }, "restart it"},
		{"proxy", func(s *stage, c *config.Config) {
			s.Proxy = func(*config.Config) (Sink, error) { return nil, errors.New("no such group") }
			c.Routes = map[string]config.Route{}
		}, "haproxy: no such group"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, func(c *config.Config) { c.Register = map[string]config.Registration{"web-1": local(t, 8080)} })
			s.start()
			s.awaitAnnounced("web-1")
			s.ensemble.told()
			c := *s.Config
			tt.change(s, &c)
			err := s.Reload(t.Context(), &c)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %s", err, tt.want)
			}
			got := s.Status("")
			if !strings.Contains(got.Refused, tt.want) {
				t.Errorf("the status says %q", got.Refused)
			}
			if r, _ := s.registration("web-1"); !r.Announced || s.ensemble.told() != "" || len(got.Services) != 1 {
				t.Errorf("after the refusal: %+v", got)
			}
			if entries := s.journal.Entries("", 1); entries[0].Error == "" || entries[0].Rule != "the old configuration stays in force" {
				t.Errorf("the journal says %+v", entries[0])
			}
			if err := s.Reload(t.Context(), s.Config); err != nil || s.Status("").Refused != "" {
				t.Errorf("a reload of what runs: %v, still refused: %q", err, s.Status("").Refused)
			}
		})
	}
}

// Scenario 38: what a reload replaces is gone.
func TestManyReloadsLeaveNothingBehind(t *testing.T) {
	one, two := local(t, 8080), local(t, 8081)
	s := newStage(t, func(c *config.Config) { c.Register = map[string]config.Registration{"web-1": one} })
	s.start()
	s.awaitAnnounced("web-1")
	a := *s.Config
	b := a
	b.Register = map[string]config.Registration{"web-1": one, "web-2": two}
	b.Routes = map[string]config.Route{"web": a.Routes["web"], "api": {Service: "api", Bind: "127.0.0.1:3001"}}
	b.Registries = map[string]config.Registry{"main": a.Registries["main"], "other": {ZooKeeper: &config.ZooKeeper{Servers: []string{"127.0.0.1:2182"}}}}
	config.Default(&b)
	b.Board = a.Board
	round := func(n int) {
		for range n {
			for _, c := range []*config.Config{&b, &a} {
				if err := s.Reload(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	round(5)
	before := runtime.NumGoroutine()
	round(250)
	eventually(t, "the goroutines of old configurations to end", func() bool { return runtime.NumGoroutine() <= before+10 })
	s.ensemble.mu.Lock()
	defer s.ensemble.mu.Unlock()
	if s.opened-s.ensemble.closed != 1 {
		t.Errorf("%d connections opened, %d closed", s.opened, s.ensemble.closed)
	}
	if slices.ContainsFunc(s.ensemble.did, func(did string) bool { return did == "withdraw web-1" }) {
		t.Error("the registration that never changed was withdrawn")
	}
}

func TestAPartThatCannotRunEndsTheWatcher(t *testing.T) {
	s := newStage(t, func(c *config.Config) {
		r := local(t, 8080)
		r.Service = "nowhere"
		c.Register = map[string]config.Registration{"web-1": r}
	})
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `registrations: register["web-1"]`) {
		t.Errorf("error %v", err)
	}
	if err := s.Reload(endedContext(t), s.Config); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a reload after the end: %v", err)
	}
}

func endedContext(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
