package zookeeper

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// advance says why one version must not follow the other in a running ensemble, or "". The
// project documents the way up, a minor release at a time, and no way down: that an older
// release reads what a newer one wrote, with the members rolled one by one, is promised
// nowhere and was not tried here. https://zookeeper.apache.org/releases.html
func advance(from, to Version) (why, hint string) {
	switch {
	case to.Less(from):
		return fmt.Sprintf("nothing says that ZooKeeper %s reads what %s has written", to, from),
			fmt.Sprintf("stay with %s or go on to a later one; to go back, restore a backup into a new ensemble", from)
	case to.Major != from.Major:
		return fmt.Sprintf("ZooKeeper %s and %s are different major releases", from, to), "set up a new ensemble and move over to it"
	case to.Minor > from.Minor+1:
		return fmt.Sprintf("from ZooKeeper %s to %s a minor release is left out", from, to),
			fmt.Sprintf("go to the latest %d.%d first", from.Major, from.Minor+1)
	}
	return "", ""
}

// versionSteps refuses a version of the spec that must not follow the one that a member
// has. Of a member that does not answer the version of an archive is not known; the members
// that do answer decide then. Data that a destroy kept has nobody to say who wrote it.
func versionSteps(s *bootstrap.Spec, now bootstrap.Site) bootstrap.Report {
	var r bootstrap.Report
	for _, v := range views(s, now) {
		seen := now.Hosts[v.host]
		from, known := v.had(seen.State)
		to, err := versionOn(s, seen)
		if !known || err != nil {
			continue // versionFindings reports the error
		}
		if why, hint := advance(from, to); why != "" {
			r.Merge(v.refuse(sourcePath(s), hint, "expected a version that may follow the %s that is there, found %s: %s", from, to, why))
		}
	}
	return r
}

// had is the version of a member's server: what it says itself, or that of the package while
// the member is ours and runs from it.
func (v view) had(have bootstrap.State) (Version, bool) {
	if v.version != "" {
		is, err := ParseVersion(v.version)
		return is, err == nil
	}
	id := bootstrap.NewID(bootstrap.KindPackage, library)
	manifest := have.Manifests[string(bootstrap.OwnerOf(v.spec.Name, roleName))]
	p, installed := have.Find(id).(bootstrap.Package)
	if _, ours := manifest.Find(id); !ours || !installed {
		return Version{}, false
	}
	is, err := ParseDebianVersion(p.Version)
	return is, err == nil
}

// offer is a package that apt would bring to another version on a host; "" where apt does
// not know it.
type offer struct{ host, name, have, candidate string }

// upgradable refuses an upgrade of the packages that members run on: while not all are well,
// where hosts would get different versions, and to a version that must not follow.
func upgradable(s *bootstrap.Spec, now bootstrap.Site) error {
	vs := views(s, now)
	if err := restartable(vs); err != nil {
		return err
	}
	byName := map[string][]offer{}
	var names []string
	for _, v := range vs {
		for _, o := range v.offers(now.Hosts[v.host]) {
			if !slices.Contains(names, o.name) {
				names = append(names, o.name)
			}
			byName[o.name] = append(byName[o.name], o)
		}
	}
	for _, name := range names {
		offers := byName[name]
		if !slices.ContainsFunc(offers, func(o offer) bool { return o.candidate != "" && o.candidate != o.have }) {
			continue
		}
		if err := sameOffer(offers); err != nil {
			return err
		}
		for _, o := range offers {
			if err := o.follows(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// offers lists the packages of the member's software that the spec leaves open.
func (v view) offers(seen bootstrap.Seen) []offer {
	p, ok := platformOf(seen.Facts.OS.Codename)
	if !ok {
		return nil
	}
	var out []offer
	for _, r := range v.software(p) {
		pkg, ok := r.(bootstrap.Package)
		if !ok || !pkg.Hold || pkg.Version != "" {
			continue
		}
		have, _ := seen.State.Find(pkg.ID()).(bootstrap.Package)
		c, _ := seen.State.Find(bootstrap.NewID(bootstrap.KindCandidate, pkg.Name)).(bootstrap.Candidate)
		out = append(out, offer{v.host, pkg.Name, have.Version, c.Version})
	}
	return out
}

// refuse is a refusal that names the host.
func (o offer) refuse(hint, format string, args ...any) error {
	return bootstrap.Finding{Severity: bootstrap.SeverityError, Path: "ensemble.source", Host: o.host, Step: string(bootstrap.VerbUpgrade),
		Text: fmt.Sprintf(format, args...), Hint: hint, Err: bootstrap.ErrRefused}
}

// sameOffer wants one version for all: members of an ensemble differ in theirs no longer
// than a roll lasts.
func sameOffer(offers []offer) error {
	for _, o := range offers[1:] {
		if o.candidate == offers[0].candidate {
			continue
		}
		var all []string
		for _, x := range offers {
			version := x.candidate
			if version == "" {
				version = "none"
			}
			all = append(all, x.host+" "+version)
		}
		return o.refuse("run `apt-get update` on every host and see to it that all have the same sources, then upgrade again",
			"expected apt to offer one version of %s, found %s", o.name, strings.Join(all, ", "))
	}
	return nil
}

// follows wants the offer to be newer than what is there and, of the server itself, a
// version without a fault that the spec does not accept.
func (o offer) follows(s *bootstrap.Spec) error {
	if o.candidate == o.have {
		return nil
	}
	if bootstrap.CompareDebian(o.candidate, o.have) < 0 {
		return o.refuse("mend the host's apt sources or preferences: the version that is installed is no longer offered",
			"expected apt to offer %s %s or a newer one, found %s", o.name, o.have, o.candidate)
	}
	if o.name != library {
		return nil
	}
	from, err := ParseDebianVersion(o.have)
	if err != nil {
		return err
	}
	to, err := ParseDebianVersion(o.candidate)
	if err != nil {
		return err
	}
	if why, hint := advance(from, to); why != "" {
		return o.refuse(hint, "expected a version that may follow %s, apt offers %s: %s", from, to, why)
	}
	if late := tooNew(s, to); late.Failed() {
		return o.refuse("take it out of ensemble.config first", "%v", late.Err())
	}
	faults := issues(s, to, []string{o.host})
	return faults.Err()
}
