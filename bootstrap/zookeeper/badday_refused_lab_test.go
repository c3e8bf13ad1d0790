//go:build lab

package zookeeper_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
)

// refusedVersion: Debian 12 ships 3.8.0, which loses data; nobody accepted that.
func (d *days) refusedVersion(t *testing.T) {
	s, _ := d.spec(t, shape{accept: " "})
	_, report := d.plan(t, s)
	wants(t, report, bootstrap.ErrRefused, "ensemble.source.apt", "ZooKeeper 3.8.0 (zk1, zk2, zk3)", "ZOOKEEPER-4785", "accept_known_issues")
	d.untouched(t, allHosts()...)
}

// unreachableHost: one host in three does not answer, each time in another way. The plan
// names it alone, and comes back with it.
func (d *days) unreachableHost(t *testing.T) {
	s, _ := d.spec(t, shape{direct: true})
	for _, way := range []struct {
		name         string
		leave, enter func(*lab.Host, context.Context) error
		word         string
	}{
		{"off", (*lab.Host).PowerCut, (*lab.Host).Start, "zk2"},
		{"isolated", func(h *lab.Host, ctx context.Context) error { return h.Isolate(ctx) }, (*lab.Host).Heal, "zk2"},
		{"frozen", (*lab.Host).Freeze, (*lab.Host).Thaw, "zk2"},
	} {
		h := d.host(t, "zk2")
		if way.name == "off" {
			if err := d.ready(t, h); err != nil { // its packages come in the background
				t.Fatal(err)
			}
		}
		if err := way.leave(h, t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		plan, report := d.plan(t, s)
		if err := way.enter(h, t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: known after %s: %v", way.name, time.Since(start).Round(time.Second/10), report.Err())
		wants(t, report, bootstrap.ErrUnreachable, way.word, h.Address.String())
		if plan != nil {
			t.Errorf("%s: a plan without %s: %s", way.name, h.Name, plan)
		}
		for _, f := range report.Findings {
			if f.Host != h.Name && f.Severity == bootstrap.SeverityError {
				t.Errorf("%s: an error about %q as well: %v", way.name, f.Host, f)
			}
		}
	}
	if plan, report := d.plan(t, s); plan == nil {
		t.Errorf("all hosts are back, and still: %v", report.Err())
	}
	d.untouched(t, allHosts()...)
}

// foreignData: a server that zkboot did not make has left its data where ours would lie.
func (d *days) foreignData(t *testing.T) {
	s, _ := d.spec(t, shape{})
	const log = "/var/lib/zookeeper-log/bad/version-2/log.100000001"
	d.sh(t, "zk2", "mkdir -p "+log[:strings.LastIndex(log, "/")]+" && echo precious > "+log)
	defer d.sh(t, "zk2", "rm -rf /var/lib/zookeeper-log/bad")
	_, report := d.plan(t, s)
	wants(t, report, bootstrap.ErrRefused, `ensemble.members["zk2"]`, "data of a server that zkboot did not make", "/var/lib/zookeeper/bad/zkboot.json", "move the directory away")
	if got := d.sh(t, "zk2", "cat "+log); got != "precious" {
		t.Errorf("the foreign log says %q", got)
	}
	d.untouched(t, allHosts()...)
}

// otherEnsemble: the data directory belongs to a member of another ensemble of ours.
func (d *days) otherEnsemble(t *testing.T) {
	s, _ := d.spec(t, shape{})
	d.sh(t, "zk3", `mkdir -p /var/lib/zookeeper/bad/version-2 && echo x > /var/lib/zookeeper/bad/version-2/snapshot.5
echo '{"format":1,"name":"orders","cluster":"0123456789abcdef","server":7}' > /var/lib/zookeeper/bad/zkboot.json`)
	defer d.sh(t, "zk3", "rm -rf /var/lib/zookeeper/bad")
	_, report := d.plan(t, s)
	wants(t, report, bootstrap.ErrRefused, `ensemble.members["zk3"]`, `server 7 of ensemble "orders" (cluster 0123456789abcdef)`, `server 3 of "bad"`)
	if got := d.sh(t, "zk3", "cat /var/lib/zookeeper/bad/version-2/snapshot.5"); got != "x" {
		t.Errorf("the snapshot of the other ensemble says %q", got)
	}
	d.untouched(t, allHosts()...)
}

// occupiedPort: somebody else listens where the member would.
func (d *days) occupiedPort(t *testing.T) {
	s, _ := d.spec(t, shape{})
	d.sh(t, "zk1", "systemd-run --quiet --unit=squatter systemd-socket-activate -l 2181 /bin/cat")
	defer d.sh(t, "zk1", "systemctl stop squatter")
	within(t, 20*time.Second, func() bool { return strings.Contains(d.sh(t, "zk1", "ss -ltn"), ":2181 ") })
	_, report := d.plan(t, s)
	wants(t, report, bootstrap.ErrRefused, "ensemble.ports.client", "zk1", "port 2181", "squatter.service")
	if slices.ContainsFunc(report.Findings, func(f bootstrap.Finding) bool { return f.Host == "zk2" }) {
		t.Errorf("zk2 is blamed too: %v", report.Err())
	}
	d.untouched(t, allHosts()...)
}
