package verify

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

func (h host) readDirs(paths []string, to *[]Dir) error {
	if len(paths) == 0 {
		return nil
	}
	mounts, err := h.mounts()
	if err != nil {
		return err
	}
	for _, p := range paths {
		*to = append(*to, h.dir(p, mounts))
	}
	return nil
}

func (h host) mounts() ([]*mountinfo.Info, error) {
	f, err := os.Open(h.path("/proc/self/mountinfo"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mounts, err := mountinfo.GetMountsFromReader(f, nil)
	if err != nil {
		return nil, fmt.Errorf("/proc/self/mountinfo: %w", err)
	}
	return mounts, nil
}

func (h host) dir(p string, mounts []*mountinfo.Info) Dir {
	d := Dir{Path: p}
	err := func() (err error) {
		if d.Existing, err = h.existing(p); err != nil {
			return err
		}
		real, err := filepath.EvalSymlinks(h.path(d.Existing))
		if err != nil {
			return err
		}
		m := mountOf(h.inside(real), mounts)
		if m == nil {
			return fmt.Errorf("no mount holds %s", d.Existing)
		}
		d.MountPoint, d.Source, d.FSType = m.Mountpoint, m.Source, m.FSType
		d.Options = options(m)
		var s unix.Statfs_t
		if err := unix.Statfs(real, &s); err != nil {
			return fmt.Errorf("statfs %s: %w", d.Existing, err)
		}
		// Bavail leaves out what is reserved for root, who is not going to
		// write the log.
		d.FreeBytes = s.Bavail * uint64(s.Bsize)
		d.TotalInodes, d.FreeInodes = s.Files, s.Ffree
		h.readDevice(m, &d)
		return nil
	}()
	if err != nil {
		d.UnknownCause = err.Error()
	} else if err := h.readSizes(&d); err != nil {
		d.SizesUnknown = err.Error()
	}
	return d
}

// readSizes looks at what a server has written; version-2 is the version of the
// file format and has never changed.
func (h host) readSizes(d *Dir) error {
	entries, err := os.ReadDir(h.path(d.Path + "/version-2"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) { // purged while we look
			continue
		}
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !info.Mode().IsRegular() {
			continue
		}
		const block = 512 // stat(2), st_blocks: whatever the file system's own is
		size := uint64(stat.Blocks) * block
		switch {
		case strings.HasPrefix(e.Name(), "log."):
			d.LogBytes = max(d.LogBytes, size)
		case strings.HasPrefix(e.Name(), "snapshot."):
			d.SnapshotBytes = max(d.SnapshotBytes, size)
		}
	}
	return err
}

// existing returns p or its nearest ancestor that exists.
func (h host) existing(p string) (string, error) {
	for dir := filepath.Clean(p); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(h.path(dir))
		if err == nil && !info.IsDir() {
			return "", fmt.Errorf("%s is not a directory", dir)
		}
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == "/" {
			return "", err
		}
	}
}

// inside undoes path.
func (h host) inside(p string) string {
	return filepath.Join("/", strings.TrimPrefix(p, filepath.Clean(h.root)))
}

// mountOf returns the mount that holds p: the one with the longest mount point,
// and of several on one point the last, which covers the others.
func mountOf(p string, mounts []*mountinfo.Info) *mountinfo.Info {
	var best *mountinfo.Info
	for _, m := range mounts {
		holds := m.Mountpoint == "/" || p == m.Mountpoint || strings.HasPrefix(p, m.Mountpoint+"/")
		if holds && (best == nil || len(m.Mountpoint) >= len(best.Mountpoint)) {
			best = m
		}
	}
	return best
}

// options joins the options of the mount and of the file system, sorted. Both
// matter: noatime belongs to the mount, barrier=0 to the file system.
func options(m *mountinfo.Info) []string {
	all := strings.Split(m.Options, ",")
	if m.VFSOptions != "" {
		all = append(all, strings.Split(m.VFSOptions, ",")...)
	}
	slices.SortFunc(all, cmp.Compare[string])
	return slices.Compact(all)
}

// readDevice fills what the kernel knows of the disk below a mount. A file
// system without a disk of its own, or on several, leaves it empty.
func (h host) readDevice(m *mountinfo.Info, d *Dir) {
	name, ok := h.disk(m)
	if !ok {
		return
	}
	d.Device = name
	queue := "/sys/class/block/" + name + "/queue/"
	// Best effort: paravirtual disks of old kernels lack some of these.
	_ = h.trimmed(queue+"write_cache", &d.WriteCache)
	_ = h.choice(queue+"scheduler", &d.Scheduler)
	var rotational string
	if h.trimmed(queue+"rotational", &rotational) == nil {
		yes := rotational == "1"
		d.Rotational = &yes
	}
}

// disk returns the whole disk that holds a mount: sda for sda1, and through
// device mapper or md for as long as there is exactly one disk below.
func (h host) disk(m *mountinfo.Info) (string, bool) {
	dev := fmt.Sprintf("/sys/dev/block/%d:%d", m.Major, m.Minor)
	if m.Major == 0 { // btrfs and others mount an anonymous device: look at the source
		name, ok := strings.CutPrefix(m.Source, "/dev/")
		if !ok || strings.Contains(name, "..") {
			return "", false
		}
		dev = "/sys/class/block/" + filepath.Base(name)
	}
	real, err := filepath.EvalSymlinks(h.path(dev))
	for depth := 0; err == nil && depth < 8; depth++ {
		if _, partition := os.Stat(filepath.Join(real, "partition")); partition == nil {
			real = filepath.Dir(real)
			continue
		}
		slaves, _ := os.ReadDir(filepath.Join(real, "slaves"))
		if len(slaves) == 0 {
			return filepath.Base(real), true
		}
		if len(slaves) > 1 {
			return "", false
		}
		real, err = filepath.EvalSymlinks(filepath.Join(real, "slaves", slaves[0].Name()))
	}
	return "", false
}
