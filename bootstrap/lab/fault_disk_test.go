package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestParseRoom(t *testing.T) {
	for _, tt := range []struct {
		df   string
		want room
		bad  bool
	}{
		{"  1B-blocks     Avail\n126730240 126701568\n", room{126730240, 126701568}, false},
		{"1B-blocks Avail\n4096 0\n", room{4096, 0}, false},
		{"1B-blocks Avail\n", room{}, true},
		{"1B-blocks Avail\n- -\n", room{}, true},
	} {
		if got, err := parseRoom([]byte(tt.df)); got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%q: %+v, %v; want %+v", tt.df, got, err, tt.want)
		}
	}
}

// A log of ZooKeeper is 64 MiB long and takes what was written of it.
func TestUsedBytesCountsNoHoles(t *testing.T) {
	dir := t.TempDir()
	if err := makeSparse(filepath.Join(dir, "log.1"), 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "snapshot"), make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if used, err := usedBytes(dir); err != nil || used > 1<<20 {
		t.Errorf("%d bytes, %v; want about 100 kB", used, err)
	}
}

func TestTopOfAnImageIsLikeItsDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("rmdir lost+found\nset_inode_field / uid %d\nset_inode_field / gid %d\nset_inode_field / mode 040750\n", os.Getuid(), os.Getgid())
	if got, err := topAttributes(dir); err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

// What a virtual machine cannot do is said before it is asked whether it runs.
func TestFaultsOfVirtualMachines(t *testing.T) {
	s := testStore(t)
	h := &Host{Name: "zk1", lab: "main", driver: DriverQEMU, store: s, guest: &domain{s, &record{Name: "main", Driver: DriverQEMU}, "zk1"}}
	for _, i := range []Injection{
		{Fault: FaultSlowDisk, Unit: "a.service", Delay: maxDelay},
		{Fault: FaultEIO, Unit: "a.service"},
	} {
		var unsupported *UnsupportedError
		if err := h.Inject(t.Context(), i); !errors.As(err, &unsupported) || unsupported.Host != "zk1" || unsupported.Instead == "" {
			t.Errorf("%s: %v; want an UnsupportedError that says what to do instead", i.Fault, err)
		}
	}
	for _, f := range []Fault{FaultPartition, FaultReboot, FaultPowerCut} {
		if err := h.Inject(t.Context(), Injection{Fault: f}); !errors.Is(err, ErrOff) {
			t.Errorf("%s of a machine that is off: %v, want %v", f, err, ErrOff)
		}
	}
}

// A known_hosts that somebody has written into is not the lab's to replace.
func TestRecreateRespectsKnownHosts(t *testing.T) {
	rec := &record{Name: "main", Dir: t.TempDir()}
	if err := rec.ownsKnownHosts(); err != nil {
		t.Errorf("none there: %v", err)
	}
	file := filepath.Join(rec.Dir, knownFile)
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ours\n")
	rec.note(knownFile, []byte("ours\n"))
	if err := rec.ownsKnownHosts(); err != nil {
		t.Errorf("ours: %v", err)
	}
	write("ours\nand more\n")
	if err := rec.ownsKnownHosts(); err == nil {
		t.Error("one that was changed would be replaced")
	}
}
