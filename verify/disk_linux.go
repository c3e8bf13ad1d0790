package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// padBytes is ZooKeeper's preAllocSize: the log is padded to the next
	// multiple with a single zero byte at its end, so the file is sparse and
	// blocks are still allocated by the appends (FilePadding.java, 3.9.5).
	padBytes = 64 << 20
	// fileBytes is how far one probe file grows before the next takes over.
	fileBytes = 2 * padBytes
	// headerBytes is what ZooKeeper writes before the first record.
	headerBytes = 16
	// snapshotBytes is written by the interference phase.
	snapshotBytes = 256 << 20
	// spareBytes stay free below the probe, so that it never fills a disk.
	spareBytes = 128 << 20
)

// probeFile is an append-only file that is unlinked as soon as it is open: the
// kernel gives its space back however the process ends.
type probeFile struct {
	dir string
	f   *os.File
	at  int64
}

func openProbeFile(dir string) (*probeFile, error) {
	p := &probeFile{dir: dir}
	return p, p.roll()
}

// roll replaces the file by a fresh one with header and pad.
func (p *probeFile) roll() error {
	if err := p.Close(); err != nil {
		return err
	}
	f, err := createUnlinked(p.dir)
	if err != nil {
		return err
	}
	p.f, p.at = f, headerBytes
	if _, err := f.WriteAt(make([]byte, headerBytes), 0); err != nil {
		return err
	}
	if err := p.pad(padBytes); err != nil {
		return err
	}
	if err := p.sync(); err != nil {
		return err
	}
	return syncDir(p.dir)
}

func (p *probeFile) pad(end int64) error {
	_, err := p.f.WriteAt([]byte{0}, end-1)
	return err
}

func (p *probeFile) write(record []byte) error {
	end := p.at + int64(len(record))
	if end > fileBytes {
		if err := p.roll(); err != nil {
			return err
		}
		end = p.at + int64(len(record))
	}
	// ZooKeeper pads the next 64 MiB when it comes within 4096 bytes of the end.
	const near = 4096
	if boundary := p.at - p.at%padBytes + padBytes; boundary < fileBytes && p.at < boundary-near && end >= boundary-near {
		if err := p.pad(boundary + padBytes); err != nil {
			return err
		}
	}
	if _, err := p.f.WriteAt(record, p.at); err != nil {
		return err
	}
	p.at = end
	return nil
}

// sync is FileChannel.force(false) of the JDK: fdatasync(2).
func (p *probeFile) sync() error {
	return retryInterrupted(func() error { return unix.Fdatasync(int(p.f.Fd())) })
}

// Close gives the space back.
func (p *probeFile) Close() error {
	if p.f == nil {
		return nil
	}
	err := p.f.Close()
	p.f = nil
	return err
}

func createUnlinked(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".zkboot-probe-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func retryInterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// writeSnapshots writes a file of the given size and syncs it, over and over
// until ctx ends: the shape of a snapshot, which ZooKeeper itself does not even
// sync.
func writeSnapshots(ctx context.Context, dir string, size int64) error {
	f, err := createUnlinked(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	chunk := randomBytes(1 << 20)
	for {
		for at := int64(0); at < size; at += int64(len(chunk)) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := f.WriteAt(chunk, at); err != nil {
				return err
			}
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
}

// probeFsync runs the fsync probe on this machine.
func (h host) probeFsync(ctx context.Context, q FsyncQuery, progress func(string)) (*FsyncResult, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	if q.DataDir == "" {
		q.DataDir = q.Dir
	}
	mounts, err := h.mounts()
	if err != nil {
		return nil, err
	}
	log, data := h.dir(q.Dir, mounts), h.dir(q.DataDir, mounts)
	if err := roomFor(q, log, data); err != nil {
		return nil, err
	}
	r := &FsyncResult{Dir: log, FsyncEnable: h.fsyncEnable()}
	file, err := openProbeFile(log.Existing)
	if err != nil {
		return nil, fmt.Errorf("opening the probe file: %w", err)
	}
	defer file.Close()
	p := probe{
		log:      logFile{write: file.write, sync: file.sync},
		disturb:  func(ctx context.Context) error { return writeSnapshots(ctx, data.Existing, snapshotBytes) },
		counters: func() (diskCounters, bool) { return h.diskCounters(log.Device) },
		stalled:  h.ioStalled,
		progress: progress,
	}
	return r, p.run(ctx, q, r)
}

// roomFor checks that the probe cannot fill the disk it looks at.
func roomFor(q FsyncQuery, log, data Dir) error {
	for _, d := range []Dir{log, data} {
		if d.UnknownCause != "" {
			return fmt.Errorf("%s: %s", d.Path, d.UnknownCause)
		}
	}
	room := []struct {
		dir  Dir
		need uint64
	}{{log, fileBytes + spareBytes}}
	if q.Interference > 0 && data.MountPoint == log.MountPoint {
		room[0].need += snapshotBytes
	} else if q.Interference > 0 {
		room = append(room, struct {
			dir  Dir
			need uint64
		}{data, snapshotBytes + spareBytes})
	}
	for _, r := range room {
		if r.dir.FreeBytes < r.need {
			return fmt.Errorf("%s: the probe needs %s free, %s has %s", r.dir.Path,
				formatFigure("bytes", float64(r.need)), r.dir.MountPoint, formatFigure("bytes", float64(r.dir.FreeBytes)))
		}
	}
	return nil
}

func (h host) diskCounters(device string) (diskCounters, bool) {
	if device == "" {
		return diskCounters{}, false
	}
	text, err := h.read("/proc/diskstats")
	if err != nil {
		return diskCounters{}, false
	}
	c, err := parseDiskstats(text, device)
	return c, err == nil
}

func (h host) ioStalled() (time.Duration, bool) {
	text, err := h.read("/proc/pressure/io")
	if err != nil {
		return 0, false
	}
	p, err := parsePSI(text)
	return time.Duration(p.Full.TotalUS) * time.Microsecond, err == nil
}
