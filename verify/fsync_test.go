package verify

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// slowDisk syncs in the given time, and longer or not at all in the n-th sync.
// Time is that of the synctest bubble, so that no test waits or is inexact.
type slowDisk struct {
	took   time.Duration
	stall  map[int]time.Duration
	broken map[int]error
	syncs  int
	sizes  map[int]int
}

func (d *slowDisk) file() logFile {
	return logFile{
		write: func(record []byte) error {
			if d.sizes == nil {
				d.sizes = map[int]int{}
			}
			d.sizes[len(record)]++
			return nil
		},
		sync: func() error {
			d.syncs++
			if err := d.broken[d.syncs]; err != nil {
				return err
			}
			time.Sleep(d.took + d.stall[d.syncs])
			return nil
		},
	}
}

func (d *slowDisk) probe(t *testing.T) probe {
	return probe{
		log:      d.file(),
		disturb:  func(context.Context) error { t.Error("disturbed without being asked"); return nil },
		counters: func() (diskCounters, bool) { return diskCounters{}, false },
		stalled:  func() (time.Duration, bool) { return 0, false },
		progress: func(string) {},
	}
}

// near allows for the histogram's 0.1 %.
func near(got, want float64) bool { return math.Abs(got-want) <= 0.001*want+0.001 }

func TestClosedLoopMeasuresInjectedDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stall := map[int]time.Duration{}
		for n := 250; n <= 10_200; n += 50 { // two in a hundred
			stall[n] = 19 * time.Millisecond
		}
		d := &slowDisk{took: time.Millisecond, stall: stall}
		q := FsyncQuery{Dir: "/log", Duration: time.Second, MinSamples: 10_000, MaxDuration: time.Minute, Window: time.Second}
		var r FsyncResult
		if err := d.probe(t).run(t.Context(), q, &r); err != nil {
			t.Fatal(err)
		}
		if r.Samples != 10_000 {
			t.Errorf("%d samples, want the 10000 asked for", r.Samples)
		}
		if !near(r.P50, 1) || !near(r.P90, 1) || !near(r.P99, 20) || !near(*r.P999, 20) || !near(r.Max, 20) {
			t.Errorf("p50 %v p90 %v p99 %v p99.9 %v max %v, want 1, 1, 20, 20, 20", r.P50, r.P90, r.P99, *r.P999, r.Max)
		}
		if want := 1.38; !near(r.Mean, want) || !near(r.OpsPerSecond, 1000/want) {
			t.Errorf("mean %v ms at %v/s, want %v ms at %v/s", r.Mean, r.OpsPerSecond, want, 1000/want)
		}
		if r.Over10 != 200 || r.Over100 != 0 {
			t.Errorf("%d above 10 ms and %d above 100 ms, want 200 and 0", r.Over10, r.Over100)
		}
		if d.syncs != 10_000+warmUpOps {
			t.Errorf("%d syncs in all, want %d discarded ones beside the samples", d.syncs, warmUpOps)
		}
	})
}

func TestStallShowsInPacedButNotInClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stalled = 300 * time.Millisecond
		closedDisk := &slowDisk{took: time.Millisecond, stall: map[int]time.Duration{500: stalled}}
		line, _, err := closedLoop(t.Context(), closedDisk.file(), loop{duration: 10 * time.Second, limit: 10 * time.Second, bytes: recordBytes})
		if err != nil {
			t.Fatal(err)
		}
		pacedDisk := &slowDisk{took: time.Millisecond, stall: map[int]time.Duration{250: stalled}}
		paced, err := pacedLoop(t.Context(), pacedDisk.file(), pacedInterval, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		closed, _ := line.finish()
		if !near(closed.P99, 1) {
			t.Errorf("closed p99 is %v ms: the closed loop should hide one stall", closed.P99)
		}
		if p := paced.latency(); p.P99 < 150 || p.P99 > 301 {
			t.Errorf("paced p99 is %v ms, want most of the stall of %v", p.P99, stalled)
		}
		if c, p := closed.Max, paced.latency().Max; !near(c, 301) || !near(p, 301) {
			t.Errorf("max is %v ms closed and %v ms paced, want 301 in both", c, p)
		}
	})
}

func TestPacedLoopEndsOnADiskThatCannotKeepUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{took: 100 * time.Millisecond}
		began := time.Now()
		h, err := pacedLoop(t.Context(), d.file(), pacedInterval, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2100*time.Millisecond {
			t.Errorf("took %v, want 2s and at most one more sync", took)
		}
		l := h.latency()
		if l.Samples != 100 {
			t.Errorf("%d samples, want all 100 that were due", l.Samples)
		}
		// The twentieth sync, the last to be sent, ends at 2 s and was due at 380 ms.
		if !near(l.Max, 1620) {
			t.Errorf("max is %v ms, want the 1620 ms of the last one sent", l.Max)
		}
	})
}

func TestClosedLoopBounds(t *testing.T) {
	for _, tt := range []struct {
		name        string
		took        time.Duration
		wantSamples int64
	}{
		{"fast: the duration rules", time.Millisecond, 3000},
		{"slower: goes on until there are 500", 10 * time.Millisecond, 500},
		{"hopeless: stops at the maximum", 100 * time.Millisecond, 150},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &slowDisk{took: tt.took}
				var r FsyncResult
				if err := d.probe(t).run(t.Context(), *GateFsync("/log"), &r); err != nil {
					t.Fatal(err)
				}
				if r.Samples != tt.wantSamples {
					t.Errorf("%d samples, want %d", r.Samples, tt.wantSamples)
				}
				if r.P999 != nil {
					t.Errorf("p99.9 is %v from %d samples, want none", *r.P999, r.Samples)
				}
			})
		})
	}
}

func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stall := map[int]time.Duration{}
		for n := warmUpOps + 1100; n < warmUpOps+1200; n++ { // in the second window
			stall[n] = 4 * time.Millisecond
		}
		d := &slowDisk{took: time.Millisecond, stall: stall}
		q := FsyncQuery{Dir: "/log", Duration: 3 * time.Second, MaxDuration: 3 * time.Second, Window: time.Second}
		var r FsyncResult
		if err := d.probe(t).run(t.Context(), q, &r); err != nil {
			t.Fatal(err)
		}
		var total int64
		for _, w := range r.Windows {
			total += w.Samples
		}
		if total != r.Samples {
			t.Errorf("windows hold %d samples, the loop %d", total, r.Samples)
		}
		if r.Windows[0].P99 != 1 || !near(r.Windows[1].P99, 5) || r.Windows[1].Start != 1 {
			t.Errorf("windows %+v, want p99 of 1 ms and then, from 1 s, of 5 ms", r.Windows)
		}
		if ratio, ok := spread(r.Windows); !ok || !near(ratio, 5) {
			t.Errorf("spread is %v, %v, want 5", ratio, ok)
		}
	})
}

func TestInterferenceAndSizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{took: time.Millisecond}
		p := d.probe(t)
		var busy, ended atomic.Bool
		fast := p.log.sync
		p.log.sync = func() error {
			if busy.Load() {
				time.Sleep(3 * time.Millisecond)
			}
			return fast()
		}
		p.disturb = func(ctx context.Context) error {
			busy.Store(true)
			<-ctx.Done()
			busy.Store(false)
			ended.Store(true)
			return ctx.Err()
		}
		q := FsyncQuery{
			Dir: "/log", Duration: time.Second, MaxDuration: time.Second,
			Interference: time.Second, Sizes: time.Second,
		}
		var r FsyncResult
		if err := p.run(t.Context(), q, &r); err != nil {
			t.Fatal(err)
		}
		if !ended.Load() {
			t.Error("the disturbing writer was not stopped")
		}
		if r.Interference == nil || !near(r.Interference.Ratio, 4) {
			t.Errorf("interference %+v, want a ratio of 4", r.Interference)
		}
		for i, bytes := range probeSizes {
			if r.Sizes[i].Bytes != bytes || d.sizes[bytes] == 0 || !near(r.Sizes[i].P50, 1) {
				t.Errorf("size %d: %+v, written %d times", bytes, r.Sizes[i], d.sizes[bytes])
			}
		}
	})
}

func TestProbeKeepsWhatItHas(t *testing.T) {
	eio := errors.New("fdatasync: input/output error")
	q := FsyncQuery{Dir: "/log", Duration: time.Second, MaxDuration: time.Second, Paced: time.Second}
	t.Run("disk error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := &slowDisk{took: time.Millisecond, broken: map[int]error{warmUpOps + 101: eio}}
			var r FsyncResult
			if err := d.probe(t).run(t.Context(), q, &r); err != nil {
				t.Fatalf("the disk's error is a finding, not the probe's error: %v", err)
			}
			if r.Samples != 100 || r.SyncError != eio.Error() || r.Paced != nil {
				t.Errorf("%d samples, error %q, paced %v; want 100, %q and no further phase", r.Samples, r.SyncError, r.Paced, eio)
			}
		})
	})
	t.Run("disk filled by somebody else", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := &slowDisk{took: time.Millisecond, broken: map[int]error{warmUpOps + 101: syscall.ENOSPC}}
			var r FsyncResult
			if err := d.probe(t).run(t.Context(), q, &r); !errors.Is(err, syscall.ENOSPC) || r.SyncError != "" {
				t.Errorf("error %v, sync error %q; want a probe that could not go on, not a broken disk", err, r.SyncError)
			}
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			d := &slowDisk{took: time.Millisecond}
			var r FsyncResult
			err := d.probe(t).run(ctx, q, &r)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want that of the context", err)
			}
			if r.Samples < 99 || r.Samples > 101 {
				t.Errorf("%d samples, want the 100 before the end", r.Samples)
			}
		})
	})
}

func TestFlushesPerSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{took: time.Millisecond}
		p := d.probe(t)
		p.counters = func() (diskCounters, bool) {
			return diskCounters{writes: 7 + 2*uint64(d.syncs), flushes: 9 + uint64(d.syncs), hasFlushes: true}, true
		}
		p.stalled = func() (time.Duration, bool) { return time.Duration(d.syncs) * time.Millisecond / 2, true }
		var r FsyncResult
		if err := p.run(t.Context(), *GateFsync("/log"), &r); err != nil {
			t.Fatal(err)
		}
		if *r.Flushes != 1 || *r.Writes != 2 || !near(*r.IOPressure, 50) {
			t.Errorf("flushes %v, writes %v, pressure %v %%; want 1, 2, 50", *r.Flushes, *r.Writes, *r.IOPressure)
		}
	})
}

func TestFsyncQueryIsRefused(t *testing.T) {
	err := FsyncQuery{MaxDuration: -1}.validate()
	if err == nil {
		t.Fatal("an empty query was accepted")
	}
	for _, path := range []string{"fsync.dir: ", "fsync.duration: ", "fsync.max_duration: "} {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%q does not name %s", err, path)
		}
	}
	for _, q := range []*FsyncQuery{GateFsync("/log"), LongFsync("/log", "/data", 0)} {
		if err := q.validate(); err != nil {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
