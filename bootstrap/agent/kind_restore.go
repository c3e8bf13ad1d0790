package agent

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap"
)

// restoreMark is the file in a data directory that tells of a restore under way.
const restoreMark = "zkboot-restore.json"

// versionDir is where a server keeps its files below dataDir and dataLogDir, and restoreNew
// is what will take its place. https://zookeeper.apache.org/doc/r3.9.3/zookeeperAdmin.html#sc_dataFileManagement
const (
	versionDir = "version-2"
	restoreNew = "version-2.zkboot-restore"
)

// restoreSpare is what must stay free beside the unpacked backup, in bytes: the first log
// that the server makes, and its first snapshot begins.
const restoreSpare = 128 << 20

// backupFile is a name in a backup that belongs into a version-2 directory.
var backupFile = regexp.MustCompile(`^version-2/((snapshot|log)\.[0-9a-f]{1,16}(\.gz)?)$`)

// restoreNote is the content of the mark.
type restoreNote struct {
	Format int               `json:"format"` // 1
	Is     bootstrap.Restore `json:"is"`
}

func (m *machine) lookRestores(_ context.Context, g glance, s *sighting) {
	for _, name := range g.names {
		r, err := m.seeRestore(name)
		s.one(bootstrap.NewID(bootstrap.KindRestore, name), r, err)
	}
}

func (m *machine) seeRestore(dir string) (bootstrap.Resource, error) {
	p := path.Join(dir, restoreMark)
	b, err := m.read(p, 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var n restoreNote
	if err := unmarshal(b, &n); err != nil || n.Format != 1 || n.Is.Dir != dir {
		return nil, fmt.Errorf("%s is not what this zkboot writes there; use the zkboot that wrote it", p)
	}
	return n.Is, nil
}

func (m *machine) putRestore(ctx context.Context, want bootstrap.Restore, note func(string)) error {
	for _, dir := range []string{want.Dir, want.LogDir} {
		if err := checkID(bootstrap.NewID(bootstrap.KindDir, dir)); err != nil {
			return err
		}
	}
	switch want.Stage {
	case bootstrap.RestoreStaged:
		if !hexSum.MatchString(want.SHA512) {
			return fmt.Errorf("sha512 %q is not 128 digits of hex in lower case", want.SHA512)
		}
		return spaceHint(want.Dir, m.stageRestore(ctx, want, note))
	case bootstrap.RestorePlaced:
		return m.placeRestore(want, note)
	}
	return fmt.Errorf("stage %q of a restore is unknown to this agent", want.Stage)
}

// stageRestore unpacks the backup beside the data. Nothing counts before the whole archive
// has come and its sum is right.
func (m *machine) stageRestore(ctx context.Context, want bootstrap.Restore, note func(string)) error {
	to, err := m.openStage(want)
	if err != nil {
		return err
	}
	defer to.close()
	note("bringing the backup " + shownURL(want.URL))
	if m.blob == nil {
		return errors.New("the operator's machine cannot be asked for files here")
	}
	src, err := m.blob(ctx, want.SHA512, want.URL)
	if err != nil {
		return fmt.Errorf("bringing %s: %w", shownURL(want.URL), err)
	}
	defer src.Close()
	sum := sha512.New()
	tee := io.TeeReader(src, sum)
	if err := to.unpack(ctx, tee); err != nil {
		return fmt.Errorf("unpacking %s: %w", shownURL(want.URL), err)
	}
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return fmt.Errorf("bringing %s: %w", shownURL(want.URL), err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want.SHA512 {
		return fmt.Errorf("%s has sha512 %s, want %s; nothing was put in the place of the data", shownURL(want.URL), got, want.SHA512)
	}
	if err := to.finish(want.Epoch); err != nil {
		return err
	}
	return m.noteRestore(want)
}

// noteRestore writes the mark, without what only the operator needs.
func (m *machine) noteRestore(is bootstrap.Restore) error {
	is.URL, is.Size = "", 0
	b, err := json.Marshal(restoreNote{Format: 1, Is: is})
	if err != nil {
		return err
	}
	return m.write(path.Join(is.Dir, restoreMark), append(b, '\n'), rights{mode: 0o600, owner: is.Owner, group: is.Group})
}

// stage is the directory, or the two, that a backup is unpacked into: snapshots into the
// first, logs into the last.
type stage struct {
	up, in   []*os.Root // dataDir and dataLogDir, and the fresh directories in them
	uid, gid int
}

func distinctDirs(r bootstrap.Restore) []string {
	return slices.Compact([]string{r.Dir, r.LogDir})
}

// openStage makes the fresh directories. Those of an earlier run that was cut off go: they
// never were anybody's data.
func (m *machine) openStage(want bootstrap.Restore) (s stage, err error) {
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.uid, s.gid, err = m.ids(rights{owner: want.Owner, group: want.Group}); err != nil {
		return s, err
	}
	for _, dir := range distinctDirs(want) {
		up, err := m.openDir(dir)
		if err != nil {
			return s, err
		}
		s.up = append(s.up, up)
		if err := up.RemoveAll(restoreNew); err != nil {
			return s, err
		}
		if err := room(up, dir, want.Size); err != nil {
			return s, err
		}
		if err := up.Mkdir(restoreNew, 0o700); err != nil {
			return s, err
		}
		in, err := up.OpenRoot(restoreNew)
		if err != nil {
			return s, err
		}
		s.in = append(s.in, in)
	}
	return s, nil
}

// openDir opens a directory itself, by the rules of parent.
func (m *machine) openDir(dir string) (*os.Root, error) {
	up, _, err := m.parent(path.Join(dir, restoreNew))
	return up, err
}

// room refuses to begin what cannot end. A file system that both directories share counts
// once: need is for all files of the backup.
func room(dir *os.Root, name string, need int64) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstatfs", err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < need+restoreSpare {
		return fmt.Errorf("%s has %d MiB free, the backup and its beginnings need %d MiB beside the data that stays: %w",
			name, free>>20, (need+restoreSpare)>>20, unix.ENOSPC)
	}
	return nil
}

func (s stage) close() {
	for _, r := range slices.Concat(s.in, s.up) {
		r.Close()
	}
}

// unpack takes the snapshot and the logs out of a backup and passes over the rest, which
// tells of the ensemble that it was taken of.
func (s stage) unpack(ctx context.Context, src io.Reader) error {
	plain, closeIt, err := decompress(bufio.NewReaderSize(src, 1<<20))
	if err != nil {
		return err
	}
	defer closeIt()
	snapshots := 0
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := backupFile.FindStringSubmatch(h.Name)
		if name == nil {
			continue
		}
		in := s.in[0]
		if name[2] == "log" {
			in = s.in[len(s.in)-1]
		} else {
			snapshots++
		}
		if err := s.write(ctx, in, name[1], r); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	if snapshots != 1 {
		return fmt.Errorf("%d snapshots in the backup, want one", snapshots)
	}
	return nil
}

// write makes one file. O_EXCL: a name stands in a backup once.
func (s stage) write(ctx context.Context, in *os.Root, name string, r io.Reader) error {
	f, err := in.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, &bounded{ctx, r})
	if err == nil {
		err = setRights(f, s.uid, s.gid, 0o640)
	}
	return errors.Join(err, f.Close())
}

// bounded is a reader that ends with its context.
type bounded struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

// finish writes the epoch, gives the directories to the server and makes everything durable.
// currentEpoch is left to the server, which takes it from the last transaction.
func (s stage) finish(epoch uint64) error {
	f, err := s.in[0].OpenFile("acceptedEpoch", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.FormatUint(epoch, 10))
	if err == nil {
		err = setRights(f, s.uid, s.gid, 0o640)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for i, in := range s.in {
		dir, err := in.Open(".")
		if err != nil {
			return err
		}
		err = setRights(dir, s.uid, s.gid, 0o750)
		if err := errors.Join(err, dir.Close(), syncTree(in), syncRoot(s.up[i])); err != nil {
			return err
		}
	}
	return nil
}

// placeRestore gives the staged directories the name of the data, and the data a name beside
// it. It may be repeated after a crash: what has been moved is not there to be moved again.
func (m *machine) placeRestore(want bootstrap.Restore, note func(string)) error {
	seen, err := m.seeRestore(want.Dir)
	if err != nil {
		return err
	}
	if is, ok := seen.(bootstrap.Restore); !ok || is.SHA512 != want.SHA512 {
		return fmt.Errorf("%w: the backup does not lie beside %s", bootstrap.ErrStale, want.Dir)
	}
	for _, dir := range distinctDirs(want) {
		if err := m.placeIn(dir, want.SHA512[:12], note); err != nil {
			return err
		}
	}
	return m.noteRestore(want)
}

func (m *machine) placeIn(dir, archive string, note func(string)) error {
	up, err := m.openDir(dir)
	if err != nil {
		return err
	}
	defer up.Close()
	if _, err := up.Lstat(restoreNew); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if _, err := up.Lstat(versionDir); err == nil {
		aside, err := asideName(up, archive)
		if err != nil {
			return err
		}
		if err := up.Rename(versionDir, aside); err != nil {
			return err
		}
		note("kept what was there as " + path.Join(dir, aside))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := up.Rename(restoreNew, versionDir); err != nil {
		return err
	}
	return syncRoot(up)
}

// asideLimit bounds how many names for data that is kept are tried.
const asideLimit = 1000

// asideName is a free name for the data that was there.
func asideName(up *os.Root, archive string) (string, error) {
	for n := range asideLimit {
		name := fmt.Sprintf("%s.before-%s", versionDir, archive)
		if n > 0 {
			name += "." + strconv.Itoa(n+1)
		}
		if _, err := up.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%d directories %s.before-%s are there; move those away that nobody needs", asideLimit, versionDir, archive)
}

// endRestore removes the mark, and what an earlier stage may have left. The data stays.
func (m *machine) endRestore(dir string) error {
	seen, err := m.seeRestore(dir)
	if err != nil {
		return err
	}
	if is, ok := seen.(bootstrap.Restore); ok {
		for _, d := range distinctDirs(is) {
			up, err := m.openDir(d)
			if err != nil {
				return err
			}
			if err := errors.Join(up.RemoveAll(restoreNew), up.Close()); err != nil {
				return err
			}
		}
	}
	return m.deleteFile(path.Join(dir, restoreMark))
}
