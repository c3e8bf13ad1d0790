package verify

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// JudgeProbe answers the questions that measurements answer. A probe that was
// not asked for gives no checks; one that could not run gives unknown ones.
// The way to other hosts is JudgePair's.
func JudgeProbe(r Result, t Thresholds) []Check {
	var checks []Check
	if why, failed := r.Unknown["fsync"]; failed && (r.Fsync == nil || r.Fsync.Samples == 0) {
		for _, c := range catalogue {
			if strings.HasPrefix(c.ID, "disk.fsync.") || c.ID == "disk.durability" {
				checks = append(checks, Finding(c.ID, Unknown, "", why))
			}
		}
	} else if r.Fsync != nil {
		checks = append(checks, judgeFsync(*r.Fsync, t)...)
	}
	if why, failed := r.Unknown["jitter"]; failed {
		checks = append(checks, Finding("cpu.jitter", Unknown, "", why))
	} else if r.Jitter != nil {
		checks = append(checks, t.Figure("cpu.jitter", r.Jitter.P99))
	}
	if why, failed := r.Unknown["steal"]; failed {
		checks = append(checks, Finding("cpu.steal", Unknown, "", why))
	} else if r.Steal != nil {
		checks = append(checks, judgeMeasuredSteal(*r.Steal, t))
	}
	return Join(checks)
}

// judgeMeasuredSteal also warns of a single bad second, because one is enough
// to lose a heartbeat.
func judgeMeasuredSteal(s StealResult, t Thresholds) Check {
	const id = "cpu.steal"
	c := t.Figure(id, s.Mean)
	c.Text = fmt.Sprintf("%s, worst second %s", c.Text, formatFigure(unitPct, s.Max))
	if c.Fail != nil && s.Max > *c.Fail {
		c = c.worsen(Warn, fmt.Sprintf("one second lost %s", formatFigure(unitPct, s.Max)))
	}
	return c
}

func judgeFsync(r FsyncResult, t Thresholds) []Check {
	checks := []Check{judgeDurability(r, t)}
	if r.Samples == 0 {
		return checks
	}
	checks = append(checks,
		t.Figure("disk.fsync.p50", r.P50),
		judgePacedToo(t, "disk.fsync.p99", r, func(l Latency) float64 { return l.P99 }),
		judgePacedToo(t, "disk.fsync.max", r, func(l Latency) float64 { return l.Max }),
		t.Figure("disk.fsync.rate", r.OpsPerSecond),
		judgeSpread(r, t),
		judgeInterference(r, t),
	)
	if r.P999 == nil {
		return append(checks, Finding("disk.fsync.p999", NotApplicable, "",
			fmt.Sprintf("%d syncs are too few, it takes %d", r.Samples, tailSamples)))
	}
	return append(checks, t.Figure("disk.fsync.p999", *r.P999))
}

// judgePacedToo judges the worse of the closed loop and the paced phase.
func judgePacedToo(t Thresholds, id string, r FsyncResult, of func(Latency) float64) Check {
	closed := of(r.Latency)
	if r.Paced == nil || r.Paced.Samples == 0 {
		return t.Figure(id, closed)
	}
	paced := of(*r.Paced)
	c := t.Figure(id, max(closed, paced))
	c.Text = fmt.Sprintf("%s (closed loop %s, paced %s)", c.Text, formatFigure(unitMS, closed), formatFigure(unitMS, paced))
	return c
}

// judgeSpread forgives bursts on a disk that stays fast in its worst window:
// 0.3 ms that become 4 ms are no trouble.
func judgeSpread(r FsyncResult, t Thresholds) Check {
	const id = "disk.fsync.spread"
	ratio, ok := spread(r.Windows)
	if !ok {
		return Finding(id, NotApplicable, "", "too few windows with enough syncs")
	}
	limit := t.Limits["disk.fsync.p99"].Warn
	slow := limit == nil || slices.ContainsFunc(r.Windows, func(w Window) bool { return w.P99 > *limit })
	return forgive(t.Figure(id, ratio), slow, "though no window is slow")
}

// interferenceFloor is the disturbed p99 above which a bad ratio is a failure.
const interferenceFloor = 100 // ms

func judgeInterference(r FsyncResult, t Thresholds) Check {
	const id = "disk.fsync.interference"
	if r.Interference == nil || r.Interference.Samples == 0 {
		return Finding(id, NotApplicable, "", "not measured")
	}
	c := t.Figure(id, r.Interference.Ratio)
	c.Text = fmt.Sprintf("%s (p99 %s beside a snapshot)", c.Text, formatFigure(unitMS, r.Interference.P99))
	return forgive(c, r.Interference.P99 > interferenceFloor, "though still quick")
}

// forgive turns a failure into a warning unless it is serious, and says why.
func forgive(c Check, serious bool, why string) Check {
	if c.Verdict == Fail && !serious {
		c.Verdict = Warn
		c.Why += ", " + why
	}
	return c
}

const (
	flushesFew  = 0.5  // a sync without a flush more often than not
	flushesWant = 0.95 // one flush for each sync, less what the kernel merges
	// tooFast is a median no disk reaches that really writes, unless its cache
	// survives a power cut.
	tooFast = 0.020 // ms
)

// judgeDurability asks whether a sync reached the disk. It cannot see below a
// hypervisor: QEMU's cache=unsafe drops flushes and only looks too fast.
func judgeDurability(r FsyncResult, t Thresholds) Check {
	const id = "disk.durability"
	refused := Fail
	if t.Lenient {
		refused = Warn
	}
	d := r.Dir
	text := fmt.Sprintf("%s, write cache %s", cmp.Or(d.FSType, "unknown file system"), cmp.Or(d.WriteCache, "unknown"))
	if r.Flushes != nil {
		text += fmt.Sprintf(", %s flushes per sync", significant(*r.Flushes))
	}
	if r.SyncError != "" {
		return Finding(id, Fail, text, "the disk failed the probe: "+r.SyncError)
	}
	if r.FsyncEnable != nil && *r.FsyncEnable == 0 {
		return Finding(id, refused, text, "fs.fsync-enable is 0: fsync does nothing in this container")
	}
	if why := breaksPromise(d); why != "" {
		return Finding(id, refused, text, why)
	}
	switch {
	case d.WriteCache == "write back" && r.Flushes != nil && *r.Flushes < flushesFew:
		return Finding(id, refused, text, "the disk has a volatile cache, and most syncs did not flush it")
	case r.Samples > 0 && r.P50 < tooFast:
		return Finding(id, Warn, text, fmt.Sprintf("a median of %s is too fast for a disk that really writes", formatFigure(unitMS, r.P50)))
	case d.WriteCache == "":
		return Finding(id, Warn, text, "the disk below is not known, so nothing can be said about its cache")
	case d.WriteCache == "write through":
		return Finding(id, Warn, text, "the kernel sends no flushes to this disk; whether it keeps what it acknowledges cannot be seen from here")
	case r.Flushes == nil:
		return Finding(id, Warn, text, "this kernel does not count flushes")
	case *r.Flushes < flushesWant:
		return Finding(id, Warn, text, "some syncs did not flush the disk's cache")
	}
	return Finding(id, Pass, text, "")
}

// PairFacts is what is known about two hosts and the way between them; a nil or
// empty member was not looked at.
type PairFacts struct {
	From, To           *Facts
	Net                *NetResult // measured on From, of To
	Back               *NetResult // measured on To, of From
	FromClock, ToClock []ClockReading
}

// JudgePair answers the questions about two hosts. What was not looked at gives
// no check.
func JudgePair(p PairFacts, t Thresholds) []Check {
	var checks []Check
	if p.Net != nil {
		checks = append(checks, judgeNet(*p.Net, t)...)
		checks = append(checks, judgePath(*p.Net, p.Back))
	}
	from, fromErr, fromOK := best(p.FromClock)
	to, toErr, toOK := best(p.ToClock)
	if fromOK && toOK {
		checks = append(checks, judgeClocks(to-from, fromErr+toErr, t))
	}
	if p.From != nil && p.To != nil {
		checks = append(checks, judgeApart(*p.From, *p.To, t))
	}
	return Join(checks)
}

func judgeNet(n NetResult, t Thresholds) []Check {
	if n.Sent == 0 {
		return []Check{
			Finding("net.rtt.p99", Unknown, "", "nothing was sent"),
			Finding("net.loss", Unknown, "", "nothing was sent"),
		}
	}
	loss := t.Figure("net.loss", 100*float64(n.Lost)/float64(n.Sent))
	loss.Text = fmt.Sprintf("%d of %d lost", n.Lost, n.Sent)
	if loss.Verdict != Pass && n.Error != "" {
		loss.Why += ": " + n.Error
	}
	if n.Samples == 0 {
		return []Check{Finding("net.rtt.p99", Unknown, "", "nothing came back from "+n.Addr), loss}
	}
	rtt := t.Figure("net.rtt.p99", n.P99)
	rtt.Text = fmt.Sprintf("%s, median %s", rtt.Text, formatFigure(unitMS, n.P50))
	return []Check{rtt, loss}
}

// judgePath tells a way that swallows big packets from one that is merely narrow.
func judgePath(n NetResult, back *NetResult) Check {
	const id = "net.mtu"
	switch {
	case n.Path == nil:
		return Finding(id, Unknown, "", "nothing came back from "+n.Addr)
	case n.Path.Error != "":
		return Finding(id, Unknown, "", n.Path.Error)
	case !n.Path.Passed:
		return Finding(id, Fail, fmt.Sprintf("lost at %d bytes", n.Path.MTU),
			"small packets arrive and those of full size vanish without a word: members connect, and stall with the first large message")
	}
	mtu := float64(n.Path.MTU)
	c := Finding(id, Pass, fmt.Sprintf("%d bytes", n.Path.MTU), "")
	c.Value = &mtu
	if n.Path.MTU < n.Path.LinkMTU {
		c = c.worsen(Warn, fmt.Sprintf("the interface would send %d bytes: something on the way, such as a tunnel, carries less", n.Path.LinkMTU))
	}
	if back != nil && back.Path != nil && back.Path.Passed && back.Path.MTU != n.Path.MTU {
		c = c.worsen(Warn, fmt.Sprintf("the way back carries %d bytes", back.Path.MTU))
	}
	return c
}

// judgeClocks counts only the distance that the measurement's error cannot explain.
func judgeClocks(offset, uncertainty time.Duration, t Thresholds) Check {
	sure := max(math.Abs(milliseconds(offset))-milliseconds(uncertainty), 0)
	c := t.Figure("time.offset", sure)
	c.Text = fmt.Sprintf("%s, give or take %s", formatFigure(unitMS, math.Abs(milliseconds(offset))), formatFigure(unitMS, milliseconds(uncertainty)))
	return c
}

func judgeApart(a, b Facts, t Thresholds) Check {
	const id = "placement.apart"
	for _, mark := range []struct{ a, b, why string }{
		{a.BootID, b.BootID, "both run on one kernel: one machine's failure takes both"},
		{a.ProductUUID, b.ProductUUID, "both report one hardware id: one machine, or a cloned one"},
		{a.MachineID, b.MachineID, "both have the same /etc/machine-id: a cloned image that was not made its own"},
	} {
		if mark.a == "" || mark.a != mark.b {
			continue
		}
		if t.Lenient {
			return Finding(id, NotApplicable, "", mark.why)
		}
		return Finding(id, Warn, "", mark.why)
	}
	return Finding(id, Pass, "different machines", "")
}
