package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// Agree waits, until ctx ends at most, for every member to serve, vote, be in sync and hold
// the same data: the gate that stands behind every turn. The error names the member and
// what is missing.
func Agree(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts) error {
	return everyone(ctx, s, h)
}

// Diverged reports whether an error of Agree says that members hold different data, which no
// waiting heals.
func Diverged(err error) bool { return errors.Is(err, errDiverged) }

// Suspect is a member that must not be restarted as it is, see Suspects.
type Suspect struct {
	Host string `json:"host"`
	Why  string `json:"why"`
	Next string `json:"next"` // what to do
}

// Errors is how many unrecoverable errors each member counts, since its process began, by
// host. Members that did not answer are missing.
type Errors map[string]int

// CountErrors looks once at all members.
func CountErrors(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts) Errors {
	return countErrors(survey(ctx, s, h))
}

func countErrors(vs []view) Errors {
	out := Errors{}
	for _, v := range vs {
		if n, ok := v.mntr("zk_unrecoverable_error_count"); ok {
			out[v.host] = int(n)
		}
	}
	return out
}

// Suspects looks once at all members and names those that may hold other data than the
// rest: their digests are not those of a majority, or they have counted more unrecoverable
// errors since before than leaders were lost meanwhile. ZOOKEEPER-4882: a member whose disk
// failed once serves as if nothing had happened, and comes back from a restart with less.
//
// The count alone proves nothing: a follower that cannot hand a client's write on, because
// its leader has just gone, counts one too and follows the next leader with all its data
// (seen on 3.8.0 after a kill and on 3.9.6 after a power cut of the leader, under load).
func Suspects(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, before Errors, leadersLost int) []Suspect {
	return suspects(survey(ctx, s, h), before, leadersLost)
}

func suspects(vs []view, before Errors, leadersLost int) []Suspect {
	odd, now := outvoted(vs), countErrors(vs)
	var out []Suspect
	for _, v := range vs {
		grown := now[v.host] - before[v.host]
		if grown < 0 { // a new process counts from 0
			grown = now[v.host]
		}
		why := odd[v.host]
		switch {
		case v.mismatches() > 0 && !cleared(vs, v):
			why = fmt.Sprintf("zk_digest_mismatches_count is %.0f, want 0, or equal digests since", v.mismatches())
		case grown > leadersLost:
			why = fmt.Sprintf("zk_unrecoverable_error_count grew by %d, and %d leaders were lost meanwhile", grown, leadersLost)
		}
		if why != "" {
			out = append(out, Suspect{Host: v.host, Why: why, Next: "zkboot replace " + v.host})
		}
	}
	return out
}

// outvoted finds members whose digest differs from that of a majority of all members, at
// any zxid that they have one for.
func outvoted(vs []view) map[string]string {
	out := map[string]string{}
	zxids := map[uint64]bool{}
	for _, v := range vs {
		for z := range v.digests {
			zxids[z] = true
		}
	}
	for _, zxid := range slices.Sorted(maps.Keys(zxids)) {
		count := map[int64]int{}
		for _, v := range vs {
			if d, ok := v.digests[zxid]; ok {
				count[d]++
			}
		}
		for _, v := range vs {
			d, ok := v.digests[zxid]
			if most, n := commonest(count); ok && 2*n > len(vs) && d != most && out[v.host] == "" {
				out[v.host] = fmt.Sprintf("at zxid 0x%x its digest is %x, that of %d other members %x", zxid, d, n, most)
			}
		}
	}
	return out
}

// commonest returns the digest that most have; equal counts make no majority, so that any of
// them will do.
func commonest(count map[int64]int) (digest int64, n int) {
	for _, d := range slices.Sorted(maps.Keys(count)) {
		if count[d] > n {
			digest, n = d, count[d]
		}
	}
	return digest, n
}

// Timing is how patient the members of an ensemble are with each other.
type Timing struct {
	Join time.Duration // initLimit ticks: to connect to a leader and load its data
	Sync time.Duration // syncLimit ticks: without a word, until a leader or follower is given up
}

// TimingOf reads the timing of a spec, defaults filled in.
func TimingOf(s *bootstrap.Spec) Timing {
	c := settings(s)
	return Timing{Join: joining(s), Sync: time.Duration(c.number("syncLimit")*c.number("tickTime")) * time.Millisecond}
}

// UnitOf is the unit that members of s run as, the same on every host.
func UnitOf(s *bootstrap.Spec) bootstrap.ID {
	return bootstrap.NewID(bootstrap.KindUnit, layoutOf(s).unit)
}

// LogDirOf is the directory of the transaction log: whose disk a member waits for.
func LogDirOf(s *bootstrap.Spec) string { return layoutOf(s).dataLog }

// Forms reports whether a site step makes a quorum where there is none: until it is done
// nobody can write.
func Forms(st bootstrap.SiteStep) bool {
	return st.Role == roleName && (st.Name == stepForm || st.Name == stepRecover)
}
