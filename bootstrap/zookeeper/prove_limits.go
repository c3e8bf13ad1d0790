package zookeeper

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// tailSyncs is below how many syncs a p99.9 rests on fewer than ten of them.
const tailSyncs = 10_000

// proveSyncLimit holds the time after which a follower is dropped against the slowest disk:
// what a member has not written, it cannot acknowledge.
func proveSyncLimit(s *bootstrap.Spec, now bootstrap.Site, vs []view, limits verify.Thresholds) verify.Check {
	const id = "ensemble.sync_limit"
	worst, host := 0.0, ""
	for _, v := range vs {
		if p999, ok := v.syncTail(now); ok && p999 > worst {
			worst, host = p999, v.host
		}
	}
	if host == "" {
		return verify.Finding(id, verify.NotApplicable, "", fmt.Sprintf("no member has the %d syncs that a p99.9 needs", tailSyncs))
	}
	c := settings(s)
	granted := float64(c.number("syncLimit") * c.number("tickTime"))
	out := limits.Figure(id, granted/worst)
	out.Text = fmt.Sprintf("%.0f ms, and the p99.9 of a sync is %.3g ms on %s", granted, worst, host)
	return out
}

// syncTail is the p99.9 of a sync in milliseconds, the worse of what was measured beside
// the member and what it has counted itself, which is in whole milliseconds.
func (v view) syncTail(now bootstrap.Site) (float64, bool) {
	var worst float64
	counted, ok := v.mntr("zk_p999_sync_processor_queue_flush_time_ms")
	if n, _ := v.mntr("zk_cnt_sync_processor_queue_flush_time_ms"); ok && n >= tailSyncs {
		worst = max(counted, 1) // 0 is anything below 1
	}
	if f := now.Hosts[v.host].Probed.Fsync; f != nil && f.P999 != nil {
		worst = max(worst, *f.P999)
	}
	return worst, worst > 0
}

// proveTickTime holds the heartbeat against the longest way between two members.
func proveTickTime(s *bootstrap.Spec, now bootstrap.Site, vs []view, limits verify.Thresholds) verify.Check {
	const id = "ensemble.tick_time"
	worst, way := 0.0, ""
	for _, v := range vs {
		for _, n := range now.Hosts[v.host].Probed.Net {
			if n.Samples > 0 && n.P99 > worst {
				worst, way = n.P99, v.host+" to "+n.Name
			}
		}
	}
	if way == "" {
		return verify.Finding(id, verify.NotApplicable, "", "no way between two members was measured")
	}
	tick := float64(settings(s).number("tickTime"))
	out := limits.Figure(id, tick/worst)
	out.Text = fmt.Sprintf("%.0f ms, and the p99 of a round trip is %.3g ms from %s", tick, worst, way)
	return out
}

// proveJava compares what the members run on. Each alone was judged by host.java.
func proveJava(now bootstrap.Site, vs []view) verify.Check {
	const id = "ensemble.java"
	by := map[int][]string{}
	for _, v := range vs {
		if j := now.Hosts[v.host].Facts.Java; j != nil {
			by[j.Major] = append(by[j.Major], v.host)
		}
	}
	if len(by) == 0 {
		return verify.Finding(id, verify.NotApplicable, "", "no member has Java yet")
	}
	var texts []string
	for _, major := range slices.Sorted(maps.Keys(by)) {
		texts = append(texts, fmt.Sprintf("Java %d on %s", major, strings.Join(by[major], ", ")))
	}
	if len(by) > 1 {
		return verify.Finding(id, verify.Warn, strings.Join(texts, "; "), "members that run on different Java differ in their TLS, their garbage collector and their limits")
	}
	return verify.Finding(id, verify.Pass, texts[0], "")
}
