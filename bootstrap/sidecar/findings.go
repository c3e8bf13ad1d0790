package sidecar

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// refusals are what forbids a sidecar on the host as it was seen.
func (n node) refusals(seen bootstrap.Seen) bootstrap.Report {
	var r bootstrap.Report
	r.Merge(n.secondSidecar(seen.State))
	if n.proxied() {
		r.Merge(n.oldProxy(seen))
		r.Merge(n.foreignUnit(seen.State))
		r.Merge(n.otherConfig(seen.State))
	}
	r.Merge(n.takenPorts(seen))
	return r
}

// refuse is a report of one refusal that concerns this host.
func (n node) refuse(p bootstrap.Path, hint, format string, args ...any) bootstrap.Report {
	return bootstrap.Report{Findings: []bootstrap.Finding{{Severity: bootstrap.SeverityError, Path: p, Host: n.host,
		Text: fmt.Sprintf(format, args...), Hint: hint, Err: bootstrap.ErrRefused}}}
}

func (n node) owner() bootstrap.Owner { return bootstrap.OwnerOf(n.spec.Name, roleName) }

// secondSidecar refuses a host whose zkwatch belongs to another spec: the two would write
// one file in turn.
func (n node) secondSidecar(have bootstrap.State) bootstrap.Report {
	id := bootstrap.NewID(bootstrap.KindFile, confFile)
	for _, name := range slices.Sorted(maps.Keys(have.Manifests)) {
		if _, has := have.Manifests[name].Find(id); has && name != string(n.owner()) {
			return n.refuse(n.at(), "write its routes and registrations into that spec, or take its sidecar away first",
				"the host has the sidecar of spec %q already", strings.TrimSuffix(name, "."+roleName))
		}
	}
	return bootstrap.Report{}
}

// The least HAProxy: 2.6 is the first that takes servers at run time without being told to
// experiment (management.txt 2.6, "add server").
const leastMajor, leastMinor = 2, 6

func (n node) oldProxy(seen bootstrap.Seen) bootstrap.Report {
	var version string
	if p, ok := seen.State.Find(bootstrap.NewID(bootstrap.KindPackage, proxyPackage)).(bootstrap.Package); ok {
		version = p.Version
	} else if c, ok := seen.State.Find(bootstrap.NewID(bootstrap.KindCandidate, proxyPackage)).(bootstrap.Candidate); ok {
		version = c.Version
	}
	major, minor, ok := proxyVersion(version)
	if !ok || major > leastMajor || major == leastMajor && minor >= leastMinor {
		return bootstrap.Report{} // what apt does not know yet it may know after its update
	}
	return n.refuse(n.at().Field("routes"), "use Debian 12 or Ubuntu 24.04, or an apt source with a newer one (https://haproxy.debian.net)",
		"%s has haproxy %s, zkwatch needs %d.%d or later", osName(seen.Facts), version, leastMajor, leastMinor)
}

// proxyVersion reads a Debian version such as 2.6.12-1+deb12u4.
func proxyVersion(text string) (major, minor int, ok bool) {
	if _, after, epoch := strings.Cut(text, ":"); epoch {
		text = after
	}
	first, rest, _ := strings.Cut(text, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, errA := strconv.Atoi(first)
	minor, errB := strconv.Atoi(second)
	return major, minor, errA == nil && errB == nil
}

func osName(f bootstrap.Facts) string {
	if f.OS.Pretty != "" {
		return f.OS.Pretty
	}
	return strings.TrimSpace(f.OS.ID + " " + f.OS.VersionID)
}

// foreignUnit refuses a unit file in /etc that somebody else wrote: it starts a HAProxy in a
// way that is not ours to change. Drop-ins stay in force beside ours.
func (n node) foreignUnit(have bootstrap.State) bootstrap.Report {
	for _, name := range []string{proxyUnit, watchUnit} {
		u, ok := have.Find(bootstrap.NewID(bootstrap.KindUnit, name)).(bootstrap.Unit)
		_, ours := have.Manifests[string(n.owner())].Find(u.ID())
		if ok && !ours && u.Content != "" && !strings.Contains(u.Content, "ZKBOOT_REV=") {
			return n.refuse(n.at(), "move what is in it into a drop-in (systemctl edit "+name+"), then delete it",
				"/etc/systemd/system/%s was not written by zkboot", name)
		}
	}
	return bootstrap.Report{}
}

// otherConfig refuses a CONFIG of the operator's in the file that the unit reads: zkwatch
// checks its own file together with haproxy.cfg, and would check the wrong one.
func (n node) otherConfig(have bootstrap.State) bootstrap.Report {
	f, _ := have.Find(bootstrap.NewID(bootstrap.KindFile, proxyDefaults)).(bootstrap.File)
	for line := range strings.Lines(f.Content) {
		value, set := strings.CutPrefix(strings.TrimSpace(line), "CONFIG=")
		if value = strings.Trim(value, `"'`); set && value != operatorFile {
			return n.refuse(n.at().Field("routes"), "put the configuration there and take CONFIG out",
				"%s says that HAProxy reads %s, want %s", proxyDefaults, value, operatorFile)
		}
	}
	return bootstrap.Report{}
}

// takenPorts refuses addresses that somebody else listens on. HAProxy would share them
// (SO_REUSEPORT) with a frontend of the operator's own haproxy.cfg, so that every other
// connection went astray: those count as somebody else's unless they were in zkwatch's file,
// or nobody can tell because that is gone.
func (n node) takenPorts(seen bootstrap.Seen) bootstrap.Report {
	var r bootstrap.Report
	known := map[listener]bool{}
	before := previous(seen.State)
	if before != nil {
		for _, b := range binds(before) {
			known[b.listener] = true
		}
	}
	_, applied := seen.State.Manifests[string(n.owner())].Find(bootstrap.NewID(bootstrap.KindFile, confFile))
	lost := applied && before == nil
	for _, want := range append(binds(n.config(seen.State)), bind{unit: watchUnit, listener: listener{"127.0.0.1", statusPort}}) {
		for _, l := range seen.Facts.Listeners {
			ours := l.Process != nil && l.Process.Unit == want.unit && (want.unit == watchUnit || known[want.listener] || lost)
			if l.Port != want.port || ours || !overlap(l.Address, want.host) {
				continue
			}
			r.Merge(n.refuse(n.at()+want.at, "stop it, take it out of haproxy.cfg, or choose another port",
				"port %d is taken by %s on %s", l.Port, processName(l.Process), l.Address))
			break // a program often listens on both IPv4 and IPv6
		}
	}
	return r
}

func processName(p *verify.Process) string {
	switch {
	case p == nil:
		return "a process that cannot be seen"
	case p.Unit != "":
		return fmt.Sprintf("%s (pid %d, unit %s)", p.Name, p.PID, p.Unit)
	}
	return fmt.Sprintf("%s (pid %d)", p.Name, p.PID)
}

// overlap reports whether listening on both addresses collides. A name may be any.
func overlap(a, b string) bool {
	x, errA := netip.ParseAddr(a)
	y, errB := netip.ParseAddr(b)
	return errA != nil || errB != nil || x.IsUnspecified() || y.IsUnspecified() || x.Unmap() == y.Unmap()
}
