package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pkg/sftp"
	"go.uber.org/goleak"
	xssh "golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is an SSH server in this process. Commands run for real, by /bin/sh in a
// home of their own, with sudo and install replaced by scripts that need no
// root and reject what they were not told.
type host struct {
	t    *testing.T
	addr string
	home string

	hostKeys []xssh.Signer
	client   xssh.Signer // the key that authorized_keys holds
	keyFile  string      // its private half

	faults
	conns  atomic.Int32 // connections accepted
	logins atomic.Int32
	execs  lines // command lines, in order
	cfg    xssh.ServerConfig
	ln     net.Listener
	wg     sync.WaitGroup
	mu     sync.Mutex
	open   map[io.Closer]bool
}

type faults struct {
	hang        bool         // accept and say nothing
	resetFirst  atomic.Int32 // so many connections are cut after the version line
	refuseFirst atomic.Int32 // so many logins are refused
	deaf        atomic.Bool  // global requests get no answer
	noForward   bool         // AllowTcpForwarding no
	noSFTP      bool
	noisy       string // printed by the login shell
	diskFree    int64  // bytes that sftp can write; 0: plenty
}

type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(s string) { l.mu.Lock(); l.all = append(l.all, s); l.mu.Unlock() }
func (l *lines) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

// newHost prepares a host with one ed25519 host key; set faults, then call up.
func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, home: t.TempDir(), open: map[io.Closer]bool{}}
	h.hostKeys = []xssh.Signer{newSigner(t, "ed25519")}
	h.client, h.keyFile = newKeyFile(t, "")
	h.installTools()
	return h
}

func (h *host) up() *host {
	h.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(h.t, err)
	h.serve(ln)
	return h
}

func (h *host) serve(ln net.Listener) {
	h.ln, h.addr = ln, ln.Addr().String()
	h.cfg.PublicKeyCallback = func(_ xssh.ConnMetadata, key xssh.PublicKey) (*xssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), h.client.PublicKey().Marshal()) {
			return nil, errors.New("unknown key")
		}
		if h.refuseFirst.Add(-1) >= 0 {
			return nil, errors.New("authorized_keys is not written yet")
		}
		return nil, nil
	}
	for _, k := range h.hostKeys {
		h.cfg.AddHostKey(k)
	}
	h.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			h.conns.Add(1)
			h.wg.Go(func() { h.handle(c) })
		}
	})
	h.t.Cleanup(h.down)
}

func (h *host) down() {
	h.ln.Close()
	h.cutAll()
	h.wg.Wait()
}

func (h *host) cutAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.open {
		c.Close()
	}
}

func (h *host) track(c io.Closer) func() {
	h.mu.Lock()
	h.open[c] = true
	h.mu.Unlock()
	return func() { h.mu.Lock(); delete(h.open, c); h.mu.Unlock(); c.Close() }
}

func (h *host) handle(c net.Conn) {
	defer h.track(c)()
	if h.hang {
		_, _ = io.Copy(io.Discard, c)
		return
	}
	if h.resetFirst.Add(-1) >= 0 {
		_, _ = io.WriteString(c, "SSH-2.0-booting\r\n")
		_, _ = c.Read(make([]byte, 1)) // the client is in its handshake now
		_ = c.(*net.TCPConn).SetLinger(0)
		return
	}
	conn, chans, reqs, err := xssh.NewServerConn(c, &h.cfg)
	if err != nil {
		return
	}
	h.logins.Add(1)
	h.wg.Go(func() {
		for r := range reqs {
			if !h.deaf.Load() && r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
	})
	for nc := range chans {
		switch {
		case nc.ChannelType() == "session":
			h.wg.Go(func() { h.session(nc) })
		case nc.ChannelType() == "direct-tcpip" && !h.noForward:
			h.wg.Go(func() { h.forward(nc) })
		default:
			_ = nc.Reject(xssh.Prohibited, "administratively prohibited")
		}
	}
	conn.Close()
}

func (h *host) forward(nc xssh.NewChannel) {
	var to struct {
		Host     string
		Port     uint32
		From     string
		FromPort uint32
	}
	if err := xssh.Unmarshal(nc.ExtraData(), &to); err != nil {
		_ = nc.Reject(xssh.ConnectionFailed, err.Error())
		return
	}
	out, err := net.Dial("tcp", net.JoinHostPort(to.Host, fmt.Sprint(to.Port)))
	if err != nil {
		_ = nc.Reject(xssh.ConnectionFailed, "Connection refused")
		return
	}
	defer h.track(out)()
	ch, reqs, err := nc.Accept()
	if err != nil {
		return
	}
	go xssh.DiscardRequests(reqs)
	h.wg.Go(func() { _, _ = io.Copy(out, ch); out.Close() })
	_, _ = io.Copy(ch, out)
	ch.Close()
}

func (h *host) session(nc xssh.NewChannel) {
	ch, reqs, err := nc.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var done chan struct{}
	for r := range reqs {
		var arg struct{ Value string }
		_ = xssh.Unmarshal(r.Payload, &arg)
		switch {
		case r.Type == "exec" && done == nil:
			done = make(chan struct{})
			_ = r.Reply(true, nil)
			h.execs.add(arg.Value)
			h.wg.Go(func() { defer close(done); h.exec(ctx, ch, arg.Value) })
		case r.Type == "subsystem" && arg.Value == "sftp" && !h.noSFTP && done == nil:
			done = make(chan struct{})
			_ = r.Reply(true, nil)
			h.execs.add("sftp")
			h.wg.Go(func() { defer close(done); h.sftp(ch) })
		case r.Type == "signal":
			cancel()
		default:
			_ = r.Reply(false, nil)
		}
	}
	cancel()
	if done != nil {
		<-done
	}
}

func (h *host) exec(ctx context.Context, ch xssh.Channel, line string) {
	_, _ = io.WriteString(ch, h.noisy)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.Dir, cmd.Env = h.home, []string{"HOME=" + h.home, "PATH=" + h.bin() + ":/usr/bin:/bin", "FAKE=" + h.bin()}
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		h.t.Error(err)
		return
	}
	go func() { _, _ = io.Copy(in, ch); in.Close() }() // ends with the channel
	_ = cmd.Wait()
	status := cmd.ProcessState.ExitCode()
	if status < 0 {
		status = 137
	}
	_, _ = ch.SendRequest("exit-status", false, xssh.Marshal(struct{ Status uint32 }{uint32(status)}))
	ch.Close()
}

func (h *host) sftp(ch xssh.Channel) {
	_, _ = io.WriteString(ch, h.noisy)
	s := sftp.NewRequestServer(ch, sftp.Handlers{
		FileGet: nil, FilePut: &disk{h: h}, FileCmd: &disk{h: h}, FileList: &disk{h: h},
	}, sftp.WithStartDirectory(h.home))
	_ = s.Serve()
	s.Close()
	ch.Close()
}

// disk serves real files to sftp, of which it takes only so many bytes.
type disk struct{ h *host }

func (d *disk) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	if r.Pflags().Creat != r.Pflags().Excl {
		return nil, errors.New("the upload must be exclusive")
	}
	f, err := os.OpenFile(r.Filepath, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return &limitedFile{f, d.h.diskFree}, nil
}

func (d *disk) Filecmd(r *sftp.Request) error {
	if r.Method != "Setstat" || r.Attributes().FileMode() != 0o600 {
		return sftp.ErrSSHFxOpUnsupported
	}
	return os.Chmod(r.Filepath, 0o600)
}

func (d *disk) StatVFS(*sftp.Request) (*sftp.StatVFS, error) {
	return &sftp.StatVFS{Frsize: 4096, Bavail: 0, Files: 100, Favail: 50}, nil
}

func (d *disk) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := os.Stat(r.Filepath)
	return oneFile{info}, err
}

type oneFile struct{ os.FileInfo }

func (o oneFile) ListAt(to []os.FileInfo, _ int64) (int, error) {
	return copy(to, []os.FileInfo{o.FileInfo}), io.EOF
}

type limitedFile struct {
	*os.File
	limit int64
}

func (f *limitedFile) WriteAt(b []byte, off int64) (int, error) {
	if f.limit > 0 && off+int64(len(b)) > f.limit {
		return 0, sftp.ErrSSHFxFailure // all that OpenSSH says about ENOSPC
	}
	return f.File.WriteAt(b, off)
}

func (h *host) bin() string { return filepath.Join(h.home, "bin") }

// fakeSudo follows the file sudo.mode: nopasswd, password, denied or tty.
const fakeSudo = `#!/bin/sh
ask= prompt=
while [ $# -gt 0 ]; do
	case $1 in
	-n) ask=no; shift ;;
	-S) ask=stdin; shift ;;
	-p) prompt=$2; shift 2 ;;
	--) shift; break ;;
	*) echo "sudo: unexpected $1" >&2; exit 64 ;;
	esac
done
case $(cat "$FAKE/sudo.mode") in
nopasswd) ;;
password)
	[ $ask = stdin ] || { echo "sudo: a password is required" >&2; exit 1; }
	for try in 1 2 3; do
		printf %s "$prompt" >&2
		read -r word || { echo "sudo: no password was provided" >&2; exit 1; }
		[ "$word" = "s3cret word" ] && break
		[ $try = 3 ] && { echo "sudo: 3 incorrect password attempts" >&2; exit 1; }
		echo "Sorry, try again." >&2
	done ;;
denied) echo "deploy is not in the sudoers file." >&2; exit 1 ;;
tty) echo "sudo: sorry, you must have a tty to run sudo" >&2; exit 1 ;;
esac
case $1 in
install | sync | mv | rm) ;;
*/zkagent-*) [ -e "$1" ] || { echo "sudo: $1: command not found" >&2; exit 1; }
	[ -x "$1" ] || { echo "sudo: unable to execute $1: Permission denied" >&2; exit 126; } ;;
*) echo "sudo: nobody told me of $1" >&2; exit 64 ;;
esac
exec "$@"
`

// fakeInstall checks that root is asked for as owner, and does without.
const fakeInstall = `#!/bin/sh
case "$*" in
"-D -o root -g root -m 0755 "*) shift 7; mkdir -p -m 0755 "${2%/*}" && cp "$1" "$2" && exec chmod 0755 "$2" ;;
*) echo "install: nobody told me of $*" >&2; exit 64 ;;
esac
`

func (h *host) installTools() {
	must(h.t, os.Mkdir(h.bin(), 0o755))
	h.tool("sudo", fakeSudo)
	h.tool("install", fakeInstall)
	h.sudo("nopasswd")
}

func (h *host) tool(name, text string) {
	must(h.t, os.WriteFile(filepath.Join(h.bin(), name), []byte(text), 0o755))
}

func (h *host) sudo(mode string) {
	must(h.t, os.WriteFile(filepath.Join(h.bin(), "sudo.mode"), []byte(mode), 0o644))
}

// target reaches h with everything pinned and no configuration read.
func (h *host) target() Target {
	name, port, err := net.SplitHostPort(h.addr)
	must(h.t, err)
	t := Target{Name: "zk1", Address: name, User: "deploy", IdentityFiles: []string{h.keyFile},
		AgentSocket: "none", ConfigFile: "none"}
	_, err = fmt.Sscan(port, &t.Port)
	must(h.t, err)
	for _, k := range h.hostKeys {
		t.HostKey += FormatPins([]xssh.PublicKey{k.PublicKey()})
	}
	return t
}

func (h *host) dial(t *testing.T, target Target, o Options) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), target, o)
	must(t, err)
	c.tmp = t.TempDir()
	t.Cleanup(func() { c.Close() })
	return c
}
