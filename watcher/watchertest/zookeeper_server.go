package watchertest

import (
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
	"time"
)

// Server is one ZooKeeper server. Its methods may be called at any time; one that does not
// run is stopped, killed, paused and resumed without effect.
type Server struct {
	id        int
	java      string
	dir, host string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// Addr returns host:port of the client port.
func (s *Server) Addr() string { return net.JoinHostPort(s.host, "2181") }

// Start starts the server and returns when it serves, for which the others that run must
// be a quorum with it.
func (s *Server) Start() error {
	if err := s.Begin(); err != nil {
		return err
	}
	if !poll(serveWithin, func() bool { return s.Mode() != "" }) {
		return fmt.Errorf("server %d does not serve after %s", s.id, serveWithin)
	}
	return nil
}

// Begin starts the server and does not wait, for one that cannot serve alone.
func (s *Server) Begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return fmt.Errorf("server %d runs already", s.id)
	}
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var path []string
	for jar := range strings.SplitSeq(jars, ":") {
		path = append(path, filepath.Join(jarDir, jar))
	}
	// A small heap and the first compiler only: a server of a test lives for seconds.
	cmd := exec.Command(s.java, "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", strings.Join(path, ":"), mainCls, filepath.Join(s.dir, "zoo.cfg"))
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, tied()
	if err := cmd.Start(); err != nil {
		_ = log.Close() // nothing was written
		return fmt.Errorf("start server %d: %w", s.id, err)
	}
	s.cmd, s.done = cmd, make(chan struct{})
	go func(done chan struct{}) {
		_ = cmd.Wait() // a server that was killed always ends with an error
		_ = log.Close()
		close(done)
	}(s.done)
	return nil
}

// Stop ends the server with SIGTERM and waits for its end, 10 s at most before SIGKILL.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server with SIGKILL and waits for its end.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Pause stops the process with SIGSTOP: its kernel goes on accepting connections, and
// nothing is answered.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// Running reports whether the process lives, paused or not.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Mode returns leader, follower, observer or standalone, and "" from a server that does not
// serve.
func (s *Server) Mode() string {
	for line := range strings.Lines(s.Ask("srvr")) {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return strings.TrimSpace(mode)
		}
	}
	return ""
}

// Ask sends one of the four-letter words, all of which are allowed, and returns the answer,
// or "" when there is none within a second.
func (s *Server) Ask(word string) string {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return ""
	}
	if _, err := io.WriteString(conn, word); err != nil {
		return ""
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return ""
	}
	return string(answer)
}

// Stat returns a figure of mntr, such as "zk_num_alive_connections".
func (s *Server) Stat(name string) (int, error) {
	for line := range strings.Lines(s.Ask("mntr")) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if ok && key == name {
			f, err := strconv.ParseFloat(value, 64)
			return int(f), err
		}
	}
	return 0, fmt.Errorf("mntr of %s has no %s", s.Addr(), name)
}

func (s *Server) log() string { return filepath.Join(s.dir, "out.log") }

// prepare writes zoo.cfg, myid and the first list of members.
func (s *Server) prepare(dynamic string, properties []string) error {
	data := filepath.Join(s.dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	cfg := []string{
		"tickTime=" + strconv.Itoa(int(TickTime/time.Millisecond)), "initLimit=40", "syncLimit=8",
		"dataDir=" + data, "dynamicConfigFile=" + filepath.Join(s.dir, "members"),
		"standaloneEnabled=false", "reconfigEnabled=true", "skipACL=no", "maxSessionTimeout=60000",
		"admin.enableServer=false", "4lw.commands.whitelist=*", "preAllocSize=1024", "forceSync=no",
	}
	cfg = append(cfg, properties...)
	for name, text := range map[string]string{
		"zoo.cfg": strings.Join(cfg, "\n") + "\n", "members": dynamic, "data/myid": strconv.Itoa(s.id) + "\n",
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig) // fails when it has ended
	}
}

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // fails when it has ended
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-s.done:
	case <-limit.C:
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}
