//go:build lab

package haproxy

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// behind is one HTTP route of a service, and traffic to it that must not fail.
func behind(t *testing.T, tune ...func(*config.HAProxy)) (k *rack, addr string, all []*watchertest.Backend) {
	t.Helper()
	addr = port(t)
	k = newRack(t, map[string]config.Route{"web": {Service: "shop", Bind: addr}}, tune...)
	all = fleet(t, 4)
	k.set("shop", all[:2]...)
	return k, addr, all
}

// Scenario 19.
func TestARouteOnATakenPortHarmsNobody(t *testing.T) {
	k, addr, all := behind(t)
	k.tickFile(t)
	good := read(t, k.o.Config.File)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	traffic := watchertest.StartTraffic(watchertest.Load{Addr: addr, Clients: 3})
	pid := k.h.Worker()
	routes := map[string]config.Route{"web": k.o.Routes["web"], "more": {Service: "shop", Bind: other.Addr().String()}}
	k = k.next(routes)
	k.set("shop", all[:2]...)
	k.says("refused", other.Addr().String())
	k.set("shop", all[1:3]...)
	until(t, 5*time.Second, "the file follows what runs", func() bool { return strings.Contains(read(t, k.o.Config.File), all[2].Addr()) })
	if text := read(t, k.o.Config.File); strings.Contains(text, "zkwatch-more") || len(text) != len(good) {
		t.Errorf("the file is not what runs:\n%s", text)
	}
	r := traffic.Stop()
	unharmed(t, "meanwhile", r, 100)
	if r.Slowest > 1500*time.Millisecond {
		t.Errorf("the slowest request took %s: HAProxy paused", r.Slowest)
	}
	if now := k.h.Worker(); now != pid {
		t.Errorf("the worker was %d and is %d", pid, now)
	}
}

// tickFile waits until the file has what is served now.
func (k *rack) tickFile(t *testing.T) {
	t.Helper()
	until(t, 5*time.Second, "the file is written", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.Sink.mu.Lock()
		defer k.Sink.mu.Unlock()
		wanted, _ := k.wantedFile(false)
		want, _ := wanted.sum()
		have, err := contentOf(k.o.Config.File).sum()
		return err == nil && have == want
	})
}

// Scenario 20: `haproxy -c` does not open files that only a start opens, here one of the operator's.
func TestAFileThatPassesTheCheckAndDoesNotLoad(t *testing.T) {
	k, addr, all := behind(t)
	k.tickFile(t)
	good := read(t, k.o.Config.File)
	pid := k.h.Worker()
	if err := k.h.SetBefore("global\n    pidfile /nonexistent/haproxy.pid\n"); err != nil {
		t.Fatal(err)
	}
	traffic := watchertest.StartTraffic(watchertest.Load{Addr: addr, Clients: 3})
	k = k.next(map[string]config.Route{"web": k.o.Routes["web"], "more": {Service: "shop", Bind: port(t)}})
	k.set("shop", all[:2]...)
	k.says("refused", "did not load")
	until(t, 5*time.Second, "the file is the last good one", func() bool { return read(t, k.o.Config.File) == good })
	k.set("shop", all[2:]...)
	if got := served(k.Sink, "zkwatch-web"); !slices.Equal(got, addrs(all[2:])) {
		t.Errorf("afterwards HAProxy has %v, want %v", got, addrs(all[2:]))
	}
	unharmed(t, "meanwhile", traffic.Stop(), 100)
	if st := k.Status(); k.h.Worker() != pid || st.ReloadFailures != 1 {
		t.Errorf("worker %d, then %d; status %+v", pid, k.h.Worker(), st)
	}
	// The operator mends it and reloads: the route comes.
	if err := k.h.SetBefore("global\n    maxconn 500\n"); err != nil {
		t.Fatal(err)
	}
	if err := k.h.Reload(); err != nil {
		t.Fatal(err)
	}
	until(t, 20*time.Second, "the new route is served", func() bool { return slices.Equal(served(k.Sink, "zkwatch-more"), addrs(all[2:])) })
}

// Scenario 21.
func TestLongConnectionsDoNotKeepOldWorkersForEver(t *testing.T) {
	addr := port(t)
	k := newRack(t, map[string]config.Route{"tcp": {Service: "shop", Bind: addr, Mode: "tcp"}}, func(c *config.HAProxy) { c.OldWorkers = 1 })
	all := fleet(t, 1)
	k.set("shop", all...)
	k.tickFile(t)
	for n := range 3 {
		for range 12 {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte("GET / HTTP/1.1\r\n")); err != nil { // and never ends
				t.Fatal(err)
			}
		}
		until(t, 5*time.Second, "all are connected", func() bool { return all[0].Conns() >= int64(12*(n+1)) })
		pid := k.h.Worker()
		if err := k.h.Reload(); err != nil {
			t.Fatal(err)
		}
		until(t, 5*time.Second, "a new worker", func() bool { w := k.h.Worker(); return w != 0 && w != pid })
	}
	until(t, 5*time.Second, "three old workers", func() bool { return k.h.OldWorkers() == 3 })
	until(t, 40*time.Second, "the oldest have ended", func() bool { return k.h.OldWorkers() <= 1 })
	k.says("command", "shutdown session")
}

// Scenario 25, all of it.
func TestHAProxyIsReloadedRestartedAndCrashes(t *testing.T) {
	k, _, all := behind(t)
	check := func(what string, want []*watchertest.Backend) {
		t.Helper()
		until(t, 10*time.Second, "after "+what+" all is served again", func() bool { return k.Status().Connected && slices.Equal(served(k.Sink, "zkwatch-web"), addrs(want)) })
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(k.h.Reload()) // with a file that is up to a second behind
	check("a reload", all[:2])
	k.h.Stop()
	if out := k.set("shop", all[1:]...); !out.Pending {
		t.Error("without a HAProxy the change is not pending")
	}
	must(k.h.Start())
	check("a restart", all[1:])
	k.h.Kill()
	k.set("shop", all...)
	must(k.h.Start())
	check("a crash", all)
	must(k.h.KillWorker())
	until(t, 10*time.Second, "the master ends with its worker", func() bool { return k.h.Worker() == 0 })
	k.h.Stop()
	must(k.h.Start())
	check("a crash of the worker", all)
	if st := k.Status(); st.Reloads != 0 {
		t.Errorf("%d reloads by the sink, want none", st.Reloads)
	}
}

// Scenario 26.
func TestSomebodyAtTheSocketIsNoticed(t *testing.T) {
	k, _, all := behind(t)
	for _, line := range []string{"set server zkwatch-web/s1 state maint", "set server zkwatch-web/s2 state drain", "set server zkwatch-web/s3 state ready",
		"set server zkwatch-web/s1 addr 127.0.0.1 port 9", "add server zkwatch-web/mine 127.0.0.1:9 id 5000"} {
		if answer := k.h.Ask(line); strings.Contains(answer, "Unknown") || strings.Contains(answer, "No such") {
			t.Fatalf("%s: %s", line, answer)
		}
	}
	k.h.Ask("set server zkwatch-web/mine state ready")
	out, err := k.Audit(t.Context())
	if err != nil || out.Pending {
		t.Errorf("audit: %+v, %v", out, err)
	}
	if got := served(k.Sink, "zkwatch-web"); !slices.Equal(got, addrs(all[:2])) {
		t.Errorf("after the audit HAProxy has %v, want %v", got, addrs(all[:2]))
	}
	if out, err := k.Audit(t.Context()); err != nil || len(out.Actions) > 0 {
		t.Errorf("the next audit: %+v, %v; want nothing to do", out, err)
	}
}

// Scenario 27.
func TestAWorkerThatHangsDelaysNobodyForLong(t *testing.T) {
	k, _, all := behind(t)
	resume, err := k.h.PauseWorker()
	if err != nil {
		t.Fatal(err)
	}
	defer resume()
	began := time.Now()
	out, err := k.Apply(t.Context(), []watcher.Set{{Service: "shop", Instances: instances(all[2:]...)}})
	if took := time.Since(began); took > 4*opTimeout || err == nil || !out.Pending {
		t.Errorf("after %s: %v, pending %v; want an error in time, and pending", took, err, out.Pending)
	}
	resume()
	until(t, 20*time.Second, "all is served again", func() bool { return slices.Equal(served(k.Sink, "zkwatch-web"), addrs(all[2:])) })
}

// Scenario 28: a file system of 256 KiB that is full, then read-only.
func TestADiskThatIsFullOrReadOnly(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatalf("this test needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	h := watchertest.HAProxy(t)
	if err := os.Symlink(filepath.Join(dir, "zkwatch.cfg"), h.Settings().File); err != nil { // HAProxy's command line names the usual place
		t.Fatal(err)
	}
	k := attach(t, h, map[string]config.Route{"web": {Service: "shop", Bind: port(t)}}, func(c *config.HAProxy) { c.File = filepath.Join(dir, "zkwatch.cfg") })
	until(t, 5*time.Second, "the file is written", func() bool { _, err := os.Stat(k.o.Config.File); return err == nil })
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, 5*time.Second, "the sink is connected", func() bool { return k.Status().Connected })
	all := fleet(t, 4)
	k.set("shop", all[0])
	k.tickFile(t)
	good := read(t, k.o.Config.File)

	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 250<<10), 0o644); err == nil {
		_ = os.WriteFile(filepath.Join(dir, "more"), make([]byte, 64<<10), 0o644) // what fits
	}
	k.set("shop", all[1])
	if got := served(k.Sink, "zkwatch-web"); !slices.Equal(got, addrs(all[1:2])) {
		t.Errorf("with a full disk HAProxy has %v, want %v", got, addrs(all[1:2]))
	}
	k.says("refused", "no space left")
	if got := read(t, k.o.Config.File); got != good {
		t.Errorf("the file was harmed:\n%s", got)
	}
	for _, f := range []string{"ballast", "more"} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, 15*time.Second, "the file is written after all", func() bool { return strings.Contains(read(t, k.o.Config.File), all[1].Addr()) })

	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=256k"); err != nil {
		t.Fatal(err)
	}
	k.set("shop", all[2])
	if got := served(k.Sink, "zkwatch-web"); !slices.Equal(got, addrs(all[2:3])) {
		t.Errorf("on a read-only disk HAProxy has %v, want %v", got, addrs(all[2:3]))
	}
	k.says("refused", "read-only")
}

// Scenario 30.
func TestZkwatchIsReplacedAndHAProxyDoesNotNotice(t *testing.T) {
	k, _, all := behind(t)
	k.tickFile(t)
	state := func() string { return k.h.Ask("show servers state zkwatch-web") }
	pid, file := k.h.Worker(), stamp(t, k.o.Config.File)
	var fixed []string
	for line := range strings.Lines(state()) {
		if f := strings.Fields(line); len(f) > 9 {
			fixed = append(fixed, strings.Join(f[:9], " "))
		}
	}
	k = k.next(k.o.Routes)
	until(t, 5*time.Second, "the new one is connected", func() bool { return k.Status().Connected })
	if out := k.set("shop", all[:2]...); len(out.Actions) > 0 || out.Pending {
		t.Errorf("the first set: %+v, want nothing to do", out)
	}
	<-time.After(2 * lookEvery) // two looks, in which a file or a command would come
	k.mu.Lock()
	if len(k.did) > 0 {
		t.Errorf("it did %+v", k.did)
	}
	k.mu.Unlock()
	var now []string
	for line := range strings.Lines(state()) {
		if f := strings.Fields(line); len(f) > 9 {
			now = append(now, strings.Join(f[:9], " "))
		}
	}
	if !slices.Equal(now, fixed) || k.h.Worker() != pid || stamp(t, k.o.Config.File) != file || k.Status().Commands != 0 {
		t.Errorf("worker %d then %d, commands %d, servers\n%s\nthen\n%s", pid, k.h.Worker(), k.Status().Commands, strings.Join(fixed, "\n"), strings.Join(now, "\n"))
	}
}
