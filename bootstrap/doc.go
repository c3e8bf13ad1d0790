// Package bootstrap is the engine of zkboot: it turns a Spec and what is seen on
// the hosts into a Plan, and a Plan into changed hosts.
//
// The way through it is short. Load and Validate read a Spec. Engine.Plan looks
// at every host (one round trip each, read only), lets each Role compile what it
// wants there, and diffs the two into a Plan: waves of steps, site steps and
// gates, which is plain data. Engine.Apply carries out exactly the Plan that was
// printed, a wave at a time. Everything between Look and Apply is pure.
//
// Only two doors lead to a change: Host.Change for one host and Role.Do for the
// site as a whole. A step whose premise no longer holds is refused, so a crash at
// any point is healed by planning again.
//
// The package refuses to know how a host is reached (bootstrap/ssh), how a change
// is made on it (bootstrap/agent), or what a role wants (bootstrap/zookeeper): it
// has no network, no SSH and no role of its own.
package bootstrap
