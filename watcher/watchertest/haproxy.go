package watchertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// Balancer is a real HAProxy in master-worker mode, as a plain process on loopback. It reads
// an operator's file of its own and then zkwatch's, as on a host.
type Balancer struct {
	dir, binary string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// HAProxy makes a Balancer whose files and sockets live until the test ends. It does not
// run yet: it needs zkwatch's file. What is not installed fails the test.
func HAProxy(t testing.TB) *Balancer {
	t.Helper()
	b, err := NewBalancer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// NewBalancer is HAProxy for programs that are no tests. Close it. HAPROXY in the
// environment names another program than the one that is installed.
func NewBalancer() (*Balancer, error) {
	name := "haproxy"
	if other := os.Getenv("HAPROXY"); other != "" {
		name = other
	} else if _, err := exec.LookPath(name); err != nil {
		name = "/usr/sbin/haproxy" // not on the PATH of an ordinary user
	}
	binary, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("these tests need HAProxy: %w; install the package haproxy", err)
	}
	// Not below t.TempDir: a socket's path has 108 bytes at most, and a test's name may be long.
	dir, err := os.MkdirTemp("", "zkhap")
	if err != nil {
		return nil, err
	}
	b := &Balancer{dir: dir, binary: binary}
	err = os.WriteFile(b.before(), []byte("global\n    maxconn 2000\n\ndefaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n"), 0o644)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

func (b *Balancer) before() string { return filepath.Join(b.dir, "haproxy.cfg") }
func (b *Balancer) log() string    { return filepath.Join(b.dir, "out.log") }

// Settings returns the part of zkwatch's configuration that says where this HAProxy is,
// with defaults for the rest.
func (b *Balancer) Settings() config.HAProxy {
	c := config.Config{HAProxy: config.HAProxy{
		Binary: b.binary, File: filepath.Join(b.dir, "zkwatch.cfg"), Before: []string{b.before()},
		Socket: filepath.Join(b.dir, "runtime.sock"), Master: filepath.Join(b.dir, "master.sock"),
	}}
	config.Default(&c)
	return c.HAProxy
}

// SetBefore replaces the operator's file.
func (b *Balancer) SetBefore(text string) error {
	return os.WriteFile(b.before(), []byte(text), 0o644)
}

// Start starts HAProxy and returns when its runtime API answers.
func (b *Balancer) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd != nil {
		return errors.New("haproxy runs already")
	}
	s := b.Settings()
	log, err := os.OpenFile(b.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(b.binary, "-W", "-f", b.before(), "-f", s.File, "-S", s.Master+",mode,660")
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, tied()
	if err := cmd.Start(); err != nil {
		_ = log.Close() // nothing was written
		return fmt.Errorf("start haproxy: %w", err)
	}
	b.cmd, b.done = cmd, make(chan struct{})
	go func(done chan struct{}) {
		_ = cmd.Wait() // a process that was killed always ends with an error
		_ = log.Close()
		close(done)
	}(b.done)
	if !poll(10*time.Second, func() bool { return b.Worker() != 0 || b.ended() }) || b.ended() {
		return fmt.Errorf("haproxy does not serve: %s", b.Log())
	}
	return nil
}

func (b *Balancer) ended() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// Stop ends HAProxy with SIGTERM, all workers with it, and waits for its end.
func (b *Balancer) Stop() { b.end(syscall.SIGTERM) }

// Kill ends the master and its workers with SIGKILL, as a crash does.
func (b *Balancer) Kill() { b.end(syscall.SIGKILL) }

func (b *Balancer) end(sig syscall.Signal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		return
	}
	workers := b.workers()
	_ = b.cmd.Process.Signal(sig) // fails when it has ended
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-b.done:
	case <-limit.C:
		_ = b.cmd.Process.Kill()
		<-b.done
	}
	for _, pid := range workers {
		_ = syscall.Kill(pid, syscall.SIGKILL) // ended with the master, as a rule
	}
	b.cmd = nil
}

// Reload makes the master load its files again, as `systemctl reload` does. It does not wait
// for the end of that, but for a master that is ready: while it loads, the signal is lost.
func (b *Balancer) Reload() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		return errors.New("haproxy does not run")
	}
	if !poll(10*time.Second, func() bool { return len(b.workers()) > 0 }) {
		return errors.New("the master of haproxy does not answer")
	}
	return b.cmd.Process.Signal(syscall.SIGUSR2)
}

// KillWorker ends the serving worker alone, as a crash does; the master ends after it.
func (b *Balancer) KillWorker() error {
	pid := b.Worker()
	if pid == 0 {
		return errors.New("haproxy does not serve")
	}
	return syscall.Kill(pid, syscall.SIGSEGV)
}

// PauseWorker stops the serving worker with SIGSTOP: its sockets still take connections, and
// nothing is answered. The result ends the pause.
func (b *Balancer) PauseWorker() (resume func(), err error) {
	pid := b.Worker()
	if pid == 0 {
		return nil, errors.New("haproxy does not serve")
	}
	return func() { _ = syscall.Kill(pid, syscall.SIGCONT) }, syscall.Kill(pid, syscall.SIGSTOP)
}

// Worker returns the pid of the worker that serves, or 0.
func (b *Balancer) Worker() int {
	for line := range strings.Lines(b.Ask("show info")) {
		if text, ok := strings.CutPrefix(line, "Pid: "); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(text))
			if err == nil {
				return pid
			}
		}
	}
	return 0
}

// workers returns the pids of all workers, old ones as well.
func (b *Balancer) workers() []int {
	var out []int
	text, err := b.ask(b.Settings().Master, "show proc")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "worker" {
			if pid, err := strconv.Atoi(f[0]); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// OldWorkers returns how many replaced workers still live.
func (b *Balancer) OldWorkers() int { return max(0, len(b.workers())-1) }

// Ask sends one line to the runtime API, as somebody at a terminal does, and returns the
// answer, or "" when there is none.
func (b *Balancer) Ask(line string) string {
	text, err := b.ask(b.Settings().Socket, line)
	if err != nil {
		return ""
	}
	return text
}

func (b *Balancer) ask(socket, line string) (string, error) {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte(line + "\n")); err != nil {
		return "", err
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return "", err
	}
	text, err := io.ReadAll(conn)
	return string(text), err
}

// Log returns what HAProxy printed, its last 4 KiB.
func (b *Balancer) Log() string {
	text, err := os.ReadFile(b.log())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4096):])
}

// Close ends HAProxy and removes its files.
func (b *Balancer) Close() {
	b.Stop()
	_ = os.RemoveAll(b.dir)
}
