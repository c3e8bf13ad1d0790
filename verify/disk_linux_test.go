package verify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// empty holds that the probe left nothing in dir.
func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("the probe left %s behind", e.Name())
	}
}

func TestRunOnARealDisk(t *testing.T) {
	dir := t.TempDir()
	var said []string
	r, err := Run(t.Context(), Query{
		Clock: true,
		Fsync: &FsyncQuery{
			Dir: filepath.Join(dir, "not", "yet"), Duration: 200 * time.Millisecond, MaxDuration: 2 * time.Second, MinSamples: 20,
			Paced: 100 * time.Millisecond, Sizes: 20 * time.Millisecond,
		},
		Jitter: &JitterQuery{Count: 20},
		Steal:  &StealQuery{Duration: time.Millisecond},
	}, func(line string) { said = append(said, line) })
	if err != nil || len(r.Unknown) > 0 {
		t.Fatalf("error %v, unknown %v", err, r.Unknown)
	}
	f := r.Fsync
	if f.Samples < 20 || f.P50 <= 0 || f.P99 < f.P50 || f.Max < f.P99 || f.OpsPerSecond <= 0 || f.SyncError != "" {
		t.Errorf("fsync: %+v", f)
	}
	if f.Dir.Existing != dir || f.Dir.FSType == "" {
		t.Errorf("probed %+v, want the nearest ancestor %s", f.Dir, dir)
	}
	if f.Paced.Samples != 5 || len(f.Sizes) != len(probeSizes) || f.Sizes[0].Samples == 0 {
		t.Errorf("paced %+v, sizes %+v", f.Paced, f.Sizes)
	}
	if r.Steal == nil || r.Jitter.Samples != 20 || r.Clock.IsZero() || len(said) == 0 {
		t.Errorf("jitter %+v, clock %v, progress %q", r.Jitter, r.Clock, said)
	}
	empty(t, dir)
}

func TestCancelledProbeLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	r, err := Run(ctx, Query{Fsync: LongFsync(dir, dir, time.Hour), Steal: &StealQuery{Duration: time.Hour}}, nil)
	if !errors.Is(err, context.DeadlineExceeded) || r.Unknown["fsync"] == "" {
		t.Errorf("error %v, unknown %v; want both to tell of the end", err, r.Unknown)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v to stop", took)
	}
	empty(t, dir)
}

// TestProbeFileHasTheShapeOfALog looks at what ZooKeeper's FilePadding does: 64
// MiB apparent, next to nothing allocated, one more stretch just before the end.
func TestProbeFileHasTheShapeOfALog(t *testing.T) {
	dir := t.TempDir()
	p, err := openProbeFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	empty(t, dir)
	stat := func() (size, allocated int64) {
		var s unix.Stat_t
		if err := unix.Fstat(int(p.f.Fd()), &s); err != nil {
			t.Fatal(err)
		}
		return s.Size, s.Blocks * 512
	}
	record := make([]byte, recordBytes)
	if err := p.write(record); err != nil {
		t.Fatal(err)
	}
	if size, allocated := stat(); size != padBytes || allocated > 1<<20 {
		t.Errorf("after a record: %d bytes, %d of them allocated; want %d, sparse", size, allocated, padBytes)
	}
	p.at = padBytes - 4096 - 100
	if err := p.write(record); err != nil {
		t.Fatal(err)
	}
	if size, _ := stat(); size != 2*padBytes {
		t.Errorf("near the end of the pad: %d bytes, want %d", size, 2*padBytes)
	}
	p.at = fileBytes - 100
	if err := p.write(record); err != nil {
		t.Fatal(err)
	}
	if size, _ := stat(); size != padBytes || p.at != headerBytes+recordBytes {
		t.Errorf("at the end of the file: %d bytes, next record at %d; want a fresh file", size, p.at)
	}
}

func TestWriteSnapshots(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := writeSnapshots(ctx, dir, 2<<20); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that of the context", err)
	}
	empty(t, dir)
}

func TestRoomFor(t *testing.T) {
	dir := func(path, mount string, free uint64) Dir {
		return Dir{Path: path, MountPoint: mount, FreeBytes: free}
	}
	for _, tt := range []struct {
		name         string
		interference time.Duration
		log, data    Dir
		want         string
	}{
		{"enough", 0, dir("/l", "/", 256<<20), dir("/d", "/", 0), ""},
		{"too little", 0, dir("/l", "/", 256<<20-1), dir("/d", "/", 0), "/l: the probe needs 256 MiB free, / has 256 MiB"},
		{"both on one disk", 1, dir("/l", "/", 511<<20), dir("/d", "/", 511<<20), "/l: the probe needs 512 MiB free, / has 511 MiB"},
		{"data disk full", 1, dir("/l", "/l", gib), dir("/d", "/d", 1<<20), "/d: the probe needs 384 MiB free, /d has 1 MiB"},
		{"unread", 0, Dir{Path: "/l", UnknownCause: "statfs: input/output error"}, dir("/d", "/", gib), "/l: statfs: input/output error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := roomFor(FsyncQuery{Interference: tt.interference}, tt.log, tt.data)
			if got := errorText(err); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestProbeThatCannotRunIsUnknown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Query{Fsync: GateFsync(file)}, nil)
	if err != nil {
		t.Fatalf("a probe that cannot run is no error of Run: %v", err)
	}
	if !strings.Contains(r.Unknown["fsync"], file+" is not a directory") {
		t.Errorf("unknown is %v", r.Unknown)
	}
}
