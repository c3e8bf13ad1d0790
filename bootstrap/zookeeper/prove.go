package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// settleFor bounds how long Prove looks again at an ensemble that does not look whole: one
// look gives a server two seconds to answer, which a busy host may miss once, and under
// load members stand at different transactions more often than not.
const settleFor = 10 * time.Second

// fewSyncs is below how many syncs a p99 rests on the one worst of them.
const fewSyncs = 200

// Prove implements bootstrap.Role: the checks whose ids begin with "ensemble.".
func (r Role) Prove(ctx context.Context, s *bootstrap.Spec, now bootstrap.Site, h bootstrap.Hosts) []verify.Check {
	if s.Ensemble == nil {
		return nil
	}
	// A spec whose limits cannot be read was refused long before; without limits the
	// figures are shown and pass.
	limits, _ := s.Hardware.Thresholds()
	vs := settled(ctx, s, h, views(s, now))
	checks := []verify.Check{
		proveQuorum(vs),
		judged("ensemble.leader", leaderText(vs), oneLeader(vs)),
		judged("ensemble.voting", "every voter votes", allServe(vs)),
	}
	if len(leaders(vs)) == 1 {
		checks = append(checks, judged("ensemble.synced", "every follower is in sync", allSynced(vs)),
			proveConfig(s, vs), proveData(vs), proveCanary(ctx, s, h))
	} else {
		for _, id := range []string{"ensemble.synced", "ensemble.config", "ensemble.digest", "ensemble.canary"} {
			checks = append(checks, verify.Finding(id, verify.Unknown, "", "there is no one leader to compare with"))
		}
	}
	checks = append(checks, proveVersion(s, vs), proveJava(now, vs), proveSyncLimit(s, now, vs, limits), proveTickTime(s, now, vs, limits),
		proveFlush(vs, limits), proveCounts(vs, limits, "ensemble.disk_errors",
			"zk_digest_mismatches_count", "zk_fsync_threshold_exceed_count"),
		proveErrors(vs, limits),
		proveDescriptors(vs, limits), proveExposure(now, vs))
	return verify.Join(checks)
}

// judged turns the outcome of a check of the gates into one of the report.
func judged(id, text string, err error) verify.Check {
	if err == nil {
		return verify.Finding(id, verify.Pass, text, "")
	}
	c := verify.Finding(id, verify.Fail, "", err.Error())
	var f bootstrap.Finding
	if errors.As(err, &f) {
		c.Text, c.Why, c.Hint = f.Host, f.Text, f.Hint
	}
	return c
}

// leaderText names the leader where there is exactly one.
func leaderText(vs []view) string {
	if found := leaders(vs); len(found) == 1 {
		return found[0].host
	}
	return ""
}

// proveQuorum counts the voters that serve, and says of every other one what is known.
func proveQuorum(vs []view) verify.Check {
	all, quorum := voters(membersOf(vs))
	voting := only(vs, view.votes)
	text := fmt.Sprintf("%d of %d voters serve, %d are needed", len(voting), all, quorum)
	if quorate(vs) {
		return verify.Finding("ensemble.quorum", verify.Pass, text, "")
	}
	var down []string
	for _, v := range vs {
		if v.voter && !v.votes() {
			down = append(down, v.host+": "+v.condition())
		}
	}
	return verify.Finding("ensemble.quorum", verify.Fail, text, strings.Join(down, "; "))
}

// proveConfig compares what the members live by with each other and with the spec.
func proveConfig(s *bootstrap.Spec, vs []view) verify.Check {
	const id = "ensemble.config"
	if err := sameConfig(vs); err != nil {
		return judged(id, "", err)
	}
	versions := map[string]string{}
	for _, v := range vs {
		if !v.serving() {
			continue
		}
		live, err := ParseDynamic(v.z.Dynamic)
		if err != nil {
			return verify.Finding(id, verify.Unknown, v.host, "the dynamic configuration cannot be read: "+err.Error())
		}
		if diffs := Differences(live, Founding(s)); len(diffs) > 0 {
			return verify.Finding(id, verify.Fail, v.host, strings.Join(diffs, "; "))
		}
		versions[v.configVersion()] = v.host
	}
	if len(versions) > 1 {
		return verify.Finding(id, verify.Warn, strings.Join(slices.Sorted(keysOf(versions)), ", "), "members live by different versions of the configuration")
	}
	return verify.Finding(id, verify.Pass, "version "+strings.Join(slices.Sorted(keysOf(versions)), ""), "")
}

// configVersion is the end of the name of the dynamic file in use: hex, "0" before the
// first one that the ensemble agreed on.
func (v view) configVersion() string {
	version, ok := strings.CutPrefix(v.z.Properties["dynamicConfigFile"], v.dynamic+".")
	if !ok {
		return "0"
	}
	return version
}

// settled looks until the ensemble is whole or its time is over, and returns what it saw
// last.
func settled(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, vs []view) []view {
	ctx, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if err := together(vs); err == nil || errors.Is(err, errDiverged) {
			return vs
		}
		select {
		case <-ctx.Done():
			return vs
		case <-ticker.C:
		}
		if seen := surveyed(ctx, h, members(s)); ctx.Err() == nil { // else it was cut short and says nothing
			vs = seen
		}
	}
}

// proveData compares what the members hold. Without a common digest and without a moment
// in which all stand at one transaction, nothing can be said.
func proveData(vs []view) verify.Check {
	const id = "ensemble.digest"
	err := sameData(vs)
	switch {
	case errors.Is(err, errDiverged):
		return judged(id, "", err)
	case err != nil:
		c := judged(id, "", err)
		c.Verdict = verify.Unknown
		return c
	}
	if zxid, ok := commonDigest(vs); ok {
		return verify.Finding(id, verify.Pass, fmt.Sprintf("digests are equal at zxid 0x%x", zxid), "")
	}
	return verify.Finding(id, verify.Pass, fmt.Sprintf("%d znodes everywhere", vs[0].nodes), "")
}

// proveCanary flies the canaries; how long that took is told but not judged, since the way
// from here to the hosts is in it.
func proveCanary(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts) verify.Check {
	start := time.Now()
	err := canary(ctx, s, h)
	n := len(s.Ensemble.Members)
	return judged("ensemble.canary", fmt.Sprintf("%d written, each read on %d others, in %s", n, n-1, time.Since(start).Round(time.Millisecond)), err)
}

// proveVersion compares the versions that run and holds them against the known issues.
func proveVersion(s *bootstrap.Spec, vs []view) verify.Check {
	const id = "ensemble.version"
	by := map[string][]string{}
	for _, v := range vs {
		if v.serving() {
			by[v.version] = append(by[v.version], v.host)
		}
	}
	names := slices.Sorted(keysOf(by))
	if len(names) == 0 {
		return verify.Finding(id, verify.Unknown, "", "no member serves")
	}
	worst, why := verify.Pass, []string{}
	var hint string
	if len(names) > 1 {
		worst, why = verify.Warn, append(why, "members run different versions: finish the upgrade")
	}
	for _, name := range names {
		v, err := ParseVersion(name)
		if err != nil {
			return verify.Finding(id, verify.Unknown, name, err.Error())
		}
		for _, f := range issues(s, v, by[name]).Findings {
			verdict := verify.Warn
			if f.Severity == bootstrap.SeverityError {
				verdict = verify.Fail
			}
			worst, why = verify.Worst(worst, verdict), append(why, f.Text)
			hint = f.Hint
		}
	}
	c := verify.Finding(id, worst, strings.Join(names, ", "), strings.Join(why, "; "))
	if hint != "" && worst != verify.Pass {
		c.Hint = hint
	}
	return c
}

// proveFlush judges the disk of a live member by its own percentile: fsynctime has whole
// milliseconds and no percentiles.
func proveFlush(vs []view, limits verify.Thresholds) verify.Check {
	const id = "ensemble.flush.p99"
	worst, host, seen := 0.0, "", 0.0
	for _, v := range vs {
		p99, ok := v.mntr("zk_p99_sync_processor_queue_flush_time_ms")
		n, _ := v.mntr("zk_cnt_sync_processor_queue_flush_time_ms")
		if !ok || n < fewSyncs {
			seen = max(seen, n)
			continue
		}
		if host == "" || p99 > worst {
			worst, host = p99, v.host
		}
	}
	if host == "" {
		return verify.Finding(id, verify.Unknown, "", fmt.Sprintf("at most %.0f syncs on a member so far; a p99 needs %d", seen, fewSyncs))
	}
	c := limits.Figure(id, worst)
	c.Text += " on " + host
	return c
}

// proveCounts judges the sum of counters on the worst member. One that a version does not
// have counts as none.
func proveCounts(vs []view, limits verify.Thresholds, id string, counters ...string) verify.Check {
	worst, host, known := 0.0, "", false
	for _, v := range vs {
		sum := 0.0
		for _, c := range counters {
			n, ok := v.mntr(c)
			known = known || ok
			sum += n
		}
		if sum > worst {
			worst, host = sum, v.host
		}
	}
	if !known {
		return verify.Finding(id, verify.Unknown, "", "no member told its counters")
	}
	c := limits.Figure(id, worst)
	if host != "" {
		c.Text += " on " + host
	}
	return c
}

// proveErrors judges the errors that the loss of a leader does not explain.
func proveErrors(vs []view, limits verify.Thresholds) verify.Check {
	const counter = "zk_unrecoverable_error_count"
	out := slices.Clone(vs)
	for i, v := range out {
		if _, ok := v.mntr(counter); ok {
			out[i].z.Mntr = map[string]string{counter: fmt.Sprintf("%.0f", unexplained(vs, v))}
		}
	}
	return proveCounts(out, limits, "ensemble.errors", counter)
}

// proveDescriptors judges the member that is nearest to its limit: at the limit a server
// refuses connections, those of other members among them.
func proveDescriptors(vs []view, limits verify.Thresholds) verify.Check {
	const id = "ensemble.limits"
	worst, host := 0.0, ""
	for _, v := range vs {
		open, okOpen := v.mntr("zk_open_file_descriptor_count")
		most, okMost := v.mntr("zk_max_file_descriptor_count")
		if okOpen && okMost && most > 0 && (host == "" || 100*open/most > worst) {
			worst, host = 100*open/most, v.host
		}
	}
	if host == "" {
		return verify.Finding(id, verify.Unknown, "", "no member told its file descriptors")
	}
	c := limits.Figure(id, worst)
	c.Text += " on " + host
	return c
}

// proveExposure looks for servers that listen on more than the private address of their
// host: four letter words and the AdminServer know no password.
func proveExposure(now bootstrap.Site, vs []view) verify.Check {
	const id = "ensemble.exposure"
	var open []string
	for _, v := range vs {
		for _, l := range now.Hosts[v.host].Facts.Listeners {
			if l.Process == nil || l.Process.Unit != v.unit {
				continue
			}
			for _, need := range v.needs(platform{}).Ports {
				if l.Port == need.Port && !sameAddress(l.Address, need.Address) {
					open = append(open, fmt.Sprintf("%s: port %d (%s) listens on %s, want %s", v.host, l.Port, need.Use, l.Address, need.Address))
				}
			}
		}
	}
	if len(open) == 0 {
		return verify.Finding(id, verify.Pass, "members listen on private addresses alone", "")
	}
	return verify.Finding(id, verify.Warn, "", strings.Join(open, "; "))
}
