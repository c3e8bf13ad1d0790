// Package verify tells whether a host is fit to run a ZooKeeper member, and
// says so with figures.
//
// It has three parts, to be used in this order:
//
//   - [Gather] reads what the host says about itself into [Facts], and [Run]
//     measures what it does not say (sync latency, steal, scheduling jitter,
//     round trips) into a [Result]. Both run on the host that is examined.
//   - [JudgeHost], [JudgeProbe] and [JudgePair] hold facts and figures against
//     [Thresholds] and return one [Check] per question. They are pure: the same
//     input gives the same verdict, on any machine.
//   - [Report] puts the checks of many hosts together; its writers print it as
//     text, JSON, JUnit or HTML.
//
// What cannot be read or measured is recorded with its reason and becomes the
// verdict "unknown"; it is never an error for the whole and never a silent pass.
//
// The package changes nothing but its own unlinked probe file, knows no SSH, no
// ensemble and no spec, and imports nothing of this module. Checks whose id
// starts with "ensemble." or "sidecar." are named here, so that all ids stand in
// one table ([Checks]), and are judged by the roles.
package verify
