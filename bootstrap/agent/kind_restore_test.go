package agent

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
)

const zkData, zkLog = "/var/lib/zookeeper/main", "/var/lib/zookeeper-log/main"

// dataOf is a sandbox with a member's data, and the archive that replaces it.
func dataOf(t *testing.T, entries ...tar.Header) (*sandbox, bootstrap.Restore) {
	s := newSandbox(t)
	s.put(zkData+"/myid", "1\n")
	s.put(zkData+"/version-2/snapshot.100", "old")
	s.put(zkData+"/version-2/acceptedEpoch", "3")
	s.put(zkLog+"/version-2/log.101", "old")
	if entries == nil {
		entries = []tar.Header{entry(tar.TypeReg, "zoo.cfg", "tickTime=1"), entry(tar.TypeReg, "version-2/snapshot.7", "new tree"),
			entry(tar.TypeReg, "version-2/log.1", "new log"), entry(tar.TypeReg, "backup.json", "{}")}
	}
	b := tarball(t, entries...)
	s.blob = func(context.Context, string, string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	return s, bootstrap.Restore{Dir: zkData, LogDir: zkLog, SHA512: sumOf(b), Stage: bootstrap.RestoreStaged, Epoch: 4,
		Owner: "me", Group: "us", URL: "file:///b.tar.zst", Size: 15}
}

func at(r bootstrap.Restore, stage bootstrap.RestoreStage) bootstrap.Restore {
	r.Stage = stage
	return r
}

// mark is what is seen of r.
func markOf(r bootstrap.Restore) bootstrap.Restore {
	r.URL, r.Size = "", 0
	return r
}

func TestARestoreIsStagedThenPlacedThenOver(t *testing.T) {
	s, r := dataOf(t)
	s.settle(r)
	wantEqual(t, s.see(r.ID()), bootstrap.Resource(markOf(r)))
	wantEqual(t, s.get(zkData+"/version-2/snapshot.100"), "old") // untouched until it is placed

	placed := at(r, bootstrap.RestorePlaced)
	s.settle(placed)
	wantEqual(t, s.get(zkData+"/version-2/snapshot.7"), "new tree")
	wantEqual(t, s.get(zkLog+"/version-2/log.1"), "new log")
	wantEqual(t, s.get(zkData+"/version-2/acceptedEpoch"), "4")
	wantEqual(t, s.files(zkData+"/version-2"), []string{"acceptedEpoch", "snapshot.7"})
	wantEqual(t, s.files(zkLog+"/version-2"), []string{"log.1"})
	aside := "/version-2.before-" + r.SHA512[:12]
	wantEqual(t, s.get(zkData+aside+"/snapshot.100"), "old")
	wantEqual(t, s.get(zkLog+aside+"/log.101"), "old")
	if len(s.notes) == 0 || !slices.Contains(s.notes, "kept what was there as "+zkData+aside) {
		t.Errorf("notes %q, want where the data lies", s.notes)
	}
	if info, err := os.Stat(s.under(zkData + "/version-2")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("%v, %v; want mode 0750", info, err)
	}

	s.must(removes(markOf(placed)))
	if got := s.see(r.ID()); got != nil {
		t.Errorf("still there: %+v", got)
	}
	wantEqual(t, s.files(zkData), []string{"myid", "version-2", strings.TrimPrefix(aside, "/")})

	s.settle(r) // a second restore of the same archive keeps what the first one put there
	s.settle(placed)
	wantEqual(t, s.get(zkData+aside+".2/snapshot.7"), "new tree")
}

func TestARestoreIntoOneDirectory(t *testing.T) {
	s, r := dataOf(t)
	r.LogDir = r.Dir
	s.settle(r)
	s.settle(at(r, bootstrap.RestorePlaced))
	wantEqual(t, s.files(zkData+"/version-2"), []string{"acceptedEpoch", "log.1", "snapshot.7"})
	wantEqual(t, s.get(zkLog+"/version-2/log.101"), "old")
}

// A crash between the two renames, of either directory, is brought to its end.
func TestPlacingGoesOnAfterACrash(t *testing.T) {
	s, r := dataOf(t)
	s.settle(r)
	rename := func(from, to string) {
		if err := os.Rename(s.under(from), s.under(to)); err != nil {
			t.Fatal(err)
		}
	}
	rename(zkData+"/version-2", zkData+"/version-2.before-x")
	rename(zkData+"/"+restoreNew, zkData+"/version-2") // the first directory is done
	rename(zkLog+"/version-2", zkLog+"/version-2.before-x")
	s.settle(at(r, bootstrap.RestorePlaced))
	wantEqual(t, s.get(zkData+"/version-2/snapshot.7"), "new tree")
	wantEqual(t, s.get(zkLog+"/version-2/log.1"), "new log")
	wantEqual(t, s.get(zkLog+"/version-2.before-x/log.101"), "old")
}

func TestArchivesThatAreNotStaged(t *testing.T) {
	link := entry(tar.TypeSymlink, "version-2/log.2", "/etc/shadow")
	for name, c := range map[string]struct {
		entries []tar.Header
		change  func(*sandbox, *bootstrap.Restore)
		says    string
	}{
		"another archive": {change: func(_ *sandbox, r *bootstrap.Restore) { r.SHA512 = strings.Repeat("0", 128) }, says: "nothing was put in the place of the data"},
		"no room":         {change: func(_ *sandbox, r *bootstrap.Restore) { r.Size = 1 << 60 }, says: "MiB free, the backup and its beginnings need"},
		"no snapshot":     {entries: []tar.Header{entry(tar.TypeReg, "version-2/log.1", "x")}, says: "0 snapshots in the backup, want one"},
		"a name twice":    {entries: []tar.Header{entry(tar.TypeReg, "version-2/log.1", "x"), entry(tar.TypeReg, "version-2/log.1", "y")}, says: "version-2/log.1"},
		"it breaks off": {change: func(s *sandbox, _ *bootstrap.Restore) {
			s.blob = func(context.Context, string, string) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("\x00", 10)), iotest.ErrReader(errors.New("the line broke")))), nil
			}
		}, says: "the line broke"},
		"nobody to ask":   {change: func(s *sandbox, _ *bootstrap.Restore) { s.blob = nil }, says: "cannot be asked"},
		"a strange sum":   {change: func(_ *sandbox, r *bootstrap.Restore) { r.SHA512 = "abc" }, says: "not 128 digits"},
		"a strange dir":   {change: func(_ *sandbox, r *bootstrap.Restore) { r.LogDir = "/var/../etc" }, says: "clean absolute path"},
		"a strange stage": {change: func(_ *sandbox, r *bootstrap.Restore) { r.Stage = "half" }, says: `stage "half"`},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := dataOf(t, c.entries...)
			if c.change != nil {
				c.change(s, &r)
			}
			wantError(t, s.do(creates(r)), c.says)
			if got := s.see(r.ID()); got != nil {
				t.Errorf("counts as staged: %+v", got)
			}
			if err := s.do(creates(at(r, bootstrap.RestorePlaced))); err == nil && r.Stage == bootstrap.RestoreStaged {
				t.Error("placed what was not staged")
			}
			wantEqual(t, s.get(zkData+"/version-2/snapshot.100"), "old")
			wantEqual(t, s.get(zkLog+"/version-2/log.101"), "old")
		})
	}
	t.Run("a link is passed over", func(t *testing.T) {
		s, r := dataOf(t, entry(tar.TypeReg, "version-2/snapshot.7", "x"), link)
		if err := s.do(creates(r)); err == nil {
			if info, err := os.Lstat(s.under(zkLog + "/" + restoreNew + "/log.2")); err == nil && !info.Mode().IsRegular() {
				t.Error("a link was made")
			}
		}
	})
	t.Run("placing another archive than the staged one", func(t *testing.T) {
		s, r := dataOf(t)
		s.must(creates(r))
		r.SHA512 = strings.Repeat("1", 128)
		if err := s.do(creates(at(r, bootstrap.RestorePlaced))); !errors.Is(err, bootstrap.ErrStale) {
			t.Errorf("got %v, want ErrStale", err)
		}
	})
	t.Run("a mark of a later zkboot", func(t *testing.T) {
		s, r := dataOf(t)
		s.put(zkData+"/"+restoreMark, `{"format":2}`)
		if why := s.unread(r.ID()); !strings.Contains(why, "use the zkboot that wrote it") {
			t.Errorf("unread: %q", why)
		}
	})
}

func TestDataIsReadWhereAManifestOwnsIt(t *testing.T) {
	h := newTestHost(t, t.TempDir(), newFakeThings())
	put := func(p, content string) {
		if err := os.MkdirAll(h.root+p[:strings.LastIndex(p, "/")], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.root+p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("/data/b", "content")
	put("/data/a", "")
	put("/data/sub/c", "below")
	put("/conf/secret", "secret")
	if err := os.Symlink("/conf/secret", h.root+"/data/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(h.root+"/data/a", 1<<20); err != nil { // all of it a hole
		t.Fatal(err)
	}
	padded, err := os.OpenFile(h.root+"/data/c", os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = padded.WriteString("log")
	_, end := padded.WriteAt([]byte{0}, 64<<20-1) // as ZooKeeper makes room in a log
	if err := errors.Join(err, end, padded.Close()); err != nil {
		t.Fatal(err)
	}
	put("/data/d", "x"+strings.Repeat("\x00", 200_000))
	if err := h.store.save(bootstrap.Manifest{Owner: owner, Entries: []bootstrap.Entry{{ID: "dir:/conf"}, {ID: "dir:/data", Data: true}}}); err != nil {
		t.Fatal(err)
	}
	got, err := h.ListData(t.Context(), "/data")
	want := []bootstrap.DataFile{{Name: "a", Size: 1 << 20}, {Name: "b", Size: 7, Used: 7}, {Name: "c", Size: 64 << 20, Used: 3}, {Name: "d", Size: 200_001, Used: 1}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for size, want := range map[int64]string{0: "", 3: "con", 7: "content"} {
		r, err := h.ReadData(t.Context(), "/data/b", size)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || string(b) != want {
			t.Errorf("%d bytes: %q, %v; want %q", size, b, err, want)
		}
		r.Close()
	}
	for _, dir := range []string{"/conf", "/data/sub", "/", "/data/", "/data/../conf"} {
		if _, err := h.ListData(t.Context(), dir); !errors.Is(err, bootstrap.ErrRefused) {
			t.Errorf("list %s: %v, want a refusal", dir, err)
		}
	}
	for _, p := range []string{"/conf/secret", "/data/sub/c", "/data/../conf/secret", "/data/sub/../../conf/secret"} {
		if _, err := h.ReadData(t.Context(), p, 1); !errors.Is(err, bootstrap.ErrRefused) {
			t.Errorf("read %s: %v, want a refusal", p, err)
		}
	}
	for p, size := range map[string]int64{"/data/link": 1, "/data/b": 8, "/data/none": 1, "/data/sub": 1} {
		if _, err := h.ReadData(t.Context(), p, size); err == nil {
			t.Errorf("%d bytes of %s were opened", size, p)
		}
	}
	r, err := h.ReadData(t.Context(), "/data/b", 7)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(h.root+"/data/b", 2); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err == nil || !strings.Contains(err.Error(), "became shorter") {
		t.Errorf("%q, %v; want it said that the file became shorter", b, err)
	}
}
