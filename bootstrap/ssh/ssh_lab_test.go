//go:build lab

package ssh

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab"
)

// labHost is one real host: Debian's own OpenSSH, sudo and bash.
type labHost struct {
	*lab.Host
	dir string
}

func upLab(t *testing.T) *labHost {
	t.Helper()
	name, dir := fmt.Sprintf("s%d", os.Getpid()), filepath.Join(t.TempDir(), "lab")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, name, dir); err != nil {
			t.Error(err)
		}
	})
	l, err := lab.Up(t.Context(), lab.Options{Name: name, Apps: 1, Dir: dir})
	must(t, err)
	h, err := l.Host("app1")
	must(t, err)
	return &labHost{h, dir}
}

func (h *labHost) sh(t *testing.T, script string) string {
	t.Helper()
	out, err := h.Exec(t.Context(), "sh", "-euc", script)
	must(t, err)
	return out
}

// user makes an account that logs in with the lab's key, with a line of sudoers.
func (h *labHost) user(t *testing.T, name, sudoers string) Target {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(h.dir, "id_ed25519.pub"))
	must(t, err)
	h.sh(t, "useradd -m -s /bin/bash "+name+"\nmkdir -m 0700 /home/"+name+"/.ssh\necho '"+strings.TrimSpace(string(key))+
		"' >/home/"+name+"/.ssh/authorized_keys\nchown -R "+name+": /home/"+name+"/.ssh\necho '"+sudoers+"' >/etc/sudoers.d/"+name)
	return Target{Name: "app1", Address: h.Address.String(), User: name, ConfigFile: "none", AgentSocket: "none",
		IdentityFiles: []string{filepath.Join(h.dir, "id_ed25519")}, KnownHostsFile: filepath.Join(h.dir, "known_hosts")}
}

// labAgent has a hash of its own for each name, and the path that agents really have.
func labAgent(t *testing.T, name string) AgentBinary {
	a := newAgent(t, greeting+"exec cat # "+name)
	a.Path = ""
	return a
}

func startOnLab(t *testing.T, target Target, a AgentBinary) error {
	t.Helper()
	c, err := Dial(t.Context(), target, Options{Patience: time.Minute})
	must(t, err)
	defer c.Close()
	s, err := c.StartAgent(t.Context(), a)
	if err != nil {
		return err
	}
	echo(t, s)
	return s.Close()
}

func TestLab(t *testing.T) {
	h := upLab(t)
	noTempOnHost := func(t *testing.T) {
		t.Helper()
		if left := h.sh(t, "find / -xdev -name '.zkagent-*'; find /tmp /home -name '.zkagent-*'"); left != "" {
			t.Errorf("left behind: %s", left)
		}
	}
	t.Run("upload once, root-owned", func(t *testing.T) {
		target, a := h.user(t, "plain", "plain ALL=(ALL) NOPASSWD: ALL"), labAgent(t, "plain")
		must(t, startOnLab(t, target, a))
		if got := h.sh(t, "stat -c '%U:%G %a' /usr/lib/zkboot "+AgentPath(a.SHA256)); got != "root:root 755\nroot:root 755\n" {
			t.Errorf("owner and mode are %q", got)
		}
		noTempOnHost(t)
		a.Bytes = nil // would panic
		must(t, startOnLab(t, target, a))
	})
	t.Run("shell that prints a banner, also into sftp", func(t *testing.T) {
		target := h.user(t, "noisy", "noisy ALL=(ALL) NOPASSWD: ALL")
		h.sh(t, "sed -i '1i echo Welcome to this host, dear user' /home/noisy/.bashrc")
		must(t, startOnLab(t, target, labAgent(t, "noisy")))
		noTempOnHost(t)
	})
	t.Run("dash as login shell", func(t *testing.T) {
		target := h.user(t, "dash", "dash ALL=(ALL) NOPASSWD: ALL")
		h.sh(t, "usermod -s /bin/dash dash")
		must(t, startOnLab(t, target, labAgent(t, "dash")))
	})
	t.Run("sudo", func(t *testing.T) {
		ask := func(word string) func(context.Context) (string, error) {
			return func(context.Context) (string, error) { return word, nil }
		}
		target := h.user(t, "careful", "careful ALL=(ALL) ALL")
		h.sh(t, "echo 'careful:right word' | chpasswd")
		wantError(t, startOnLab(t, target, labAgent(t, "careful")), ErrSudo, "app1: starting the agent", "a password is required", "NOPASSWD")
		target.SudoPassword = ask("wrong word")
		wantError(t, startOnLab(t, target, labAgent(t, "careful")), ErrSudoPassword, "app1: starting the agent")
		target.SudoPassword = ask("right word")
		must(t, startOnLab(t, target, labAgent(t, "careful")))

		target = h.user(t, "nobody2", "# nothing for nobody2")
		h.sh(t, "echo 'nobody2:right word' | chpasswd")
		wantError(t, startOnLab(t, target, labAgent(t, "nobody2")), ErrSudo)
		target.SudoPassword = ask("right word")
		wantError(t, startOnLab(t, target, labAgent(t, "nobody2")), ErrSudo, "not in the sudoers file")

		target = h.user(t, "typist", "Defaults:typist requiretty\ntypist ALL=(ALL) NOPASSWD: ALL")
		wantError(t, startOnLab(t, target, labAgent(t, "tty")), ErrSudo, "!requiretty")
	})
	t.Run("full disk", func(t *testing.T) {
		target, a := h.user(t, "full", "full ALL=(ALL) NOPASSWD: ALL"), labAgent(t, "full")
		big := append([]byte(greeting+"exec cat\n"), bytes.Repeat([]byte("# filler\n"), 20_000)...)
		a = newAgent(t, string(big))
		a.Path = ""
		h.sh(t, "cp -a /home/full /root/full\nmount -t tmpfs -o size=64k tmpfs /home/full\ncp -a /root/full/. /home/full\nchown full: /home/full\n"+
			"mount -t tmpfs -o size=64k,mode=1777 tmpfs /tmp")
		wantError(t, startOnLab(t, target, a), ErrDiskFull, "by sftp to /tmp", "bytes are free in /tmp, the agent has")
		noTempOnHost(t)
		h.sh(t, "umount /tmp /home/full\ncp -a /root/full/. /home/full")
		must(t, startOnLab(t, target, a))
	})
	t.Run("noexec", func(t *testing.T) {
		target := h.user(t, "noexec", "noexec ALL=(ALL) NOPASSWD: ALL")
		h.sh(t, "mount -t tmpfs -o noexec tmpfs /usr/lib/zkboot")
		defer h.sh(t, "umount /usr/lib/zkboot")
		wantError(t, startOnLab(t, target, labAgent(t, "noexec")), ErrNotExecutable, "mounted noexec")
	})
	t.Run("no sftp subsystem", func(t *testing.T) {
		target := h.user(t, "nosftp", "nosftp ALL=(ALL) NOPASSWD: ALL")
		h.sh(t, "sed -i '/^Subsystem/d' /etc/ssh/sshd_config\nsystemctl reload ssh || kill -HUP $(pgrep -o -x sshd)")
		must(t, startOnLab(t, target, labAgent(t, "nosftp")))
		noTempOnHost(t)
	})
	t.Run("host keys", func(t *testing.T) {
		target := h.user(t, "keys", "keys ALL=(ALL) NOPASSWD: ALL")
		keys, err := ScanHostKeys(t.Context(), target, Options{})
		must(t, err)
		pins, err := ParsePins(h.HostKey)
		must(t, err)
		if !containsKey(keys, pins[0]) {
			t.Errorf("scanned %v", describeKeys(keys, ""))
		}
		target.KnownHostsFile, target.HostKey = "", pinText(newSigner(t, "ed25519"))
		_, err = Dial(t.Context(), target, Options{Patience: time.Minute})
		wantError(t, err, ErrHostKeyMismatch)
	})
	t.Run("reboot under a stream, patience after it", func(t *testing.T) {
		target, a := h.user(t, "boot", "boot ALL=(ALL) NOPASSWD: ALL"), labAgent(t, "boot")
		target.Timeouts.Keepalive = 200 * time.Millisecond
		c, err := Dial(t.Context(), target, Options{})
		must(t, err)
		defer c.Close()
		s, err := c.StartAgent(t.Context(), a)
		must(t, err)
		echo(t, s)
		must(t, h.PowerCut(t.Context()))
		if _, err := s.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "connection lost") {
			t.Errorf("error is %v", err)
		}
		must(t, s.Close())
		started := make(chan error, 1)
		go func() { started <- h.Start(t.Context()) }()
		must(t, startOnLab(t, target, a))
		must(t, <-started)
	})
}
