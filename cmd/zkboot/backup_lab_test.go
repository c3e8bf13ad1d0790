//go:build lab

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap/lab"
	"github.com/zkboot/zkboot/bootstrap/zookeeper/zookeepertest"
)

const backupLab = "backup"

// backups is an ensemble on zk1 to zk3, and zk4 for another that a backup is put into. The
// parts build on each other.
type backups struct {
	contract        // runs the program
	hosts    string // of the lab's spec
	out      string // directory of archives
	spare    string // spec of the other ensemble
	before   map[string]string
	archive  string
}

func TestBackupAndRestore(t *testing.T) {
	dir := t.TempDir()
	b := &backups{contract: contract{program: filepath.Join(dir, "zkboot"), dir: filepath.Join(dir, "lab")},
		out: filepath.Join(dir, "out"), spare: filepath.Join(dir, "lab", "spare.yaml")}
	if out, err := exec.Command("go", "build", "-o", b.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.Mkdir(b.out, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Down(context.Background(), backupLab, ""); err != nil {
			t.Error(err)
		}
	})
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"up", b.up}, {"a backup under writes has everything from before", b.underWrites},
		{"a timer takes backups and keeps two", b.timer},
		{"backups while members restart", b.whileRestarting},
		{"a damaged backup is refused", b.damaged}, {"data is not replaced unasked", b.unasked},
		{"restore into the same ensemble", b.same}, {"an interrupted restore is gone on with", b.interrupted},
		{"restore into another ensemble", b.other},
	} {
		start := time.Now()
		if !t.Run(part.name, part.run) {
			return
		}
		t.Logf("%s: %s", part.name, time.Since(start).Round(100*time.Millisecond))
	}
}

func (b *backups) up(t *testing.T) {
	release := zookeepertest.Release(t)
	if code, _, stderr := b.run(t, "lab", "up", "--name", backupLab, "--zookeeper", "4", "--apps", "0", "--dir", b.dir); code != 0 {
		t.Fatalf("lab up: exit %d\n%s", code, stderr)
	}
	l, err := lab.Open(backupLab)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file, name string, members ...string) {
		var hosts, list strings.Builder
		for _, m := range members {
			h, err := l.Host(m)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&hosts, "  %s: {address: %s, host_key: %q}\n", m, h.Address, h.HostKey)
			fmt.Fprintf(&list, "    %s: {id: %s}\n", m, m[2:])
		}
		spec := fmt.Sprintf(`name: %s
ssh: {user: debian, identity_files: [id_ed25519], known_hosts_file: known_hosts, config_file: none}
hardware: {profile: lab}
hosts:
%sensemble:
  members:
%s  source: %s
  heap: 192MiB
`, name, &hosts, &list, release.Source(""))
		if err := os.WriteFile(file, []byte(spec), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.hosts = filepath.Join(b.dir, "main.yaml")
	write(b.hosts, "main", "zk1", "zk2", "zk3")
	write(b.spare, "spare", "zk4")
	b.on(t, codeOK, b.hosts, "apply", "--auto-approve")
}

// on runs a command on a spec, which must end with the code, and returns what it said.
func (b *backups) on(t *testing.T, code int, spec string, args ...string) (stdout, stderr string) {
	t.Helper()
	start := time.Now()
	got, stdout, stderr := b.run(t, append(args, "-f", spec)...)
	t.Logf("zkboot %s: %s", strings.Join(args, " "), time.Since(start).Round(100*time.Millisecond))
	if got != code {
		t.Fatalf("zkboot %s: exit %d, want %d\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	return stdout, stderr
}

// session opens a session with the first of the members that answers.
func (b *backups) session(t *testing.T, hosts ...string) *zk.Conn {
	t.Helper()
	l, err := lab.Open(backupLab)
	if err != nil {
		t.Fatal(err)
	}
	var servers []string
	for _, name := range hosts {
		h, err := l.Host(name)
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, h.Address.String()+":2181")
	}
	conn, _, err := zk.Connect(servers, 10*time.Second, zk.WithLogger(quiet{}), zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

type quiet struct{}

// Printf implements zk.Logger.
func (quiet) Printf(string, ...any) {}

// znodes reads the children of a path with their values.
func (b *backups) znodes(t *testing.T, conn *zk.Conn, path string) map[string]string {
	t.Helper()
	if _, err := conn.Sync("/"); err != nil {
		t.Fatal(err)
	}
	names, _, err := conn.Children(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	out := map[string]string{}
	for _, n := range names {
		data, _, err := conn.Get(path + "/" + n)
		if err != nil {
			t.Fatal(err)
		}
		out[n] = string(data)
	}
	return out
}

// writer writes znodes below a path until the returned function is called, which returns how
// many were acknowledged.
func (b *backups) writer(t *testing.T, conn *zk.Conn, path string) (stop func() int) {
	t.Helper()
	if _, err := conn.Create(path, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	acked := 0
	wg.Go(func() {
		for n := 0; ctx.Err() == nil && n < 100_000; n++ {
			if _, err := conn.Create(fmt.Sprintf("%s/%06d", path, n), []byte(fmt.Sprint(n)), 0, zk.WorldACL(zk.PermAll)); err == nil {
				acked++
			}
		}
	})
	return func() int { cancel(); wg.Wait(); return acked }
}

// take takes a backup and returns its line.
func (b *backups) take(t *testing.T, args ...string) backupLine {
	t.Helper()
	stdout, _ := b.on(t, codeOK, b.hosts, append([]string{"backup", "-o", b.out, "--output", "json"}, args...)...)
	for line := range strings.Lines(stdout) {
		var l backupLine
		if err := json.Unmarshal([]byte(line), &l); err == nil && l.Type == "backup" {
			return l
		}
	}
	t.Fatalf("no backup in\n%s", stdout)
	return backupLine{}
}

func (b *backups) underWrites(t *testing.T) {
	conn := b.session(t, "zk1", "zk2", "zk3")
	if _, err := conn.Create("/kept", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	for n := range 300 {
		if _, err := conn.Create(fmt.Sprintf("/kept/%03d", n), bytes.Repeat([]byte{'a' + byte(n%26)}, n), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Create("/ephemeral", nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	b.before = b.znodes(t, conn, "/kept")
	stop := b.writer(t, b.session(t, "zk1", "zk2", "zk3"), "/meanwhile")
	line := b.take(t)
	acked := stop()
	b.archive = line.File
	t.Logf("%d writes acknowledged meanwhile; %+v", acked, line.Manifest)
	if line.Mode != "follower" || line.DigestVersion != 2 || acked == 0 {
		t.Errorf("mode %s, digest version %d, %d writes; want a follower with digests, under writes", line.Mode, line.DigestVersion, acked)
	}
	if info, err := os.Stat(b.archive); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want a file for its owner alone", info, err)
	}
}

// whileRestarting takes one backup after the other while every member has its turn.
func (b *backups) whileRestarting(t *testing.T) {
	rolling := make(chan string, 1)
	go func() {
		code, stdout, stderr := b.run(t, "roll", "restart", "--auto-approve", "-f", b.hosts)
		rolling <- fmt.Sprintf("exit %d\n%s\n%s", code, stdout, stderr)
	}()
	good, refused := 0, 0
	for ended := false; !ended; {
		select {
		case end := <-rolling:
			if !strings.HasPrefix(end, "exit 0") {
				t.Fatal(end)
			}
			ended = true
		default:
		}
		file := filepath.Join(b.out, fmt.Sprintf("rolling-%d.tar.zst", good+refused))
		code, _, stderr := b.run(t, "backup", "-f", b.hosts, "-o", file)
		switch _, err := readBackup(t.Context(), file); {
		case code == codeOK && err == nil:
			good++
		case code == codeFailed && errors.Is(err, os.ErrNotExist) && (strings.Contains(stderr, "quorum") || strings.Contains(stderr, "no backup after")):
			refused++ // in the moment without a leader
		default:
			t.Fatalf("exit %d, archive %v\n%s", code, err, stderr)
		}
	}
	if good == 0 {
		t.Errorf("no backup while members restarted, %d refused", refused)
	}
	t.Logf("%d backups taken, %d refused", good, refused)
}

func (b *backups) damaged(t *testing.T) {
	content, err := os.ReadFile(b.archive)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(b.out, "bad.tar.zst")
	content[len(content)/2] ^= 1
	if err := os.WriteFile(bad, content, 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := b.on(t, codeFailed, b.hosts, "restore", "-i", bad, "--replace-data", "--auto-approve")
	if !strings.Contains(stderr, "damaged backup: ") || !strings.Contains(stderr, "version-2/") {
		t.Errorf("does not name the damaged file:\n%s", stderr)
	}
	if got := b.znodes(t, b.session(t, "zk1"), "/kept"); len(got) != len(b.before) {
		t.Errorf("%d znodes after a refused restore, want %d", len(got), len(b.before))
	}
}

func (b *backups) unasked(t *testing.T) {
	_, stderr := b.on(t, codeFailed, b.hosts, "restore", "-i", b.archive, "--auto-approve")
	if !strings.Contains(stderr, "it holds data") || !strings.Contains(stderr, "--replace-data") {
		t.Errorf("does not say what to do:\n%s", stderr)
	}
}

// spoil changes what was backed up.
func (b *backups) spoil(t *testing.T) {
	t.Helper()
	conn := b.session(t, "zk1", "zk2", "zk3")
	for n := range 50 {
		if err := conn.Delete(fmt.Sprintf("/kept/%03d", n), -1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Create("/later", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
}

// restored wants what was there before the backup, and nothing from after it, through every
// member, and a site that is as its spec wants it.
func (b *backups) restored(t *testing.T, spec string, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		conn := b.session(t, h)
		got := b.znodes(t, conn, "/kept")
		for name, value := range b.before {
			if got[name] != value {
				t.Fatalf("%s: /kept/%s is %.20q, want %.20q", h, name, got[name], value)
			}
		}
		if there, _, err := conn.Exists("/later"); err != nil || there {
			t.Errorf("%s: /later exists %t, %v; it was written after the backup", h, there, err)
		}
	}
	b.on(t, codeOK, spec, "plan", "--detailed-exitcode")
	out, _ := b.on(t, codeOK, spec, "verify", "--format", "json", "--duration", "1s")
	if !strings.Contains(out, `"ensemble.digest"`) {
		t.Errorf("verify says nothing of digests:\n%s", out)
	}
}

func (b *backups) same(t *testing.T) {
	old := b.session(t, "zk1", "zk2", "zk3")                                         // has seen later zxids than the backup has
	stdout, stderr := b.on(t, codeOK, b.hosts, "backup", "-o", b.out, "--keep", "3") // quiet by now, so that everything is counted
	t.Logf("%s\n%s", stdout, stderr)
	if !strings.Contains(stdout, " znodes, ") || strings.Contains(stdout, "in the snapshot") {
		t.Errorf("nobody writes, and the znodes are not counted:\n%s", stdout)
	}
	b.spoil(t)
	if _, err := old.Sync("/"); err != nil {
		t.Fatal(err)
	}
	stdout, stderr = b.on(t, codeOK, b.hosts, "restore", "-i", b.archive, "--replace-data", "--auto-approve")
	t.Logf("%s\n%s", stdout, stderr)
	b.restored(t, b.hosts, "zk1", "zk2", "zk3")
	if _, _, err := old.Exists("/kept"); err != nil && !errors.Is(err, zk.ErrSessionExpired) {
		t.Errorf("a client from before the restore: %v; want it to be served", err)
	}
	for _, h := range []string{"zk1", "zk2", "zk3"} {
		out, err := b.host(t, h).Exec(t.Context(), "ls", "/var/lib/zookeeper/main", "/var/lib/zookeeper-log/main")
		if err != nil || strings.Count(out, "version-2.before-") != 2 || strings.Contains(out, "zkboot-restore") {
			t.Errorf("%s: %v, want what was there before kept aside, and nothing else left\n%s", h, err, out)
		}
	}
}

func (b *backups) host(t *testing.T, name string) *lab.Host {
	t.Helper()
	l, err := lab.Open(backupLab)
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// interrupted kills the program when the first member has the backup in its place.
func (b *backups) interrupted(t *testing.T) {
	b.spoil(t)
	cmd := exec.CommandContext(t.Context(), b.program, "restore", "-i", b.archive, "--replace-data", "--auto-approve", "-f", b.hosts)
	var stderr lockedBuffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	within(t, time.Minute, func() bool { return strings.Contains(stderr.String(), "kept what was there as") })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	within(t, time.Minute, func() bool { // agents let go when their connection does
		code, _, stderr := b.run(t, "apply", "--auto-approve", "-f", b.hosts)
		if code == codeFailed && strings.Contains(stderr, "a restore was cut off") {
			return true
		}
		if code == codeOK {
			t.Fatal("apply went on with a restore that was cut off")
		}
		return false
	})
	b.on(t, codeOK, b.hosts, "restore", "-i", b.archive, "--auto-approve")
	b.restored(t, b.hosts, "zk1", "zk2", "zk3")
}

// other puts the backup into an ensemble of one member that it was not taken of.
func (b *backups) other(t *testing.T) {
	b.on(t, codeOK, b.spare, "apply", "--auto-approve")
	b.on(t, codeOK, b.spare, "restore", "-i", b.archive, "--auto-approve")
	b.restored(t, b.spare, "zk4")
	data, _, err := b.session(t, "zk4").Get("/zookeeper/config")
	if err != nil || strings.Count(string(data), "server.") != 1 || !strings.Contains(string(data), "server.4=") {
		t.Errorf("/zookeeper/config: %v, want server 4 alone\n%s", err, data)
	}
}
