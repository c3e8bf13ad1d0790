package zookeeper

import (
	"fmt"
	"slices"
)

// doubt says why a member may hold less on its disk than it serves, "" when nothing does. Such
// a member must not be restarted, and nobody may copy from it.
func (v view) doubt() string {
	if n, ok := v.mntr("zk_digest_mismatches_count"); ok && n > 0 {
		return fmt.Sprintf("zk_digest_mismatches_count=%.0f", n)
	}
	if n := v.unexplained(); n > 0 {
		return fmt.Sprintf("zk_unrecoverable_error_count=%.0f", n)
	}
	return ""
}

// unexplained is how many unrecoverable errors a member counts that the loss of a leader does
// not explain. A follower that cannot hand a client's write on, because its leader has just
// gone, counts one and follows the next leader with all its data (seen on 3.9.6 under load,
// after a power cut of the leader). A server takes the time of an election whenever it begins
// to lead or to follow, so that all but the first of its life stand for a leader that was lost.
//
// In a release that zkboot refuses for its faults every error counts: on 3.8.0 a follower that
// had counted one came back from a restart with other data than the rest.
func (v view) unexplained() float64 {
	n, ok := v.mntr("zk_unrecoverable_error_count")
	if !ok {
		return 0
	}
	if elections, ok := v.mntr("zk_cnt_election_time"); ok && v.sound() {
		n -= max(0, elections-1)
	}
	return max(0, n)
}

// sound reports whether the member runs a release without a fault that zkboot refuses.
func (v view) sound() bool {
	is, err := ParseVersion(v.version)
	return err == nil && !slices.ContainsFunc(KnownIssues(), func(k KnownIssue) bool { return k.Refuse && k.In(is) })
}
