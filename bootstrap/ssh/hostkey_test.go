package ssh

import (
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func knownHostsFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	must(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return path
}

func pinText(keys ...xssh.Signer) string {
	var pub []xssh.PublicKey
	for _, k := range keys {
		pub = append(pub, k.PublicKey())
	}
	return FormatPins(pub)
}

func TestHostKeyVerdicts(t *testing.T) {
	other := newSigner(t, "ed25519")
	rsaKey := newSigner(t, "rsa")
	record := func(t *testing.T, h *host, k xssh.Signer) string {
		path := filepath.Join(t.TempDir(), "ours", "hosts")
		must(t, WritePins(path, knownhosts.Normalize(h.addr), k.PublicKey()))
		return path
	}
	line := func(h *host, k xssh.Signer) string { return knownhosts.Line([]string{h.addr}, k.PublicKey()) }
	for name, c := range map[string]struct {
		keys []xssh.Signer // of the host; default one ed25519
		set  func(t *testing.T, h *host, target *Target)
		want error
		text string
	}{
		"pinned":           {set: func(t *testing.T, h *host, x *Target) { x.HostKey = pinText(h.hostKeys[0]) }},
		"one pin of two":   {set: func(t *testing.T, h *host, x *Target) { x.HostKey = pinText(other, h.hostKeys[0]) }},
		"pinned otherwise": {set: func(t *testing.T, h *host, x *Target) { x.HostKey = pinText(other) }, want: ErrHostKeyMismatch, text: "(pinned)"},
		"pin outranks known_hosts": {set: func(t *testing.T, h *host, x *Target) {
			x.HostKey, x.KnownHostsFile = pinText(other), knownHostsFile(t, line(h, h.hostKeys[0]))
		}, want: ErrHostKeyMismatch, text: "(pinned)"},
		"pinned key revoked": {set: func(t *testing.T, h *host, x *Target) {
			x.HostKey = pinText(h.hostKeys[0])
			x.KnownHostsFile = knownHostsFile(t, "@revoked * "+pinText(h.hostKeys[0]))
		}, want: ErrHostKeyRevoked, text: "@revoked"},
		"known as [ip]:port": {set: func(t *testing.T, h *host, x *Target) {
			x.KnownHostsFile = knownHostsFile(t, line(h, h.hostKeys[0]))
		}},
		"known, hashed": {set: func(t *testing.T, h *host, x *Target) {
			x.KnownHostsFile = knownHostsFile(t, knownhosts.HashHostname(knownhosts.Normalize(h.addr))+" "+pinText(h.hostKeys[0]))
		}},
		"known on another port only": {set: func(t *testing.T, h *host, x *Target) {
			x.KnownHostsFile = knownHostsFile(t, "127.0.0.1 "+pinText(h.hostKeys[0]))
		}, want: ErrHostKeyUnknown, text: "pin it as host_key"},
		"known with another key": {set: func(t *testing.T, h *host, x *Target) {
			x.KnownHostsFile = knownHostsFile(t, line(h, other))
		}, want: ErrHostKeyMismatch, text: "known_hosts:1"},
		"known with a kind of key it has not": {set: func(t *testing.T, h *host, x *Target) {
			x.KnownHostsFile = knownHostsFile(t, line(h, rsaKey))
		}, want: ErrHostKeyMismatch, text: "only keys for ssh-ed25519"},
		"known_hosts outranks the record": {set: func(t *testing.T, h *host, x *Target) {
			x.KnownHostsFile, x.AcceptNew = knownHostsFile(t, line(h, other)), record(t, h, h.hostKeys[0])
		}, want: ErrHostKeyMismatch, text: "known_hosts:1"},
		"recorded": {set: func(t *testing.T, h *host, x *Target) { x.AcceptNew = record(t, h, h.hostKeys[0]) }},
		"recorded otherwise": {set: func(t *testing.T, h *host, x *Target) { x.AcceptNew = record(t, h, other) },
			want: ErrHostKeyMismatch, text: "ours/hosts"},
		"nothing on record": {set: func(*testing.T, *host, *Target) {}, want: ErrHostKeyUnknown, text: "next: compare the fingerprint"},
		"RSA pin, host prefers others": {
			keys: []xssh.Signer{newSigner(t, "ed25519"), newSigner(t, "ecdsa"), rsaKey},
			set:  func(t *testing.T, h *host, x *Target) { x.HostKey = pinText(rsaKey) }},
		"RSA known, host prefers others": {
			keys: []xssh.Signer{newSigner(t, "ed25519"), rsaKey},
			set: func(t *testing.T, h *host, x *Target) {
				x.KnownHostsFile = knownHostsFile(t, line(h, rsaKey))
			}},
		"certificate of a known authority": {
			keys: []xssh.Signer{certify(t, newSigner(t, "ed25519"), other, "127.0.0.1")},
			set: func(t *testing.T, h *host, x *Target) {
				x.KnownHostsFile = knownHostsFile(t, "@cert-authority "+knownhosts.Normalize(h.addr)+" "+pinText(other))
			}},
		"certificate for another host": {
			keys: []xssh.Signer{certify(t, newSigner(t, "ed25519"), other, "192.0.2.1")},
			set: func(t *testing.T, h *host, x *Target) {
				x.KnownHostsFile = knownHostsFile(t, "@cert-authority "+knownhosts.Normalize(h.addr)+" "+pinText(other))
			}, want: ErrHostKeyMismatch, text: "192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			if c.keys != nil {
				h.hostKeys = c.keys
			}
			h.up()
			target := h.target()
			target.HostKey = ""
			c.set(t, h, &target)
			// A minute of patience: a verdict on a host key must not use any.
			conn, err := Dial(t.Context(), target, Options{Patience: time.Minute})
			if c.want == nil {
				must(t, err)
				must(t, conn.Close())
				return
			}
			wantError(t, err, c.want, "zk1: connecting to "+h.addr+" as deploy", c.text)
			if c.want != ErrHostKeyMismatch || !strings.Contains(c.text, "only keys") {
				wantError(t, err, c.want, describeHostKey(h.hostKeys[0]))
			}
			if n := h.conns.Load(); n != 1 {
				t.Errorf("dialled %d times", n)
			}
		})
	}
}

// describeHostKey is the fingerprint that an operator can compare.
func describeHostKey(s xssh.Signer) string { return xssh.FingerprintSHA256(s.PublicKey()) }

// certify makes a host certificate for principal, signed by authority.
func certify(t *testing.T, key, authority xssh.Signer, principal string) xssh.Signer {
	t.Helper()
	cert := &xssh.Certificate{Key: key.PublicKey(), CertType: xssh.HostCert, ValidPrincipals: []string{principal}, ValidBefore: xssh.CertTimeInfinity}
	must(t, cert.SignCert(rand.Reader, authority))
	s, err := xssh.NewCertSigner(cert, key)
	must(t, err)
	return s
}

func TestAcceptNewRecordsAfterLogin(t *testing.T) {
	h := newHost(t)
	h.refuseFirst.Store(1)
	h.up()
	target := h.target()
	target.HostKey, target.AcceptNew = "", filepath.Join(t.TempDir(), "hosts")
	_, err := Dial(t.Context(), target, Options{})
	wantError(t, err, ErrAuth)
	if pins, err := ReadPins(target.AcceptNew); err != nil || pins != nil {
		t.Fatalf("recorded %v, %v before anybody had logged in", pins, err)
	}
	var said []string
	h.dial(t, target, Options{Events: func(s string) { said = append(said, s) }})
	pins, err := ReadPins(target.AcceptNew)
	must(t, err)
	if len(pins) != 1 || pins[0].Addr != knownhosts.Normalize(h.addr) || !containsKey([]xssh.PublicKey{h.hostKeys[0].PublicKey()}, pins[0].Key) {
		t.Errorf("recorded %v", pins)
	}
	if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "recorded new host key ssh-ed25519 SHA256:") }) {
		t.Errorf("said %q", said)
	}
	h.dial(t, target, Options{})
}

func TestWritePinsReplacesOneHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	a, b, c := newSigner(t, "ed25519").PublicKey(), newSigner(t, "ecdsa").PublicKey(), newSigner(t, "rsa").PublicKey()
	one, two := PinAddr("192.0.2.1", 22), PinAddr("192.0.2.1", 2222)
	must(t, WritePins(path, one, a))
	must(t, WritePins(path, two, b))
	must(t, WritePins(path, one, b, c))
	pins, err := ReadPins(path)
	must(t, err)
	if got := describeKeys(pinnedKeys(pins, "192.0.2.1"), ""); !slices.Equal(got, describeKeys([]xssh.PublicKey{b, c}, "")) {
		t.Errorf("port 22 has %v", got)
	}
	if got := describeKeys(pinnedKeys(pins, "[192.0.2.1]:2222"), ""); !slices.Equal(got, describeKeys([]xssh.PublicKey{b}, "")) {
		t.Errorf("port 2222 has %v", got)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", info.Mode())
	}
	// What we wrote is a known_hosts file to everybody else.
	check, err := knownhosts.New(path)
	must(t, err)
	must(t, check("192.0.2.1:2222", &net.TCPAddr{}, b))

	var mismatch *HostKeyError
	if err := recordNew(path, two, a); !errors.As(err, &mismatch) || mismatch.Err != ErrHostKeyMismatch {
		t.Errorf("recording another key gives %v", err)
	}
}

func TestRecordNewLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	key := newSigner(t, "ed25519").PublicKey()
	var wg sync.WaitGroup
	for port := range 20 {
		wg.Go(func() {
			if err := recordNew(path, PinAddr("192.0.2.1", 1000+port), key); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	pins, err := ReadPins(path)
	must(t, err)
	for port := range 20 {
		if addr := PinAddr("192.0.2.1", 1000+port); pinnedKeys(pins, addr) == nil {
			t.Errorf("%s is lost", addr)
		}
	}
}

func TestParsePinsErrors(t *testing.T) {
	key := strings.TrimSpace(pinText(newSigner(t, "ed25519")))
	blob := strings.Fields(key)[1]
	cert := strings.TrimSpace(pinText(certify(t, newSigner(t, "ed25519"), newSigner(t, "ed25519"), "x")))
	for in, want := range map[string][]string{
		"\n# comment\n" + key + " root@zk1\n\n": nil,
		"ssh-ed25519":                           {"line 1: a host key is"},
		"192.0.2.1 " + key:                      {`line 1: "192.0.2.1" does not start a host key`},
		"ssh-rsa " + blob:                       {"line 1: "},
		"ssh-ed25519 AAAA\n\nrubbish":           {"line 1: ", "line 3: "},
		cert:                                    {"line 1: a certificate cannot be pinned"},
	} {
		_, err := ParsePins(in)
		if want == nil {
			must(t, err)
			continue
		}
		for _, text := range want {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("ParsePins(%.40q): %v, want %q", in, err, text)
			}
		}
	}
}

func TestReadPinsErrors(t *testing.T) {
	key := pinText(newSigner(t, "ed25519"))
	for in, text := range map[string]string{
		"192.0.2.1 " + key + "@revoked * " + key: ":2: markers",
		"|1|abc|def " + key:                      ":1: markers",
		"a,b " + key:                             ":1: markers",
		"192.0.2.1 ssh-ed25519 AAAA":             ":1: ",
		"192.0.2.1":                              ":1: a host key is",
	} {
		path := knownHostsFile(t, in)
		if _, err := ReadPins(path); err == nil || !strings.Contains(err.Error(), path+text) {
			t.Errorf("ReadPins(%.40q): %v, want %q", in, err, text)
		}
		before, err := os.ReadFile(path)
		must(t, err)
		if err := WritePins(path, "192.0.2.9"); err == nil {
			t.Errorf("WritePins rewrites a file that it does not understand: %.40q", in)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("the file changed: %v", err)
		}
	}
}

func TestScanHostKeys(t *testing.T) {
	h := newHost(t)
	h.hostKeys = []xssh.Signer{newSigner(t, "rsa"), newSigner(t, "ed25519"), newSigner(t, "ecdsa")}
	h.up()
	keys, err := ScanHostKeys(t.Context(), h.target(), Options{})
	must(t, err)
	for _, k := range h.hostKeys {
		if !containsKey(keys, k.PublicKey()) {
			t.Errorf("%s is missing in %v", describeKey(k.PublicKey()), describeKeys(keys, ""))
		}
	}
	if len(keys) != len(h.hostKeys) || h.logins.Load() != 0 {
		t.Errorf("got %v, logged in %d times", describeKeys(keys, ""), h.logins.Load())
	}
	h.down()
	_, err = ScanHostKeys(t.Context(), h.target(), Options{})
	wantError(t, err, ErrUnreachable, "zk1: ")
}

func FuzzParsePins(f *testing.F) {
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBtyWQtmhYfsNCHfSKuV4a9Pqnd8yqh5jgnsEC0uXYk2 root@zk1\n# x\n")
	f.Add("ssh-rsa AAAA\n")
	f.Fuzz(func(t *testing.T, in string) {
		keys, err := ParsePins(in)
		if err != nil {
			if keys != nil {
				t.Fatal("keys beside an error")
			}
			return
		}
		again, err := ParsePins(FormatPins(keys))
		if err != nil || FormatPins(again) != FormatPins(keys) {
			t.Fatalf("%q does not come back: %v", in, err)
		}
	})
}

func FuzzReadPins(f *testing.F) {
	f.Add("[192.0.2.1]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBtyWQtmhYfsNCHfSKuV4a9Pqnd8yqh5jgnsEC0uXYk2\n")
	f.Fuzz(func(t *testing.T, in string) {
		pins, err := parseRecord("hosts", in)
		if err != nil {
			return
		}
		again, err := parseRecord("hosts", formatRecord(pins))
		if err != nil || formatRecord(again) != formatRecord(pins) {
			t.Fatalf("%q does not come back: %v", in, err)
		}
	})
}
