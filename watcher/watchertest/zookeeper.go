package watchertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Where the Debian packages libzookeeper-java, libservlet-api-java and libslf4j-java put
// what a server needs.
const (
	jarDir  = "/usr/share/java"
	jars    = "zookeeper.jar:servlet-api.jar:slf4j-simple.jar"
	mainCls = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
)

// TickTime of the servers. Sessions last two ticks at least (1 s); a leader that lost its
// followers, or a follower without its leader, gives up after 8 ticks.
const TickTime = 500 * time.Millisecond

// serveWithin bounds the start of an ensemble on a slow machine that does other things too.
const serveWithin = 60 * time.Second

// ensembles counts those of this process, so that each has addresses of its own.
var ensembles atomic.Int64

// Ensemble is a ZooKeeper ensemble on loopback addresses, each server with 2181, 2888, 3888.
type Ensemble struct {
	Servers []*Server
}

// ZooKeeper starts n servers with their data below t.TempDir, waits until all of them
// serve, and stops them when the test ends. Each of properties is a line for zoo.cfg.
func ZooKeeper(t testing.TB, n int, properties ...string) *Ensemble {
	t.Helper()
	e, err := StartZooKeeper(t.TempDir(), n, properties...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// StartZooKeeper is ZooKeeper for an ensemble that several tests share, from TestMain.
// Close it. dir holds the servers' data and logs.
func StartZooKeeper(dir string, n int, properties ...string) (*Ensemble, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, fmt.Errorf("a ZooKeeper server needs java: %w; install openjdk-17-jre-headless", err)
	}
	for jar := range strings.SplitSeq(jars, ":") {
		if _, err := os.Stat(filepath.Join(jarDir, jar)); err != nil {
			return nil, fmt.Errorf("a ZooKeeper server needs %s: %w; install libzookeeper-java, libservlet-api-java and libslf4j-java", jar, err)
		}
	}
	// Addresses of our own: fixed ports then clash with nothing, and with no connection
	// that goes out from a port which was free a moment ago.
	pid, count := os.Getpid(), int(ensembles.Add(1))
	e := &Ensemble{}
	for i := range n {
		e.Servers = append(e.Servers, &Server{
			id: i + 1, java: java, dir: filepath.Join(dir, fmt.Sprintf("zk%d", i+1)),
			host: fmt.Sprintf("127.%d.%d.%d", 64+pid/250%128, pid%250, 1+(count*8+i)%250),
		})
	}
	for _, s := range e.Servers {
		if err := s.prepare(e.dynamic(), properties); err != nil {
			return nil, fmt.Errorf("prepare server %d: %w", s.id, err)
		}
	}
	if err := errors.Join(e.each((*Server).Begin)...); err != nil {
		e.Close()
		return nil, err
	}
	if err := e.WaitServing(); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// Close kills the servers that run.
func (e *Ensemble) Close() {
	for _, s := range e.Servers {
		s.Kill()
	}
}

// Addrs returns host:port of every server's client port.
func (e *Ensemble) Addrs() []string {
	out := make([]string, len(e.Servers))
	for i, s := range e.Servers {
		out[i] = s.Addr()
	}
	return out
}

// WaitServing returns when every server that runs serves, one of them as the leader.
func (e *Ensemble) WaitServing() error {
	if !poll(serveWithin, e.serving) {
		return fmt.Errorf("not every server serves after %s; the end of their logs:\n%s", serveWithin, e.Logs())
	}
	return nil
}

func (e *Ensemble) serving() bool {
	leaders := 0
	for _, s := range e.Servers {
		mode := s.Mode()
		if mode == "leader" || mode == "standalone" {
			leaders++
		}
		if mode == "" && s.Running() {
			return false
		}
	}
	return leaders == 1
}

// Leader returns the server that leads, or nil.
func (e *Ensemble) Leader() *Server {
	for _, s := range e.Servers {
		if mode := s.Mode(); mode == "leader" || mode == "standalone" {
			return s
		}
	}
	return nil
}

// Followers returns the servers that follow.
func (e *Ensemble) Followers() []*Server {
	var out []*Server
	for _, s := range e.Servers {
		if s.Mode() == "follower" {
			out = append(out, s)
		}
	}
	return out
}

// Logs returns the end of each server's output.
func (e *Ensemble) Logs() string {
	var b strings.Builder
	for _, s := range e.Servers {
		log, err := os.ReadFile(s.log())
		if err != nil {
			log = []byte(err.Error())
		}
		fmt.Fprintf(&b, "--- server %d\n%s\n", s.id, log[max(0, len(log)-3000):])
	}
	return b.String()
}

func (e *Ensemble) each(do func(*Server) error) []error {
	var errs []error
	for _, s := range e.Servers {
		errs = append(errs, do(s))
	}
	return errs
}

// dynamic is the list of members, with the client address that clients shall use.
func (e *Ensemble) dynamic() string {
	var b strings.Builder
	for _, s := range e.Servers {
		fmt.Fprintf(&b, "server.%d=%s:2888:3888:participant;%s\n", s.id, s.host, s.Addr())
	}
	return b.String()
}

// poll asks until the answer is yes, and reports whether it was within the limit.
func poll(limit time.Duration, ask func() bool) bool {
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-tick.C:
		case <-end.C:
			return false
		}
	}
	return true
}
