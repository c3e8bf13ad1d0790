//go:build lab

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// faultSubject is a unit whose main process writes a block and syncs it, ten times a second. It is
// seen to be at work in one file, and what fails in another.
const faultSubject = "subject.service"

// subjectScript is perl, which every Debian has, and its own fdatasync, which is counted by process.
const subjectScript = `
my $fdatasync = shift;
open(my $data, ">>", "/var/lib/zookeeper-log/probe") or die;
open(my $beats, ">>", "/run/beats") or die;
open(my $errors, ">>", "/run/errors") or die;
for (;;) {
	my $ok = syswrite($data, "x" x 4096) && syscall($fdatasync, fileno($data)) == 0;
	syswrite($ok ? $beats : $errors, $ok ? "\n" : "$!\n");
	select(undef, undef, undef, 0.1);
}`

// startSubject runs the unit; systemd starts it again, as a member's.
func startSubject(t *testing.T, h *Host) {
	t.Helper()
	mustExec(t, h, "systemd-run", "--quiet", "--unit="+faultSubject, "--property=Restart=always", "--property=RestartSec=100ms",
		"/usr/bin/perl", "-e", subjectScript, strconv.Itoa(unix.SYS_FDATASYNC))
	if !beats(t, h) {
		t.Fatal("the subject does not work before any fault")
	}
}

// beats reports whether the subject does anything within two seconds, ten times what it takes.
func beats(t *testing.T, h *Host) bool {
	t.Helper()
	size := func() string {
		out, err := h.Exec(t.Context(), "stat", "-c", "%s", "/run/beats")
		if err != nil {
			return "" // not there yet
		}
		return out
	}
	before := size()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	return machine.Wait(ctx, "a beat", func() (bool, error) { return size() != before, nil }) == nil
}

// failures waits until the subject has met at least so many errors since, and returns all of them.
func failures(t *testing.T, h *Host, atLeast int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var all []string
	if err := machine.Wait(ctx, "errors of the subject", func() (bool, error) {
		out, err := h.Exec(ctx, "cat", "/run/errors")
		all = strings.Split(strings.TrimSpace(out), "\n")
		return len(all) >= atLeast && all[0] != "", err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func mustInject(t *testing.T, h *Host, i Injection) {
	t.Helper()
	if err := h.Inject(t.Context(), i); err != nil {
		t.Fatal(err)
	}
}

// mustMend mends as another program would, which has nothing but the names of lab and host.
func mustMend(t *testing.T, h *Host) {
	t.Helper()
	l, err := Open(h.lab)
	if err != nil {
		t.Fatal(err)
	}
	found, err := l.Host(h.Name)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if err := found.Mend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// faultsOfUnits are those of one process, beside which the host stays whole.
func faultsOfUnits(t *testing.T, h *Host) {
	startSubject(t, h)
	t.Run("kill", func(t *testing.T) {
		before, err := h.mainProcess(t.Context(), faultSubject)
		if err != nil {
			t.Fatal(err)
		}
		mustInject(t, h, Injection{Fault: FaultKill, Unit: faultSubject})
		if s, err := h.unit(t.Context(), faultSubject); err != nil || s.pid == before {
			t.Errorf("main process %d, then %+v, %v", before, s, err)
		}
		if !beats(t, h) {
			t.Error("systemd did not start it again")
		}
		if got := mustExec(t, h, "systemctl", "show", "--property=NRestarts", "--value", faultSubject); got != "1" {
			t.Errorf("restarts: %s", got)
		}
	})
	t.Run("pause", func(t *testing.T) {
		for range 2 {
			mustInject(t, h, Injection{Fault: FaultPause, Unit: faultSubject})
		}
		if beats(t, h) {
			t.Error("what is paused works")
		}
		if !h.greets(t.Context()) {
			t.Error("the host is paused, not the unit alone")
		}
		mustMend(t, h)
		if !beats(t, h) {
			t.Error("what is mended does not work")
		}
	})
	t.Run("what is not there", func(t *testing.T) {
		err := h.Inject(t.Context(), Injection{Fault: FaultKill, Unit: "nobody.service"})
		if err == nil || !strings.Contains(err.Error(), "host zk1: kill: unit nobody.service is not there") {
			t.Errorf("%v", err)
		}
		err = h.Inject(t.Context(), Injection{Fault: FaultPause, Unit: "nginx.service"})
		if err == nil || !strings.Contains(err.Error(), "has no main process, it is inactive: start it first") {
			t.Errorf("%v", err)
		}
	})
}

// faultsOfDisks are those of a disk under one process.
func faultsOfDisks(t *testing.T, h *Host) {
	slow := Injection{Fault: FaultSlowDisk, Unit: faultSubject, Delay: 5 * time.Second}
	t.Run("slow disk", func(t *testing.T) {
		for range 2 {
			mustInject(t, h, slow)
		}
		if beats(t, h) {
			t.Error("a sync returns within 2 s though it takes 5")
		}
		mustInject(t, h, Injection{Fault: FaultKill, Unit: faultSubject})
		if err := machine.Wait(t.Context(), "the next process", func() (bool, error) { return h.traced(t.Context(), faultSubject) }); err != nil {
			t.Fatal(err)
		}
		if beats(t, h) {
			t.Error("the next process of the unit has a fast disk")
		}
		mustInject(t, h, Injection{Fault: FaultPause, Unit: faultSubject}) // both at once
		mustMend(t, h)
		if !beats(t, h) {
			t.Error("not mended")
		}
		if left, err := h.hasTraced(); err != nil || left {
			t.Errorf("a tracer is left: %v, %v", left, err)
		}
	})
	t.Run("some syncs fail", func(t *testing.T) {
		mustInject(t, h, Injection{Fault: FaultEIO, Unit: faultSubject, Count: 2})
		want := []string{"Input/output error", "Input/output error"}
		if got := failures(t, h, 2); !slices.Equal(got, want) {
			t.Errorf("errors %q, want %q", got, want)
		}
		if !beats(t, h) || len(failures(t, h, 2)) != 2 {
			t.Error("the syncs after them fail too")
		}
	})
	t.Run("all syncs fail", func(t *testing.T) {
		mustInject(t, h, slow) // replaced by the next
		mustInject(t, h, Injection{Fault: FaultEIO, Unit: faultSubject})
		failures(t, h, 5)
		if beats(t, h) {
			t.Error("a sync succeeds")
		}
		mustMend(t, h)
		if !beats(t, h) {
			t.Error("not mended")
		}
	})
	t.Run("with a filter of system calls", func(t *testing.T) {
		mustExec(t, h, "systemctl", "stop", faultSubject)
		mustExec(t, h, "systemd-run", "--quiet", "--unit="+faultSubject, "--property=SystemCallFilter=@system-service", "--property=Restart=no",
			"/usr/bin/perl", "-e", subjectScript, strconv.Itoa(unix.SYS_FDATASYNC))
		before := len(failures(t, h, 1))
		mustInject(t, h, Injection{Fault: FaultEIO, Unit: faultSubject, Count: 1})
		failures(t, h, before+1)
		if !beats(t, h) {
			t.Error("the filter ended the process")
		}
		mustExec(t, h, "systemctl", "stop", faultSubject)
	})
}

// fillsDisk fills the disk of the log, which the host does not have in the beginning.
func fillsDisk(t *testing.T, h *Host) {
	const dir = "/var/lib/zookeeper-log"
	mustExec(t, h, "sh", "-c", "echo kept >"+dir+"/kept; chown -R debian:debian "+dir+"; chmod 0750 "+dir)
	look := func() string { return mustExec(t, h, "stat", "-c", "%n %U %G %a", dir, dir+"/kept") }
	before := look()
	if err := h.OwnDisk(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	leader, err := h.Leader()
	if err != nil {
		t.Fatal(err)
	}
	if got := look(); got != before || mustExec(t, h, "cat", dir+"/kept") != "kept" {
		t.Errorf("on a disk of its own: %s, before: %s", got, before)
	}
	startSubject(t, h)
	for range 2 {
		mustInject(t, h, Injection{Fault: FaultFillDisk})
	}
	if now, err := h.Leader(); err != nil || now != leader {
		t.Errorf("restarted for a disk that it has: leader %d, then %d, %v", leader, now, err)
	}
	if got := failures(t, h, 3); got[0] != "No space left on device" {
		t.Errorf("errors %q", got)
	}
	if beats(t, h) {
		t.Error("there still is room")
	}
	c, err := h.container("a disk", "")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(c.disk(dir).image()); err != nil || info.Sys().(*syscall.Stat_t).Blocks*512 > diskRoom/2 {
		t.Errorf("the full disk takes %d bytes of this machine's, %v", info.Sys().(*syscall.Stat_t).Blocks*512, err)
	}
	mustMend(t, h)
	if !beats(t, h) {
		t.Error("not mended")
	}
	if err := h.PowerCut(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustMend(t, h) // starts it
	if got := look(); got != before {
		t.Errorf("after a power cut: %s, before: %s", got, before)
	}
}

// recreates makes a host anew that has a file, a fault and a disk of its own.
func recreates(t *testing.T, l *Lab, h *Host) {
	known, spec := filepath.Join(l.Dir, knownFile), filepath.Join(l.Dir, specFile)
	mustExec(t, h, "sh", "-c", "echo old >/root/old; echo old >/var/lib/zookeeper-log/old")
	old := *h

	ours := mustRead(t, known)
	mustWrite(t, known, ours+"other.example.net ssh-ed25519 AAAA\n")
	if err := h.Recreate(t.Context()); err == nil || !strings.Contains(err.Error(), "is not as this lab wrote it") {
		t.Errorf("with a known_hosts of somebody else: %v", err)
	}
	if got := mustExec(t, h, "cat", "/root/old"); got != "old" {
		t.Errorf("refused, and the host has lost its file: %q", got)
	}
	mustWrite(t, known, ours)
	written := mustRead(t, spec)
	edited := written + "# mine\n"
	mustWrite(t, spec, edited)

	mustInject(t, h, Injection{Fault: FaultPartition})
	if err := h.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Recreate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.HostKey == old.HostKey || h.Address != old.Address || h.Name != old.Name {
		t.Errorf("%s %s %s, before: %s %s %s", h.Name, h.Address, h.HostKey, old.Name, old.Address, old.HostKey)
	}
	if got := mustExec(t, h, "sh", "-c", "ls -A /var/lib/zookeeper-log /var/lib/zookeeper | grep -v :; ls /root"); got != "" {
		t.Errorf("the new host has %q", got)
	}
	client, err := dial(t, l, h, login) // with the known_hosts that is there now
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	if got := mustRead(t, known); strings.Contains(got, old.HostKey) || !strings.Contains(got, h.HostKey) {
		t.Errorf("known_hosts: %s", got)
	}
	if mustRead(t, spec) != edited {
		t.Error("a spec that was changed by hand was not kept")
	}
	mustWrite(t, spec, written) // Down would keep it too
}

func mustRead(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func mustWrite(t *testing.T, file, data string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// partitions cuts a host off in each way, from one of two others and from all.
func partitions(t *testing.T, a, b, c *Host) {
	for _, tt := range []struct {
		fault     Fault
		peers     []netip.Addr
		from, to  bool // whether packets from the host reach b, and those of b the host
		third     bool // whether c and the host reach each other
		reachable bool // from this machine
	}{
		{FaultPartition, []netip.Addr{b.Address}, false, false, true, true},
		{FaultPartitionIn, []netip.Addr{b.Address}, true, false, true, true},
		{FaultPartitionOut, []netip.Addr{b.Address}, false, true, true, true},
		{FaultPartitionIn, nil, true, false, false, false},
		{FaultPartition, nil, false, false, false, false},
	} {
		t.Run(fmt.Sprintf("%s of %d", tt.fault, len(tt.peers)), func(t *testing.T) {
			mustInject(t, a, Injection{Fault: tt.fault, Peers: tt.peers})
			if got := arrives(t, a, b); got != tt.from {
				t.Errorf("packets from the host arrive: %v, want %v", got, tt.from)
			}
			if got := arrives(t, b, a); got != tt.to {
				t.Errorf("packets to the host arrive: %v, want %v", got, tt.to)
			}
			if got := pings(a, c.Address); got != tt.third {
				t.Errorf("it reaches the third host: %v, want %v", got, tt.third)
			}
			if got := a.greets(t.Context()); got != tt.reachable {
				t.Errorf("it answers this machine: %v, want %v", got, tt.reachable)
			}
		})
	}
	mustMend(t, a)
	if !arrives(t, a, b) || !arrives(t, b, a) || !a.greets(t.Context()) {
		t.Error("not mended")
	}
}

// arrives reports whether a packet of one host arrives at another, whatever comes back.
func arrives(t *testing.T, from, to *Host) bool {
	t.Helper()
	// The kernel counts echo requests behind the rules of its input hook, whatever becomes of the answer.
	count := func() string { return mustExec(t, to, "nstat", "-a", "-s", "-z", "IcmpInEchos") }
	before := count()
	pings(from, to.Address)
	return count() != before
}
