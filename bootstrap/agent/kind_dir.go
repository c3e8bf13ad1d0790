package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap"
)

func (m *machine) lookDirs(_ context.Context, g glance, s *sighting) {
	for _, name := range g.names {
		id := bootstrap.NewID(bootstrap.KindDir, name)
		r, err := m.seeDir(name, g.owned[id])
		s.one(id, r, err)
	}
}

// seeDir takes Contents and Data from the manifest, so that a delete, which knows the
// seen directory alone, knows what it may take.
func (m *machine) seeDir(name string, owned bootstrap.Entry) (bootstrap.Resource, error) {
	dir, base, err := m.parent(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	info, err := dir.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is a %s, want a directory", name, typeName(info))
	}
	r := m.rightsOf(info)
	return bootstrap.Dir{Path: name, Mode: r.mode, Owner: r.owner, Group: r.group,
		Contents: owned.Contents, Data: owned.Data}, nil
}

func (m *machine) putDir(want bootstrap.Dir) error {
	uid, gid, err := m.ids(rights{owner: want.Owner, group: want.Group})
	if err != nil {
		return err
	}
	dir, base, err := m.makeParent(want.Path)
	if err != nil {
		return err
	}
	defer dir.Close()
	// Nobody may look in before the rights are as wanted.
	if err := dir.Mkdir(base, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return spaceHint(want.Path, err)
	}
	info, err := dir.Lstat(base)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is a %s, want a directory", want.Path, typeName(info))
	}
	f, err := dir.OpenFile(base, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if want.Data {
		if err := giveContents(dir, base, info, uid, gid); err != nil {
			return err
		}
	}
	if err := setRights(f, uid, gid, want.Mode); err != nil {
		return err
	}
	return syncRoot(dir)
}

// giveContents gives what lies in a directory of data to its owner, before the directory
// itself, so that a crash in between is noticed. Data that a destroy kept belongs to the
// number of a user that is gone; the user that comes back may have another number.
func giveContents(dir *os.Root, base string, info fs.FileInfo, uid, gid int) error {
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) == uid && int(st.Gid) == gid {
		return nil
	}
	return fs.WalkDir(dir.FS(), base, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || name == base {
			return err
		}
		return dir.Lchown(name, uid, gid)
	})
}

// deleteDir removes an empty directory, or one with all that is in it. What is not empty
// and not ours to empty stays, which note is told. A file system mounted further down is
// never emptied; one mounted here is emptied but for lost+found, and the directory stays
// under it.
func (m *machine) deleteDir(name string, all bool, note func(string)) error {
	if len(elements(name)) < 2 {
		return fmt.Errorf("%s is a directory of the system and is never deleted", name)
	}
	dir, base, err := m.parent(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	info, err := dir.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is a %s, want a directory", name, typeName(info))
	}
	mounted, below, err := m.mountsAt(dir, base)
	switch {
	case err != nil:
		return err
	case all && below != "":
		return fmt.Errorf("%s is mounted below %s; unmount it before its data can be deleted", below, name)
	case all && mounted:
		return emptyMount(dir, base)
	case all:
		if err := dir.RemoveAll(base); err != nil {
			return err
		}
		return syncRoot(dir)
	case mounted:
		note("left " + name + ": it is a mount point")
		return nil
	}
	err = removeIn(dir, base)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		note("left " + name + ": it is not empty")
		return nil
	}
	return err
}

func emptyMount(dir *os.Root, base string) error {
	root, err := dir.OpenRoot(base)
	if err != nil {
		return err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "lost+found" { // belongs to the file system
			continue
		}
		if err := root.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return syncRoot(root)
}

// mountsAt tells whether something is mounted on the directory, and names one mount below
// it. The kernel lists mounts by their real path, so symbolic links on the way count.
func (m *machine) mountsAt(dir *os.Root, base string) (at bool, below string, err error) {
	mounts, err := m.mounts()
	if err != nil {
		return false, "", err
	}
	name, err := m.realPath(dir, base)
	if err != nil {
		return false, "", err
	}
	for _, mnt := range mounts {
		switch {
		case mnt.Mountpoint == name:
			at = true
		case strings.HasPrefix(mnt.Mountpoint, name+"/"):
			below = mnt.Mountpoint
		}
	}
	return at, below, nil
}

// realPath is where the kernel says that an entry of dir is, seen from the machine's root.
func (m *machine) realPath(dir *os.Root, base string) (string, error) {
	f, err := dir.Open(".")
	if err != nil {
		return "", err
	}
	defer f.Close()
	at, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return "", err
	}
	root, err := filepath.EvalSymlinks(m.root)
	if err != nil {
		return "", err
	}
	return path.Join("/", strings.TrimPrefix(at, strings.TrimSuffix(root, "/")), base), nil
}

func (m *machine) mounts() ([]*mountinfo.Info, error) {
	f, err := os.Open(m.under("/proc/self/mountinfo"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mountinfo.GetMountsFromReader(f, nil)
}
