package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// pollEvery is how often a gate looks again. A look is one round trip a member.
const pollEvery = 200 * time.Millisecond

// errDiverged ends a gate at once: waiting does not heal it.
var errDiverged = errors.New("members hold different data")

// quorumWithout waits until the others have a quorum among themselves, so that the member
// whose turn it is can be missed.
func quorumWithout(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, hosts []string) error {
	if len(hosts) != 1 {
		return fmt.Errorf("%s: want one host, found %d", stepQuorumWithout, len(hosts))
	}
	if _, ok := memberOn(s, hosts[0]); !ok {
		return fmt.Errorf("%s: %s is no member", stepQuorumWithout, hosts[0])
	}
	return await(ctx, s, h, stepQuorumWithout, joining(s), func(vs []view) error { return canMiss(roster(vs), hosts[0]) })
}

// canMiss says why a member cannot be missed now, or nil. A single voter never can be
// missed, and there is no other way to change it. A member that counts an unrecoverable
// error must not be restarted at all: what it has on disk may be less than what it serves
// (seen on 3.8.0, where such a follower came back with other data than the rest).
func canMiss(vs []view, host string) error {
	for _, v := range vs {
		if n := unexplained(vs, v); n > 0 && v.host == host {
			f := gateError(stepQuorumWithout, v, "`zkboot replace "+host+"` lets it copy everything from the others",
				"%s counts %.0f unrecoverable errors, and a restart could bring back other data than the others hold", host, n)
			f.Err = fmt.Errorf("%w: %w", bootstrap.ErrRefused, errDiverged) // no use to wait
			return f
		}
	}
	all, quorum := voters(membersOf(vs))
	if all == 1 {
		return nil
	}
	return besides(stepQuorumWithout, vs, host, quorum)
}

// besides wants that many voters at work besides a host, and names one that is not.
func besides(name string, vs []view, host string, quorum int) error {
	all, _ := voters(membersOf(vs))
	var healthy []string
	for _, v := range vs {
		if v.host != host && v.votes() {
			healthy = append(healthy, v.host)
		}
	}
	if len(healthy) >= quorum {
		return nil
	}
	for _, v := range vs {
		if v.host != host && v.voter && !v.votes() {
			return gateError(name, v, "repair "+v.host+" first: `systemctl status "+v.unit+"`",
				"expected %d voters of %d besides %s, found %d (%s); %s does not vote (%s)",
				quorum, all, host, len(healthy), strings.Join(healthy, ", "), v.host, v.condition())
		}
	}
	return gateError(name, view{member: member{host: host}}, "add members first, one at a time",
		"expected %d voters of %d besides %s, found %d (%s)", quorum, all, host, len(healthy), strings.Join(healthy, ", "))
}

// othersHold says why the others cannot give a member back what it is about to lose, or nil:
// they need a quorum and a leader whose data is in no doubt, since a member copies from that.
// When it is the leader that loses its data, any of the others may lead next.
func othersHold(vs []view, host string) error {
	_, quorum := voters(membersOf(vs))
	if err := besides(stepOthersHold, vs, host, quorum); err != nil {
		return err
	}
	if err := oneLeader(vs); err != nil {
		return err
	}
	sources := leaders(vs)
	if sources[0].host == host {
		sources = only(vs, func(v view) bool { return v.host != host && v.voter })
	}
	for _, v := range sources {
		if why := doubt(vs, v); why != "" {
			return gateError(stepOthersHold, v, "find out which member holds the right data before one of them is emptied; a backup first",
				"%s counts %s, so that what %s would copy is in doubt", v.host, why, host)
		}
	}
	return nil
}

// restHolds says why the voters that stay would have no quorum once a member has left, or nil.
func restHolds(vs []view, host string) error {
	all, _ := voters(membersOf(vs))
	if slices.ContainsFunc(vs, func(v view) bool { return v.host == host && v.voter }) {
		all--
	}
	return besides(stepRestHolds, vs, host, all/2+1)
}

// condition tells in a few words what is known of a server.
func (v view) condition() string {
	switch {
	case v.err != nil:
		return v.err.Error()
	case !v.serving() && v.z.Err != "":
		return "down: " + v.z.Err
	case !v.serving():
		return "down: " + strings.TrimSpace(firstOf(v.z.Srvr, "no answer"))
	case v.zab.answered:
		return fmt.Sprintf("%s, voting=%t, %s", v.mode, v.zab.Voting, v.zab.State)
	}
	return v.mode
}

func firstOf(a, b string) string {
	if strings.TrimSpace(a) != "" {
		return a
	}
	return b
}

// gateError says what keeps a gate shut: which member, what was expected, what was seen and
// what to do.
func gateError(step string, v view, hint, format string, args ...any) bootstrap.Finding {
	return bootstrap.Finding{Severity: bootstrap.SeverityError, Host: v.host, Step: step, Hint: hint,
		Text: fmt.Sprintf(format, args...), Err: bootstrap.ErrRefused}
}

// everyone waits until every member serves, votes, is in sync and holds the same data.
func everyone(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts) error {
	return await(ctx, s, h, stepEveryone, patience(s), func(vs []view) error { return together(roster(vs)) })
}

// together says what keeps the ensemble from being whole, or nil.
func together(vs []view) error {
	if len(vs) == 0 {
		return fmt.Errorf("%w: no host of the live configuration answers", bootstrap.ErrUnreachable)
	}
	for _, check := range []func([]view) error{allServe, oneLeader, allSynced, sameConfig, sameData} {
		if err := check(vs); err != nil {
			return err
		}
	}
	return nil
}

// allServe wants an answer of every member, in its role.
func allServe(vs []view) error {
	for _, v := range vs {
		journal := "look at `journalctl -u " + v.unit + "` on the host"
		switch {
		case !v.serving():
			return gateError(stepEveryone, v, journal, "expected a serving member, found %s", v.condition())
		case v.voter && !v.votes():
			return gateError(stepEveryone, v, journal, "expected a voting member in broadcast, found %s", v.condition())
		case !v.voter && v.mode != modeObserver:
			return gateError(stepEveryone, v, journal, "expected an observer, found %s", v.condition())
		}
	}
	return nil
}

// oneLeader wants exactly one: with two, both might take writes.
func oneLeader(vs []view) error {
	switch found := leaders(vs); len(found) {
	case 1:
		return nil
	case 0:
		return gateError(stepEveryone, vs[0], "look at the elections in the journals of all members", "expected one leader, found none")
	default:
		return gateError(stepEveryone, found[1], "stop it before anybody writes to it: `systemctl stop "+found[1].unit+"`",
			"expected one leader, found %s", strings.Join(hostsOf(membersOf(found)), " and "))
	}
}

// allSynced asks the leader, who alone knows who follows.
func allSynced(vs []view) error {
	lead := leaders(vs)[0]
	all, _ := voters(membersOf(vs))
	// A server that follows and is no member counts among the followers too
	// (LeaderZooKeeperServer.dumpMonitorValues of 3.8.0): one that is about to join.
	guests, _ := lead.mntr("zk_synced_non_voting_followers")
	for _, want := range []struct {
		key   string
		value int
	}{{"zk_synced_followers", all - 1 + int(guests)}, {"zk_synced_observers", len(vs) - all}, {"zk_pending_syncs", 0}} {
		got, ok := lead.mntr(want.key)
		if !ok && lead.foreign {
			continue // mntr is not on the default whitelist; that all serve has to do
		}
		if !ok || int(got) != want.value {
			return gateError(stepEveryone, lead, "wait until the followers have caught up; look at the leader's journal",
				"expected %s of %d, found %s", want.key, want.value, firstOf(lead.z.Mntr[want.key], "no figure"))
		}
	}
	return nil
}

// sameConfig compares what the members say about who votes. A silent AdminServer is no
// witness.
func sameConfig(vs []view) error {
	var first *view
	for _, v := range vs {
		if len(v.config) == 0 {
			continue
		}
		if first == nil {
			first = &v
			continue
		}
		if diffs := Differences(Dynamic{Servers: v.config}, Dynamic{Servers: first.config}); len(diffs) > 0 {
			return gateError(stepEveryone, v, "wait for the reconfig to reach every member",
				"expected the voters that %s sees, found others (%s)", first.host, strings.Join(diffs, "; "))
		}
	}
	return nil
}

// sameData compares digests of the data tree at the latest zxid that all members have one
// for; they keep one every 128 transactions. Where there is none yet, zxid and number of
// znodes have to be equal, which they are once the ensemble is quiet.
func sameData(vs []view) error {
	err := equalData(vs)
	if show := showing(vs); err != nil && !errors.Is(err, errDiverged) && len(show) < len(vs) && len(leaders(show)) == 1 {
		return equalData(show)
	}
	return err
}

func equalData(vs []view) error {
	zxid, common := commonDigest(vs)
	for _, v := range vs {
		if common && v.digests[zxid] != vs[0].digests[zxid] {
			return diverged(v, "at zxid 0x%x expected the digest %x of %s, found %x", zxid, vs[0].digests[zxid], vs[0].host, v.digests[zxid])
		}
	}
	for _, v := range vs {
		if n := v.mismatches(); n > 0 && !cleared(vs, v) {
			return gateError(stepEveryone, v, "write to the ensemble, which makes digests, and look again; if they are not equal then, `zkboot replace "+v.host+"`",
				"expected no digest mismatch, or equal digests since, found %.0f and none", n)
		}
	}
	if common {
		return nil
	}
	lead := leaders(vs)[0]
	for _, v := range vs {
		// A leader counts its election as transaction 0 of its epoch; the others stay at
		// their last one until the first write.
		young := counter(lead.zxid) == 0 && epoch(v.zxid) < epoch(lead.zxid)
		if v.zxid != lead.zxid && !young || v.nodes != lead.nodes {
			return gateError(stepEveryone, v, "run it again when fewer clients write", "expected zxid 0x%x and %d znodes as on the leader %s, found 0x%x and %d",
				lead.zxid, lead.nodes, lead.host, v.zxid, v.nodes)
		}
	}
	return nil
}

// diverged is the finding that no waiting heals.
func diverged(v view, format string, args ...any) error {
	return bootstrap.Finding{Severity: bootstrap.SeverityError, Host: v.host, Step: stepEveryone, Err: errDiverged,
		Text: errDiverged.Error() + ": " + fmt.Sprintf(format, args...),
		Hint: "never restart it as it is (ZOOKEEPER-4882): `zkboot replace " + v.host + "` lets it copy everything from the others"}
}

// commonDigest returns the latest zxid that every member has a digest for. Digests that are
// made in different ways are never equal, which says nothing about the data: releases may
// differ in that while an upgrade rolls. (2 is the way of 3.8.0 as well as of 3.9.5.)
func commonDigest(vs []view) (uint64, bool) {
	if slices.ContainsFunc(vs, func(v view) bool { return v.method != vs[0].method }) {
		return 0, false
	}
	zxids := slices.SortedFunc(maps.Keys(vs[0].digests), func(a, b uint64) int {
		if a > b {
			return -1
		}
		return 1
	})
	for _, z := range zxids {
		if !slices.ContainsFunc(vs, func(v view) bool { _, ok := v.digests[z]; return !ok }) {
			return z, true
		}
	}
	return 0, false
}

// await looks at all members until check has nothing to say, the time is over, or the data
// has diverged. The error is what check said last.
func await(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, step string, wait time.Duration, check func([]view) error) error {
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var last error
	for {
		vs := survey(bounded, s, h)
		if bounded.Err() == nil { // else the look was cut short and says nothing
			if err := lost(vs, h, step); err != nil {
				return err
			}
			last = check(vs)
		}
		if last == nil && bounded.Err() == nil || errors.Is(last, errDiverged) {
			return last
		}
		select {
		case <-ticker.C:
		case <-bounded.Done():
			switch {
			case last == nil:
				return fmt.Errorf("%s: %w", step, bounded.Err())
			case ctx.Err() != nil:
				return fmt.Errorf("%s: %w: %w", step, ctx.Err(), last)
			}
			return fmt.Errorf("not within %s: %w", wait, last)
		}
	}
}

// lost names a host whose connection broke: no waiting brings that back within this run.
func lost(vs []view, h bootstrap.Hosts, step string) error {
	for _, v := range vs {
		if _, opened := h[v.host]; opened && errors.Is(v.err, bootstrap.ErrUnreachable) {
			return bootstrap.Finding{Severity: bootstrap.SeverityError, Host: v.host, Step: step, Text: v.err.Error(),
				Hint: "apply again when the host answers", Err: v.err}
		}
	}
	return nil
}

// survey looks at all members of the spec at once, and then at servers of the live
// configuration that the spec does not want any more. A host that does not answer is a view
// with an error.
func survey(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts) []view {
	vs := surveyed(ctx, h, members(s))
	d, _ := live(vs)
	var leaving []member
	for _, srv := range d.Servers {
		host := hostOf(s, srv)
		if _, planned := memberOn(s, host); planned || host == "" || s.Hosts[host].Lost {
			continue
		}
		m := outsider(s, host)
		m.id = srv.ID
		leaving = append(leaving, m)
	}
	return append(vs, surveyed(ctx, h, leaving)...)
}

func surveyed(ctx context.Context, h bootstrap.Hosts, ms []member) []view {
	out := make([]view, len(ms))
	_ = parallel(ctx, ms, func(ctx context.Context, i int, m member) error {
		host, ok := h[m.host]
		if !ok {
			out[i] = m.look(bootstrap.Seen{}, false)
			return nil
		}
		_, state, err := host.Look(ctx, m.watched()...)
		out[i] = m.look(bootstrap.Seen{State: state, Err: err}, true)
		return nil // one that does not answer must not cut the others short
	})
	return out
}
