package backup

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrBusy: another run writes backups into the same directory.
var ErrBusy = errors.New("another backup is being written into this directory")

// suffix ends the name of every archive of ours.
const suffix = ".tar.zst"

// stamp is the time in a name: it sorts, and needs no quoting anywhere.
const stamp = "20060102T150405Z"

// FileName is the name of an archive in a directory of backups: ensemble, time, last zxid.
func FileName(m Manifest) string {
	return fmt.Sprintf("%s-%s-%x%s", m.Name, m.Taken.UTC().Format(stamp), uint64(m.Zxid), suffix)
}

// ours matches the names that FileName makes for an ensemble, and partial those of archives
// that were being written when a run was killed.
func ours(ensemble string) (whole, partial *regexp.Regexp) {
	name := regexp.QuoteMeta(ensemble)
	return regexp.MustCompile(`^` + name + `-(\d{8}T\d{6}Z)-[0-9a-f]{1,16}\.tar\.zst$`),
		regexp.MustCompile(`^\.` + name + `\.partial\d+$`)
}

// Dir is a directory of backups that this run alone writes to.
type Dir struct {
	path string
	lock *os.File
}

// OpenDir takes a directory for this run, until Close. The lock is on the directory itself,
// so that the kernel gives it back however the run ends.
func OpenDir(path string) (*Dir, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", path, ErrBusy)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Dir{path: path, lock: f}, nil
}

// Close gives the directory back.
func (d *Dir) Close() error { return d.lock.Close() }

// Prune removes the oldest whole archives of an ensemble, all but keep, and what runs that
// were killed left behind. It removes nothing whose name FileName did not make, and no
// archive of another ensemble. It returns the names that it removed.
func (d *Dir) Prune(ensemble string, keep int) ([]string, error) {
	if keep < 1 {
		return nil, fmt.Errorf("keeping %d backups would remove the one just taken", keep)
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	whole, partial := ours(ensemble)
	var archives, gone []string
	for _, e := range entries {
		switch name := e.Name(); {
		case !e.Type().IsRegular():
		case partial.MatchString(name):
			gone = append(gone, name)
		case whole.MatchString(name):
			archives = append(archives, name)
		}
	}
	taken := func(name string) string { return whole.FindStringSubmatch(name)[1] }
	slices.SortFunc(archives, func(a, b string) int { // the newest first
		return cmp.Or(strings.Compare(taken(b), taken(a)), strings.Compare(b, a))
	})
	gone = append(gone, archives[min(keep, len(archives)):]...)
	for i, name := range gone {
		if err := os.Remove(filepath.Join(d.path, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return gone[:i], err
		}
	}
	return gone, nil
}

// Pending is an archive that is being written beside its final place, for its owner's eyes
// only. It implements Rewinder. Its name is known when it is whole, and it never takes the
// place of another: so it is linked to its name and not renamed.
type Pending struct{ f *os.File }

// Create begins an archive of an ensemble in a directory. It is not there before Commit;
// Cleanup removes what was not committed.
func Create(dir, ensemble string) (*Pending, error) {
	f, err := os.CreateTemp(dir, "."+ensemble+".partial*") // mode 0600
	if err != nil {
		return nil, writing(err)
	}
	return &Pending{f}, nil
}

// Write implements io.Writer.
func (p *Pending) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	return n, writing(err)
}

// Rewind implements Rewinder.
func (p *Pending) Rewind() error {
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return writing(err)
	}
	return writing(p.f.Truncate(0))
}

// Commit makes the archive durable and gives it its name, which must be free.
func (p *Pending) Commit(path string) error {
	if err := p.f.Sync(); err != nil {
		return writing(err)
	}
	if err := os.Link(p.f.Name(), path); err != nil {
		return writing(err)
	}
	return writing(errors.Join(p.Cleanup(), syncDir(filepath.Dir(path))))
}

// Cleanup removes an archive that was not committed. It may be called again.
func (p *Pending) Cleanup() error {
	err := os.Remove(p.f.Name())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if cerr := p.f.Close(); !errors.Is(cerr, os.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	return err
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
