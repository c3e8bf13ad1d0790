package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// foreignWorld has three machines with servers of Debian's package.
func foreignWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), machines: map[string]*bootstraptest.Machine{}}
	for i := range 3 {
		m := newMachine(fmt.Sprintf("node%d.example.net", i+1))
		m.Facts.Hostname = fmt.Sprintf("node%d.example.net", i+1)
		m.Set(bootstrap.ZooKeeper{Config: bootstrap.AdoptConfig, MyID: fmt.Sprint(i + 1), Data: bootstrap.DataPresent,
			Properties: bootstrap.Properties("tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/var/lib/zookeeper\nclientPort=2181\nmaxClientCnxns=0\n" +
				"server.1=10.0.0.1:2888:3888\nserver.2=10.0.0.2:2888:3888\nserver.3=10.0.0.3:2888:3888:observer\n"),
			Srvr:      "Zookeeper version: 3.8.0-x, built on 2024\nMode: follower\n",
			Processes: []bootstrap.ServerProcess{{PID: 812, Unit: bootstrap.AdoptUnit, Args: []string{"-Xmx512m"}}}})
		m.Set(bootstrap.Unit{Name: bootstrap.AdoptUnit, Enabled: true, Running: true})
		m.Set(bootstrap.Package{Name: "libzookeeper-java", Version: "3.8.0-11+deb12u2"})
		w.machines[fmt.Sprintf("10.0.0.%d", i+1)] = m
	}
	return w
}

func (w *world) adopt(code int, args ...string) {
	w.t.Helper()
	a := w.app()
	a.roles = []bootstrap.Role{zookeeper.New()}
	if got := a.run(w.t.Context(), append([]string{"adopt"}, args...)); got != code {
		w.t.Fatalf("zkboot adopt %v: exit %d, want %d\n%s%s", args, got, code, &w.stdout, &w.stderr)
	}
}

const adoptedSpec = `# Written by ` + "`zkboot adopt`" + ` from what runs today (/etc/zookeeper/conf/zoo.cfg, zookeeper.service). Nothing was changed.
name: main
ssh: {user: "debian"}
hosts:
  node1: {address: "10.0.0.1"}
  node2: {address: "10.0.0.2", ssh: {port: 2222}}
  zk3: {address: "10.0.0.3"}
ensemble:
  members:
    node1: {id: 1}
    node2: {id: 2}
    zk3: {id: 3, role: observer}
  source: {apt: {}}
  accept_known_issues: ["ZOOKEEPER-4785"]
  heap: 512MiB
  data_dir: "/var/lib/zookeeper"
  data_log_dir: "/var/lib/zookeeper"
  config:
    maxClientCnxns: "0"
  adopt: {config: /etc/zookeeper/conf/zoo.cfg, unit: zookeeper.service}
`

// The spec is printed or written, and hosts that were not named have what the server lines
// say of them.
func TestAdoptWritesTheSpec(t *testing.T) {
	w := foreignWorld(t)
	w.adopt(codeOK, "debian@10.0.0.1", "debian@10.0.0.2:2222")
	if diff := cmp.Diff(adoptedSpec, w.stdout.String()); diff != "" {
		t.Error(diff)
	}
	if text := w.stdout.String(); !strings.HasPrefix(text, "# Written") {
		t.Errorf("stdout is not the spec alone:\n%s", text)
	}
	file := filepath.Join(w.dir, "adopted.yaml")
	w.stdout.Reset()
	w.adopt(codeOK, "-o", file, "debian@10.0.0.1", "debian@10.0.0.2:2222")
	w.says(&w.stderr, "wrote "+file, "zkboot plan -f "+file)
	b, err := os.ReadFile(file)
	if err != nil || string(b) != adoptedSpec {
		t.Errorf("%v:\n%s", err, b)
	}
	w.adopt(codeFailed, "-o", file, "debian@10.0.0.1")
	w.says(&w.stderr, "is there already")
	w.untouched()
}

// What it writes is a spec, where an odd number of voters runs.
func TestAdoptedSpecLoads(t *testing.T) {
	w := foreignWorld(t)
	for _, m := range w.machines {
		z := m.Thing("zookeeper:" + bootstrap.AdoptConfig).(bootstrap.ZooKeeper)
		z.Properties["server.3"] = strings.TrimSuffix(z.Properties["server.3"], ":observer")
		m.Set(z)
	}
	w.adopt(codeOK, "root@10.0.0.1", "10.0.0.2", "10.0.0.3")
	s, r := bootstrap.Load("adopted.yaml", []byte(w.stdout.String()))
	if r.Failed() {
		t.Fatal(r.Err())
	}
	e := &bootstrap.Engine{Roles: []bootstrap.Role{zookeeper.New()}}
	if r := e.Validate(s); r.Failed() {
		t.Error(r.Err())
	}
}

func TestAdoptRefuses(t *testing.T) {
	w := foreignWorld(t)
	w.adopt(codeFailed, "10.0.0.1", "10.0.0.9")
	w.says(&w.stderr, "10.0.0.9", "no machine")
	w.adopt(codeFailed, "--config", "/opt/zoo.cfg", "10.0.0.1")
	w.says(&w.stderr, "there is no such file", "--config")
	w.adopt(codeFailed, "10.0.0.1", "root@10.0.0.1")
	w.says(&w.stderr, "named twice")
	for _, bad := range []string{"a b", "@", "x:70000", "x/y"} {
		w.adopt(codeFailed, bad)
		w.says(&w.stderr, "want [user@]host[:port]")
	}
	w.untouched()
}
