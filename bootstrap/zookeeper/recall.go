package zookeeper

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// Recall makes the spec of an ensemble of that name from what was seen on a host that has a
// member of it, as far as the host tells: what no member keeps, such as hardware limits and
// tuning, is missing, and so is what is as it would be without being said. Hosts are named by
// their server ids in decimal, because members do not know each other's names; self is the
// host that told.
func (Role) Recall(name string, seen bootstrap.Seen) (s *bootstrap.Spec, self string, err error) {
	s = &bootstrap.Spec{Name: name, Hosts: map[string]bootstrap.HostSpec{}, Ensemble: &bootstrap.Ensemble{Members: map[string]bootstrap.Member{}}}
	l := layoutOf(s)
	z, ok := seen.State.Find(l.observed()).(bootstrap.ZooKeeper)
	if !ok {
		return nil, "", fmt.Errorf("want a member of %s with its %s, found none", name, l.zooCfg)
	}
	d, err := ParseDynamic(z.Dynamic)
	if err != nil {
		return nil, "", fmt.Errorf("reading the members of %s: %w", name, err)
	}
	self = strings.TrimSpace(z.MyID)
	for _, srv := range d.Servers {
		id := strconv.Itoa(srv.ID)
		m := bootstrap.Member{ID: srv.ID}
		if srv.Role == Observer {
			m.Role = bootstrap.Observer
		}
		s.Hosts[id], s.Ensemble.Members[id] = bootstrap.HostSpec{Address: srv.Addresses[0].Host}, m
		if id == self {
			s.Ensemble.Ports = unusual(bootstrap.Ports{Client: srv.ClientPort, Quorum: srv.Addresses[0].Quorum, Election: srv.Addresses[0].Election})
		}
	}
	if _, ok := s.Hosts[self]; !ok {
		return nil, "", fmt.Errorf("want server %s, whose id the host has, among the members of %s, found %s", self, name, d)
	}
	s.Ensemble.Ports.Admin = otherThan(z.Properties["admin.serverPort"], bootstrap.Ports{}.WithDefaults().Admin)
	s.Ensemble.Ports.Metrics = otherThan(z.Properties["metricsProvider.httpPort"], bootstrap.Ports{}.WithDefaults().Metrics)
	recallDirs(s, l, z.Properties)
	recallSource(s, l, seen)
	recallHeap(s, l, seen.State)
	recallConfig(s, self, z.Properties)
	recallAccepted(s, seen)
	return s, self, nil
}

// unusual leaves those ports that a spec would have to name.
func unusual(p bootstrap.Ports) bootstrap.Ports {
	usual := bootstrap.Ports{}.WithDefaults()
	for _, port := range []struct {
		is    *int
		usual int
	}{{&p.Client, usual.Client}, {&p.Quorum, usual.Quorum}, {&p.Election, usual.Election}} {
		*port.is = otherThan(strconv.Itoa(*port.is), port.usual)
	}
	return p
}

// otherThan reads a port, 0 where there is none or it is the usual one.
func otherThan(text string, usual int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n == usual {
		return 0
	}
	return n
}

func recallDirs(s *bootstrap.Spec, l layout, have map[string]string) {
	if dir := have["dataDir"]; dir != l.data {
		s.Ensemble.DataDir = dir
	}
	if dir := have["dataLogDir"]; dir != l.dataLog {
		s.Ensemble.DataLogDir = dir
	}
}

// recallSource tells where the server came from. A host does not keep the URL of a release
// where its agent did not; the version is what the server says of itself.
func recallSource(s *bootstrap.Spec, l layout, seen bootstrap.Seen) {
	a, ok := seen.State.Find(bootstrap.NewID(bootstrap.KindArchive, l.home)).(bootstrap.Archive)
	if !ok {
		s.Ensemble.Source.Apt = &bootstrap.AptPackages{}
		return
	}
	v := view{mode: modeDown}
	v.z, _ = seen.State.Find(l.observed()).(bootstrap.ZooKeeper)
	v.readSrvr()
	s.Ensemble.Source.Tarball = &bootstrap.Tarball{URL: a.URL, SHA512: a.SHA512}
	if named, err := tarballVersion(s.Ensemble.Source.Tarball); err != nil || named.String() != v.version {
		s.Ensemble.Source.Tarball.Version = v.version
	}
}

// recallHeap reads the heap from the unit.
func recallHeap(s *bootstrap.Spec, l layout, have bootstrap.State) {
	unit, _ := have.Find(bootstrap.NewID(bootstrap.KindUnit, l.unit)).(bootstrap.Unit)
	_, rest, _ := strings.Cut(unit.Content, " -Xmx")
	text, _, _ := strings.Cut(rest, "m")
	n, err := strconv.ParseInt(text, 10, 32)
	if heap := bootstrap.Size(n) * bootstrap.MiB; err == nil && heap != defaultHeap {
		s.Ensemble.Heap = heap
	}
}

// recallConfig finds the settings that zoo.cfg would not have by itself. One that follows
// from another, as the longest session does from the tick, is not among them.
func recallConfig(s *bootstrap.Spec, self string, have map[string]string) {
	m, _ := memberOn(s, self)
	config := map[string]string{}
	s.Ensemble.Config = config
	for key, value := range have {
		if k, known := findKey(key); known && (!k.tarball || s.Ensemble.Source.Tarball != nil) && m.config().Get(key) != value {
			config[key] = value
		}
	}
	for _, key := range slices.Sorted(keysOf(config)) {
		value := config[key]
		if delete(config, key); m.config().Get(key) != value {
			config[key] = value
		}
	}
	if len(config) == 0 {
		s.Ensemble.Config = nil
	}
}

// recallAccepted lists the issues that somebody must have accepted for the version to be
// there.
func recallAccepted(s *bootstrap.Spec, seen bootstrap.Seen) {
	v, err := versionOn(s, seen)
	if err != nil {
		return // a spec that names the version will tell
	}
	for _, k := range KnownIssues() {
		if k.Refuse && k.In(v) {
			s.Ensemble.AcceptKnownIssues = append(s.Ensemble.AcceptKnownIssues, k.ID)
		}
	}
}
