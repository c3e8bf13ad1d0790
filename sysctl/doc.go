// Package sysctl holds the kernel and process-limit settings of an ensemble
// member and of a sidecar host: the values with their reasons and sources, how
// the wishes of several owners merge on one host, how a wish compares with what
// a host has, and the drop-in files that keep a value over a reboot.
//
// The order of use is [Tune] for each owner, [Merge], [Resolve] against what was
// read from the host, [RenderSysctlD] for the drop-in, and [Diff] before and
// after the change.
//
// The package is pure. It never reads or writes /proc/sys, never runs a program
// and never decides that a host is unfit: the agent reads and writes, verify
// judges. It imports the standard library alone, because it is linked into the
// on-host agent.
package sysctl
