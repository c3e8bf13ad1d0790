package zookeeper

import (
	"fmt"
	"slices"

	"github.com/zkboot/zkboot/bootstrap"
)

// doubt says why a member may hold less on its disk than it serves, "" when nothing does. Such
// a member must not be restarted, and nobody may copy from it.
func doubt(vs []view, v view) string {
	if n := v.mismatches(); n > 0 && !cleared(vs, v) {
		return fmt.Sprintf("zk_digest_mismatches_count=%.0f", n)
	}
	if n := unexplained(vs, v); n > 0 {
		return fmt.Sprintf("zk_unrecoverable_error_count=%.0f", n)
	}
	return ""
}

// mismatches is how often a member found, since it was started, that its data had not the
// digest that the leader had sent with a transaction.
func (v view) mismatches() float64 {
	n, _ := v.mntr("zk_digest_mismatches_count") // none where it is not told
	return n
}

// cleared reports whether a member has since had the digest that most members have, at a
// transaction of the leader's own time. A mismatch alone is no proof: a member that copies the
// leader's data while clients write may count one for a transaction that the copy had in it
// already, and so may a leader that was paused and follows again (both seen on 3.9.6). Data
// that is different stays different, and so does its digest (ZOOKEEPER-4882).
func cleared(vs []view, v view) bool {
	found := leaders(vs)
	if len(found) != 1 {
		return false
	}
	latest, same := uint64(0), 0
	for zxid := range v.digests {
		if zxid <= latest || epoch(zxid) != epoch(found[0].zxid) {
			continue
		}
		equal, others := 0, 0
		for _, o := range vs {
			if d, ok := o.digests[zxid]; ok && o.host != v.host {
				others++
				if o.method == v.method && d == v.digests[zxid] {
					equal++
				}
			}
		}
		if others > 0 {
			latest, same = zxid, equal
		}
	}
	return 2*(same+1) > len(vs) && same > 0
}

// unexplained is how many unrecoverable errors a member counts that the loss of a leader does
// not explain. A follower that cannot hand a client's write on, because its leader has just
// gone, counts one and follows the next leader with all its data (seen on 3.9.6 under load,
// after a power cut of the leader). A server takes the time of an election whenever it begins
// to lead or to follow: all but the first of its life stand for a leader that was lost, unless
// it is the server itself that falls out and comes back, as with a failing disk (143 times in
// seconds, seen on 3.9.6). So no more is explained than another member has lived through.
//
// In a release that zkboot refuses for its faults every error counts: on 3.8.0 a follower that
// had counted one came back from a restart with other data than the rest.
func unexplained(vs []view, v view) float64 {
	n, ok := v.mntr("zk_unrecoverable_error_count")
	if !ok || !v.sound() {
		return n
	}
	others := 0.0
	for _, o := range vs {
		if o.host != v.host {
			others = max(others, o.leadersLost())
		}
	}
	return max(0, n-min(v.leadersLost(), others))
}

// leadersLost is how many leaders a server has lost since it was started, or left.
func (v view) leadersLost() float64 {
	elections, _ := v.mntr("zk_cnt_election_time")
	return max(0, elections-1)
}

// sound reports whether the member runs a release without a fault that zkboot refuses.
func (v view) sound() bool {
	is, err := ParseVersion(v.version)
	return err == nil && !slices.ContainsFunc(KnownIssues(), func(k KnownIssue) bool { return k.Refuse && k.In(is) })
}

// Frail reports whether a member that serves runs a release with a fault that zkboot refuses
// where it is not accepted by name. Writes while its members restart may break such an
// ensemble: on 3.8.0 a follower's log writer died in 1 of 3 rolls under 200 writes a second.
func Frail(s *bootstrap.Spec, now bootstrap.Site) bool {
	if s.Ensemble == nil {
		return false
	}
	return slices.ContainsFunc(known(s, now), func(v view) bool { return v.serving() && !v.sound() })
}
