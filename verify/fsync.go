package verify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

const (
	// recordBytes is a fair size for a ZooKeeper transaction: setData of 10 to
	// 1000 bytes writes 85 to 1075. (etcd's well-known fio recipe uses 2300.)
	recordBytes = 512
	// warmUpOps are discarded, because the first appends allocate and map blocks.
	warmUpOps = 200
	// warmUpTime ends the warm-up on disks too slow for warmUpOps.
	warmUpTime = time.Second
	// pacedInterval makes 50 syncs/s, the least sequential rate etcd asks of a disk.
	// https://etcd.io/docs/v3.5/op-guide/hardware/
	pacedInterval = 20 * time.Millisecond
)

// probeSizes are the record sizes measured for information: the smallest
// ZooKeeper transaction, etcd's recipe, OpenShift's etcd-perf.
var probeSizes = [...]int{85, 2300, 8192}

// GateFsync is the short probe that guards an apply: 3 s, extended to at most
// 15 s until it has seen 500 syncs.
func GateFsync(dir string) *FsyncQuery {
	return &FsyncQuery{
		Dir: dir, Duration: 3 * time.Second, MinSamples: 500, MaxDuration: 15 * time.Second,
		Window: time.Second,
	}
}

// LongFsync is the whole probe: a closed loop of d (0 means 30 s), then twice d
// paced, half of d beside a snapshot-sized write to dataDir, and a sixth of d
// for each further record size.
func LongFsync(dir, dataDir string, d time.Duration) *FsyncQuery {
	if d <= 0 {
		d = 30 * time.Second
	}
	return &FsyncQuery{
		Dir: dir, DataDir: dataDir, Duration: d, MinSamples: 2000, MaxDuration: 4 * d,
		Window: d / 3, Paced: 2 * d, Interference: d / 2, Sizes: d / 6,
	}
}

func (q FsyncQuery) validate() error {
	var errs []error
	if q.Dir == "" {
		errs = append(errs, errors.New("fsync.dir: empty"))
	}
	if q.Duration <= 0 {
		errs = append(errs, fmt.Errorf("fsync.duration: %v, want more than 0", q.Duration))
	}
	if q.MaxDuration < q.Duration {
		errs = append(errs, fmt.Errorf("fsync.max_duration: %v is less than the duration %v", q.MaxDuration, q.Duration))
	}
	return errors.Join(errs...)
}

// logFile is the file under test: write appends one record to the page cache,
// sync makes it durable. Only sync is timed. Tests put delays and errors here.
type logFile struct {
	write func(record []byte) error
	sync  func() error
}

// append returns how long the sync of one record took.
func (f logFile) append(record []byte) (time.Duration, error) {
	if err := f.write(record); err != nil {
		return 0, err
	}
	began := time.Now()
	err := f.sync()
	return time.Since(began), err
}

// syncError is an error of the disk itself, as opposed to one of the probe.
type syncError struct{ err error }

func (e *syncError) Error() string { return e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

// loop bounds a closed loop: it runs for at least duration and samples, and at
// most limit.
type loop struct {
	duration, limit, window time.Duration
	samples                 int
	bytes                   int
	tick                    func(elapsed time.Duration, n int) // called after every sync; may be nil
}

// closedLoop appends one record after the other, as ZooKeeper does under load
// from one client. It returns what it has also when ctx ends or the disk fails.
func closedLoop(ctx context.Context, f logFile, l loop) (*timeline, time.Duration, error) {
	record := randomBytes(l.bytes)
	line := newTimeline(l.window)
	began := time.Now()
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return line, time.Since(began), err
		}
		took, err := f.append(record)
		elapsed := time.Since(began)
		if err != nil {
			return line, elapsed, &syncError{err}
		}
		line.add(elapsed, took)
		if l.tick != nil {
			l.tick(elapsed, n)
		}
		if elapsed >= l.limit || elapsed >= l.duration && n >= l.samples {
			return line, elapsed, nil
		}
	}
}

// pacedLoop appends a record every interval and times each from the moment it
// was due, not from when its turn came: one long stall then shows in every
// record that had to wait behind it ("coordinated omission"). Records that are
// still due at the end count with the time they have waited so far.
//
// Being woken late by less than an interval is not held against the disk:
// cpu.jitter measures that. A sync after a pause is still slower than one in a
// closed loop (on a busy two-CPU guest a median of 0.4 to 0.8 ms against 0.16),
// so the two phases are not expected to agree.
func pacedLoop(ctx context.Context, f logFile, interval, duration time.Duration) (*histogram, error) {
	record := randomBytes(recordBytes)
	h := newHistogram()
	timer := time.NewTimer(0)
	defer timer.Stop()
	began := time.Now()
	end := began.Add(duration)
	for due := began; due.Before(end); due = due.Add(interval) {
		wait := time.Until(due)
		woken := wait > 0
		if woken {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if err := ctx.Err(); err != nil {
			return h, err
		}
		now := time.Now()
		if !now.Before(end) {
			h.add(end.Sub(due))
			continue
		}
		start := due
		if woken && now.Sub(due) < interval {
			start = now
		}
		if _, err := f.append(record); err != nil {
			return h, &syncError{err}
		}
		h.add(time.Since(start))
	}
	return h, nil
}

// probe is everything the fsync probe needs of the machine.
type probe struct {
	log      logFile
	disturb  func(context.Context) error  // writes snapshot-sized files until ctx ends
	counters func() (diskCounters, bool)  // of the disk below; false where it is not known
	stalled  func() (time.Duration, bool) // total time in which all tasks waited for I/O
	progress func(string)
}

// run fills the figures of r. A disk error ends it and is kept in r; the error
// it returns is of the probe, of ctx, or that somebody else filled the disk.
func (p probe) run(ctx context.Context, q FsyncQuery, r *FsyncResult) error {
	phases := []func(context.Context, FsyncQuery, *FsyncResult) error{p.closed, p.paced, p.interference, p.sizes}
	for _, phase := range phases {
		err := phase(ctx, q, r)
		var disk *syncError
		full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
		if errors.As(err, &disk) && !full {
			r.SyncError = disk.Error()
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p probe) closed(ctx context.Context, q FsyncQuery, r *FsyncResult) error {
	if err := warmUp(ctx, p.log, min(warmUpTime, q.Duration)); err != nil {
		return err
	}
	before, known := p.counters()
	stalled, psi := p.stalled()
	line, elapsed, err := closedLoop(ctx, p.log, loop{
		duration: q.Duration, limit: q.MaxDuration, samples: q.MinSamples,
		window: q.Window, bytes: recordBytes, tick: p.report("fsync, closed loop", q.Duration),
	})
	r.Latency, r.Windows = line.finish()
	if r.Samples == 0 || elapsed <= 0 {
		return err
	}
	r.OpsPerSecond = float64(r.Samples) / elapsed.Seconds()
	if after, ok := p.counters(); known && ok {
		r.Writes, r.Flushes = after.perOp(before, r.Samples)
	}
	if after, ok := p.stalled(); psi && ok {
		share := 100 * (after - stalled).Seconds() / elapsed.Seconds()
		r.IOPressure = &share
	}
	return err
}

// warmUp appends warmUpOps records, or as many as fit into limit.
func warmUp(ctx context.Context, f logFile, limit time.Duration) error {
	record := randomBytes(recordBytes)
	began := time.Now()
	for n := 0; n < warmUpOps && time.Since(began) < limit; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := f.append(record); err != nil {
			return &syncError{err}
		}
	}
	return nil
}

func (p probe) paced(ctx context.Context, q FsyncQuery, r *FsyncResult) error {
	if q.Paced <= 0 {
		return nil
	}
	p.progress(fmt.Sprintf("fsync, paced: %v at %d/s", q.Paced, time.Second/pacedInterval))
	h, err := pacedLoop(ctx, p.log, pacedInterval, q.Paced)
	l := h.latency()
	r.Paced = &l
	return err
}

func (p probe) interference(ctx context.Context, q FsyncQuery, r *FsyncResult) error {
	if q.Interference <= 0 {
		return nil
	}
	noise, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.disturb(noise) }()
	line, _, err := closedLoop(ctx, p.log, loop{
		duration: q.Interference, limit: q.Interference, bytes: recordBytes,
		tick: p.report("fsync, beside a snapshot", q.Interference),
	})
	stop()
	noiseErr := <-done
	l, _ := line.finish()
	r.Interference = &Interference{Latency: l}
	if r.P99 > 0 {
		r.Interference.Ratio = l.P99 / r.P99
	}
	if err == nil && noiseErr != nil && !errors.Is(noiseErr, context.Canceled) {
		r.Interference = nil // it was measured beside nothing
		return &syncError{fmt.Errorf("writing the snapshot-sized file: %w", noiseErr)}
	}
	return err
}

func (p probe) sizes(ctx context.Context, q FsyncQuery, r *FsyncResult) error {
	if q.Sizes <= 0 {
		return nil
	}
	for _, bytes := range probeSizes {
		line, _, err := closedLoop(ctx, p.log, loop{
			duration: q.Sizes, limit: q.Sizes, bytes: bytes,
			tick: p.report(fmt.Sprintf("fsync, %d bytes", bytes), q.Sizes),
		})
		l, _ := line.finish()
		r.Sizes = append(r.Sizes, SizeLatency{Bytes: bytes, Latency: l})
		if err != nil {
			return err
		}
	}
	return nil
}

// report returns a tick that tells progress once a second.
func (p probe) report(phase string, total time.Duration) func(time.Duration, int) {
	next := time.Second
	return func(elapsed time.Duration, n int) {
		if elapsed < next {
			return
		}
		next = elapsed.Truncate(time.Second) + time.Second
		p.progress(fmt.Sprintf("%s: %v of %v, %d syncs", phase, elapsed.Truncate(time.Second), total, n))
	}
}

// randomBytes are incompressible, so that a compressing file system or disk
// cannot make the probe faster than real data would be.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}
