//go:build lab

package zookeeper_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
)

// unfinished reports whether a run changed nothing because the one before is not over: its
// agent holds the lock, or a program that outlived its agent changed the host under the plan.
func unfinished(err error) bool {
	return errors.Is(err, bootstrap.ErrLocked) || errors.Is(err, bootstrap.ErrStale)
}

// converge applies until nothing is left to do and proves it with an empty plan. Only what a
// cut run has left unfinished may delay that, and is logged.
func (d *days) converge(t *testing.T, s *bootstrap.Spec) {
	t.Helper()
	within(t, 4*time.Minute, func() bool {
		report := d.apply(t, s, nil)
		if report.Failed() && !unfinished(report.Err()) {
			t.Fatalf("apply: %v", report.Err())
		}
		if report.Failed() {
			t.Logf("apply again: %v", report.Err())
		}
		return !report.Failed()
	})
	plan, report := d.plan(t, s)
	if report.Failed() || !plan.Empty() {
		t.Fatalf("the plan after an apply is not empty: %v\n%s", report.Err(), plan)
	}
}

// bare takes every ensemble of these tests off the hosts, with its data.
func (d *days) bare(t *testing.T) {
	t.Helper()
	for _, h := range d.lab.Hosts {
		if err := d.ready(t, h); err != nil {
			t.Fatal(err)
		}
	}
	d.removeSolo(t)
	d.remove(t, shape{})
	d.stands = shape{}
}

func (d *days) ready(t *testing.T, h *lab.Host) error {
	if d.packages[h.Name] == nil {
		d.removeSolo(t)
		d.install(t, h)
	}
	return d.packages[h.Name]()
}

// removeSolo takes away what the first apply of zk1 may have left.
func (d *days) removeSolo(t *testing.T) {
	t.Helper()
	if d.solo {
		d.remove(t, shape{name: "solo", hosts: []string{"zk1"}})
		d.solo = false
	}
}

func (d *days) remove(t *testing.T, sh shape) {
	t.Helper()
	s, _ := d.spec(t, sh)
	within(t, 2*time.Minute, func() bool {
		report := d.run(t, s, bootstrap.Intent{Verb: bootstrap.VerbDestroy, Wipe: true}, nil)
		if report.Failed() && !errors.Is(report.Err(), bootstrap.ErrLocked) {
			t.Fatalf("destroy: %v", report.Err())
		}
		return !report.Failed()
	})
	for _, host := range s.HostNames() { // what a test put there that is not ours to destroy
		d.sh(t, host, fmt.Sprintf("rm -rf /var/lib/zookeeper/%[1]s /var/lib/zookeeper-log/%[1]s", s.Name))
	}
}

// formed brings the ensemble of all three hosts up, in the shape that the part before left.
func (d *days) formed(t *testing.T) (*bootstrap.Spec, string) {
	t.Helper()
	if d.sh(t, "zk1", "ls /opt/zookeeper 2>/dev/null || true") != "" { // 3.8.0 must not read what a later release wrote
		d.bare(t)
	}
	s, file := d.spec(t, d.stands)
	if d.whole(t, s) {
		return s, file
	}
	for _, h := range d.lab.Hosts {
		if err := d.ready(t, h); err != nil {
			t.Fatal(err)
		}
	}
	d.converge(t, s)
	return s, file
}

// whole reports whether there is nothing to do for a spec.
func (d *days) whole(t *testing.T, s *bootstrap.Spec) bool {
	t.Helper()
	plan, _ := d.plan(t, s)
	return plan != nil && plan.Empty()
}

// within polls until the condition holds.
func within(t *testing.T, limit time.Duration, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("did not come true within %s", limit)
		}
	}
}

// wants checks an error: what it is, and the words that name place, cause and way out.
func wants(t *testing.T, report bootstrap.Report, is error, words ...string) {
	t.Helper()
	err := report.Err()
	if !errors.Is(err, is) {
		t.Fatalf("got %v; want one that is %v", err, is)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("no %q in: %v", w, err)
		}
	}
}

// untouched checks that zkboot has changed nothing on the hosts.
func (d *days) untouched(t *testing.T, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		if left := d.sh(t, h, "find /etc/zkboot /etc/zookeeper /etc/sysctl.d/90-zkboot* /etc/systemd/system/zookeeper-* 2>/dev/null || true"); left != "" {
			t.Errorf("%s was changed:\n%s", h, left)
		}
	}
}

// allHosts are the hosts of the lab.
func allHosts() []string { return []string{"zk1", "zk2", "zk3"} }

// started is when the server of each host was started, on the clock that all share, in
// microseconds; 0 means that it does not run.
func (d *days) started(t *testing.T) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, h := range allHosts() {
		var at int64
		text := d.sh(t, h, "systemctl show -P ExecMainStartTimestampMonotonic zookeeper-bad")
		if _, err := fmt.Sscan(text, &at); err != nil {
			t.Fatalf("%s: %q: %v", h, text, err)
		}
		out[h] = at
	}
	return out
}

// leader asks every member who leads.
func (d *days) leader(t *testing.T) string {
	t.Helper()
	var found string
	within(t, time.Minute, func() bool {
		for _, h := range d.lab.Hosts {
			if strings.Contains(fourLetters(t.Context(), h.Address.String(), "srvr"), "Mode: leader") {
				found = h.Name
				return true
			}
		}
		return false
	})
	return found
}

func fourLetters(ctx context.Context, address, word string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address+":2181")
	if err != nil {
		return ""
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return ""
	}
	if _, err := conn.Write([]byte(word)); err != nil {
		return ""
	}
	answer, _ := io.ReadAll(conn) // an answer that does not come is ""
	return string(answer)
}

// client is a session with the given members.
func (d *days) client(t *testing.T, hosts ...string) *zk.Conn {
	t.Helper()
	var servers []string
	for _, h := range hosts {
		servers = append(servers, d.host(t, h).Address.String()+":2181")
	}
	conn, events, err := zk.Connect(servers, 10*time.Second, zk.WithLogger(quiet{}), zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(func() {
		conn.Close()
		for range events { // closed when the library's goroutines have ended
			continue
		}
	}))
	return conn
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// keep writes a znode that no bad day may take away.
func (d *days) keep(t *testing.T, path string) {
	t.Helper()
	_, err := d.client(t, allHosts()...).Create(path, []byte(path), 0, zk.WorldACL(zk.PermAll))
	if err != nil {
		t.Fatal(err)
	}
}

// kept reads a znode through each member.
func (d *days) kept(t *testing.T, path string) {
	t.Helper()
	for _, h := range allHosts() {
		conn := d.client(t, h)
		if _, err := conn.Sync(path); err != nil {
			t.Errorf("sync through %s: %v", h, err)
			continue
		}
		if data, _, err := conn.Get(path); err != nil || string(data) != path {
			t.Errorf("%s read through %s: %q, %v", path, h, data, err)
		}
	}
}

// line is a way to a host that can be cut.
type line struct {
	ln     net.Listener
	target string

	mu   sync.Mutex
	open []net.Conn
	wg   sync.WaitGroup
}

func newLine(t *testing.T, target string) *line {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{ln: ln, target: target}
	l.wg.Go(l.accept)
	t.Cleanup(func() {
		ln.Close()
		l.cut()
		l.wg.Wait()
	})
	return l
}

func (l *line) port() int { return l.ln.Addr().(*net.TCPAddr).Port }

func (l *line) accept() {
	for {
		in, err := l.ln.Accept()
		if err != nil {
			return // closed
		}
		out, err := net.DialTimeout("tcp", l.target, 5*time.Second)
		if err != nil {
			in.Close()
			continue
		}
		l.mu.Lock()
		l.open = append(l.open, in, out)
		l.mu.Unlock()
		l.wg.Go(func() { carry(in, out) })
		l.wg.Go(func() { carry(out, in) })
	}
}

func carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut ends everything that goes over the line with a reset, as a middlebox does.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range slices.Backward(l.open) {
		_ = c.(*net.TCPConn).SetLinger(0) // it may be closed already
		c.Close()
	}
	l.open = nil
}
