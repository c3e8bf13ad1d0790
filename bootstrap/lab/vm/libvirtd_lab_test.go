//go:build lab

package vm

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// A libvirtd of our own is started once, and ends with its networks: also those of one that
// was killed, whose bridges outlive it.
func TestStopAfterACrashLeavesNothing(t *testing.T) {
	if answers(systemSocket) == nil {
		t.Fatalf("a libvirtd answers on %s: Start would return that one; stop it for this test", systemSocket)
	}
	dir, log := t.TempDir(), slog.New(slog.NewTextHandler(t.Output(), nil))
	t.Cleanup(func() {
		if err := Stop(context.WithoutCancel(t.Context()), dir); err != nil {
			t.Error(err)
		}
	})
	h, err := Start(t.Context(), dir, typeQEMU, log)
	if err != nil {
		t.Fatal(err)
	}
	own, err := ownDaemon(dir)
	if err != nil {
		t.Fatal(err)
	}
	first := machine.Supervisors(own.script())
	if again, err := Start(t.Context(), dir, typeQEMU, log); err != nil || again != h {
		t.Fatalf("second start: %+v, %v; want %+v", again, err, h)
	}
	if now := machine.Supervisors(own.script()); len(first) != 1 || len(now) != 1 || now[0] != first[0] {
		t.Fatalf("supervisors %v, after the second start %v", first, now)
	}

	bridge := makeNetwork(t, h)
	if err := machine.KillSupervisors(t.Context(), own.script()); err != nil {
		t.Fatal(err)
	}
	if err := answers(h.Socket); err == nil {
		t.Fatal("libvirtd outlives its supervisor")
	}
	if _, err := net.InterfaceByName(bridge); err != nil {
		t.Fatalf("the bridge is gone with libvirtd, so that this test shows nothing: %v", err)
	}
	if err := Stop(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := net.InterfaceByName(bridge); err == nil {
		t.Errorf("left: bridge %s", bridge)
	}
	if left := machine.Supervisors(own.script()); len(left) > 0 {
		t.Errorf("left: supervisors %v", left)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
}

// makeNetwork makes a network with NAT and DHCP, as module kvm-libvirt does, and returns the
// name of its bridge.
func makeNetwork(t *testing.T, h Hypervisor) string {
	t.Helper()
	free, err := FreeNetwork(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	l, err := connect(h.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Disconnect() }()
	gateway := free.Addr().Next()
	first := gateway.Next()
	n, err := l.NetworkCreateXML(fmt.Sprintf(`<network><name>crash</name><forward mode="nat"/>
<ip address="%s" prefix="24"><dhcp><range start="%s" end="%s"/></dhcp></ip></network>`, gateway, first, first))
	if err != nil {
		t.Fatal(err)
	}
	bridge, err := l.NetworkGetBridgeName(n)
	if err != nil {
		t.Fatal(err)
	}
	return bridge
}
