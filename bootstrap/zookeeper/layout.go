package zookeeper

import (
	"cmp"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// roleName is the second half of the owner of everything this role makes.
const roleName = "zookeeper"

// account is the system user and group that the server runs as.
const account = "zookeeper"

// layout is where the files of an ensemble lie; it is the same on every member.
type layout struct {
	conf      string // directory that the server may write: it rewrites zoo.cfg there
	zooCfg    string
	dynamic   string // first dynamic configuration; the server moves on to zoo.cfg.dynamic.<version>
	super     string // secret behind the super digest
	data      string // snapshots, myid
	dataLog   string // transaction log
	logs      string // of the garbage collector; the server itself logs to the journal
	home      string // of the tarball source
	unit      string
	marker    string // tells whose data this is
	myID      string
	sysctlD   string
	limitsD   string
	tmpfilesD string
	needrest  string
	swapUnit  string
}

func layoutOf(s *bootstrap.Spec) layout {
	conf := "/etc/zookeeper/" + s.Name
	l := layout{
		conf:      conf,
		zooCfg:    conf + "/zoo.cfg",
		dynamic:   conf + "/zoo.cfg.dynamic",
		super:     conf + "/super",
		data:      cmp.Or(s.Ensemble.DataDir, "/var/lib/zookeeper/"+s.Name),
		dataLog:   cmp.Or(s.Ensemble.DataLogDir, "/var/lib/zookeeper-log/"+s.Name),
		logs:      "/var/log/zookeeper/" + s.Name,
		home:      "/opt/zookeeper/" + s.Name,
		unit:      "zookeeper-" + s.Name + ".service",
		sysctlD:   "/etc/sysctl.d/90-zkboot-" + s.Name + ".conf",
		limitsD:   "/etc/security/limits.d/90-zkboot-" + s.Name + ".conf",
		tmpfilesD: "/etc/tmpfiles.d/zkboot-" + s.Name + ".conf",
		needrest:  "/etc/needrestart/conf.d/zkboot-" + s.Name + ".conf",
		swapUnit:  "zkboot-swapoff-" + s.Name + ".service",
	}
	l.marker = l.data + "/zkboot.json"
	l.myID = l.data + "/myid"
	return l
}

// versionDir is where a server keeps its files below dataDir and dataLogDir: the 2 is the
// version of the file format and has never changed.
func versionDir(dir string) string { return dir + "/version-2" }

// initialize is the marker by which an empty server may take part in an election although
// db.autocreate is false. The server looks for it in the directory of the transaction log,
// not in dataDir as its manual says; it deletes it at the first start.
func initialize(dir string) string { return dir + "/initialize" }

func (l layout) observed() bootstrap.ID { return bootstrap.NewID(bootstrap.KindZooKeeper, l.zooCfg) }

// member is one server of the ensemble, with the words of the spec that concern it.
type member struct {
	layout
	spec  *bootstrap.Spec
	host  string
	id    int
	voter bool
	addr  string // private address of the host
	ports bootstrap.Ports

	planned bool // the spec has it as a member
	// static: another member still runs without reconfig under somebody else's unit, see adopt.go
	static bool
}

// members lists the members of the spec by host name.
func members(s *bootstrap.Spec) []member {
	var out []member
	for _, host := range s.MemberNames() {
		m := s.Ensemble.Members[host]
		out = append(out, member{
			layout: layoutOf(s), spec: s, host: host, id: m.ID, voter: m.Voter(), planned: true,
			addr: s.Hosts[host].Address, ports: s.Ensemble.Ports.WithDefaults(),
		})
	}
	return out
}

// memberOn finds the member on a host.
func memberOn(s *bootstrap.Spec, host string) (member, bool) {
	for _, m := range members(s) {
		if m.host == host {
			return m, true
		}
	}
	return member{}, false
}

func hostsOf(ms []member) []string {
	var names []string
	for _, m := range ms {
		names = append(names, m.host)
	}
	return names
}

// voters returns the number of voters, and how many of them make a quorum.
func voters(ms []member) (all, quorum int) {
	for _, m := range ms {
		if m.voter {
			all++
		}
	}
	return all, all/2 + 1
}

func (m member) client() string { return net.JoinHostPort(m.addr, strconv.Itoa(m.ports.Client)) }

// server is the member's line in the dynamic configuration.
func (m member) server() Server {
	s := Server{ID: m.id, Addresses: []Address{{Host: m.addr, Quorum: m.ports.Quorum, Election: m.ports.Election}},
		Role: Participant, ClientHost: m.addr, ClientPort: m.ports.Client}
	if !m.voter {
		s.Role = Observer
	}
	return s
}

// Founding is the dynamic configuration that an ensemble starts with: every member of the
// spec, with its private address for quorum, election and clients.
func Founding(s *bootstrap.Spec) Dynamic {
	var d Dynamic
	for _, m := range members(s) {
		d.Servers = append(d.Servers, m.server())
	}
	d.sort()
	return d
}

// joining is what a leader itself grants a member to connect and follow: initLimit ticks.
func joining(s *bootstrap.Spec) time.Duration {
	c := settings(s)
	return time.Duration(c.number("initLimit")*c.number("tickTime")) * time.Millisecond
}

// patience bounds the wait for members that have just been started: joining, and time for
// the JVM and for loading the data.
func patience(s *bootstrap.Spec) time.Duration { return joining(s) + time.Minute }

// below reports whether dir is the mount point at or lies below it.
func below(dir, at string) bool { return dir == at || strings.HasPrefix(dir, at+"/") }

// sameAddress compares addresses that may be spelled differently, such as IPv6 ones.
func sameAddress(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX != nil || errY != nil {
		return a == b
	}
	return x.Unmap() == y.Unmap()
}

// parents lists the directories above our own that may have to be made.
func (l layout) parents() []string {
	var out []string
	for _, dir := range []string{l.conf, l.data, l.dataLog, l.logs} {
		if up := path.Dir(dir); up == "/etc/zookeeper" || up == "/var/lib/zookeeper" || up == "/var/lib/zookeeper-log" || up == "/var/log/zookeeper" {
			out = append(out, up)
		}
	}
	return out
}
