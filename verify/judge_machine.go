package verify

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

func judgeCPUCount(f Facts, t Thresholds) Check {
	if f.CPU.Count == 0 {
		return Finding("cpu.count", Unknown, "", cmp.Or(f.Unknown["cpu"], "not counted"))
	}
	return t.Figure("cpu.count", float64(f.CPU.Count))
}

// judgeSteal is replaced by JudgeProbe's, through Join, when that is worse.
func judgeSteal(f Facts, t Thresholds) Check {
	const id = "cpu.steal"
	if f.CPU.Steal == nil {
		return Finding(id, Unknown, "", cmp.Or(f.Unknown["cpu"], "no tick has passed"))
	}
	return t.Figure(id, *f.CPU.Steal)
}

// slowClocks cost a system call or a bus access for every reading.
var slowClocks = []string{"hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"}

func judgeClocksource(f Facts) Check {
	const id = "cpu.clocksource"
	if c, missing := f.missing(id, "clocksource"); missing {
		return c
	}
	if slices.Contains(slowClocks, f.Clocksource) {
		return Finding(id, Warn, f.Clocksource, "reading the clock is slow, and ZooKeeper reads it for every request")
	}
	return Finding(id, Pass, f.Clocksource, "")
}

func judgePressure(id string, f Facts, p *PSI, t Thresholds) Check {
	if p == nil {
		return Finding(id, Unknown, "", cmp.Or(f.Unknown["pressure"], "the kernel does not offer it"))
	}
	return t.Figure(id, p.Full.Avg60)
}

// goodFS are journaling and local; badFS lose what was synced, or leave it to
// another machine or program.
var (
	goodFS = []string{"ext4", "xfs"}
	badFS  = []string{"tmpfs", "ramfs", "overlay", "aufs", "9p", "virtiofs", "nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs"}
	// badOptions let the file system return from fsync before the disk has written.
	badOptions = []string{"nobarrier", "barrier=0", "data=writeback"}
)

// mountVerdict judges one directory's file system.
func mountVerdict(d Dir, need DirNeed, t Thresholds) (Verdict, string) {
	refused := Fail
	if t.Lenient {
		refused = Warn
	}
	switch {
	case d.UnknownCause != "":
		return Unknown, d.UnknownCause
	case d.fellBack(need) && need.MountComes:
		return Pass, "" // what it lies on now is not where it will lie
	case slices.Contains(d.Options, "ro"):
		return Fail, d.MountPoint + " is mounted read-only"
	case d.fellBack(need):
		return refused, fmt.Sprintf("%s is not mounted: %s lies on %s instead", need.Mount, need.Path, d.MountPoint)
	}
	if why := breaksPromise(d); why != "" {
		return refused, why
	}
	if !slices.Contains(goodFS, d.FSType) {
		return Warn, fmt.Sprintf("%s lies on %s, which is not tried", need.Path, d.FSType)
	}
	return Pass, ""
}

// fellBack tells whether the directory lies on what is below a mount that is missing.
func (d Dir) fellBack(need DirNeed) bool {
	return need.Mount != "" && d.MountPoint != need.Mount && !strings.HasPrefix(d.MountPoint, need.Mount+"/")
}

// breaksPromise says why what was synced to d may not be on a disk of this host;
// "" when nothing speaks against it.
func breaksPromise(d Dir) string {
	if slices.Contains(badFS, d.FSType) || strings.HasPrefix(d.FSType, "fuse") {
		return fmt.Sprintf("%s lies on %s", d.Path, d.FSType)
	}
	for _, o := range badOptions {
		if slices.Contains(d.Options, o) {
			return fmt.Sprintf("%s is mounted with %s", d.MountPoint, o)
		}
	}
	return ""
}

// dirFacts finds what was read of a wanted directory.
func dirFacts(f Facts, path string) Dir {
	for _, d := range f.Dirs {
		if d.Path == path {
			return d
		}
	}
	return Dir{Path: path, UnknownCause: cmp.Or(f.Unknown["dirs"], path+" was not looked at")}
}

func judgeMounts(f Facts, n HostNeeds, t Thresholds) Check {
	const id = "disk.mount"
	if len(n.Dirs) == 0 {
		return Finding(id, NotApplicable, "", "no data is kept here")
	}
	verdict, why := Pass, ""
	var texts []string
	for _, need := range n.Dirs {
		d := dirFacts(f, need.Path)
		switch {
		case d.UnknownCause != "":
		case d.fellBack(need) && need.MountComes:
			texts = append(texts, fmt.Sprintf("%s: apply mounts %s", need.Path, need.Mount))
		default:
			texts = append(texts, fmt.Sprintf("%s: %s on %s", need.Path, d.FSType, d.MountPoint))
		}
		v, reason := mountVerdict(d, need, t)
		if v == Unknown && verdict == Pass { // one unread directory must not hide behind another's pass
			verdict, why = Unknown, reason
			continue
		}
		verdict, why = worseOf(verdict, why, v, reason)
	}
	return Finding(id, verdict, strings.Join(texts, "; "), why)
}

// judgeFree reports the directory that is nearest to its limit. Directories on
// one file system share its space, so their needs add up.
func judgeFree(f Facts, n HostNeeds, t Thresholds) Check {
	const id = "disk.free"
	return worstDir(id, f, n, func(d Dir) Check {
		var need uint64
		var paths []string
		for _, other := range n.Dirs {
			if dirFacts(f, other.Path).MountPoint == d.MountPoint {
				need += other.MinBytes
				paths = append(paths, other.Path)
			}
		}
		limits := t
		if need > 0 && !t.Lenient {
			bytes := float64(need)
			limits = Thresholds{Limits: map[string]Limit{id: {Fail: &bytes}}}
		}
		c := limits.Figure(id, float64(d.FreeBytes))
		c.Text += fmt.Sprintf(" on %s (%s)", d.MountPoint, strings.Join(paths, ", "))
		return c
	})
}

// A member keeps 5 snapshots (autopurge.snapRetainCount, as written to zoo.cfg) and
// writes the sixth before the oldest goes, each with the logs that follow it.
const (
	roomLogs      = 4
	roomSnapshots = 6
)

// judgeHeadroom compares free space with what the member writes; like disk.free,
// for all directories of one file system together.
func judgeHeadroom(f Facts, n HostNeeds, t Thresholds) Check {
	const id = "disk.headroom"
	return worstDir(id, f, n, func(d Dir) Check {
		if d.SizesUnknown != "" {
			return Finding(id, Unknown, "", d.SizesUnknown)
		}
		var want uint64
		for _, need := range n.Dirs {
			if other := dirFacts(f, need.Path); other.MountPoint == d.MountPoint {
				want += roomLogs*other.LogBytes + roomSnapshots*other.SnapshotBytes
			}
		}
		if want == 0 {
			return Finding(id, NotApplicable, "", "no log and no snapshot yet")
		}
		c := t.Figure(id, float64(d.FreeBytes)/float64(want))
		c.Text = fmt.Sprintf("%s free on %s, and %d logs and %d snapshots are %s", formatFigure(unitBytes, float64(d.FreeBytes)),
			d.MountPoint, roomLogs, roomSnapshots, formatFigure(unitBytes, float64(want)))
		return c
	})
}

func judgeInodes(f Facts, n HostNeeds, t Thresholds) Check {
	const id = "disk.inodes"
	return worstDir(id, f, n, func(d Dir) Check {
		if d.TotalInodes == 0 {
			return Finding(id, NotApplicable, d.FSType, d.FSType+" has no fixed number of inodes")
		}
		c := t.Figure(id, float64(d.FreeInodes))
		c.Text += " on " + d.MountPoint
		return c
	})
}

// worstDir judges each wanted directory; of equal verdicts the smallest figure
// counts. A directory that could not be read makes the check unknown unless
// another one is worse than pass.
func worstDir(id string, f Facts, n HostNeeds, judge func(Dir) Check) Check {
	if len(n.Dirs) == 0 {
		return Finding(id, NotApplicable, "", "no data is kept here")
	}
	var worst, unread *Check
	for _, need := range n.Dirs {
		d := dirFacts(f, need.Path)
		c := Finding(id, Unknown, "", d.UnknownCause)
		if d.UnknownCause == "" {
			c = judge(d)
		}
		if c.Verdict == Unknown {
			unread = &c
			continue
		}
		if worst == nil || c.Verdict.rank() > worst.Verdict.rank() || c.Verdict == worst.Verdict && figureOf(c) < figureOf(*worst) {
			worst = &c
		}
	}
	if unread != nil && (worst == nil || worst.Verdict.rank() <= Pass.rank()) {
		return *unread
	}
	return *worst
}

func figureOf(c Check) float64 {
	if c.Value == nil {
		return math.Inf(1)
	}
	return *c.Value
}

func judgeTimeSync(f Facts) Check {
	const id = "time.sync"
	if f.contained() {
		return Finding(id, NotApplicable, "", whyHostOwned)
	}
	if c, missing := f.missing(id, "time"); missing {
		return c
	}
	if !f.Time.Synced {
		return Finding(id, Warn, "not synchronized", "the kernel's clock follows no time server")
	}
	return Finding(id, Pass, "synchronized", "")
}

func judgeTimeOffset(f Facts, t Thresholds) Check {
	const id = "time.offset"
	if f.contained() {
		return Finding(id, NotApplicable, "", whyHostOwned)
	}
	if c, missing := f.missing(id, "time"); missing {
		return c
	}
	if !f.Time.Synced {
		return Finding(id, Unknown, "", "the clock is not synchronized, so nobody knows")
	}
	return t.Figure(id, math.Abs(f.Time.OffsetMS))
}
