//go:build lab

package txnlog_test

import (
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap/zookeeper/txnlog"
	"github.com/zkboot/zkboot/bootstrap/zookeeper/zookeepertest"
)

var update = flag.Bool("update", false, "write what the servers made to testdata")

// port is for one server alone, on loopback.
const port = "127.0.0.1:22199"

// TestRealServers reads what real servers write, of Debian 12's version and of a later one,
// and holds it against what they say of themselves.
func TestRealServers(t *testing.T) {
	for version, jars := range map[string]string{
		"3.8.0": "/usr/share/java/zookeeper.jar:/usr/share/java/*",
		"3.9":   unpacked(t),
	} {
		t.Run(version, func(t *testing.T) {
			s := &server{dir: t.TempDir(), jars: jars}
			s.start(t)
			want := everyKind(t)
			s.stop(t)
			logs := s.files(t, txnlog.Log)
			if len(logs) != 1 {
				t.Fatalf("logs: %v", logs)
			}
			x, err := txnlog.Scan(open(t, logs[0]))
			if err != nil || x.Torn || x.First != 1 || x.Last < uint64(want) || x.Digest.None() {
				t.Fatalf("%+v, %v; want transactions 1 to %d or later, with digests", x, err, want)
			}
			s.start(t) // takes a snapshot of what it has replayed
			count := s.nodeCount(t)
			s.stop(t)
			snapshots := s.files(t, txnlog.Snapshot)
			last := snapshots[len(snapshots)-1]
			name, _ := txnlog.ParseName(filepath.Base(last))
			tree, err := txnlog.ReadSnapshot(name, open(t, last))
			if err != nil || tree.Znodes != count || name.Zxid != x.Last || tree.DigestZxid != x.Last || tree.Digest != x.Digest {
				t.Errorf("%s: %+v, %v; want %d znodes and the digest %s of 0x%x", name, tree, err, count, x.Digest, x.Last)
			}
			if *update {
				golden(t, version+".log", logs[0], x.Size)
				golden(t, version+".snapshot", last, -1)
			}
		})
	}
}

// everyKind makes transactions of the kinds that a client can make, and returns the last
// zxid that it has seen.
func everyKind(t *testing.T) int64 {
	conn := dial(t)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	acl := zk.WorldACL(zk.PermAll)
	_, err := conn.Create("/a", []byte("one"), 0, acl)
	do(err)
	_, err = conn.Create("/e", nil, zk.FlagEphemeral, acl)
	do(err)
	_, err = conn.CreateContainer("/c", []byte("box"), zk.FlagContainer, acl)
	do(err)
	_, err = conn.Set("/a", []byte("two"), -1)
	do(err)
	_, err = conn.SetACL("/a", zk.WorldACL(zk.PermRead|zk.PermWrite), -1)
	do(err)
	_, err = conn.Multi(&zk.CreateRequest{Path: "/m", Data: []byte("x"), Acl: acl}, &zk.SetDataRequest{Path: "/a", Data: []byte("three"), Version: -1})
	do(err)
	if _, err := conn.Create("/a", nil, 0, acl); err == nil { // an error is a transaction too
		t.Fatal("created twice")
	}
	do(conn.Delete("/m", -1))
	_, stat, err := conn.Get("/a")
	do(err)
	conn.Close() // deletes /e
	return stat.Mzxid
}

func dial(t *testing.T) *zk.Conn {
	t.Helper()
	conn, _, err := zk.Connect([]string{port}, 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// unpacked is the class path of the fixed release.
func unpacked(t *testing.T) string {
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "tar", "-xf", zookeepertest.Release(t).File, "-C", dir, "--strip-components=1").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return filepath.Join(dir, "lib", "*")
}

// server is a standalone server.
type server struct {
	dir, jars string
	cmd       *exec.Cmd
	log       bytes.Buffer
}

func (s *server) start(t *testing.T) {
	t.Helper()
	conf := filepath.Join(s.dir, "zoo.cfg")
	host, portNumber, err := net.SplitHostPort(port)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPort=%s\nclientPortAddress=%s\nadmin.enableServer=false\n4lw.commands.whitelist=srvr\n", s.dir, portNumber, host)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.CommandContext(t.Context(), "java", "-Xmx128m", "-cp", s.jars, "org.apache.zookeeper.server.quorum.QuorumPeerMain", conf)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); s.ask() == ""; {
		if time.Now().After(deadline) {
			s.stop(t)
			t.Fatalf("no answer in time\n%s", &s.log)
		}
		time.Sleep(100 * time.Millisecond) // between two looks, within the deadline
	}
}

// stop kills the server, so that it writes nothing more.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait() // killed
}

func (s *server) ask() string {
	conn, err := net.DialTimeout("tcp", port, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "srvr"); err != nil {
		return ""
	}
	b, _ := io.ReadAll(conn) // cut short, it has no node count
	_, count, _ := strings.Cut(string(b), "Node count: ")
	return strings.TrimSpace(count)
}

func (s *server) nodeCount(t *testing.T) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s.ask(), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// files are those of one kind, by zxid.
func (s *server) files(t *testing.T, kind txnlog.Kind) (out []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.dir, "version-2", string(kind)+".*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no %s: %v\n%s", kind, err, &s.log)
	}
	return paths
}

func open(t *testing.T, path string) io.Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// golden writes the first size bytes of a file as text, all for -1.
func golden(t *testing.T, name, path string, size int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if size >= 0 {
		b = b[:size]
	}
	var text strings.Builder
	for line := base64.StdEncoding.EncodeToString(b); line != ""; {
		n := min(76, len(line))
		text.WriteString(line[:n] + "\n")
		line = line[n:]
	}
	if err := os.WriteFile(filepath.Join("testdata", name+".base64"), []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
