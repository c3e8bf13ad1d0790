package ssh

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// greeting starts a test agent: it greets with the hash of its own file.
const greeting = `#!/bin/sh
sum=$(sha256sum "$0")
echo "zkagent/1 ${sum%% *}"
`

// newAgent returns an agent that does rest after its greeting, to be installed
// in a directory that does not exist yet.
func newAgent(t *testing.T, script string) AgentBinary {
	t.Helper()
	sum := sha256.Sum256([]byte(script))
	hash := hex.EncodeToString(sum[:])
	return AgentBinary{SHA256: hash, Path: filepath.Join(t.TempDir(), "zkboot", "zkagent-"+hash),
		Bytes: func() ([]byte, error) { return []byte(script), nil }}
}

// installed puts an agent in place without any upload.
func installed(t *testing.T, script string) AgentBinary {
	t.Helper()
	a := newAgent(t, script)
	must(t, os.MkdirAll(filepath.Dir(a.Path), 0o755))
	must(t, os.WriteFile(a.Path, []byte(script), 0o755))
	return a
}

// echo proves that bytes pass both ways.
func echo(t *testing.T, s *Stream) {
	t.Helper()
	msg := strings.Repeat("\x00\xff\n", 1000)
	go func() { _, _ = io.WriteString(s, msg) }()
	got := make([]byte, len(msg))
	if _, err := io.ReadFull(s, got); err != nil || string(got) != msg {
		t.Fatalf("echo: %v, %d bytes differ or are missing", err, len(msg))
	}
}

func noTemp(t *testing.T, c *Conn, h *host) {
	t.Helper()
	for _, dir := range []string{c.tmp, h.home} {
		left, err := filepath.Glob(filepath.Join(dir, ".zkagent-*"))
		must(t, err)
		if left != nil {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestStartAgentUploadsOnce(t *testing.T) {
	h := newHost(t).up()
	c := h.dial(t, h.target(), Options{})
	a := newAgent(t, greeting+"exec cat")
	s, err := c.StartAgent(t.Context(), a)
	must(t, err)
	echo(t, s)
	must(t, s.Close())
	noTemp(t, c, h)
	info, err := os.Stat(a.Path)
	must(t, err)
	if info.Mode().Perm() != 0o755 {
		t.Errorf("mode is %v", info.Mode())
	}

	before := len(h.execs.list())
	a.Bytes = func() ([]byte, error) { return nil, errors.New("sent a second time") }
	s, err = c.StartAgent(t.Context(), a)
	must(t, err)
	echo(t, s)
	must(t, s.Close())
	want := "env LC_ALL=C sudo -n -- " + a.Path + " serve"
	if got := h.execs.list()[before:]; strings.Join(got, "|") != want {
		t.Errorf("second start ran %q, want one exec of %q", got, want)
	}
}

func TestStartAgentNeedsNoSudoForRoot(t *testing.T) {
	h := newHost(t).up()
	target := h.target()
	target.User = "root"
	h.sudo("denied")
	c := h.dial(t, target, Options{})
	s, err := c.StartAgent(t.Context(), newAgent(t, greeting+"exec cat"))
	must(t, err)
	echo(t, s)
	must(t, s.Close())
}

func TestStartAgentSurvivesTheHost(t *testing.T) {
	banner := strings.Repeat("Welcome! zkagent/1 is not here.\n", 100)
	for name, set := range map[string]func(*host){
		"shell that prints a banner": func(h *host) { h.noisy = banner },
		"banner without a line end":  func(h *host) { h.noisy = "hello> " },
		"no sftp subsystem":          func(h *host) { h.noSFTP = true },
		"no sftp and a banner":       func(h *host) { h.noSFTP, h.noisy = true, banner },
		"no sha256sum for the upload": func(h *host) {
			h.tool("sha256sum", "#!/bin/sh\n[ \"${1#*zkboot}\" != \"$1\" ] || exit 127\nexec /usr/bin/sha256sum \"$@\"\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			set(h)
			h.up()
			c := h.dial(t, h.target(), Options{})
			a := newAgent(t, greeting+"exec cat")
			s, err := c.StartAgent(t.Context(), a)
			must(t, err)
			echo(t, s)
			must(t, s.Close())
			noTemp(t, c, h)
		})
	}
}

func TestStartAgentDiskFull(t *testing.T) {
	t.Run("for sftp", func(t *testing.T) {
		h := newHost(t)
		h.diskFree = 10
		h.up()
		c := h.dial(t, h.target(), Options{})
		_, err := c.StartAgent(t.Context(), newAgent(t, greeting))
		wantError(t, err, ErrDiskFull, "zk1: putting the agent on the host", "by sftp", "0 bytes are free", "next: free some space")
		noTemp(t, c, h)
	})
	t.Run("for cat", func(t *testing.T) {
		h := newHost(t)
		h.noSFTP = true
		h.tool("cat", "#!/bin/sh\n[ $# = 0 ] || exec /bin/cat \"$@\"\nhead -c 10\necho 'cat: write error: No space left on device' >&2\nexit 1\n")
		h.up()
		c := h.dial(t, h.target(), Options{})
		_, err := c.StartAgent(t.Context(), newAgent(t, greeting))
		wantError(t, err, ErrDiskFull, "by cat", "No space left on device")
		noTemp(t, c, h)
	})
	t.Run("for install", func(t *testing.T) {
		h := newHost(t)
		h.tool("install", "#!/bin/sh\nmkdir -p \"${9%/*}\"\nhead -c 10 \"$8\" >\"$9\"\necho \"install: error writing '$9': No space left on device\" >&2\nexit 1\n")
		h.up()
		c := h.dial(t, h.target(), Options{})
		a := newAgent(t, greeting)
		_, err := c.StartAgent(t.Context(), a)
		wantError(t, err, ErrDiskFull, "install: ", "No space left on device")
		noTemp(t, c, h)
		left, err := os.ReadDir(filepath.Dir(a.Path))
		must(t, err)
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestStartAgentMendsADamagedOne(t *testing.T) {
	for name, text := range map[string]string{
		"other content":       "#!/bin/sh\necho zkagent/1 " + strings.Repeat("0", 64) + "\nexec cat",
		"empty after a crash": "",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t).up()
			c := h.dial(t, h.target(), Options{})
			a := newAgent(t, greeting+"exec cat")
			must(t, os.MkdirAll(filepath.Dir(a.Path), 0o755))
			must(t, os.WriteFile(a.Path, []byte(text), 0o755))
			s, err := c.StartAgent(t.Context(), a)
			must(t, err)
			echo(t, s)
			must(t, s.Close())
		})
	}
}

func TestStartAgentRefusals(t *testing.T) {
	h := newHost(t).up()
	c := h.dial(t, h.target(), Options{})
	good := newAgent(t, greeting)

	broken := good
	broken.Bytes = func() ([]byte, error) { return []byte("something else"), nil }
	unquotable := good
	unquotable.Path = "/opt/zk boot/zkagent-x"
	relative := good
	relative.Path = "zkagent"
	unhashed := good
	unhashed.SHA256 = "abc"
	blocked := newAgent(t, greeting)
	must(t, os.MkdirAll(filepath.Dir(blocked.Path), 0o755))
	must(t, os.WriteFile(blocked.Path, nil, 0o644))

	for name, c2 := range map[string]struct {
		agent AgentBinary
		want  error
		text  string
	}{
		"not executable":   {blocked, ErrNotExecutable, "noexec"},
		"exits at once":    {newAgent(t, "#!/bin/sh\necho no such flag >&2\nexit 3"), ErrAgent, "exit status 3 (the host says: no such flag)"},
		"refuses in words": {newAgent(t, "#!/bin/sh\necho This account is not available\nexit 1"), ErrAgent, "This account is not available"},
		"prints too much":  {newAgent(t, "#!/bin/sh\nhead -c 70000 /dev/zero\nexec cat"), ErrAgent, "64 KiB of other output"},
		"still damaged":    {newAgent(t, "#!/bin/sh\necho zkagent/1 "+strings.Repeat("0", 64)), ErrNotExecutable, "architecture"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.StartAgent(t.Context(), c2.agent)
			wantError(t, err, c2.want, "zk1: starting the agent", c2.text)
		})
	}
	t.Run("never greets", func(t *testing.T) {
		target := h.target()
		target.Timeouts.Start = 200 * time.Millisecond
		_, err := h.dial(t, target, Options{}).StartAgent(t.Context(), installed(t, "#!/bin/sh\nexec sleep 30"))
		wantError(t, err, ErrAgent, "no preamble within 200ms")
	})
	for name, c2 := range map[string]struct {
		agent AgentBinary
		text  string
	}{
		"broken build":    {broken, "build zkboot anew"},
		"unquotable path": {unquotable, "cannot be sent to a shell"},
		"relative path":   {relative, "is not absolute"},
		"no hash":         {unhashed, "64 lower-case hex digits"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.StartAgent(t.Context(), c2.agent)
			var e *Error
			if !errors.As(err, &e) || e.Host != "zk1" || !strings.Contains(e.Error(), c2.text) {
				t.Fatalf("error is %v, want one of zk1 that says %q", err, c2.text)
			}
		})
	}
}

func TestStartAgentPicksTheArchitecture(t *testing.T) {
	h := newHost(t)
	h.tool("uname", "#!/bin/sh\n[ \"$*\" = -m ] && echo aarch64\n")
	h.noisy = "hello\n"
	h.up()
	c := h.dial(t, h.target(), Options{})
	amd := newAgent(t, greeting+"exec cat # amd64")
	amd.Arch, amd.Bytes = "amd64", func() ([]byte, error) { return nil, errors.New("sent to the wrong host") }
	arm := newAgent(t, greeting+"exec cat # arm64")
	arm.Arch = "arm64"
	s, err := c.StartAgent(t.Context(), amd, arm)
	must(t, err)
	echo(t, s)
	must(t, s.Close())

	_, err = c.StartAgent(t.Context(), amd)
	wantError(t, err, ErrNotExecutable, `the host is "aarch64", agents exist for amd64`)
}

func TestSudo(t *testing.T) {
	const right, wrong = "s3cret word", "not the word"
	for name, c := range map[string]struct {
		mode, password string
		want           error
		text           string
	}{
		"password accepted":       {"password", right, nil, ""},
		"password not needed":     {"nopasswd", right, nil, ""},
		"password wrong":          {"password", wrong, ErrSudoPassword, "sent once only"},
		"password missing":        {"password", "", ErrSudo, "NOPASSWD"},
		"not in sudoers":          {"denied", "", ErrSudo, "add the user to sudoers"},
		"not in sudoers, asked":   {"denied", right, ErrSudo, "add the user to sudoers"},
		"requiretty":              {"tty", "", ErrSudo, "!requiretty"},
		"password with line ends": {"password", right + "\n" + wrong, nil, "it holds a line break"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t).up()
			h.sudo(c.mode)
			target, asked := h.target(), 0
			if c.password != "" {
				target.SudoPassword = func(context.Context) (string, error) { asked++; return c.password, nil }
			}
			conn := h.dial(t, target, Options{})
			s, err := conn.StartAgent(t.Context(), newAgent(t, greeting+"echo \"got "+right+"\" >&2\nexec cat"))
			for _, line := range h.execs.list() {
				if strings.Contains(line, right) || strings.Contains(line, wrong) {
					t.Errorf("the password is in an argument: %s", line)
				}
			}
			if asked > 1 || asked > 0 && c.mode != "password" {
				t.Errorf("asked %d times for the password in mode %s", asked, c.mode)
			}
			if c.text != "" {
				if c.want != nil {
					wantError(t, err, c.want, c.text)
				}
				if err == nil || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), wrong) {
					t.Fatalf("error is %v, want one that says %q", err, c.text)
				}
				return
			}
			must(t, err)
			echo(t, s)
			eventually(t, "stderr arrives", func() bool { return strings.Contains(s.Stderr(), "got ") })
			if asked > 0 && s.Stderr() != "got [redacted]\n" {
				t.Errorf("stderr is %q", s.Stderr())
			}
			must(t, s.Close())
		})
	}
}

func TestStreamEnds(t *testing.T) {
	h := newHost(t).up()
	c := h.dial(t, h.target(), Options{})
	start := func(t *testing.T, ctx context.Context, rest string) *Stream {
		t.Helper()
		s, err := c.StartAgent(ctx, newAgent(t, greeting+rest))
		must(t, err)
		return s
	}
	t.Run("with status 0", func(t *testing.T) {
		s := start(t, t.Context(), "echo bye; exit 0")
		got, err := io.ReadAll(s)
		must(t, err)
		if string(got) != "bye\n" {
			t.Errorf("read %q", got)
		}
		must(t, s.Close())
	})
	t.Run("with another status", func(t *testing.T) {
		s := start(t, t.Context(), "echo out of order >&2; exit 7")
		_, err := io.ReadAll(s)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "exit status 7 (the host says: out of order)") {
			t.Errorf("error is %v", err)
		}
		must(t, s.Close())
		if _, err := s.Write([]byte("x")); err == nil {
			t.Error("writing after the end succeeds")
		}
	})
	t.Run("when ctx ends, although the agent ignores its input", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := start(t, ctx, "exec sleep 30")
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err := s.Read(make([]byte, 1))
		wantError(t, err, context.Canceled, "zk1: reading from the agent")
		must(t, s.Close())
	})
	t.Run("by Close under a blocked reader and a blocked writer", func(t *testing.T) {
		// A connection of its own: what the parts above left to end reads its grace too.
		c := h.dial(t, h.target(), Options{})
		c.grace = 500 * time.Millisecond
		s, err := c.StartAgent(t.Context(), newAgent(t, greeting+"exec sleep 30"))
		must(t, err)
		errs := make(chan error, 2)
		go func() { _, err := s.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := s.Write(make([]byte, 8<<20)); errs <- err }()
		must(t, s.Close())
		for range 2 {
			if err := <-errs; err == nil {
				t.Error("a blocked call succeeded")
			}
		}
	})
	t.Run("by closing the connection, although nobody reads", func(t *testing.T) {
		c := h.dial(t, h.target(), Options{})
		s, err := c.StartAgent(t.Context(), newAgent(t, greeting+"exec cat /dev/zero"))
		must(t, err)
		must(t, c.Close())
		if _, err := io.Copy(io.Discard, s); err == nil || !strings.Contains(err.Error(), "connection lost") {
			t.Errorf("error is %v", err)
		}
		// s is not closed: goleak sees that nothing of it is left all the same.
	})
	t.Run("when the connection is cut", func(t *testing.T) {
		s := start(t, t.Context(), "exec cat")
		echo(t, s)
		h.cutAll()
		_, err := s.Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), "connection lost") {
			t.Errorf("error is %v", err)
		}
		must(t, s.Close())
	})
}

func TestStderrTailIsBounded(t *testing.T) {
	h := newHost(t).up()
	c := h.dial(t, h.target(), Options{})
	s, err := c.StartAgent(t.Context(), newAgent(t, greeting+"head -c 100000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exec cat"))
	must(t, err)
	echo(t, s)
	eventually(t, "the end arrives", func() bool { return strings.HasSuffix(s.Stderr(), "the end\n") })
	if n := len(s.Stderr()); n != tailLimit {
		t.Errorf("kept %d bytes, want %d", n, tailLimit)
	}
	must(t, s.Close())
}

func TestScanPreamble(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	for in, want := range map[string]string{
		"zkagent/1 " + hash + "\nrest":                         hash,
		"motd\r\nzkagent/1 nonsense\nzkagent/1 " + hash + "\n": hash,
		"$ zkagent/1 " + hash + "\n":                           hash,
		"zkagent/2 " + hash + "\n":                             "",
		"zkagent/1 " + hash:                                    "",
		"":                                                     "",
	} {
		got, err := scanPreamble(bufio.NewReader(strings.NewReader(in)))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("scanPreamble(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestShellWords(t *testing.T) {
	for word, ok := range map[string]bool{
		"/usr/lib/zkboot/zkagent-0f": true, "-S": true, "LC_ALL=C": true, "zkboot-0f:": true,
		"": false, "a b": false, "$HOME": false, "a;b": false, "'": false, "~": false, "*": false, "a\nb": false, "=ls": false, "ä": false,
	} {
		if _, err := shellWords([]string{word}); (err == nil) != ok {
			t.Errorf("shellWords(%q): %v, want ok=%v", word, err, ok)
		}
	}
}
