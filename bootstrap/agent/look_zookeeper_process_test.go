package agent

import (
	"os"
	"slices"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

const serverLine = "/usr/bin/java\x00-Xmx1g\x00-Djavax.net.ssl.keyStorePassword=geheim\x00-cp\x00/etc/zookeeper/conf\x00" +
	"org.apache.zookeeper.server.quorum.QuorumPeerMain\x00/etc/zookeeper/conf/zoo.cfg\x00"

// A server of Debian's package: links of root's lead to its configuration and in the place
// of myid, and nothing but its command line tells which zoo.cfg it runs with.
func TestZooKeeperOfDebiansPackageIsSeen(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/zookeeper/conf_example/zoo.cfg", "dataDir=/var/lib/zookeeper\nadmin.enableServer=false\nclientPort=1\nserver.1=localhost:2888:3888\nserver.2=10.0.0.2:2888:3888\n")
	s.put("/etc/zookeeper/conf_example/myid", "1\n")
	s.put("/var/lib/zookeeper/version-2/log.1", "")
	for link, to := range map[string]string{"/etc/zookeeper/conf": "/etc/zookeeper/conf_example", "/var/lib/zookeeper/myid": "/etc/zookeeper/conf/myid"} {
		if err := os.Symlink(to, s.under(link)); err != nil {
			t.Fatal(err)
		}
	}
	s.put("/proc/812/cmdline", serverLine)
	s.put("/proc/812/cgroup", "0::/system.slice/zookeeper.service\n")
	s.put("/proc/813/cmdline", "vi\x00/etc/zookeeper/conf/zoo.cfg\x00")
	s.put("/proc/self/cmdline", serverLine)
	z := s.see("zookeeper:/etc/zookeeper/conf/zoo.cfg").(bootstrap.ZooKeeper)
	wantEqual(t, z.MyID, "1")
	wantEqual(t, z.Data, bootstrap.DataPresent)
	wantEqual(t, z.Processes, []bootstrap.ServerProcess{{PID: 812, Unit: "zookeeper.service",
		Args: []string{"-Xmx1g", "-Djavax.net.ssl.keyStorePassword=" + redacted, "-cp", "/etc/zookeeper/conf"}}})
	if !slices.ContainsFunc(z.Names["localhost"], func(a string) bool { return a == "127.0.0.1" || a == "::1" }) || len(z.Names) != 1 {
		t.Errorf("names are %v, want localhost alone", z.Names)
	}
	t.Run("by the other path of its zoo.cfg", func(t *testing.T) {
		z := s.see("zookeeper:/etc/zookeeper/conf_example/zoo.cfg").(bootstrap.ZooKeeper)
		if len(z.Processes) != 1 {
			t.Errorf("processes are %v, want that of /etc/zookeeper/conf/zoo.cfg", z.Processes)
		}
	})
}

// A command line is that of a server only with a class of the server and a zoo.cfg behind it.
func TestServerArgs(t *testing.T) {
	for name, tt := range map[string]struct {
		line string
		file string
		args []string
	}{
		"quorum":     {"java\x00-Xmx1g\x00org.apache.zookeeper.server.quorum.QuorumPeerMain\x00/a/zoo.cfg\x00", "/a/zoo.cfg", []string{"-Xmx1g"}},
		"standalone": {"java\x00org.apache.zookeeper.server.ZooKeeperServerMain\x002181\x00/data\x00", "2181", nil},
		"no file":    {"java\x00org.apache.zookeeper.server.quorum.QuorumPeerMain\x00", "", nil},
		"a client":   {"java\x00org.apache.zookeeper.ZooKeeperMain\x00-server\x00x\x00", "", nil},
		"a mention":  {"grep\x00-e\x00x.org.apache.zookeeper.server.quorum.QuorumPeerMain\x00/a\x00", "", nil},
		"nothing":    {"", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			args, file := serverArgs([]byte(tt.line))
			wantEqual(t, file, tt.file)
			wantEqual(t, args, tt.args)
		})
	}
}

func TestUnitOfAProcess(t *testing.T) {
	for cgroup, want := range map[string]string{
		"0::/system.slice/zookeeper.service\n":                                              "zookeeper.service",
		"0::/machine.slice/lab.service/payload/system.slice/system-zk.slice/zk@1.service\n": "zk@1.service",
		"12:cpu:/x\n1:name=systemd:/system.slice/zk.service\n":                              "zk.service",
		"0::/user.slice/user-1000.slice/session-3.scope\n":                                  "session-3.scope",
		"0::/\n": "",
		"":       "",
	} {
		wantEqual(t, unitOf(cgroup), want)
	}
}

func FuzzServerArgs(f *testing.F) {
	f.Add([]byte(serverLine))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if args, file := serverArgs(line); file == "" && args != nil {
			t.Errorf("%q: arguments %q of no server", line, args)
		}
	})
}

// systemd calls the unit of an init script "generated" whether it starts at boot or not.
func TestUnitOfAnInitScript(t *testing.T) {
	status := block("zk.service", "loaded", "active", "generated", "0")
	for name, tt := range map[string]struct {
		link string
		want bool
	}{"enabled": {"/etc/rc3.d/S01zk", true}, "disabled": {"/etc/rc3.d/K01zk", false}, "of another": {"/etc/rc3.d/S01zkx", false}} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t, call{argv: showUnits + "zk.service", out: status})
			s.put(tt.link, "")
			wantEqual(t, s.see("unit:zk.service"), bootstrap.Resource(bootstrap.Unit{Name: "zk.service", Enabled: tt.want, Running: true}))
		})
	}
}
