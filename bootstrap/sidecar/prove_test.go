package sidecar

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
	"github.com/zkboot/zkboot/verify"
)

// daemon is a zkwatch that says what it is told to.
type daemon struct {
	mu   sync.Mutex
	code int
	body string
	down error
}

func (d *daemon) say(body string) { d.mu.Lock(); defer d.mu.Unlock(); d.body = body }

// dial answers one request on a connection in memory.
func (d *daemon) dial(_ context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down != nil {
		return nil, d.down
	}
	if network != "tcp" || addr != "127.0.0.1:9180" {
		return nil, fmt.Errorf("dialled %s %s", network, addr)
	}
	body, code := d.body, d.code
	if code == 0 {
		code = http.StatusOK
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		req, err := http.ReadRequest(bufio.NewReader(far))
		if err != nil || req.URL.Path != "/v1/status" {
			return
		}
		resp := http.Response{StatusCode: code, ProtoMajor: 1, ProtoMinor: 1, Close: true,
			ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
		_ = resp.Write(far) // the asker sees what is missing
	}()
	return near, nil
}

// service and announced are lines of a status.
func service(name, truth string, revision, instances int, more string) string {
	list := strings.TrimSuffix(strings.Repeat(`{"id":"x"},`, instances), ",")
	return fmt.Sprintf(`{"service":%q,"truth":%q,"reason":"no quorum","revision":%d,"instances":[%s]%s}`, name, truth, revision, list, more)
}

func announced(healthy, in bool) string {
	return fmt.Sprintf(`{"name":"inventory","healthy":%t,"announced":%t,"why":"check: connection refused"}`, healthy, in)
}

func status(services []string, registrations ...string) string {
	return fmt.Sprintf(`{"host":"app1","version":"0.1.0","services":[%s],"registrations":[%s],"more":{"than":"is needed"}}`,
		strings.Join(services, ","), strings.Join(registrations, ","))
}

// field is two application hosts whose units run.
type field struct {
	spec    *bootstrap.Spec
	now     bootstrap.Site
	daemons map[string]*daemon
	hosts   bootstrap.Hosts
}

func newField(t *testing.T) *field {
	// Both route inventory; only app1 routes orders.
	s := spec(t, "  app2:\n", "  app2:\n    routes: {inventory: {service: inventory, bind: \"127.0.0.1:3000\"}}\n")
	f := &field{spec: s, now: bare(s), daemons: map[string]*daemon{}, hosts: bootstrap.Hosts{}}
	for _, name := range []string{"app1", "app2"} {
		d := &daemon{}
		m := bootstraptest.New(debian12())
		m.Dial = d.dial
		f.daemons[name], f.hosts[name] = d, m.Open()
		f.now = with(f.now, name, debian12(), bootstrap.NewState(
			bootstrap.Unit{Name: proxyUnit, Running: true}, bootstrap.Unit{Name: watchUnit, Running: true}))
	}
	f.daemons["app1"].say(status([]string{service("inventory", "known", 26, 2, ""), service("orders", "known", 7, 1, "")}, announced(true, true)))
	f.daemons["app2"].say(status([]string{service("inventory", "known", 26, 2, "")}, announced(true, true)))
	return f
}

func TestProve(t *testing.T) {
	type want struct {
		verdict verify.Verdict
		part    string // of text or why
	}
	pass := func(part string) want { return want{verify.Pass, part} }
	for _, c := range []struct {
		name                         string
		change                       func(f *field)
		running, applied, registered want
	}{
		{"whole", func(*field) {}, pass("2 of 2 hosts"), pass("inventory: revision 1a on 2 of 2 hosts, orders: revision 7 on 1 of 1 hosts"), pass("2 of 2 announced")},
		{"zkwatch is down", func(f *field) { f.daemons["app2"].down = errors.New("connection refused") },
			want{verify.Fail, "app2: zkwatch does not answer: connection refused"}, pass("inventory: revision 1a on 1 of 2 hosts"), pass("1 of 2")},
		{"HAProxy is down", func(f *field) {
			with(f.now, "app1", debian12(), bootstrap.NewState(bootstrap.Unit{Name: proxyUnit}, bootstrap.Unit{Name: watchUnit, Running: true}))
		}, want{verify.Fail, "app1: haproxy.service does not run"}, pass(""), pass("")},
		{"a host cannot be reached", func(f *field) {
			delete(f.hosts, "app2")
			f.now.Hosts["app2"] = bootstrap.Seen{Err: bootstrap.ErrUnreachable}
		}, want{verify.Fail, "app2: host unreachable"}, pass(""), pass("")},
		{"another program on the port", func(f *field) { f.daemons["app1"].code = 404; f.daemons["app1"].say("no such page") },
			want{verify.Fail, "app1: zkwatch answers 404 Not Found: no such page"}, pass(""), pass("")},
		{"no JSON", func(f *field) { f.daemons["app1"].say("<html>") },
			want{verify.Fail, "app1: the answer of zkwatch cannot be read"}, pass(""), pass("")},
		{"the registry cannot be read", func(f *field) {
			f.daemons["app2"].say(status([]string{service("inventory", "unknown", 26, 2, "")}, announced(true, true)))
		}, pass(""), want{verify.Fail, "app2: inventory: unknown: no quorum"}, pass("")},
		{"a reload is due", func(f *field) {
			f.daemons["app2"].say(status([]string{service("inventory", "known", 26, 2, `,"pending":true`)}, announced(true, true)))
		}, pass(""), want{verify.Fail, "app2: inventory: a change waits for a reload"}, pass("")},
		{"the guard holds", func(f *field) {
			f.daemons["app2"].say(status([]string{service("inventory", "known", 26, 2, `,"held":{"from":2,"to":0,"rule":"all gone"}`)}, announced(true, true)))
		}, pass(""), want{verify.Warn, "app2: inventory: held at 2 instances, the registry says 0: all gone"}, pass("")},
		{"one is behind", func(f *field) {
			f.daemons["app2"].say(status([]string{service("inventory", "known", 25, 3, "")}, announced(true, true)))
		}, pass(""), want{verify.Warn, "app2: inventory: at revision 19"}, pass("")},
		{"nobody serves it", func(f *field) {
			f.daemons["app1"].say(status([]string{service("inventory", "known", 26, 2, ""), service("orders", "empty", 7, 0, "")}, announced(true, true)))
		}, pass(""), want{verify.Warn, "app1: orders has no instance"}, pass("")},
		{"an older zkwatch", func(f *field) { f.daemons["app2"].say(status(nil)) },
			pass(""), want{verify.Fail, "app2: inventory: zkwatch does not know it"}, want{verify.Fail, "app2: inventory: zkwatch does not know it"}},
		{"a service fails its check", func(f *field) {
			f.daemons["app2"].say(status([]string{service("inventory", "known", 26, 2, "")}, announced(false, false)))
		}, pass(""), pass(""), want{verify.Warn, "app2: inventory: check: connection refused"}},
		{"a healthy one is not announced", func(f *field) {
			f.daemons["app2"].say(status([]string{service("inventory", "known", 26, 2, "")}, announced(true, false)))
		}, pass(""), pass(""), want{verify.Fail, "app2: inventory"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newField(t)
				c.change(f)
				checks := New(nil).Prove(t.Context(), f.spec, f.now, f.hosts)
				for i, w := range []want{c.running, c.applied, c.registered} {
					got := checks[i]
					if got.Verdict != w.verdict || !strings.Contains(got.Text+" "+got.Why, w.part) {
						t.Errorf("%s: %s, %q, %q; want %s with %q", got.ID, got.Verdict, got.Text, got.Why, w.verdict, w.part)
					}
				}
			})
		})
	}
}

// A registration takes a moment after the first start, which is no fault.
func TestProveWaitsForWhatIsStillComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t)
		whole := f.daemons["app2"].body
		f.daemons["app2"].say(status([]string{service("inventory", "unknown", 0, 0, "")}, announced(false, false)))
		defer time.AfterFunc(7*time.Second, func() { f.daemons["app2"].say(whole) }).Stop()
		start := time.Now()
		checks := New(nil).Prove(t.Context(), f.spec, f.now, f.hosts)
		if took := time.Since(start); verify.WorstOf(checks) != verify.Pass || took < 7*time.Second || took > 8*time.Second {
			t.Errorf("after %s: %+v", took, checks)
		}
	})
}

func TestProveEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField(t)
		f.daemons["app1"].down = errors.New("connection refused")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		checks := New(nil).Prove(ctx, f.spec, f.now, f.hosts)
		if took := time.Since(start); took != 2*time.Second || !strings.Contains(checks[0].Why, "connection refused") {
			t.Errorf("after %s: %+v", took, checks[0])
		}
	})
}

func TestNothingToProveWithoutSidecars(t *testing.T) {
	s := spec(t)
	s.Sidecars = nil
	if checks := New(nil).Prove(t.Context(), s, bare(s), nil); checks != nil {
		t.Errorf("got %+v", checks)
	}
}

func TestStatus(t *testing.T) {
	f := newField(t)
	r := Status(t.Context(), f.spec, f.hosts)
	if !r.Whole() {
		t.Errorf("everything is applied, and yet %+v", r)
	}
	f.daemons["app2"].say(status([]string{service("inventory", "known", 25, 3, "")}, announced(false, false)))
	if r = Status(t.Context(), f.spec, f.hosts); r.Whole() {
		t.Error("app2 is behind, and the report is whole")
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.txt", text.String())
	f.daemons["app1"].down = errors.New("connection refused")
	if r = Status(t.Context(), f.spec, f.hosts); r.Whole() || r.Hosts[0].Error == "" || r.Services[0].Applied != 1 || r.Services[0].Revision != 25 {
		t.Errorf("app1 is away: %+v", r)
	}
}
