package sidecar

import (
	"fmt"
	"maps"
	"slices"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
)

// tuning is what the sidecar wants of the kernel. Where the host is a member of the ensemble
// as well, shared keys get the values that the member gives them.
func (n node) tuning() (sysctl.Tuning, error) {
	mine, err := sysctl.Tune(sysctl.PresetSidecar, sysctl.Safe)
	if err != nil {
		return sysctl.Tuning{}, err
	}
	owned := []sysctl.Owned{{Owner: roleName, Tuning: mine}}
	if slices.Contains(n.spec.MemberNames(), n.host) {
		other, err := sysctl.Tune(sysctl.PresetZooKeeper, sysctl.Safe)
		if err != nil {
			return sysctl.Tuning{}, err
		}
		owned = append(owned, sysctl.Owned{Owner: "zookeeper", Tuning: other})
	}
	return sysctl.Part(roleName, owned, n.spec.Tuning.Overrides())
}

// kernel are the resources that tune the host, and the limits for HAProxy's unit: a file in
// limits.d would bind no service.
func (n node) kernel(have bootstrap.State) ([]sysctl.Limit, []bootstrap.Resource, error) {
	t, err := n.tuning()
	if err != nil || n.spec.Tuning.Disabled {
		return t.Limits, nil, err
	}
	var out []bootstrap.Resource
	for _, s := range t.Sysctl {
		out = append(out, bootstrap.Sysctl{Setting: s})
	}
	drop := string(sysctl.RenderSysctlD(n.spec.Name, bootstrap.Lasting(t.Sysctl, have)))
	return t.Limits, append(out, bootstrap.File{Path: sysctlD, Content: drop, Mode: 0o644, Owner: "root", Group: "root"}), nil
}

// borrowedPorts warns of ports that the kernel may lend to an outgoing connection: while it
// does, nobody can listen there, which shows only at the next start.
func (n node) borrowedPorts() bootstrap.Report {
	var r bootstrap.Report
	_, chosen := n.spec.Tuning.Sysctl[portRange]
	_, reserved := n.spec.Tuning.Sysctl[sysctl.ReservedPorts]
	if n.spec.Tuning.Disabled || chosen || reserved {
		return r
	}
	warn := func(p bootstrap.Path, port int) {
		if port >= firstBorrowed && port <= lastBorrowed {
			r.Add(bootstrap.Finding{Severity: bootstrap.SeverityWarning, Path: p,
				Text: fmt.Sprintf("port %d is one that outgoing connections may take (%d to %d)", port, firstBorrowed, lastBorrowed),
				Hint: fmt.Sprintf("listen below %d, or set %s under tuning.sysctl", firstBorrowed, sysctl.ReservedPorts)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.is.Routes)) {
		if l, ok := parseListener(n.is.Routes[name].Bind); ok {
			warn(n.at().Field("routes").Key(name).Field("bind"), l.port)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.is.Register)) {
		warn(n.at().Field("register").Key(name).Field("port"), n.is.Register[name].Port)
	}
	return r
}

// The ports of outgoing connections as the preset sets them; a test compares.
const (
	portRange                   = "net.ipv4.ip_local_port_range"
	firstBorrowed, lastBorrowed = 15000, 65000
)
