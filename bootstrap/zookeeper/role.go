package zookeeper

import (
	"fmt"
	"slices"

	"github.com/zkboot/zkboot/bootstrap"
)

// Role is the ensemble role. It has no state.
type Role struct{}

// New returns the role.
func New() Role { return Role{} }

var (
	_ bootstrap.Role  = Role{}
	_ bootstrap.Gated = Role{}
)

// Name implements bootstrap.Role.
func (Role) Name() string { return roleName }

// Validate implements bootstrap.Role: configuration keys, accepted issues, the version
// where the spec states it, and overrides of kernel settings.
func (Role) Validate(s *bootstrap.Spec) bootstrap.Report {
	if s.Ensemble == nil {
		return bootstrap.Report{}
	}
	r := validateConfig(s)
	r.Merge(validateAccepted(s))
	r.Merge(s.Tuning.Check())
	r.Merge(validateFlags(s))
	if !stated(s.Ensemble.Source) {
		return r // Compile knows it
	}
	v, err := versionOn(s, bootstrap.Seen{})
	if err != nil {
		r.Errorf(sourcePath(s).Field("version"), "%w", err)
		return r
	}
	r.Merge(issues(s, v, nil))
	r.Merge(tooNew(s, v))
	return r
}

// Queries implements bootstrap.Role: everything that the member may want on any known
// distribution, and what shows whose data is there already.
func (Role) Queries(s *bootstrap.Spec, host string) []bootstrap.ID {
	if s.Ensemble == nil {
		return nil
	}
	m, ok := memberOn(s, host)
	if !ok { // it may have been one
		m = outsider(s, host)
		return []bootstrap.ID{m.observed(), bootstrap.NewID(bootstrap.KindUnit, m.unit)}
	}
	ids := []bootstrap.ID{m.observed(), m.restoreID(), bootstrap.NewID(bootstrap.KindCandidate, library)}
	for _, p := range platforms() {
		d, err := m.desired(p, bootstrap.Seen{}, "")
		if err != nil {
			continue // Compile reports it
		}
		for _, r := range d.Resources {
			ids = append(ids, r.ID())
			if p, ok := r.(bootstrap.Package); ok && p.Hold {
				ids = append(ids, bootstrap.NewID(bootstrap.KindCandidate, p.Name))
			}
		}
	}
	ids = append(ids, m.adoptIDs()...)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Compile implements bootstrap.Role.
func (Role) Compile(s *bootstrap.Spec, now bootstrap.Site) (map[string]bootstrap.Desired, bootstrap.Report) {
	var r bootstrap.Report
	if s.Ensemble == nil {
		return nil, r
	}
	cluster, err := clusterID(s, now)
	if err != nil {
		r.Errorf("ensemble", "%w", err)
		return nil, r
	}
	r.Merge(refusals(s, now, cluster))
	r.Merge(versionSteps(s, now))
	want := map[string]bootstrap.Desired{}
	still := static(s, now)
	if still {
		r.Merge(onceOurs())
	}
	for _, m := range members(s) {
		m.static = still
		seen, ok := now.Hosts[m.host]
		if !ok || seen.Err != nil {
			continue // nothing can be said about a host that was not seen
		}
		p, ok := platformOf(seen.Facts.OS.Codename)
		if !ok {
			r.Errorf(bootstrap.Path("hosts").Key(m.host), "%s runs %q; zkboot knows Debian 12 and 13 and Ubuntu 22.04 and 24.04",
				m.host, osName(seen.Facts))
			continue
		}
		d, err := m.desired(p, seen, cluster)
		if err != nil {
			r.Errorf("tuning", "%s: %w", m.host, err)
			continue
		}
		want[m.host] = d
	}
	return want, r
}

// clusterID is the one that the members carry; a new ensemble gets its own.
func clusterID(s *bootstrap.Spec, now bootstrap.Site) (string, error) {
	owner := string(bootstrap.OwnerOf(s.Name, roleName))
	id, from := "", ""
	for _, m := range members(s) {
		manifest, ok := now.Hosts[m.host].State.Manifests[owner]
		switch {
		case !ok || manifest.Cluster == "":
		case id == "":
			id, from = manifest.Cluster, m.host
		case manifest.Cluster != id:
			return "", fmt.Errorf("%w: %s belongs to cluster %s and %s to cluster %s, so they are not one ensemble; take one of them out",
				bootstrap.ErrRefused, from, id, m.host, manifest.Cluster)
		}
	}
	if id != "" {
		return id, nil
	}
	if id := markedID(s, now); id != "" {
		return id, nil
	}
	var first []string
	for _, m := range members(s) {
		first = append(first, fmt.Sprintf("%d=%s", m.id, m.addr))
	}
	return bootstrap.ClusterID(s.Name, first), nil
}

// Gates implements bootstrap.Gated.
func (Role) Gates(host string) (before, after []bootstrap.SiteStep) {
	without := bootstrap.SiteStep{Role: roleName, Name: stepQuorumWithout, Title: "the ensemble has a quorum without the member whose turn it is"}
	if host != "" {
		without.Hosts = []string{host}
		without.Title = "the ensemble has a quorum without " + host
	}
	return []bootstrap.SiteStep{without}, []bootstrap.SiteStep{
		{Role: roleName, Name: stepEveryone, Title: "every member votes, is in sync and holds the same data"},
		{Role: roleName, Name: stepCanary, Title: "a write through each member is read on every other"},
	}
}
