package main

import (
	"crypto/ed25519"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	xssh "golang.org/x/crypto/ssh"
)

// keyServer is a host that shows its key and lets nobody in.
type keyServer struct {
	addr *net.TCPAddr
	key  atomic.Pointer[xssh.Signer]
}

func newKeyServer(t *testing.T) *keyServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &keyServer{addr: l.Addr().(*net.TCPAddr)}
	s.rebuild(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			cfg := &xssh.ServerConfig{PublicKeyCallback: func(xssh.ConnMetadata, xssh.PublicKey) (*xssh.Permissions, error) {
				return nil, fmt.Errorf("nobody gets in")
			}}
			cfg.AddHostKey(*s.key.Load())
			_, _, _, _ = xssh.NewServerConn(conn, cfg) // the client leaves as soon as it has seen the key
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return s
}

// rebuild gives the host a new key.
func (s *keyServer) rebuild(t *testing.T) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	s.key.Store(&signer)
}

func (s *keyServer) fingerprint() string { return xssh.FingerprintSHA256((*s.key.Load()).PublicKey()) }

// spec points zk1 at the server; more is put under ssh.
func (s *keyServer) spec(t *testing.T, w *world, more string) {
	t.Helper()
	text := fmt.Sprintf("name: main\nssh: {config_file: none, user: nobody, port: %d%s}\nhosts: {zk1: {address: 127.0.0.1}}\n", s.addr.Port, more)
	if err := os.WriteFile(w.path("zkboot.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestHostKeysFromFirstSightToARebuiltHost(t *testing.T) {
	w, s := newWorld(t, "zk1"), newKeyServer(t)
	s.spec(t, w, ", accept_new_file: accepted")

	w.want(codeOK, "hostkeys")
	w.says(&w.stdout, s.fingerprint()+"  not on record", "host_key: ssh-ed25519 AAAA")
	if _, err := os.Stat(w.path("accepted")); err == nil {
		t.Error("showing keys recorded them")
	}

	w.want(codeOK, "hostkeys", "--pin")
	w.says(&w.stdout, "recorded in "+w.path("accepted"))
	w.want(codeOK, "hostkeys")
	w.says(&w.stdout, s.fingerprint()+"  on record in "+w.path("accepted"))

	old := s.fingerprint()
	s.rebuild(t)
	w.want(codeFailed, "hostkeys")
	w.says(&w.stdout, s.fingerprint()+"  not on record", old+"  on record in "+w.path("accepted")+", not offered")

	w.want(codeOK, "hostkeys", "--pin", "zk1")
	w.want(codeOK, "hostkeys")
	w.says(&w.stdout, s.fingerprint()+"  on record")
}

func TestHostKeysCannotBePinnedWithoutAFile(t *testing.T) {
	w, s := newWorld(t, "zk1"), newKeyServer(t)
	s.spec(t, w, "")
	w.want(codeFailed, "hostkeys", "--pin")
	w.says(&w.stderr, "zk1: there is no file to record host keys in: set ssh.accept_new_file")
}

func TestAPinnedHostKeyComesBeforeTheRecord(t *testing.T) {
	w, s := newWorld(t, "zk1"), newKeyServer(t)
	pinned := strings.TrimSpace(string(xssh.MarshalAuthorizedKey((*s.key.Load()).PublicKey())))
	text := fmt.Sprintf("name: main\nssh: {config_file: none, user: nobody, port: %d, accept_new_file: accepted}\n"+
		"hosts: {zk1: {address: 127.0.0.1, host_key: %q}}\n", s.addr.Port, pinned)
	if err := os.WriteFile(w.path("zkboot.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	w.want(codeOK, "hostkeys")
	w.says(&w.stdout, s.fingerprint()+"  on record in host_key")
	s.rebuild(t)
	w.want(codeFailed, "hostkeys", "--pin")
	w.says(&w.stderr, "zk1: host_key comes before "+w.path("accepted")+": change the key there too")
}
