package lab

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// dataDirs are the directories of a member's data. The first is that of the transaction log,
// which is what a full disk is about when nothing else is said.
var dataDirs = []string{"/var/lib/zookeeper-log", "/var/lib/zookeeper"}

func isDataDir(dir string) bool { return slices.Contains(dataDirs, dir) }

// Limits of a disk that is filled.
const (
	// maxFill is the size, in bytes, of the largest file system that is filled: that of this
	// machine itself is none of a lab's.
	maxFill = 4 << 30
	// blockSize is what ext4 gives out at the least.
	blockSize = 4096
	// filler takes the room of a full disk, by fallocate(2): nothing is written, and a disk
	// that is a sparse file takes no more of this machine's.
	filler = ".zkboot-fault-filler"
)

// fillDisk fills the file system of a data directory, to the last block.
func (h *Host) fillDisk(ctx context.Context, dir string) error {
	file := dir + "/" + filler
	if _, err := h.guest.exec(ctx, []string{"rm", "-f", file}); err != nil {
		return err
	}
	room, err := h.room(ctx, dir)
	if err != nil {
		return err
	}
	if room.size > maxFill {
		return fmt.Errorf("%s has a file system of %d MiB, expected one of its own, of at most %d MiB: nothing was filled", dir, room.size>>20, maxFill>>20)
	}
	// The file system needs blocks of its own to note who has which, so that not all that is
	// free can be had at once.
	var last error
	for at, step := int64(0), room.free; step >= blockSize; {
		if _, err := h.guest.exec(ctx, []string{"fallocate", "-o", strconv.FormatInt(at, 10), "-l", strconv.FormatInt(step, 10), file}); err != nil {
			last, step = err, step/2
			continue
		}
		at += step
	}
	if room, err = h.room(ctx, dir); err != nil {
		return err
	}
	if room.free >= blockSize {
		return fmt.Errorf("%s still has %d bytes free: %w", dir, room.free, last)
	}
	return nil
}

// room is what a file system has, in bytes, for whoever is not root.
type room struct{ size, free int64 }

func (h *Host) room(ctx context.Context, dir string) (room, error) {
	out, err := h.guest.exec(ctx, []string{"df", "--block-size=1", "--output=size,avail", dir})
	if err != nil {
		return room{}, err
	}
	return parseRoom(out)
}

// parseRoom reads a heading and a line of two figures.
func parseRoom(df []byte) (room, error) {
	_, figures, _ := bytes.Cut(df, []byte("\n"))
	f := strings.Fields(string(figures))
	if len(f) != 2 {
		return room{}, fmt.Errorf("df: %q has no size and no room", df)
	}
	size, err1 := strconv.ParseInt(f[0], 10, 64)
	free, err2 := strconv.ParseInt(f[1], 10, 64)
	return room{size, free}, errors.Join(err1, err2)
}

// emptyDisks takes away what fills disks; there may be none.
func (h *Host) emptyDisks(ctx context.Context) error {
	argv := []string{"rm", "-f"}
	for _, dir := range dataDirs {
		argv = append(argv, dir+"/"+filler)
	}
	_, err := h.guest.exec(ctx, argv)
	return err
}

// OwnDisk gives a data directory of the host, that of [Injection], a small disk of its own, with what it
// holds, as [FaultFillDisk] needs. The first time a container is shut down in order for it and
// started again; do it beforehand to fill a disk under a member at work. It lasts until
// [Host.Recreate] and [Down], and has 128 MiB of room.
//
// A virtual machine has one disk for data, and gets no other: the error is an
// [UnsupportedError] for a directory that nothing is mounted on.
func (h *Host) OwnDisk(ctx context.Context, dir string) error {
	dir = cmp.Or(dir, dataDirs[0])
	if !isDataDir(dir) {
		return h.errorf("dir: %q: want one of %s", dir, strings.Join(dataDirs, ", "))
	}
	c, err := h.container("a disk of its own for "+dir, "mount the data disk there, as the lab's zkboot.yaml does for "+dataDirs[0])
	if err != nil {
		if _, notMounted := h.guest.exec(ctx, []string{"mountpoint", "-q", dir}); notMounted == nil {
			return nil
		}
		return err
	}
	made, err := h.makeDisk(ctx, c, c.disk(dir))
	if err != nil {
		return h.errorf("disk for %s: %w", dir, err)
	}
	if !made {
		return nil
	}
	return h.Start(ctx)
}

// shutdownLimit bounds an orderly end: systemd gives a service up to 90 s.
const shutdownLimit = 2 * time.Minute

// makeDisk makes a disk and leaves the host off, or finds it there and leaves all as it is.
func (h *Host) makeDisk(ctx context.Context, c *container, disk diskImage) (made bool, err error) {
	unlock, err := machine.LockDir(ctx, h.store.labDir(h.lab), false) // Up would start it in between
	if err != nil {
		return false, err
	}
	defer unlock()
	if ok, err := machine.Exists(disk.image()); ok || err != nil {
		return false, err
	}
	if c.running() {
		if err := c.setFrozen(ctx, false); err != nil {
			return false, err
		}
		if err := c.shutDown(ctx); err != nil {
			return false, err
		}
	}
	return true, disk.make(ctx)
}
