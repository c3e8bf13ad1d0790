package zookeeper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// The names of the role's site steps.
const (
	stepForm          = "form"
	stepRecover       = "recover"
	stepTurn          = "turn"
	stepQuorumWithout = "quorum without"
	stepEveryone      = "everyone"
	stepCanary        = "canary"
	stepOthersHold    = "others hold"
	stepRestHolds     = "rest holds"
	stepInvite        = "invite" // hand the live list of members to one that is about to start
	stepWipe          = "wipe"
	stepJoin          = "join"
	stepSwap          = "swap" // Hosts: who comes, who goes
	stepLeave         = "leave"
	stepDemote        = "demote"
)

// Next implements bootstrap.Role.
func (Role) Next(s *bootstrap.Spec, now bootstrap.Site, in bootstrap.Intent) (bootstrap.SiteStep, bool, error) {
	if s.Ensemble == nil {
		return bootstrap.SiteStep{}, false, nil
	}
	switch in.Verb {
	case bootstrap.VerbRestore:
		return planRestore(s, now, in.Backup)
	case bootstrap.VerbRestored:
		return planProof(s, in.Backup), true, nil
	case bootstrap.VerbConverge, bootstrap.VerbReplace:
		if err := cutOff(s, now); err != nil {
			return bootstrap.SiteStep{}, false, err
		}
		return converge(known(s, now))
	case bootstrap.VerbTurn:
		return turn(views(s, now), in.Hosts)
	case bootstrap.VerbRestart:
		return bootstrap.SiteStep{}, false, restartable(views(s, now))
	case bootstrap.VerbReboot:
		return bootstrap.SiteStep{}, false, restartable(views(s, now))
	case bootstrap.VerbUpgrade:
		return bootstrap.SiteStep{}, false, upgradable(s, now)
	}
	return bootstrap.SiteStep{}, false, nil
}

// turn picks whose turn it is: members that do not serve cost nothing, the leader costs an
// election and so comes last.
func turn(vs []view, pending []string) (bootstrap.SiteStep, bool, error) {
	left := slices.DeleteFunc(slices.Clone(vs), func(v view) bool { return !slices.Contains(pending, v.host) })
	if len(left) == 0 {
		return bootstrap.SiteStep{}, false, nil
	}
	rank := func(v view) int {
		switch {
		case !v.serving():
			return 0
		case v.mode != modeLeader:
			return 1
		}
		return 2
	}
	first := slices.MinFunc(left, func(a, b view) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.host, b.host))
	})
	return bootstrap.SiteStep{Role: roleName, Name: stepTurn, Hosts: []string{first.host},
		Title: fmt.Sprintf("%s (%s)", first.host, first.mode)}, true, nil
}

// restartable refuses a restart of everybody that one of the gates would end in the middle:
// while a member is down or behind, or counts errors that a restart makes worse.
func restartable(vs []view) error {
	for _, check := range []func([]view) error{allServe, oneLeader} {
		if err := check(vs); err != nil {
			return err
		}
	}
	for _, v := range vs {
		if err := canMiss(vs, v.host); err != nil {
			return err
		}
	}
	return nil
}

// converge decides whether the ensemble has to be formed or started as a whole. With a
// quorum neither is needed: members change in their turns, join and leave. Whether there is
// one the live configuration says, not the spec: a spec with more members would otherwise
// have new, empty ones started beside too few of the old.
func converge(vs []view) (bootstrap.SiteStep, bool, error) {
	none := bootstrap.SiteStep{}
	if unread := only(vs, func(v view) bool { return v.err == nil && v.data == bootstrap.DataUnknown }); len(unread) > 0 {
		return none, false, refusedf(unread[0], "look at the directories on the host",
			"what lies in %s and %s could not be read (%s)", unread[0].member.data, unread[0].dataLog, cmp.Or(unread[0].z.Err, "no reason given"))
	}
	rs := roster(vs)
	have := holders(rs)
	planned := only(vs, func(v view) bool { return v.planned })
	away := only(planned, func(v view) bool { return v.err != nil })
	switch {
	case len(have) == 0 && len(away) > 0:
		return none, false, refusedf(away[0], "bring it back, or take it out of the members",
			"an ensemble is formed only when every member can be seen to be empty, and this one cannot be seen: %v", away[0].err)
	case len(have) == 0:
		return bootstrap.SiteStep{Role: roleName, Name: stepForm, Hosts: hostsOf(membersOf(planned)),
			Title: "form the ensemble of " + strings.Join(hostsOf(membersOf(planned)), ", ")}, true, nil
	case quorate(rs):
		return none, false, nil
	}
	if err := enoughData(rs, have); err != nil {
		return none, false, err
	}
	stopped := only(rs, func(v view) bool { return v.err == nil && !v.running && v.planned })
	if len(stopped) == 0 {
		return none, false, nil
	}
	// They may start together: without a quorum nothing is served that could be disturbed,
	// and db.autocreate=false keeps a member that lost its data from voting.
	return bootstrap.SiteStep{Role: roleName, Name: stepRecover, Hosts: hostsOf(membersOf(stopped)),
		Title: "bring the quorum back with " + strings.Join(hostsOf(membersOf(stopped)), ", ")}, true, nil
}

// enoughData refuses to bring up an ensemble of which fewer than a quorum of voters still
// hold their data: what they agreed on may have been on the others alone.
func enoughData(vs, holders []view) error {
	all, quorum := voters(membersOf(vs))
	have, _ := voters(membersOf(holders))
	if have >= quorum {
		return nil
	}
	empty := only(vs, func(v view) bool {
		return v.voter && !slices.ContainsFunc(holders, func(h view) bool { return h.host == v.host })
	})
	return refusedf(empty[0], "bring the data directories of the others back, or restore a backup on all members",
		"%d of %d voters hold data (%s), %d are needed to know that no acknowledged write is lost",
		have, all, strings.Join(hostsOf(membersOf(holders)), ", "), quorum)
}

// only returns the views that keep says yes to, in their order.
func only(vs []view, keep func(view) bool) []view {
	var out []view
	for _, v := range vs {
		if keep(v) {
			out = append(out, v)
		}
	}
	return out
}

// refusedf is a refusal that names the member.
func refusedf(v view, hint, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	return bootstrap.Finding{Severity: bootstrap.SeverityError, Path: bootstrap.Path("ensemble.members").Key(v.host), Host: v.host,
		Text: text, Hint: hint, Err: bootstrap.ErrRefused}
}
