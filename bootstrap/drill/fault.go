package drill

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// target is whom a fault hits.
type target string

const (
	nobody   target = "nobody"
	leader   target = "the leader"
	follower target = "a follower" // the first by name
	everyone target = "every member"
)

// Fault is something bad that a drill can do.
type Fault struct {
	Name   string
	Does   string // in words, for tables
	Expect string // what a sound ensemble makes of it
	On     target
	// Step is what the member's host is asked to do to its unit: these are safe wherever
	// systemd starts a member again.
	Step bootstrap.Action
	// Lab names what a lab does to the host instead, see lab.Faults.
	Lab string
	// Lasts is true when the fault stands until it is mended, for half of the drill.
	Lasts bool
	// gap bounds how long a client may be without an acknowledged write.
	gap func(Timing, time.Duration) time.Duration
}

// Timing is how patient members are with each other, see zookeeper.TimingOf.
type Timing = zookeeper.Timing

// crashGap is what a crash may cost: an election, and what a busy host adds. Measured
// elections after kill -9 of a leader took 0.6 to 2.9 s.
const crashGap = 10 * time.Second

// The bounds on the gap; lasts is how long the fault stands.
func calm(Timing, time.Duration) time.Duration  { return 5 * time.Second }
func crash(Timing, time.Duration) time.Duration { return crashGap }

// silence is a member that does not answer: clients that are with it leave after two
// thirds of their session timeout; others notice when it is the leader, after syncLimit.
func silence(t Timing, _ time.Duration) time.Duration {
	return t.Sync + zookeeper.SessionTimeout*2/3 + 5*time.Second
}

// deaf is a leader that is heard and does not hear: the others may go on electing it for as
// long as that lasts (seen on 3.9.6: of two partitions of 15s one cost 11.5s, the other 17.7s).
func deaf(t Timing, lasts time.Duration) time.Duration { return lasts + silence(t, lasts) }

// outage is the time that nobody is there, and what members that boot are granted to join.
func outage(t Timing, lasts time.Duration) time.Duration { return lasts + t.Join + time.Minute }

// Faults lists the faults in the order of the documentation.
func Faults() []Fault {
	return []Fault{
		{Name: "none", On: nobody, gap: calm,
			Does: "nothing: a rehearsal", Expect: "no stall to speak of"},
		{Name: "kill-leader", On: leader, Step: bootstrap.ActionKill, gap: crash,
			Does: "SIGKILL to the leader; systemd starts it again", Expect: "an election"},
		{Name: "kill-follower", On: follower, Step: bootstrap.ActionKill, gap: crash,
			Does: "SIGKILL to a follower", Expect: "its clients turn to another member"},
		{Name: "restart-leader", On: leader, Step: bootstrap.ActionRestart, gap: crash,
			Does: "systemd restarts the leader", Expect: "an election"},
		{Name: "pause-leader", On: leader, Lab: "pause", Lasts: true, gap: silence,
			Does: "SIGSTOP to the leader, SIGCONT later", Expect: "it is given up after syncLimit, and follows when it wakes"},
		{Name: "pause-follower", On: follower, Lab: "pause", Lasts: true, gap: silence,
			Does: "SIGSTOP to a follower, SIGCONT later", Expect: "its clients leave it after two thirds of their session timeout"},
		{Name: "partition-leader", On: leader, Lab: "partition", Lasts: true, gap: silence,
			Does: "no packet between the leader and the others", Expect: "the others elect a leader; the old one steps down, and no write is taken by both"},
		{Name: "partition-leader-in", On: leader, Lab: "partition-in", Lasts: true, gap: deaf,
			Does: "no packet from the others reaches the leader", Expect: "as with partition-leader, or nobody can write while it lasts: the others hear it and may elect it again"},
		{Name: "partition-leader-out", On: leader, Lab: "partition-out", Lasts: true, gap: silence,
			Does: "no packet from the leader reaches the others", Expect: "as with partition-leader"},
		{Name: "partition-follower", On: follower, Lab: "partition", Lasts: true, gap: silence,
			Does: "no packet between a follower and the others", Expect: "its clients leave it"},
		{Name: "slow-disk-follower", On: follower, Lab: "slow-disk", Lasts: true, gap: crash,
			Does: "every sync of a follower takes longer", Expect: "the others make the majority; no client notices much"},
		{Name: "slow-disk-leader", On: leader, Lab: "slow-disk", Lasts: true, gap: crash,
			Does: "every sync of the leader takes longer", Expect: "as with a follower: the leader's own sync is one of three"},
		{Name: "eio-follower", On: follower, Lab: "eio", Lasts: true, gap: silence,
			Does: "every sync of a follower fails", Expect: "the drill FAILS and names the member: it has to be replaced, never restarted (ZOOKEEPER-4882)"},
		{Name: "reboot-leader", On: leader, Lab: "reboot", gap: silence,
			Does: "the leader's host reboots", Expect: "an election; the member is back after the boot"},
		{Name: "power-cut-leader", On: leader, Lab: "power-cut", Lasts: true, gap: silence,
			Does: "the leader's host is off at once, and on again later", Expect: "the others notice after syncLimit at the latest, and elect a leader"},
		{Name: "power-cut-all", On: everyone, Lab: "power-cut", Lasts: true, gap: outage,
			Does: "all hosts are off at once, and on again later", Expect: "an outage, after which every acknowledged write is there"},
	}
}

// Find returns the fault of that name, or an error that lists the names there are.
func Find(name string) (Fault, error) {
	all := Faults()
	if i := slices.IndexFunc(all, func(f Fault) bool { return f.Name == name }); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, f := range all {
		names = append(names, f.Name)
	}
	return Fault{}, fmt.Errorf("unknown fault %q: want one of %s", name, strings.Join(names, ", "))
}

// Gap bounds how long a client may be without an acknowledged write, for a fault that stands
// for as long as lasts.
func (f Fault) Gap(t Timing, lasts time.Duration) time.Duration { return f.gap(t, lasts) }

// Safe reports whether the fault may be done on hosts that are not of a lab: what systemd
// alone makes good, without a hand from outside.
func (f Fault) Safe() bool { return f.Lab == "" }

// victims picks whom the fault hits, from what the members say of themselves now.
func (f Fault) victims(p poll, members []string) ([]string, error) {
	host := ""
	switch f.On {
	case nobody:
		return nil, nil
	case everyone:
		return members, nil
	case leader:
		host = p.leader()
	case follower:
		host = p.follower()
	}
	if host == "" {
		return nil, fmt.Errorf("%s is for %s, and there is none now", f.Name, f.On)
	}
	return []string{host}, nil
}
