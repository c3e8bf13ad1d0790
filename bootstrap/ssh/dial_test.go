package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// patient waits at the pace of a test.
func patient(said *lines) Options {
	return Options{Patience: 20 * time.Second, Events: said.add,
		pace: pace{first: 5 * time.Millisecond, max: 20 * time.Millisecond, say: 50 * time.Millisecond}}
}

func TestDialWaitsForFirstBoot(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*host)
		says string
	}{
		"reset after the version line": {func(h *host) { h.resetFirst.Store(3) }, "host cannot be reached: ssh: handshake failed"},
		"authorized_keys comes late":   {func(h *host) { h.refuseFirst.Store(3) }, "no key is accepted"},
		"first one and then the other": {func(h *host) { h.resetFirst.Store(1); h.refuseFirst.Store(1) }, "host cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			c.set(h)
			h.up()
			var said lines
			h.dial(t, h.target(), patient(&said))
			got := strings.Join(said.list(), "\n")
			if !strings.Contains(got, "zk1: waiting for SSH at "+h.addr+", 0s of 20s: ") || !strings.Contains(got, c.says) {
				t.Errorf("said %q, want %q", got, c.says)
			}
		})
	}
	t.Run("refused until sshd starts", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		addr := ln.Addr().String()
		must(t, ln.Close())
		h := newHost(t)
		h.addr = addr
		var said lines
		o := patient(&said)
		var once sync.Once
		o.Events = func(s string) {
			said.add(s)
			once.Do(func() { // sshd comes up after the first word
				ln, err := net.Listen("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				h.serve(ln)
			})
		}
		h.dial(t, h.target(), o)
		if got := said.list(); !strings.Contains(got[0], "connection refused") {
			t.Errorf("said %q", got)
		}
	})
}

func TestDialGivesUp(t *testing.T) {
	t.Run("at once without patience", func(t *testing.T) {
		h := newHost(t)
		h.refuseFirst.Store(1)
		h.up()
		_, err := Dial(t.Context(), h.target(), Options{})
		wantError(t, err, ErrAuth, "next: check that deploy exists there")
		if n := h.conns.Load(); n != 1 {
			t.Errorf("dialled %d times", n)
		}
	})
	t.Run("when patience is used up", func(t *testing.T) {
		h := newHost(t)
		h.refuseFirst.Store(1 << 30)
		h.up()
		o := patient(&lines{})
		o.Patience = 100 * time.Millisecond
		_, err := Dial(t.Context(), h.target(), o)
		wantError(t, err, ErrAuth, "attempts in ")
	})
	t.Run("on a handshake that hangs", func(t *testing.T) {
		h := newHost(t)
		h.hang = true
		h.up()
		target := h.target()
		target.Timeouts.Handshake = 50 * time.Millisecond
		_, err := Dial(t.Context(), target, Options{})
		wantError(t, err, ErrUnreachable, "SSH handshake did not end within 50ms")
	})
	t.Run("when ctx ends in a handshake", func(t *testing.T) {
		h := newHost(t)
		h.hang = true
		h.up()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := Dial(ctx, h.target(), Options{Patience: time.Minute})
		wantError(t, err, context.DeadlineExceeded, "zk1: connecting to")
	})
	t.Run("on causes of our own", func(t *testing.T) {
		h := newHost(t).up()
		_, encrypted := newKeyFile(t, "open sesame")
		for name, c := range map[string]struct {
			set  func(*Target)
			text string
		}{
			"missing file":      {func(x *Target) { x.IdentityFiles = []string{"/nonexistent/id"} }, "/nonexistent/id"},
			"not a key":         {func(x *Target) { x.IdentityFiles = []string{knownHostsFile(t, "rubbish")} }, "is not a private key"},
			"nobody to ask":     {func(x *Target) { x.IdentityFiles = []string{encrypted}; h.client = mustSigner(t, encrypted) }, "nobody to ask"},
			"no agent there":    {func(x *Target) { x.AgentSocket = "/nonexistent/agent" }, "ssh-agent at /nonexistent/agent"},
			"no known_hosts":    {func(x *Target) { x.KnownHostsFile = "/nonexistent/known_hosts" }, "known_hosts_file"},
			"bad pin":           {func(x *Target) { x.HostKey = "rubbish" }, "host_key: line 1"},
			"no address at all": {func(x *Target) { x.Name, x.Address = "", "" }, "neither an address nor a name"},
			"bad record":        {func(x *Target) { x.AcceptNew = knownHostsFile(t, "rubbish") }, "next: mend the file"},
			"bad known_hosts":   {func(x *Target) { x.HostKey, x.KnownHostsFile = "", knownHostsFile(t, "rubbish") }, "known_hosts:1"},
		} {
			t.Run(name, func(t *testing.T) {
				target := h.target()
				c.set(&target)
				start := time.Now()
				_, err := Dial(t.Context(), target, Options{Patience: time.Minute})
				var e *Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), c.text) {
					t.Fatalf("error is %v, want one that says %q", err, c.text)
				}
				if time.Since(start) > 30*time.Second {
					t.Error("waited for something that waiting cannot mend")
				}
			})
		}
	})
}

// mustSigner reads the public half of an encrypted key, for authorized_keys.
func mustSigner(t *testing.T, path string) xssh.Signer {
	t.Helper()
	f, err := NewKeyring(nil).load(path)
	must(t, err)
	return fileSigner{f}
}

func TestPassphraseIsAskedOnce(t *testing.T) {
	for _, phrase := range []string{"open sesame", "wrong"} {
		t.Run(phrase, func(t *testing.T) {
			signer, path := newKeyFile(t, "open sesame")
			var asked atomic.Int32
			keys := NewKeyring(func(_ context.Context, p string) (string, error) {
				if p != path {
					return "", fmt.Errorf("asked for %s", p)
				}
				asked.Add(1)
				return phrase, nil
			})
			var wg sync.WaitGroup
			for range 5 {
				h := newHost(t)
				h.client, h.keyFile = signer, path
				h.up()
				wg.Go(func() {
					c, err := Dial(t.Context(), h.target(), Options{Keys: keys, Patience: time.Minute})
					if phrase == "wrong" {
						if !errors.Is(err, ErrAuth) || !strings.Contains(err.Error(), "passphrase of "+path+" is wrong") {
							t.Errorf("error is %v", err)
						}
						return
					}
					if err != nil {
						t.Error(err)
					}
					c.Close()
				})
			}
			wg.Wait()
			if asked.Load() != 1 {
				t.Errorf("asked %d times", asked.Load())
			}
		})
	}
}

func TestPassphraseIsNotAskedWithoutNeed(t *testing.T) {
	h := newHost(t).up()
	_, encrypted := newKeyFile(t, "open sesame")
	target := h.target()
	target.IdentityFiles = []string{encrypted, h.keyFile} // the host does not take the first
	h.dial(t, target, Options{Keys: NewKeyring(func(context.Context, string) (string, error) {
		t.Error("asked for the passphrase of a key that the host does not take")
		return "", errors.New("asked")
	})})
}

func TestKeyThatLiesInNoFile(t *testing.T) {
	for _, phrase := range []string{"", "open sesame"} {
		t.Run("passphrase "+phrase, func(t *testing.T) {
			h := newHost(t)
			_, other := newKeyFile(t, "")
			h.client, h.keyFile = newKeyFile(t, phrase)
			pem, err := os.ReadFile(h.keyFile)
			must(t, err)
			h.up()
			target := h.target()
			target.IdentityFiles = []string{other}
			keys := NewKeyring(func(_ context.Context, name string) (string, error) {
				if name != "secrets.private_key" {
					t.Errorf("asked for %s", name)
				}
				return phrase, nil
			})
			if _, err := Dial(t.Context(), target, Options{Keys: keys}); !errors.Is(err, ErrAuth) {
				t.Errorf("without the key: %v", err)
			}
			must(t, keys.Hold("secrets.private_key", pem))
			h.dial(t, target, Options{Keys: keys})
		})
	}
	err := NewKeyring(nil).Hold("secrets.private_key", []byte("correct horse"))
	if err == nil || !strings.Contains(err.Error(), "secrets.private_key is not a private key") || strings.Contains(err.Error(), "horse") {
		t.Errorf("what is no key: %v", err)
	}
}

// startAgent serves an ssh-agent with the key of the given file; its socket
// must be empty of connections at the end.
func startAgent(t *testing.T, path string) string {
	t.Helper()
	ring := agent.NewKeyring()
	raw, err := os.ReadFile(path)
	must(t, err)
	key, err := xssh.ParseRawPrivateKey(raw)
	must(t, err)
	must(t, ring.Add(agent.AddedKey{PrivateKey: key}))
	dir, err := os.MkdirTemp("", "zk") // t.TempDir can exceed the 104 bytes of a socket name
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	sock := filepath.Join(dir, "agent")
	ln, err := net.Listen("unix", sock)
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				if err := agent.ServeAgent(ring, c); !errors.Is(err, io.EOF) {
					t.Errorf("agent connection ended by %v", err)
				}
				c.Close()
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() }) // hangs if Dial leaks its connection
	return sock
}

func TestDialWithAgent(t *testing.T) {
	h := newHost(t).up()
	target := h.target()
	target.AgentSocket = startAgent(t, h.keyFile)
	_, unwanted := newKeyFile(t, "")
	target.IdentityFiles = []string{unwanted}
	h.dial(t, target, Options{})
}

func TestOrderSigners(t *testing.T) {
	a, b, c, d := newSigner(t, "ed25519"), newSigner(t, "ed25519"), newSigner(t, "ed25519"), newSigner(t, "ed25519")
	names := map[string]string{}
	for name, s := range map[string]xssh.Signer{"a": a, "b": b, "c": c, "d": d} {
		names[describeHostKey(s)] = name
	}
	for _, x := range []struct {
		only bool
		want string
	}{{false, "c a b d"}, {true, "c d"}} {
		var got []string
		for _, s := range orderSigners([]xssh.Signer{a, b, c}, []xssh.Signer{c, d}, x.only) {
			got = append(got, names[describeHostKey(s)])
		}
		if !slices.Equal(got, strings.Fields(x.want)) {
			t.Errorf("only=%v: %v, want %s", x.only, got, x.want)
		}
	}
}

func TestDialThroughJumpHost(t *testing.T) {
	jump := newHost(t).up()
	h := newHost(t)
	h.refuseFirst.Store(2)
	h.up()
	target, hop := h.target(), jump.target()
	hop.Name, hop.User = "bastion", "hopper"
	target.Jump = &hop
	c := h.dial(t, target, patient(&lines{}))
	if n := jump.logins.Load(); n != 1 {
		t.Errorf("logged in to the jump host %d times for one connection", n)
	}
	s, err := c.StartAgent(t.Context(), newAgent(t, greeting+"exec cat"))
	must(t, err)
	echo(t, s)
	must(t, c.Close())
	if !c.jump.dead() {
		t.Error("the jump host's connection is still open")
	}
	keys, err := ScanHostKeys(t.Context(), target, Options{})
	must(t, err)
	if !containsKey(keys, h.hostKeys[0].PublicKey()) {
		t.Errorf("scanned %v", describeKeys(keys, ""))
	}
}

func TestDialThroughJumpHostFails(t *testing.T) {
	h := newHost(t).up()
	for name, c := range map[string]struct {
		set  func(jump *host, hop, target *Target)
		want error
		text string
	}{
		"its key differs":     {func(_ *host, hop, _ *Target) { hop.HostKey = pinText(newSigner(t, "ed25519")) }, ErrHostKeyMismatch, "bastion: connecting to"},
		"it takes no key":     {func(j *host, _, _ *Target) { j.refuseFirst.Store(1 << 30) }, ErrAuth, "bastion: connecting to"},
		"target key differs":  {func(_ *host, _, x *Target) { x.HostKey = pinText(newSigner(t, "ed25519")) }, ErrHostKeyMismatch, "zk1: connecting to"},
		"forwarding disabled": {func(j *host, _, _ *Target) { j.noForward = true }, ErrUnreachable, "AllowTcpForwarding yes"},
		"target is down":      {func(_ *host, _, x *Target) { x.Port = 1 }, ErrUnreachable, "through jump host bastion"},
		"a second hop":        {func(_ *host, hop, x *Target) { second := *x; hop.Jump = &second }, nil, "only one hop"},
	} {
		t.Run(name, func(t *testing.T) {
			jump := newHost(t)
			jump.ln, _ = net.Listen("tcp", "127.0.0.1:0")
			jump.addr = jump.ln.Addr().String()
			target, hop := h.target(), jump.target()
			hop.Name = "bastion"
			target.Jump = &hop
			c.set(jump, &hop, &target)
			jump.serve(jump.ln)
			_, err := Dial(t.Context(), target, Options{})
			if c.want != nil {
				wantError(t, err, c.want, c.text)
			} else if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error is %v, want one that says %q", err, c.text)
			}
		})
	}
}

func TestKeepaliveClosesADeadConnection(t *testing.T) {
	h := newHost(t).up()
	target := h.target()
	target.Timeouts.Keepalive = 100 * time.Millisecond
	c := h.dial(t, target, Options{})
	s, err := c.StartAgent(t.Context(), newAgent(t, greeting+"exec cat"))
	must(t, err)
	echo(t, s)
	if c.dead() {
		t.Fatal("closed although the host answers")
	}
	h.deaf.Store(true)
	if _, err := s.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "connection lost") {
		t.Errorf("reading from a dead host gives %v", err)
	}
	<-c.Done()
	_, err = c.StartAgent(t.Context(), newAgent(t, greeting))
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("error is %v", err)
	}
}
