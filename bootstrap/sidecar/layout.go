package sidecar

import (
	"cmp"
	"slices"

	"github.com/zkboot/zkboot/bootstrap"
)

// roleName is the second half of the owner of everything this role makes.
const roleName = "sidecar"

// account is the system user and group that zkwatch runs as. Who is in the group may use
// the sockets of zkwatch and of HAProxy.
const account = "zkwatch"

// Where things lie; zkwatch's own defaults (package watcher/config) are the same.
const (
	home      = "/usr/local/lib/zkboot/zkwatch"
	program   = home + "/zkwatch"
	command   = "/usr/local/bin/zkwatch"
	confDir   = "/etc/zkwatch"
	confFile  = confDir + "/zkwatch.yaml"
	stateDir  = "/var/lib/zkwatch"
	proxyDir  = stateDir + "/haproxy"
	proxyFile = proxyDir + "/zkwatch.cfg"
	spoolDir  = "/var/spool/zkwatch"
	proxyRun  = "/run/zkwatch-haproxy"
	sysctlD   = "/etc/sysctl.d/90-zkwatch.conf"

	statusPort = 9180 // on the loopback address

	operatorFile  = "/etc/haproxy/haproxy.cfg" // never written
	proxyDefaults = "/etc/default/haproxy"     // environment of the unit, the operator's too

	proxyPackage = "haproxy"
	proxyUnit    = "haproxy.service"
	watchUnit    = "zkwatch.service"
)

// node is one application host, with the words of the spec that concern it.
type node struct {
	spec *bootstrap.Spec
	host string
	is   bootstrap.Sidecar
}

// nodes lists the application hosts of the spec by name.
func nodes(s *bootstrap.Spec) []node {
	var out []node
	for host, is := range s.Sidecars {
		out = append(out, node{spec: s, host: host, is: is})
	}
	slices.SortFunc(out, func(a, b node) int { return cmp.Compare(a.host, b.host) })
	return out
}

// nodeOn finds the application host of that name.
func nodeOn(s *bootstrap.Spec, host string) (node, bool) {
	is, ok := s.Sidecars[host]
	return node{spec: s, host: host, is: is}, ok
}

func (n node) at() bootstrap.Path { return bootstrap.Path("sidecars").Key(n.host) }

// proxied reports whether the host routes anything: one that only registers needs no HAProxy.
func (n node) proxied() bool { return len(n.is.Routes) > 0 }

// spool is the directory whose files drain registrations.
func (n node) spool() string { return cmp.Or(n.is.Drain.Spool, spoolDir) }
