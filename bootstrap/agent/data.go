package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap"
)

// ListData implements bootstrap.Host. Names that go while the directory is read are left
// out, and so is everything but regular files.
func (h *Host) ListData(ctx context.Context, dir string) ([]bootstrap.DataFile, error) {
	if err := h.mayRead(dir); err != nil {
		return nil, err
	}
	m := &machine{root: h.root}
	up, base, err := m.parent(dir)
	if err != nil {
		return nil, err
	}
	defer up.Close()
	entries, err := fs.ReadDir(up.FS(), base)
	if err != nil {
		return nil, err
	}
	files := []bootstrap.DataFile{}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !e.Type().IsRegular() {
			continue
		}
		f, err := m.dataFile(path.Join(dir, e.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		default:
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b bootstrap.DataFile) int { return cmp.Compare(a.Name, b.Name) })
	return files, nil
}

// mayRead refuses whatever no manifest on this host owns as data: the agent is not a way to
// read other files of root.
func (h *Host) mayRead(dir string) error {
	m, err := h.store.load()
	if err != nil {
		return err
	}
	e, owned := m.entries()[bootstrap.NewID(bootstrap.KindDir, dir)]
	if !owned || !e.Data || path.Clean(dir) != dir {
		return fmt.Errorf("directory %s: %w: no manifest on this host owns it as data", dir, bootstrap.ErrRefused)
	}
	return nil
}

func (m *machine) dataFile(p string) (bootstrap.DataFile, error) {
	f, info, err := m.open(p)
	if err != nil {
		return bootstrap.DataFile{}, err
	}
	defer f.Close()
	used, err := usedOf(f, info.Size())
	return bootstrap.DataFile{Name: path.Base(p), Size: info.Size(), Used: used}, err
}

// extent is a part of a file that is not a hole.
type extent struct{ from, to int64 }

// extents lists the parts of a file that are not holes. Where the file system knows no holes,
// all of it is one.
func extents(f *os.File, size int64) []extent {
	var out []extent
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return out
		}
		hole := size
		if err == nil {
			hole, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
		}
		if err != nil {
			return []extent{{0, size}}
		}
		out = append(out, extent{data, min(hole, size)})
		at = hole
	}
	return out
}

// usedOf finds where the last byte of a file that is not zero ends, from behind. ZooKeeper
// makes a log larger by one zero at its new end, behind a hole.
func usedOf(f *os.File, size int64) (int64, error) {
	const step = 64 << 10
	buf := make([]byte, step)
	for _, x := range slices.Backward(extents(f, size)) {
		for end := x.to; end > x.from; end = max(x.from, end-step) {
			part := buf[:min(step, end-x.from)]
			if _, err := f.ReadAt(part, end-int64(len(part))); err != nil && !errors.Is(err, io.EOF) {
				return 0, err
			}
			if last := lastUsed(part); last >= 0 {
				return end - int64(len(part)) + int64(last) + 1, nil
			}
		}
	}
	return 0, nil
}

// lastUsed is the index of the last byte that is not zero, -1 where there is none.
func lastUsed(b []byte) int {
	for i, c := range slices.Backward(b) {
		if c != 0 {
			return i
		}
	}
	return -1
}

// ReadData implements bootstrap.Host.
func (h *Host) ReadData(_ context.Context, p string, size int64) (io.ReadCloser, error) {
	if err := h.mayRead(path.Dir(p)); err != nil {
		return nil, err
	}
	f, info, err := (&machine{root: h.root}).open(p)
	if err != nil {
		return nil, err
	}
	if size < 0 || size > info.Size() {
		f.Close()
		return nil, fmt.Errorf("%s has %d bytes, %d were asked for", p, info.Size(), size)
	}
	return &dataFile{f: f, path: p, left: size}, nil
}

// dataFile reads a part of a file and tells when the file ends before it.
type dataFile struct {
	f    *os.File
	path string
	left int64
}

// Read implements io.Reader.
func (d *dataFile) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	n, err := d.f.Read(p[:min(int64(len(p)), d.left)])
	d.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s became shorter while it was read: %d bytes are missing", d.path, d.left)
	}
	return n, err
}

// Close implements io.Closer.
func (d *dataFile) Close() error { return d.f.Close() }
