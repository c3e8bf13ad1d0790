//go:build lab

package sidecar_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
	"github.com/zkboot/zkboot/bootstrap/sidecar"
	"github.com/zkboot/zkboot/bootstrap/ssh"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// day is a lab of two hosts: zk1, bare, becomes a member with a sidecar; app1 has a HAProxy
// of its operator's and a service.
type day struct {
	lab  *lab.Lab
	zk1  *lab.Host
	app1 *lab.Host
	cfg  string // sum of the operator's haproxy.cfg
}

// ownFrontend is what the operator's HAProxy did before there was a sidecar, and does on.
const ownFrontend = `
frontend own
    bind *:8888
    default_backend own
backend own
    server a 127.0.0.1:8080
`

// TestSidecars has parts that build on each other, as an operator's day does.
func TestSidecars(t *testing.T) {
	d := newDay(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a bare member, and a host whose HAProxy serves already", d.firstApply},
		{"zkwatch dies", d.watchDies},
		{"a change of routes is a reload, and fails no request", d.changeRoutes},
		{"a file that somebody edited is put back", d.drift},
		{"HAProxy dies", d.proxyDies},
		{"a host reboots", d.reboot},
		{"destroy hands HAProxy back", d.destroy},
	} {
		if !t.Run(part.name, part.run) {
			d.tell(t)
			return
		}
	}
}

func newDay(t *testing.T) *day {
	if len(sidecar.Embedded()) == 0 {
		t.Fatal("this test carries no zkwatch: run `make build` first")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a cold cache takes over a minute
	defer cancel()
	name := fmt.Sprintf("sc%d", os.Getpid())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, name, ""); err != nil {
			t.Error(err)
		}
	})
	l, err := lab.Up(ctx, lab.Options{Name: name, ZooKeeper: 1, Apps: 1, Dir: filepath.Join(t.TempDir(), "lab")})
	if err != nil {
		t.Fatal(err)
	}
	d := &day{lab: l, zk1: l.Hosts[0], app1: l.Hosts[1]}
	sh(t, d.app1, "export DEBIAN_FRONTEND=noninteractive; apt-get install -y -q haproxy || { apt-get update -q; apt-get install -y -q haproxy; }")
	sh(t, d.app1, "cat >>/etc/haproxy/haproxy.cfg <<'E'"+ownFrontend+"E\nsystemctl restart haproxy")
	d.cfg = sh(t, d.app1, "sha256sum /etc/haproxy/haproxy.cfg")
	return d
}

// sh runs a shell script on the host, as root, and returns what it prints.
func sh(t *testing.T, h *lab.Host, script string) string {
	t.Helper()
	out, err := h.Exec(t.Context(), "sh", "-euc", script)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// spec is that of the lab, with the sidecar of app1 on zk1 as well, less its registration.
func (d *day) spec(t *testing.T, edits ...string) *bootstrap.Spec {
	t.Helper()
	file := filepath.Join(d.lab.Dir, "zkboot.yaml")
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edits = append([]string{"[id_ed25519]", "[" + d.lab.Dir + "/id_ed25519]", "_file: known_hosts", "_file: " + d.lab.Dir + "/known_hosts"}, edits...)
	text := strings.Replace(string(src), "sidecars:\n", "sidecars:\n  zk1: {routes: {inventory: {service: inventory, bind: '127.0.0.1:3000'}}}\n", 1)
	for i := 0; i+1 < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("no %q in\n%s", edits[i], text)
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	s, report := bootstrap.Load(file, []byte(text))
	if report.Failed() {
		t.Fatal(report.Err())
	}
	return s
}

func engine(t *testing.T) *bootstrap.Engine {
	archives := sidecar.Embedded()
	e := &bootstrap.Engine{Roles: []bootstrap.Role{zookeeper.New(), sidecar.New(archives)}, Who: "lab test",
		Open: ssh.Opener(ssh.OpenOptions{Patience: 30 * time.Second, Embedded: sidecar.Opener(archives)})}
	t.Cleanup(func() { _ = e.Close() }) // closed already where it ended well
	return e
}

// apply carries the intent out, and expects that nothing is left to do.
func apply(t *testing.T, s *bootstrap.Spec, in bootstrap.Intent) *bootstrap.Plan {
	t.Helper()
	e := engine(t)
	plan, report := e.Plan(t.Context(), s, in)
	if plan == nil {
		t.Fatal(report.Err())
	}
	if err := e.Apply(t.Context(), plan).Err(); err != nil {
		t.Fatal(err)
	}
	again, report := e.Plan(t.Context(), s, in)
	if again == nil || !again.Empty() {
		t.Fatalf("something is left to do:\n%v%v", again, report.Err())
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return plan
}

var converge = bootstrap.Intent{Verb: bootstrap.VerbConverge}

// answers sends a few requests from the host, none of which may fail.
func answers(t *testing.T, h *lab.Host, url, from string) {
	t.Helper()
	r, err := h.Traffic(t.Context(), lab.Load{URL: url, For: 500 * time.Millisecond, Rate: 40})
	if err != nil || r.Failed > 0 || len(r.Answers) != 1 || r.Answers[0].Text != from {
		t.Errorf("%s from %s: %s, %v; want answers of %s", url, h.Name, r, err, from)
	}
}

// pids are those of HAProxy's master and of zkwatch.
func pids(t *testing.T, h *lab.Host) string {
	t.Helper()
	return sh(t, h, "systemctl show -P MainPID haproxy zkwatch")
}

// untouched checks the operator's own part of HAProxy.
func (d *day) untouched(t *testing.T) {
	t.Helper()
	if sum := sh(t, d.app1, "sha256sum /etc/haproxy/haproxy.cfg"); sum != d.cfg {
		t.Error("the operator's haproxy.cfg was changed")
	}
	answers(t, d.app1, "http://127.0.0.1:8888/", "app1")
}

func (d *day) firstApply(t *testing.T) {
	plan := apply(t, d.spec(t), converge)
	var shown bool
	for line := range strings.Lines(plan.String()) {
		shown = shown || strings.Contains(line, "update unit haproxy.service (restart)")
	}
	if !shown {
		t.Errorf("the plan does not say that the operator's HAProxy is restarted:\n%s", plan)
	}
	answers(t, d.app1, "http://127.0.0.1:3000/", "app1")
	answers(t, d.zk1, "http://127.0.0.1:3000/", "app1")
	d.untouched(t)
	if who := sh(t, d.zk1, "stat -c %U:%G:%a /run/zkwatch-haproxy/master.sock /run/zkwatch-haproxy/runtime.sock /etc/zkwatch/zkwatch.yaml"); who !=
		"root:zkwatch:660\nroot:zkwatch:660\nroot:zkwatch:640" {
		t.Errorf("rights: %s", who)
	}
	if user := sh(t, d.zk1, "ps -o user= -p $(systemctl show -P MainPID zkwatch)"); user != "zkwatch" {
		t.Errorf("zkwatch runs as %s", user)
	}
}

// settled waits until every sidecar serves and announces what it should.
func (d *day) settled(t *testing.T, s *bootstrap.Spec) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e := engine(t)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		hosts, _ := e.Hosts(ctx, s)
		r := sidecar.Status(ctx, s, hosts)
		if r.Whole() && r.Services[0].Instances == 1 {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never whole: %+v", r)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// watchDies kills zkwatch: HAProxy must not notice, neither the end nor the new start.
func (d *day) watchDies(t *testing.T) {
	proxy := sh(t, d.app1, "pgrep -x haproxy | sort")
	file := sh(t, d.app1, "stat -c %i:%Y /var/lib/zkwatch/haproxy/zkwatch.cfg")
	before := pids(t, d.app1)
	sh(t, d.app1, "systemctl kill -s KILL zkwatch")
	d.settled(t, d.spec(t))
	if pids(t, d.app1) == before {
		t.Fatal("zkwatch was not killed: this proves nothing")
	}
	if after := sh(t, d.app1, "pgrep -x haproxy | sort"); after != proxy {
		t.Errorf("HAProxy's processes were %q, are %q", proxy, after)
	}
	if after := sh(t, d.app1, "stat -c %i:%Y /var/lib/zkwatch/haproxy/zkwatch.cfg"); after != file {
		t.Errorf("zkwatch.cfg was written although nothing changed")
	}
}

func (d *day) changeRoutes(t *testing.T) {
	s := d.spec(t, "routes:\n      inventory:", "routes:\n      more: {service: inventory, bind: '127.0.0.1:3001'}\n      inventory:")
	master := sh(t, d.app1, "systemctl show -P MainPID haproxy")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan lab.Result, 1)
	go func() {
		r, err := d.app1.Traffic(ctx, lab.Load{URL: "http://127.0.0.1:3000/", For: time.Minute, Rate: 100})
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	apply(t, s, converge)
	stop()
	if r := <-done; r.Failed > 0 || r.Requests < 50 {
		t.Errorf("while routes changed: %s", r)
	}
	if after := sh(t, d.app1, "systemctl show -P MainPID haproxy"); after != master {
		t.Errorf("HAProxy was restarted: main process %s, then %s", master, after)
	}
	answers(t, d.app1, "http://127.0.0.1:3001/", "app1")
	d.untouched(t)
}

func (d *day) drift(t *testing.T) {
	s := d.spec(t)
	sh(t, d.app1, "echo 'zone: elsewhere' >>/etc/zkwatch/zkwatch.yaml; rm /usr/local/bin/zkwatch")
	apply(t, s, converge)
	sh(t, d.app1, "rm /etc/zkwatch/zkwatch.yaml")
	apply(t, s, converge)
	if out := sh(t, d.app1, "grep -c elsewhere /etc/zkwatch/zkwatch.yaml || true; zkwatch version >/dev/null && echo there"); out != "0\nthere" {
		t.Errorf("got %q", out)
	}
	d.settled(t, s)
}

// proxyDies kills HAProxy whole; systemd brings it back, with what it served last.
func (d *day) proxyDies(t *testing.T) {
	before := pids(t, d.app1)
	sh(t, d.app1, "systemctl kill -s KILL haproxy; systemctl start haproxy") // start waits for the one that comes by itself
	if pids(t, d.app1) == before {
		t.Fatal("HAProxy was not killed: this proves nothing")
	}
	answers(t, d.app1, "http://127.0.0.1:3000/", "app1")
	d.untouched(t)
	d.settled(t, d.spec(t))
}

// reboot: everything comes back by itself, also when the registry comes later.
func (d *day) reboot(t *testing.T) {
	s := d.spec(t)
	for _, h := range []*lab.Host{d.app1, d.zk1} {
		if err := h.Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	d.settled(t, s)
	answers(t, d.zk1, "http://127.0.0.1:3000/", "app1")
	apply(t, s, converge)
}

func (d *day) destroy(t *testing.T) {
	e := engine(t)
	s := d.spec(t)
	plan, report := e.Plan(t.Context(), s, bootstrap.Intent{Verb: bootstrap.VerbDestroy, Wipe: true})
	if plan == nil {
		t.Fatal(report.Err())
	}
	if err := e.Apply(t.Context(), plan).Err(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	d.untouched(t)
	if unit := sh(t, d.app1, "systemctl show -P FragmentPath haproxy; systemctl is-enabled haproxy"); unit != "/lib/systemd/system/haproxy.service\nenabled" {
		t.Errorf("the package's unit is not back: %s", unit)
	}
	// /run/zkwatch-haproxy may be left until the next boot where HAProxy runs on: the unit that
	// would take it away is no longer there when HAProxy is restarted without it.
	for _, h := range []*lab.Host{d.app1, d.zk1} {
		left := sh(t, h, "ls -d /etc/zkwatch /var/lib/zkwatch /var/spool/zkwatch /usr/local/lib/zkboot /usr/local/bin/zkwatch /etc/zkboot /run/zkwatch "+
			"/etc/systemd/system/zkwatch.service /etc/systemd/system/haproxy.service 2>/dev/null || true; id -u zkwatch 2>/dev/null || true")
		if left != "" {
			t.Errorf("left on %s:\n%s", h.Name, left)
		}
	}
	if there := sh(t, d.zk1, "dpkg-query -W -f '${db:Status-Abbrev}' haproxy || true"); strings.HasPrefix(there, "ii") {
		t.Error("haproxy is still on zk1, where nobody had it before")
	}
}

// tell shows what the hosts have to say after a part that failed.
func (d *day) tell(t *testing.T) {
	for _, h := range []*lab.Host{d.zk1, d.app1} {
		out, err := h.Exec(context.WithoutCancel(t.Context()), "sh", "-c", "systemctl status --no-pager -n 20 zkwatch haproxy; zkwatch explain")
		t.Logf("%s: %v\n%s", h.Name, err, out)
	}
}
