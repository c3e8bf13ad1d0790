package zookeeper

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// span is a range of versions: from the first that has a fault to the first that does not.
type span struct{ from, fixed Version }

// KnownIssue is a fault of some ZooKeeper versions that costs data.
type KnownIssue struct {
	ID     string // of ZooKeeper's tracker
	What   string
	Source string
	Refuse bool // an apply is refused unless the spec accepts the issue; else it warns
	spans  []span
	advice string
}

// KnownIssues is the policy, by id. Fix versions were read from the release tags of
// https://github.com/apache/zookeeper.
func KnownIssues() []KnownIssue {
	return []KnownIssue{
		{
			ID: "ZOOKEEPER-4785", What: "transactions are lost when a follower syncs by DIFF and crashes", Refuse: true,
			Source: "https://issues.apache.org/jira/browse/ZOOKEEPER-4785",
			spans:  []span{{fixed: Version{3, 8, 5}}, {from: Version{3, 9, 0}, fixed: Version{3, 9, 2}}},
			advice: "use 3.8.6 or 3.9.5 (source.tarball)",
		},
		{
			ID: "ZOOKEEPER-4882", What: "a member whose disk failed once can keep serving with data missing",
			Source: "https://issues.apache.org/jira/browse/ZOOKEEPER-4882",
			spans:  []span{{fixed: Version{noMax, 0, 0}}},
			advice: "no release has a fix; never restart a member after a disk error, wipe and replace it",
		},
		{
			ID: "ZOOKEEPER-4925", What: "data is lost when a learner restarts", Refuse: true,
			Source: "https://issues.apache.org/jira/browse/ZOOKEEPER-4925",
			spans:  []span{{from: Version{3, 9, 3}, fixed: Version{3, 9, 4}}},
			advice: "use 3.8.6 or 3.9.5 (source.tarball)",
		},
	}
}

// In reports whether a version has the fault.
func (k KnownIssue) In(v Version) bool {
	return slices.ContainsFunc(k.spans, func(s span) bool { return !v.Less(s.from) && v.Less(s.fixed) })
}

// validateAccepted reports accepted ids that the policy does not have: a typo there would
// be taken for consent.
func validateAccepted(s *bootstrap.Spec) bootstrap.Report {
	var r bootstrap.Report
	var known []string
	for _, k := range KnownIssues() {
		known = append(known, k.ID)
	}
	for i, id := range s.Ensemble.AcceptKnownIssues {
		if !slices.Contains(known, id) {
			r.Errorf(bootstrap.Path("ensemble.accept_known_issues").Index(i), "unknown issue %q; known here: %s", id, strings.Join(known, ", "))
		}
	}
	return r
}

// issues judges a version against the policy; hosts are those that have it, none where the
// spec alone says so.
func issues(s *bootstrap.Spec, v Version, hosts []string) bootstrap.Report {
	var r bootstrap.Report
	at := sourcePath(s)
	name := "ZooKeeper " + v.String()
	if len(hosts) > 0 {
		name += " (" + strings.Join(hosts, ", ") + ")"
	}
	if v.Less(oldest()) {
		r.Add(bootstrap.Finding{Severity: bootstrap.SeverityError, Path: at, Err: bootstrap.ErrRefused,
			Text: fmt.Sprintf("%s is too old: zkboot needs %s", name, oldest()), Hint: "use source.tarball"})
		return r
	}
	for _, k := range KnownIssues() {
		if !k.In(v) || slices.Contains(s.Ensemble.AcceptKnownIssues, k.ID) {
			continue
		}
		f := bootstrap.Finding{Severity: bootstrap.SeverityWarning, Path: at, Hint: k.advice,
			Text: fmt.Sprintf("%s has %s: %s; %s", name, k.ID, k.What, k.Source)}
		if k.Refuse {
			f.Severity, f.Err = bootstrap.SeverityError, bootstrap.ErrRefused
			f.Hint += ", or list " + k.ID + " under ensemble.accept_known_issues"
		}
		r.Add(f)
	}
	return r
}

// sourcePath is the place in the spec that decides on the version.
func sourcePath(s *bootstrap.Spec) bootstrap.Path {
	if s.Ensemble.Source.Tarball != nil {
		return "ensemble.source.tarball"
	}
	return "ensemble.source.apt"
}
