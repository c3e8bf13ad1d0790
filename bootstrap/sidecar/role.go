package sidecar

import (
	"context"
	"fmt"
	"slices"

	"github.com/zkboot/zkboot/bootstrap"
)

// Role is the sidecar role. It has no state but the archives it brings.
type Role struct{ archives []Archive }

// New returns the role. Without an archive for a host's architecture no sidecar can be
// planned there.
func New(archives []Archive) Role { return Role{archives: archives} }

var _ bootstrap.Role = Role{}

// Name implements bootstrap.Role.
func (Role) Name() string { return roleName }

// Validate implements bootstrap.Role. Routes, registrations and what they refer to are
// checked by the spec itself; what is left is how they get on with the kernel's settings.
func (Role) Validate(s *bootstrap.Spec) bootstrap.Report {
	var r bootstrap.Report
	if len(s.Sidecars) == 0 {
		return r
	}
	if s.Ensemble == nil { // else the ensemble role says it
		r.Merge(s.Tuning.Check())
	}
	for _, n := range nodes(s) {
		r.Merge(n.borrowedPorts())
	}
	return r
}

// Queries implements bootstrap.Role: everything that the sidecar may want, and which
// HAProxy there is and reads what.
func (Role) Queries(s *bootstrap.Spec, host string) []bootstrap.ID {
	n, ok := nodeOn(s, host)
	if !ok {
		return nil
	}
	ids := []bootstrap.ID{bootstrap.NewID(bootstrap.KindCandidate, proxyPackage), bootstrap.NewID(bootstrap.KindFile, proxyDefaults)}
	d, err := n.desired(bootstrap.Archive{Dest: home}, bootstrap.State{})
	if err != nil {
		return ids // Compile reports it
	}
	for _, r := range d.Resources {
		ids = append(ids, r.ID())
	}
	slices.Sort(ids)
	return ids
}

// Compile implements bootstrap.Role.
func (r Role) Compile(s *bootstrap.Spec, now bootstrap.Site) (map[string]bootstrap.Desired, bootstrap.Report) {
	var report bootstrap.Report
	want := map[string]bootstrap.Desired{}
	for _, n := range nodes(s) {
		seen, ok := now.Hosts[n.host]
		if !ok || seen.Err != nil {
			continue // nothing can be said about a host that was not seen
		}
		report.Merge(n.refusals(seen))
		archive, err := software(r.archives, seen.Facts.Arch)
		if err != nil {
			report.HostError(n.host, "", err)
			continue
		}
		d, err := n.desired(archive, seen.State)
		if err != nil {
			report.HostError(n.host, "compile "+roleName, err)
			continue
		}
		want[n.host] = d
	}
	return want, report
}

// Next implements bootstrap.Role. There is nothing to form: hosts do not depend on each
// other, and zkwatch waits for its registry by itself.
func (Role) Next(*bootstrap.Spec, bootstrap.Site, bootstrap.Intent) (bootstrap.SiteStep, bool, error) {
	return bootstrap.SiteStep{}, false, nil
}

// Do implements bootstrap.Role: there are no site steps.
func (Role) Do(_ context.Context, _ *bootstrap.Spec, _ bootstrap.Hosts, st bootstrap.SiteStep) error {
	return fmt.Errorf("%s: the sidecar role has no site steps", st.Name)
}
