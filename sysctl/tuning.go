package sysctl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Tuning is all that one role wants of a host's kernel and process limits.
type Tuning struct {
	Sysctl []Setting // in the order of their keys
	THP    THP
	Swap   Swap
	Limits []Limit // of the role's own unit and user, in the order of their names
}

// Tune returns the whole tuning of a preset for a host of the given level.
// Dedicated also turns swap off. An unknown name is the error of [Preset].
func Tune(name string, level Level) (Tuning, error) {
	settings, err := Preset(name)
	if err != nil {
		return Tuning{}, err
	}
	tuning := Tuning{Sysctl: Within(settings, level), Limits: sidecarLimits()}
	if name == PresetZooKeeper {
		// madvise: a JVM asks for huge pages only when told to, while "always"
		// stalls on compaction. tuned's fsync-bound profiles go as far as never.
		tuning.THP = THPMadvise
		// "DON'T SWAP": https://zookeeper.apache.org/doc/current/zookeeperAdmin.html
		tuning.Swap = SwapWarn
		if level == Dedicated {
			tuning.Swap = SwapOff
		}
		tuning.Limits = zookeeperLimits()
	}
	return tuning, nil
}

// THP is a mode of transparent huge pages, as the kernel spells it in
// /sys/kernel/mm/transparent_hugepage/enabled.
// https://docs.kernel.org/admin-guide/mm/transhuge.html
type THP string

const (
	THPLeave   THP = ""        // as the host has it
	THPMadvise THP = "madvise" // only for programs that ask
	THPNever   THP = "never"   // for none
	THPAlways  THP = "always"  // for all
)

// ParseTHP reads the kernel's list with the live mode in brackets, such as
// "always [madvise] never".
func ParseTHP(text string) (THP, error) {
	for _, field := range strings.Fields(text) {
		mode := THP(strings.Trim(field, "[]"))
		if field == "["+string(mode)+"]" && slices.Contains([]THP{THPAlways, THPMadvise, THPNever}, mode) {
			return mode, nil
		}
	}
	return THPLeave, fmt.Errorf("transparent huge pages: %q names no live mode in brackets", Normalize(text))
}

// Satisfied reports whether the live mode does. Never also satisfies madvise:
// an operator who went further is left in peace.
func (t THP) Satisfied(live THP) bool {
	return t == THPLeave || t == live || t == THPMadvise && live == THPNever
}

// Swap is what to do about swap space.
type Swap string

const (
	SwapLeave Swap = ""     // nothing
	SwapWarn  Swap = "warn" // a finding when the process has pages in swap
	SwapOff   Swap = "off"  // no swap at all
)

// stricter ranks swap policies, so that two owners get the stronger wish.
func (s Swap) stricter(other Swap) Swap {
	order := []Swap{SwapLeave, SwapWarn, SwapOff}
	if slices.Index(order, other) > slices.Index(order, s) {
		return other
	}
	return s
}

func zookeeperLimits() []Limit {
	return []Limit{
		{Name: LimitCore, Soft: 0, Hard: 0, Source: systemdExec,
			Why: "a core dump of the heap fills the disk that the log needs"},
		{Name: LimitNoFile, Soft: 65536, Hard: 65536, Source: zookeeperAdmin,
			Why: "60 connections for each client address, with room; ZooKeeper reports max_file_descriptor_count"},
		{Name: LimitNProc, Soft: 16384, Hard: 16384, Source: systemdExec,
			Why: "threads of the server and of the operator's tools under the same user"},
		{Name: LimitTasks, Soft: 8192, Hard: 8192, Source: systemdTasks,
			Why: "threads of one server; a leak stops here and not at the limit of the host"},
	}
}

func sidecarLimits() []Limit {
	return []Limit{
		// The hard limit is systemd's default since version 240 (systemd.exec(5)). A
		// lower one would take away what HAProxy raises itself to for its maxconn.
		{Name: LimitNoFile, Soft: 65536, Hard: 524288, Source: haproxyConfig,
			Why: "two files for each connection and one for each checked slot, also a disabled one"},
	}
}

// sorted joins lists of settings in the order of their keys.
func sorted(lists ...[]Setting) []Setting {
	return slices.SortedFunc(slices.Values(slices.Concat(lists...)), func(a, b Setting) int {
		return cmp.Compare(a.Key, b.Key)
	})
}
