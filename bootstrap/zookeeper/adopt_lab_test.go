//go:build lab

package zookeeper_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap"
)

// handmade is an ensemble as people make them: zk1 by Debian's zookeeperd, with its init
// script, its link in the place of myid and its links to the configuration; zk2 and zk3 by
// hand-written units, zk3 as another user. Configurations are static, one names a host.
type handmade struct{ *days }

// TestAdopt takes such an ensemble over and gives it back.
func TestAdopt(t *testing.T) {
	d := handmade{newDays(t)}
	t.Cleanup(func() {
		if t.Failed() {
			d.tell(t)
		}
	})
	start := time.Now()
	d.make(t)
	t.Logf("made by hand in %s", time.Since(start).Round(time.Second))
	d.keep(t, "/kept")
	for i := range 20 {
		d.keep(t, fmt.Sprintf("/kept/n%d", i))
	}
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a spec that differs is refused", d.differs},
		{"adopt writes the spec", d.written},
		{"a plan shows what changes and changes nothing", d.shows},
		{"killed after a turn, finished by the next", d.killed},
		{"the last apply turns reconfig on", d.reconfig},
		{"the unit of before never runs beside ours", d.beside},
		{"destroy keeps the data, the unit of before serves it", d.back},
	} {
		begun := time.Now()
		if !t.Run(part.name, part.run) {
			return // each builds on the one before
		}
		t.Logf("%s: %s", part.name, time.Since(begun).Round(time.Second/10))
	}
}

const handUnit = `[Unit]
Description=ZooKeeper, set up by hand

[Service]
User=%s
ExecStart=/usr/bin/java -Xmx160m -Dzookeeper.log.dir=/var/log -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar org.apache.zookeeper.server.quorum.QuorumPeerMain /etc/zookeeper/conf/zoo.cfg
Restart=always
SuccessExitStatus=143

[Install]
WantedBy=multi-user.target
`

// make sets the ensemble up and waits until it serves.
func (d handmade) make(t *testing.T) {
	t.Helper()
	cfg := "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/var/lib/zookeeper\nclientPort=2181\nmaxClientCnxns=0\nteam.note=ours\n"
	hosts := ""
	for i, h := range d.lab.Hosts {
		name := h.Address.String()
		if i == 1 {
			name = "two.zk.test"
			hosts = h.Address.String() + " " + name
		}
		cfg += fmt.Sprintf("server.%d=%s:2888:3888\n", i+1, name)
	}
	for i, h := range d.lab.Hosts {
		d.file(t, h.Name, "/etc/hosts", d.sh(t, h.Name, "cat /etc/hosts")+"\n"+hosts+"\n")
		if err := d.packages[h.Name]; i > 0 && err() != nil {
			t.Fatal(err())
		}
	}
	// default-jre wants a screen and half a desktop with it; a package of that name will do.
	d.file(t, "zk1", "/tmp/jre/DEBIAN/control", "Package: default-jre\nVersion: 2:1.17-74\nArchitecture: all\nDepends: openjdk-17-jre-headless\nMaintainer: lab\nDescription: lab\n")
	d.sh(t, "zk1", "export DEBIAN_FRONTEND=noninteractive; apt-get update -q && dpkg-deb --build /tmp/jre /tmp/default-jre.deb && "+
		"apt-get install -y -q --no-install-recommends /tmp/default-jre.deb zookeeperd && systemctl stop zookeeper")
	d.file(t, "zk1", "/etc/zookeeper/conf/zoo.cfg", cfg)
	d.sh(t, "zk1", "echo 1 >/etc/zookeeper/conf/myid; echo 'JAVA_OPTS=-Xmx160m' >>/etc/default/zookeeper; test -L /var/lib/zookeeper/myid")
	for i, user := range []string{"zookeeper", "zk"} {
		host := fmt.Sprintf("zk%d", i+2)
		d.sh(t, host, fmt.Sprintf("useradd --system %s; mkdir -p /etc/zookeeper/conf; echo %d >/var/lib/zookeeper/myid; chown -R %[1]s: /var/lib/zookeeper", user, i+2))
		d.file(t, host, "/etc/zookeeper/conf/zoo.cfg", cfg)
		d.file(t, host, "/etc/systemd/system/zookeeper.service", fmt.Sprintf(handUnit, user))
	}
	for _, h := range allHosts() {
		d.sh(t, h, "systemctl daemon-reload; systemctl enable -q zookeeper; systemctl start zookeeper")
	}
	d.leader(t)
	for _, h := range allHosts() {
		if !strings.Contains(d.sh(t, h, "systemctl is-active zookeeper || true"), "active") {
			t.Fatalf("%s: zookeeper.service is not active", h)
		}
	}
}

func (d handmade) file(t *testing.T, host, path, content string) {
	t.Helper()
	d.sh(t, host, "mkdir -p "+filepath.Dir(path)+"; cat >"+path+" <<'EOF'\n"+strings.TrimSuffix(content, "\n")+"\nEOF")
}

// spec writes a spec of the ensemble and loads it; change alters its text first.
func (d handmade) spec(t *testing.T, change ...string) (*bootstrap.Spec, string) {
	t.Helper()
	text := fmt.Sprintf("name: main\nssh: {user: debian, identity_files: [%s/lab/id_ed25519], config_file: none}\nhardware: {profile: lab}\nhosts:\n", d.dir)
	for _, h := range d.lab.Hosts {
		text += fmt.Sprintf("  %s: {address: %s, host_key: %q}\n", h.Name, h.Address, h.HostKey)
	}
	text += `ensemble:
  members: {zk1: {id: 1}, zk2: {id: 2}, zk3: {id: 3}}
  source: {apt: {}}
  accept_known_issues: [ZOOKEEPER-4785]
  heap: 160MiB
  data_dir: /var/lib/zookeeper
  data_log_dir: /var/lib/zookeeper
  adopt: {}
`
	text = strings.NewReplacer(change...).Replace(text)
	file := filepath.Join(d.dir, "adopt.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, report := bootstrap.Load(file, []byte(text))
	if report.Failed() {
		t.Fatal(report.Err())
	}
	return s, file
}

// ours fails where zkboot has left anything.
func (d handmade) ours(t *testing.T) {
	t.Helper()
	for _, h := range allHosts() {
		if left := d.sh(t, h, "find /etc/zkboot /etc/zookeeper/main /var/lib/zookeeper/zkboot.json /etc/systemd/system/zookeeper-main* 2>/dev/null || true"); left != "" {
			t.Errorf("%s was changed:\n%s", h, left)
		}
	}
}

func (d handmade) differs(t *testing.T) {
	for _, c := range []struct {
		change []string
		words  []string
	}{
		{[]string{"zk1: {id: 1}, zk2: {id: 2}", "zk1: {id: 2}, zk2: {id: 1}"}, []string{"zk1", `says server "1", the spec says server 2`}},
		{[]string{"zk1: {id: 1}, zk2: {id: 2}, zk3", "zk3"}, []string{"live has server.1="}},
		{[]string{"  data_log_dir: /var/lib/zookeeper\n", ""}, []string{"write `data_log_dir: /var/lib/zookeeper`"}},
		{[]string{"adopt: {}", "adopt: {unit: ssh.service}"}, []string{"is run by zookeeper.service, not by ssh.service"}},
		{[]string{"adopt: {}", "adopt: {config: /etc/zookeeper/other.cfg}"}, []string{"/var/lib/zookeeper", "did not make"}},
		{[]string{"  adopt: {}\n", ""}, []string{"did not make"}},
	} {
		s, _ := d.spec(t, c.change...)
		_, report := d.plan(t, s)
		wants(t, report, bootstrap.ErrRefused, c.words...)
	}
	d.ours(t)
}

// written lets zkboot write the spec; what it writes can be planned as it is.
func (d handmade) written(t *testing.T) {
	file := filepath.Join(d.dir, "written.yaml")
	args := []string{"adopt", "-o", file, "--identity-file", filepath.Join(d.dir, "lab/id_ed25519"), "--known-hosts", filepath.Join(d.dir, "lab/known_hosts")}
	for _, h := range d.lab.Hosts {
		args = append(args, "debian@"+h.Address.String())
	}
	t.Logf("%s", d.zkboot(t, args...))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", text)
	s, report := bootstrap.Load(file, text)
	if report.Failed() {
		t.Fatal(report.Err())
	}
	s.Hardware.Profile = "lab" // not for adopt to choose
	plan, report := d.plan(t, s)
	if report.Failed() || strings.Contains(plan.String(), "maxClientCnxns") {
		t.Errorf("want a plan that leaves maxClientCnxns alone: %v\n%s", report.Err(), plan)
	}
	d.ours(t)
}

func (d handmade) shows(t *testing.T) {
	s, file := d.spec(t)
	plan, report := d.plan(t, s)
	if report.Failed() {
		t.Fatal(report.Err())
	}
	t.Logf("%s", d.zkboot(t, "plan", "-f", file))
	for _, want := range []string{"update unit zookeeper.service", "~ enabled: true -> false", "~ running: true -> false", "~ maxClientCnxns: 0 -> 60",
		"~ owner: zk -> zookeeper", "create file /etc/zookeeper/main/zoo.cfg.dynamic", "leader last"} {
		if !strings.Contains(plan.String(), want) {
			t.Errorf("the plan does not say %q", want)
		}
	}
	for _, w := range plan.Waves {
		for host, steps := range w.Steps {
			for _, st := range steps {
				if !w.Rolling && st.Action != bootstrap.ActionAdopt && (strings.HasPrefix(st.Target.Name(), "/var/lib/zookeeper") || st.Target.Kind() == bootstrap.KindUnit || st.Target.Kind() == bootstrap.KindPackage) {
					t.Errorf("%s: %s is not in a turn", host, st)
				}
			}
		}
	}
	d.ours(t)
}

// killed kills the program after the first turn and lets the next run finish, under a
// session that reads and writes a little: 3.8.0 does not bear more.
func (d handmade) killed(t *testing.T) {
	s, file := d.spec(t)
	conn := d.client(t, allHosts()...)
	if _, err := conn.Create("/session", nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	session := conn.SessionID()
	r := d.begin(t, s)
	r.await(t, turnDone)
	for _, h := range d.lab.Hosts {
		d.killAgent(h.Name)
	}
	<-r.ended
	t.Logf("the run that was killed: %v", r.report.Err())
	d.free(t)
	mixed := d.running(t)
	t.Logf("after the kill: %v", mixed)
	t.Logf("%s", d.zkboot(t, "apply", "--auto-approve", "-f", file))
	for _, h := range allHosts() {
		if got := d.running(t)[h]; got != "zookeeper-main.service" {
			t.Errorf("%s is run by %q", h, got)
		}
		if got := d.sh(t, h, "systemctl is-enabled zookeeper || true"); !strings.Contains(got, "disabled") {
			t.Errorf("%s: zookeeper.service is %q", h, got)
		}
	}
	d.kept(t, "/kept")
	d.kept(t, "/kept/n19")
	if ok, _, err := conn.Exists("/session"); err != nil || !ok || conn.SessionID() != session {
		t.Errorf("the session %x did not live through it: %x, %t, %v", session, conn.SessionID(), ok, err)
	}
}

// zkboot runs the program and returns what it says.
func (d handmade) zkboot(t *testing.T, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, d.program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("zkboot %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// running tells which unit runs the server of each host.
func (d handmade) running(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, h := range allHosts() {
		out[h] = d.sh(t, h, "for p in $(pgrep -x java); do grep -o '[^/]*[.]service$' /proc/$p/cgroup | tail -n 1; done")
	}
	return out
}

func (d handmade) reconfig(t *testing.T) {
	s, file := d.spec(t)
	plan, report := d.plan(t, s)
	if report.Failed() || !strings.Contains(plan.String(), "~ reconfigEnabled: false -> true") || len(plan.Waves) != 1 {
		t.Fatalf("%v\n%s", report.Err(), plan)
	}
	t.Logf("%s", d.zkboot(t, "apply", "--auto-approve", "-f", file))
	plan, report = d.plan(t, s)
	if report.Failed() || !plan.Empty() {
		t.Fatalf("the plan after it is not empty: %v\n%s", report.Err(), plan)
	}
	d.kept(t, "/kept/n7")
}

// beside starts the unit of before, which somebody's playbook may do.
func (d handmade) beside(t *testing.T) {
	s, _ := d.spec(t)
	d.sh(t, "zk1", "systemctl start zookeeper")
	within(t, 30*time.Second, func() bool { return d.running(t)["zk1"] == "zookeeper.service" })
	plan, report := d.plan(t, s)
	if report.Failed() || !strings.Contains(plan.String(), "~ running: true -> false") || strings.Contains(plan.String(), "reconfigEnabled") {
		t.Fatalf("%v\n%s", report.Err(), plan)
	}
	if report := d.apply(t, s, nil); report.Failed() {
		t.Fatal(report.Err())
	}
	if got := d.running(t)["zk1"]; got != "zookeeper-main.service" {
		t.Errorf("zk1 is run by %q", got)
	}
	d.kept(t, "/kept/n3")
}

// back gives the ensemble back: the data stays, the unit of before stays off until somebody
// starts it.
func (d handmade) back(t *testing.T) {
	_, file := d.spec(t)
	d.zkboot(t, "destroy", "--auto-approve", "-f", file)
	for h, unit := range d.running(t) {
		if unit != "" {
			t.Errorf("%s still runs %s", h, unit)
		}
	}
	d.sh(t, "zk3", "chown -R zk: /var/lib/zookeeper")
	for _, h := range allHosts() {
		d.sh(t, h, "systemctl enable -q zookeeper; systemctl start zookeeper")
	}
	for _, h := range d.lab.Hosts { // the last to start joins a quorum that serves already
		within(t, time.Minute, func() bool { return strings.Contains(fourLetters(t.Context(), h.Address.String(), "srvr"), "Mode: ") })
	}
	d.kept(t, "/kept")
	d.kept(t, "/kept/n19")
}
