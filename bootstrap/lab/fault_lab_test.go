//go:build lab

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// faultSubject is a unit whose main process appends a line to a file ten times a second: it is
// seen to be at work.
const faultSubject = "subject.service"

// startSubject runs the unit; systemd starts it again, as a member's.
func startSubject(t *testing.T, h *Host) {
	t.Helper()
	mustExec(t, h, "systemd-run", "--quiet", "--unit="+faultSubject, "--property=Restart=always", "--property=RestartSec=100ms",
		"/bin/sh", "-c", "while :; do echo >>/run/beats; sleep 0.1; done")
}

// beats reports whether the subject does anything within two seconds, ten times what it takes.
func beats(t *testing.T, h *Host) bool {
	t.Helper()
	size := func() string { return mustExec(t, h, "stat", "-c", "%s", "/run/beats") }
	before := size()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	return machine.Wait(ctx, "a beat", func() (bool, error) { return size() != before, nil }) == nil
}

// injectsFaults gives a host every fault that the other tests do not, beside two that stay whole.
func injectsFaults(t *testing.T, a, b, c *Host) {
	inject := func(t *testing.T, i Injection) {
		t.Helper()
		if err := a.Inject(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	mend := func(t *testing.T) {
		t.Helper()
		// As another program would, which has nothing but the lab's name.
		l, err := Open(a.lab)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time there is nothing to do
			if err := l.Hosts[0].Mend(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	startSubject(t, a)

	t.Run("kill", func(t *testing.T) {
		before, err := a.mainProcess(t.Context(), faultSubject)
		if err != nil {
			t.Fatal(err)
		}
		inject(t, Injection{Fault: FaultKill, Unit: faultSubject})
		if s, err := a.unit(t.Context(), faultSubject); err != nil || s.pid == before {
			t.Errorf("main process %d, then %+v, %v", before, s, err)
		}
		if !beats(t, a) {
			t.Error("systemd did not start it again")
		}
		if got := mustExec(t, a, "systemctl", "show", "--property=NRestarts", "--value", faultSubject); got != "1" {
			t.Errorf("restarts: %s", got)
		}
	})
	t.Run("pause", func(t *testing.T) {
		for range 2 {
			inject(t, Injection{Fault: FaultPause, Unit: faultSubject})
		}
		if beats(t, a) {
			t.Error("what is paused works")
		}
		if !a.greets(t.Context()) {
			t.Error("the host is paused, not the unit alone")
		}
		mend(t)
		if !beats(t, a) {
			t.Error("what is mended does not work")
		}
	})
	t.Run("partitions", func(t *testing.T) {
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
				inject(t, Injection{Fault: tt.fault, Peers: tt.peers})
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
		mend(t)
		if !arrives(t, a, b) || !arrives(t, b, a) || !a.greets(t.Context()) {
			t.Error("not mended")
		}
	})
	t.Run("what is not there", func(t *testing.T) {
		err := a.Inject(t.Context(), Injection{Fault: FaultKill, Unit: "nobody.service"})
		if err == nil || !strings.Contains(err.Error(), "host zk1: kill: unit nobody.service is not there") {
			t.Errorf("%v", err)
		}
		err = a.Inject(t.Context(), Injection{Fault: FaultPause, Unit: "nginx.service"})
		if err == nil || !strings.Contains(err.Error(), "has no main process, it is inactive: start it first") {
			t.Errorf("%v", err)
		}
	})
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
