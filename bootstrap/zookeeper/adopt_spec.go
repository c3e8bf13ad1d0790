package zookeeper

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// Recognize makes the spec of an ensemble that somebody else set up from what was seen, on
// some or all of its hosts, with Queries of a spec that adopts it. Its hosts are named by
// server ids in decimal, as in Recall, and how they are reached over SSH is not in it; as
// tells under which of the names given each was seen. Settings that ours would not have by
// themselves are in it as far as zkboot knows them; what it does not is told when the spec is
// planned. The spec is nil when the report failed.
func (Role) Recognize(name string, a bootstrap.Adopt, seen map[string]bootstrap.Seen) (s *bootstrap.Spec, as map[string]string, r bootstrap.Report) {
	s = &bootstrap.Spec{Name: name, Hosts: map[string]bootstrap.HostSpec{}, Ensemble: &bootstrap.Ensemble{Members: map[string]bootstrap.Member{}, Adopt: &a}}
	as = map[string]string{}
	is := a.WithDefaults()
	var first *bootstrap.ZooKeeper
	var lines Dynamic
	names := namesSeen(is, seen)
	for _, host := range slices.Sorted(keysOf(seen)) {
		z, live, err := recognize(is, seen[host], names)
		switch {
		case err != nil:
			r.HostError(host, "look at "+is.Config, err)
			continue
		case as[z.MyID] != "":
			r.HostError(host, "myid", fmt.Errorf("server %s is %s already: each server has an id of its own", z.MyID, as[z.MyID]))
			continue
		}
		as[z.MyID] = host
		if first == nil {
			first, lines = &z, live
			continue
		}
		if diffs := Differences(live, lines); len(diffs) > 0 {
			r.HostError(host, "look at "+is.Config, fmt.Errorf("it names other servers than that of %s: %s", as[first.MyID], strings.Join(diffs, "; ")))
		}
		r.Merge(unlike(host, as[first.MyID], z, *first))
	}
	if r.Failed() || first == nil {
		return nil, as, r
	}
	recognizeMembers(s, lines)
	recognizeSource(s, seen[as[first.MyID]], *first)
	r.Merge(recognizeFlags(s, *first))
	s.Ensemble.Ports.Admin = otherThan(first.Properties["admin.serverPort"], bootstrap.Ports{}.WithDefaults().Admin)
	s.Ensemble.DataDir, s.Ensemble.DataLogDir = foreignDirs(*first)
	recallConfig(s, first.MyID, first.Properties)
	r.Merge(dropUnfit(s))
	recallAccepted(s, seen[as[first.MyID]])
	return s, as, r
}

// recognize reads the server of one host, with the members by address.
func recognize(a bootstrap.Adopt, seen bootstrap.Seen, names map[string][]string) (bootstrap.ZooKeeper, Dynamic, error) {
	z, ok := seen.State.Find(bootstrap.NewID(bootstrap.KindZooKeeper, a.Config)).(bootstrap.ZooKeeper)
	switch {
	case seen.Err != nil:
		return z, Dynamic{}, seen.Err
	case !ok:
		return z, Dynamic{}, bootstrap.Finding{Text: "there is no such file", Hint: "name the one that the server was started with: --config"}
	}
	live, err := ForeignServers(z)
	switch {
	case err != nil:
		return z, live, err
	case len(live.Servers) == 0:
		return z, live, errors.New("it has no server lines: a standalone server is not taken over")
	case len(live.Groups) > 0:
		return z, live, errors.New("it has groups or weights, which zkboot does not know")
	case !slices.ContainsFunc(live.Servers, func(s Server) bool { return strconv.Itoa(s.ID) == z.MyID }):
		return z, live, fmt.Errorf("want the id of this server, %q, among its server lines, found %s", z.MyID, strings.ReplaceAll(strings.TrimSpace(live.String()), "\n", ", "))
	}
	for i, s := range live.Servers {
		for j, addr := range s.Addresses {
			at, why := address(names, addr.Host)
			if why != "" {
				return z, live, fmt.Errorf("server.%d: %s", s.ID, why)
			}
			live.Servers[i].Addresses[j].Host = at
		}
		live.Servers[i].ClientHost = live.Servers[i].Addresses[0].Host
	}
	return z, live, nil
}

// recognizeMembers makes the members and, of the first of them, the ports.
func recognizeMembers(s *bootstrap.Spec, lines Dynamic) {
	for i, srv := range lines.Servers {
		id := strconv.Itoa(srv.ID)
		m := bootstrap.Member{ID: srv.ID}
		if srv.Role == Observer {
			m.Role = bootstrap.Observer
		}
		s.Hosts[id], s.Ensemble.Members[id] = bootstrap.HostSpec{Address: srv.Addresses[0].Host}, m
		if i == 0 {
			s.Ensemble.Ports = unusual(bootstrap.Ports{Client: srv.ClientPort, Quorum: srv.Addresses[0].Quorum, Election: srv.Addresses[0].Election})
		}
	}
}

// namesSeen are the addresses of names as any of the hosts knows them: on the host of that
// name it may be a loopback address, as Debian's installer writes it into /etc/hosts.
func namesSeen(a bootstrap.Adopt, seen map[string]bootstrap.Seen) map[string][]string {
	out := map[string][]string{}
	for _, host := range slices.Sorted(keysOf(seen)) {
		z, _ := seen[host].State.Find(bootstrap.NewID(bootstrap.KindZooKeeper, a.Config)).(bootstrap.ZooKeeper)
		for name, addrs := range z.Names {
			out[name] = append(out[name], addrs...)
		}
	}
	return out
}

// address turns the host of a server line into the address that the others reach it at.
func address(names map[string][]string, host string) (addr, why string) {
	if at, err := netip.ParseAddr(host); err == nil {
		if at.IsUnspecified() || at.IsLoopback() {
			return "", fmt.Sprintf("%s is no address that the others can reach", host)
		}
		return host, ""
	}
	for _, found := range names[host] {
		if at, err := netip.ParseAddr(found); err == nil && !at.IsLoopback() {
			return found, ""
		}
	}
	if len(names[host]) > 0 {
		return "", fmt.Sprintf("%s is %s on the host, which the others cannot reach", host, names[host][0])
	}
	return "", fmt.Sprintf("the name %s is not known on the host", host)
}

// recognizeSource takes the distribution's package where it is installed; of a release
// archive the host tells the version alone.
func recognizeSource(s *bootstrap.Spec, seen bootstrap.Seen, z bootstrap.ZooKeeper) {
	v := view{z: z}
	v.readSrvr()
	p, _ := seen.State.Find(bootstrap.NewID(bootstrap.KindPackage, library)).(bootstrap.Package)
	packaged, err := ParseDebianVersion(p.Version)
	if err == nil && (v.version == "" || packaged.String() == v.version) {
		s.Ensemble.Source.Apt = &bootstrap.AptPackages{}
		return
	}
	s.Ensemble.Source.Tarball = &bootstrap.Tarball{URL: "https://archive.apache.org/dist/zookeeper/zookeeper-" + v.version + "/apache-zookeeper-" + v.version + "-bin.tar.gz"}
}

// recognizeFlags takes over the heap and the system properties that a spec may set.
func recognizeFlags(s *bootstrap.Spec, z bootstrap.ZooKeeper) bootstrap.Report {
	var r bootstrap.Report
	if len(z.Processes) != 1 {
		r.Warnf("ensemble.heap", "no server runs with %s: its heap and flags are not known", z.Config)
		return r
	}
	args := z.Processes[0].Args
	if heap := ForeignHeap(args); heap >= 128*bootstrap.MiB {
		s.Ensemble.Heap = heap
	}
	for _, flag := range ForeignFlags(args) {
		try := *s.Ensemble
		try.JVMFlags = []string{flag}
		if validateFlags(&bootstrap.Spec{Name: s.Name, Ensemble: &try}).Failed() || strings.ContainsAny(flag, " \t\n\r\"'\\$%<") {
			r.Warnf("ensemble.jvm_flags", "the running server has %s, which a spec cannot set", flag)
			continue
		}
		s.Ensemble.JVMFlags = append(s.Ensemble.JVMFlags, flag)
	}
	return r
}

// dropUnfit takes settings out that a spec may not have, and says so.
func dropUnfit(s *bootstrap.Spec) bootstrap.Report {
	var r bootstrap.Report
	for _, key := range slices.Sorted(keysOf(s.Ensemble.Config)) {
		one := *s.Ensemble
		one.Config = map[string]string{key: s.Ensemble.Config[key]}
		if faults := validateConfig(&bootstrap.Spec{Name: s.Name, Hosts: s.Hosts, Ensemble: &one}); faults.Failed() {
			r.Warnf(bootstrap.Path("ensemble.config").Key(key), "left out: %s", faults.Findings[0].Text)
			delete(s.Ensemble.Config, key)
		}
	}
	return r
}

// unlike warns of settings in which two servers differ: the spec has one value for all.
func unlike(host, other string, z, w bootstrap.ZooKeeper) bootstrap.Report {
	var r bootstrap.Report
	for _, key := range slices.Sorted(keysOf(z.Properties)) {
		if was, both := w.Properties[key]; both && was != z.Properties[key] && !strings.HasPrefix(key, "server.") && key != "clientPortAddress" && key != "dynamicConfigFile" {
			r.Warnf("ensemble.config", "%s is %s on %s and %s on %s; the spec has the latter for all", key, z.Properties[key], host, was, other)
		}
	}
	return r
}
