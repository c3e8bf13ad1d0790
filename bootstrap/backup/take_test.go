package backup_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/backup"
)

func TestABackupIsWhatItsManifestSays(t *testing.T) {
	m, b, notes, err := newSite(t).take(t, backup.Options{})
	if err != nil {
		t.Fatal(err, notes)
	}
	v, err := backup.Verify(t.Context(), bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, v.Manifest); diff != "" {
		t.Errorf("what was read differs from what was written:\n%s", diff)
	}
	var names []string
	for _, f := range m.Files {
		names = append(names, f.Name)
	}
	want := []string{"spec.json", "zoo.cfg", "zoo.cfg.dynamic", "myid", "version-2/snapshot.a", "version-2/log.1", "version-2/log.100000001"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	m.Files = nil
	if diff := cmp.Diff(backup.Manifest{Format: 1, Name: "main", Taken: taken, Member: "zk1", Mode: "follower", Version: "3.9.6",
		Zxid: 0x100000002, Digest: 0x100000002, DigestVersion: 2, Znodes: 7, Ephemerals: 1, SnapshotZnodes: 7}, m); diff != "" {
		t.Error(diff)
	}
	if got := entries(t, b.Bytes()); !bytes.Equal(got["version-2/snapshot.a"], real(t, "3.9.snapshot")) ||
		!bytes.Equal(got["version-2/log.1"], padded(real(t, "3.9.log"))) {
		t.Error("the files are not as they are on the member")
	}
}

// entries reads an archive as tar --zstd would.
func entries(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if out[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// Which member it is taken of, and of which it is not.
func TestWhichMember(t *testing.T) {
	for name, c := range map[string]struct {
		change func(site)
		o      backup.Options
		want   string // host
		err    []string
	}{
		"a follower before the leader": {want: "zk1"},
		"the follower that is further": {change: func(s site) { s["zk3"].zxid++ }, want: "zk3"},
		"one that is named":            {o: backup.Options{Member: "zk2"}, want: "zk2"},
		"none that does not serve":     {change: func(s site) { s["zk1"].mode = "" }, want: "zk3"},
		"none with other data":         {change: func(s site) { s["zk1"].mntr["zk_digest_mismatches_count"] = "1" }, want: "zk3"},
		"none that lost a write":       {change: func(s site) { s["zk1"].mntr["zk_unrecoverable_error_count"] = "2" }, want: "zk3"},
		"a named one with other data": {change: func(s site) { s["zk1"].mntr["zk_digest_mismatches_count"] = "1" },
			o: backup.Options{Member: "zk1"}, err: []string{"zk1", "its data is in doubt: it counts zk_digest_mismatches_count=1", "take the backup of another member"}},
		"without a quorum": {change: func(s site) { s["zk1"].mode, s["zk2"].mode = "", "" },
			err: []string{"found none", "zk1: down: connection refused", "--offline --member HOST"}},
		"offline, without a quorum": {change: func(s site) { s["zk1"].mode, s["zk2"].mode, s["zk3"].mode = "", "", "" },
			o: backup.Options{Offline: true, Member: "zk3"}, want: "zk3"},
		"offline, and nobody named": {o: backup.Options{Offline: true}, err: []string{"--offline needs --member"}},
		"offline, and nothing there": {change: func(s site) { s["zk3"].mode, s["zk3"].data = "", bootstrap.DataEmpty },
			o: backup.Options{Offline: true, Member: "zk3"}, err: []string{"zk3", "nothing to back up", "empty"}},
		"no member": {o: backup.Options{Member: "zk9"}, err: []string{"zk9 is no member", "zk1, zk2, zk3"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if c.change != nil {
				c.change(s)
			}
			m, _, _, err := s.take(t, c.o)
			if len(c.err) == 0 {
				if err != nil || m.Member != c.want || m.Offline != c.o.Offline {
					t.Errorf("%s, offline %t, %v; want %s", m.Member, m.Offline, err, c.want)
				}
				return
			}
			for _, part := range c.err {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%v does not say %q", err, part)
				}
			}
		})
	}
}

// What lies on the best member is not always right. Then another has its turn, or it is said
// which file of whom is wrong.
func TestWhatLiesOnTheMember(t *testing.T) {
	torn := func(b []byte) []byte { return b[:len(b)-3] }
	for name, c := range map[string]struct {
		change func(map[string][]byte)
		zxid   backup.Hex // of the backup
		note   string
		member string // "": zk1
		err    string // where nobody has better files
	}{
		"a log that is being written": {change: func(f map[string][]byte) { f[logs+"log.100000001"] = torn(logOf(0x100000001, 0x100000002)) }, zxid: 0x100000001},
		"a torn log, and its rest is zeros": {change: func(f map[string][]byte) {
			f[logs+"log.100000001"] = append(torn(logOf(0x100000001, 0x100000002)), make([]byte, 100)...)
		}, zxid: 0x100000001},
		"a torn log, and the next goes on behind it": {change: func(f map[string][]byte) {
			f[logs+"log.100000001"] = torn(logOf(0x100000001, 0x100000002))
			f[logs+"log.100000002"] = logOf(0x100000002, 0x100000003)
		}, zxid: 0x100000003},
		"a torn log in the middle": {change: func(f map[string][]byte) {
			f[logs+"log.100000001"] = torn(logOf(0x100000001, 0x100000002))
			f[logs+"log.100000003"] = logOf(0x100000003)
		}, zxid: 0x100000002, member: "zk3", note: "zk1: log.100000003: the transactions between 0x100000001 (log.100000001) and 0x100000003 are missing"},
		"no log at all":                {change: func(f map[string][]byte) { delete(f, logs+"log.1"); delete(f, logs+"log.100000001"); f[logs+"x"] = nil }, zxid: 0xa},
		"a log that only has a header": {change: func(f map[string][]byte) { f[logs+"log.100000003"] = logOf() }, zxid: 0x100000002},
		"the log before the snapshot is gone": {change: func(f map[string][]byte) {
			delete(f, logs+"log.1")
			f[logs+"log.c"] = logOf(0xc)
		}, zxid: 0x100000002, member: "zk3", note: "zk1: log.c: the transactions between 0xa (snapshot.a) and 0xc are missing"},
		"a snapshot in the making": {change: func(f map[string][]byte) { f[snapshots+"snapshot.100000002"] = real(t, "3.9.snapshot")[:100] }, zxid: 0x100000002,
			note: "zk1: invalid snapshot snapshot.100000002: not as ZooKeeper writes it: it ends inside of"},
		"no valid snapshot": {change: func(f map[string][]byte) { f[snapshots+"snapshot.a"][60] ^= 1 }, zxid: 0x100000002, member: "zk3",
			note: "no valid snapshot among 1"},
		"a log of zeros": {change: func(f map[string][]byte) { f[logs+"log.1"] = make([]byte, 500) }, zxid: 0x100000002, member: "zk3",
			note: "zk1: log.1: not as ZooKeeper writes it: it begins with"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c.change(s["zk1"].machine.Data)
			m, b, notes, err := s.take(t, backup.Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := c.member
			if want == "" {
				want = "zk1"
			}
			if m.Member != want || m.Zxid != c.zxid || !strings.Contains(notes, c.note) {
				t.Errorf("of %s up to %s, said %q; want of %s up to %s, and %q", m.Member, m.Zxid, notes, want, c.zxid, c.note)
			}
			if _, err := backup.Verify(t.Context(), b); err != nil {
				t.Error(err)
			}
		})
	}
}

// The first member breaks in the middle; another one is asked, and nothing of the first try
// is left in the archive.
func TestAMemberThatBreaksMeanwhile(t *testing.T) {
	broken := errors.New("connection reset")
	for name, c := range map[string]struct {
		reading func(m *member, path string, r io.ReadCloser) io.ReadCloser
		note    string
	}{
		"its host goes away": {func(_ *member, _ string, r io.ReadCloser) io.ReadCloser {
			return io.NopCloser(io.MultiReader(io.LimitReader(r, 100), iotest.ErrReader(broken)))
		}, "connection reset"},
		"it is restarted": {func(m *member, _ string, r io.ReadCloser) io.ReadCloser { m.uptime = -10_000; return r },
			"the member changed meanwhile: the server was restarted, or another leader was elected"},
		"another leader is elected": {func(m *member, _ string, r io.ReadCloser) io.ReadCloser { m.zxid = 0x200000000; return r }, "another leader"},
		"it stops":                  {func(m *member, _ string, r io.ReadCloser) io.ReadCloser { m.mode = ""; return r }, "the server was restarted"},
		"its old files are purged": {func(m *member, path string, r io.ReadCloser) io.ReadCloser {
			delete(m.machine.Data, logs+"log.1")
			delete(m.machine.Data, logs+"log.100000001")
			m.machine.Data[logs+"log.100000002"] = logOf(0x100000002)
			return r
		}, "the transactions between 0xa (snapshot.a) and 0x100000002 are missing"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s["zk1"].machine.Reading = func(p string, r io.ReadCloser) io.ReadCloser { return c.reading(s["zk1"], p, r) }
			m, b, notes, err := s.take(t, backup.Options{})
			if err != nil || m.Member != "zk3" || b.rewinds != 2 || !strings.Contains(notes, c.note) {
				t.Fatalf("of %s, %d tries, %v, said %q; want zk3 at the second, and %q", m.Member, b.rewinds, err, notes, c.note)
			}
			if v, err := backup.Verify(t.Context(), b); err != nil || v.Member != "zk3" {
				t.Errorf("%s, %v", v.Member, err)
			}
		})
	}
	t.Run("no other one", func(t *testing.T) {
		s := newSite(t)
		s["zk1"].machine.Reading = func(_ string, r io.ReadCloser) io.ReadCloser {
			return io.NopCloser(iotest.ErrReader(broken))
		}
		_, _, _, err := s.take(t, backup.Options{Member: "zk1"})
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "no backup after 4 tries") || !strings.Contains(err.Error(), "zk1: snapshot.a") {
			t.Errorf("got %v", err)
		}
	})
}

// A full disk here is nobody's fault there: no other member is asked.
func TestAFullDisk(t *testing.T) {
	s := newSite(t)
	now, hosts := s.look(t)
	_, err := backup.Take(t.Context(), spec(t), now, hosts, full{}, backup.Options{})
	if !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "tries") {
		t.Errorf("got %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, fs.ErrPermission }
func (full) Rewind() error             { return nil }

func TestNothingSecretIsWritten(t *testing.T) {
	_, b, _, err := newSite(t).take(t, backup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range entries(t, b.Bytes()) {
		if bytes.Contains(bytes.ToLower(content), []byte("digest=")) || bytes.Contains(content, []byte("superDigest")) {
			t.Errorf("%s holds a digest", name)
		}
	}
}
