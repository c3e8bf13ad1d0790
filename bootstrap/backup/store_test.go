package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap/backup"
)

func TestPrune(t *testing.T) {
	name := func(ensemble string, day int) string {
		return backup.FileName(backup.Manifest{Name: ensemble, Taken: time.Date(2026, 12, day, 0, 0, 0, 0, time.UTC), Zxid: 0x100000000 - backup.Hex(day)})
	}
	others := []string{name("main-2", 1), name("other", 1), "main-20261201T000000Z-1.tar.zst.asc", "main.tar.zst", "notes", "main-20261201T000000Z-xyz.tar.zst",
		".main-2.partial1", "amain-20261201T000000Z-1.tar.zst"}
	mine := []string{name("main", 1), name("main", 2), name("main", 3), name("main", 4)}
	for _, c := range []struct {
		keep int
		gone []string
	}{
		{1, []string{".main.partial77", mine[2], mine[1], mine[0]}}, {3, []string{".main.partial77", mine[0]}}, {9, []string{".main.partial77"}},
	} {
		dir := t.TempDir()
		for _, n := range slices.Concat(others, mine, []string{".main.partial77"}) {
			if err := os.WriteFile(filepath.Join(dir, n), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d, err := backup.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		gone, err := d.Prune("main", c.keep)
		if diff := cmp.Diff(c.gone, gone); err != nil || diff != "" {
			t.Errorf("keep %d: %v\n%s", c.keep, err, diff)
		}
		for _, n := range others {
			if _, err := os.Stat(filepath.Join(dir, n)); err != nil {
				t.Errorf("keep %d: %v; that name is not ours", c.keep, err)
			}
		}
		if _, err := d.Prune("main", 0); err == nil {
			t.Error("pruned everything")
		}
		if _, err := backup.OpenDir(dir); !errors.Is(err, backup.ErrBusy) {
			t.Errorf("opened twice: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPending(t *testing.T) {
	dir := t.TempDir()
	p, err := backup.Create(dir, "main")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a first try that is longer", "second"} {
		if err := p.Rewind(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "b")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there before it is whole: %v", err)
	}
	if err := p.Commit(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 || info.Size() != 6 {
		t.Errorf("%v, %v; want 6 bytes for the owner alone", info, err)
	}
	again, err := backup.Create(dir, "main")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Commit(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second backup of that name: %v", err)
	}
	if err := again.Cleanup(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v; want the one archive and nothing else", left, err)
	}
}
