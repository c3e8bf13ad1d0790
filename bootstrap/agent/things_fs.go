package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// maxLinks bounds how many symbolic links lead to one path, as the kernel does.
const maxLinks = 40

// under is the place of an absolute path below the machine's root. Only for paths that
// nobody but root can write to; everything else goes through parent.
func (m *machine) under(p string) string { return filepath.Join(m.root, p) }

// parent opens the directory that holds the absolute path p and returns it with p's
// last element. On the way it follows symbolic links of root (and of the agent's own
// user) alone: a service that owns a directory could otherwise lead the agent, which is
// root, to any file of the system. The error is fs.ErrNotExist when a directory misses.
func (m *machine) parent(p string) (*os.Root, string, error) {
	dir, base := path.Split(p)
	at, err := os.OpenRoot(m.root)
	if err != nil {
		return nil, "", err
	}
	todo := elements(dir)
	var done []string
	for links := 0; len(todo) > 0; {
		name := todo[0]
		info, err := at.Lstat(name)
		if err != nil {
			at.Close()
			return nil, "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			next, err := at.OpenRoot(name)
			at.Close()
			if err != nil {
				return nil, "", err
			}
			at, done, todo = next, append(done, name), todo[1:]
			continue
		}
		target, err := at.Readlink(name)
		at.Close()
		if err != nil {
			return nil, "", err
		}
		link := "/" + path.Join(append(done[:len(done):len(done)], name)...)
		if uid := ownerID(info); uid != 0 && uid != os.Geteuid() {
			return nil, "", fmt.Errorf("%s is a symbolic link of user id %d, which is not followed", link, uid)
		}
		if links++; links > maxLinks {
			return nil, "", fmt.Errorf("%s: too many symbolic links", link)
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(link), target)
		}
		todo, done = append(elements(target), todo[1:]...), nil
		if at, err = os.OpenRoot(m.root); err != nil {
			return nil, "", err
		}
	}
	return at, base, nil
}

// makeParent is parent, with the directories that miss made for root, mode 0755.
func (m *machine) makeParent(p string) (*os.Root, string, error) {
	dir, base, err := m.parent(p)
	if !errors.Is(err, fs.ErrNotExist) || path.Dir(p) == "/" {
		return dir, base, err
	}
	up, name, err := m.makeParent(path.Dir(p))
	if err != nil {
		return nil, "", err
	}
	defer up.Close()
	if err := up.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, "", err
	}
	return m.parent(p)
}

func elements(p string) []string {
	return strings.FieldsFunc(path.Clean("/"+p), func(r rune) bool { return r == '/' })
}

// open opens the regular file p for reading; a symbolic link or a device in its place
// is an error.
func (m *machine) open(p string) (*os.File, fs.FileInfo, error) {
	dir, base, err := m.parent(p)
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close()
	return openIn(dir, base, p)
}

func openIn(dir *os.Root, base, p string) (*os.File, fs.FileInfo, error) {
	before, err := dir.Lstat(base)
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is a %s, want a regular file", p, typeName(before))
	}
	f, err := dir.OpenFile(base, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(before, info) {
		err = fmt.Errorf("%s was replaced while it was opened", p)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// read returns the content of the regular file p, which must not be larger than limit.
func (m *machine) read(p string, limit int64) ([]byte, error) {
	f, info, err := m.open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, want at most %d", p, info.Size(), limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

func typeName(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode.IsRegular():
		return "regular file"
	}
	return "special file"
}

// rights are who may do what with a file.
type rights struct {
	mode         uint32 // permission bits, with setuid, setgid and sticky
	owner, group string
}

// write replaces the file p as a whole: readers see the old content or the new one, also
// after a power cut, and never with other rights than asked for.
func (m *machine) write(p string, content []byte, r rights) error {
	uid, gid, err := m.ids(r)
	if err != nil {
		return err
	}
	dir, base, err := m.makeParent(p)
	if err != nil {
		return err
	}
	defer dir.Close()
	if info, err := dir.Lstat(base); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory, want a regular file", p)
	}
	f, err := renameio.NewPendingFile(base, renameio.WithRoot(dir), renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if _, err := f.Write(content); err != nil {
		return spaceHint(p, err)
	}
	if err := setRights(f.File, uid, gid, r.mode); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return spaceHint(p, err)
	}
	return syncRoot(dir)
}

// setRights changes the owner first: chown clears setuid and setgid.
func setRights(f *os.File, uid, gid int, mode uint32) error {
	if err := f.Chown(uid, gid); err != nil {
		return err
	}
	return os.NewSyscallError("fchmod", unix.Fchmod(int(f.Fd()), mode))
}

// rightsOf is what a file has, by name.
func (m *machine) rightsOf(info fs.FileInfo) rights {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok { // never on Linux
		return rights{}
	}
	users, groups := m.accounts()
	r := rights{mode: st.Mode & 0o7777, owner: strconv.Itoa(int(st.Uid)), group: strconv.Itoa(int(st.Gid))}
	for _, u := range users {
		if u.uid == int(st.Uid) {
			r.owner = u.name
			break
		}
	}
	for _, g := range groups {
		if g.gid == int(st.Gid) {
			r.group = g.name
			break
		}
	}
	return r
}

func ownerID(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// ids are the numbers of r's owner and group; a number stands for itself.
func (m *machine) ids(r rights) (uid, gid int, err error) {
	users, groups := m.accounts()
	uid, errUser := strconv.Atoi(r.owner)
	for _, u := range users {
		if u.name == r.owner {
			uid, errUser = u.uid, nil
			break
		}
	}
	gid, errGroup := strconv.Atoi(r.group)
	for _, g := range groups {
		if g.name == r.group {
			gid, errGroup = g.gid, nil
			break
		}
	}
	if errUser != nil {
		errUser = fmt.Errorf("user %q is not in /etc/passwd", r.owner)
	}
	if errGroup != nil {
		errGroup = fmt.Errorf("group %q is not in /etc/group", r.group)
	}
	return uid, gid, errors.Join(errUser, errGroup)
}

// syncRoot makes the names in dir durable.
func syncRoot(dir *os.Root) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// removeIn unlinks one name and makes that durable; an absent one is fine.
func removeIn(dir *os.Root, base string) error {
	if err := dir.Remove(base); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return syncRoot(dir)
}

// spaceHint says what to do about a full disk.
func spaceHint(p string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("no space left for %s; free some and apply again: %w", p, err)
	}
	return err
}

// readLines calls f for each line of a file that only root can write to; a missing file
// has none.
func (m *machine) readLines(p string, f func(line string)) error {
	file, err := os.Open(m.under(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	sc := bufio.NewScanner(file)
	for sc.Scan() {
		f(sc.Text())
	}
	return sc.Err()
}
