package ssh

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, want error, texts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

func newPrivate(t *testing.T, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		t.Fatalf("no key of kind %s", kind)
	}
	must(t, err)
	return key
}

func newSigner(t *testing.T, kind string) xssh.Signer {
	t.Helper()
	s, err := xssh.NewSignerFromSigner(newPrivate(t, kind))
	must(t, err)
	return s
}

// newKeyFile writes a private key, encrypted when phrase is not empty.
func newKeyFile(t *testing.T, phrase string) (xssh.Signer, string) {
	t.Helper()
	key := newPrivate(t, "ed25519")
	s, err := xssh.NewSignerFromSigner(key)
	must(t, err)
	var block *pem.Block
	if phrase == "" {
		block, err = xssh.MarshalPrivateKey(key, "")
	} else {
		block, err = xssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(phrase))
	}
	must(t, err)
	path := filepath.Join(t.TempDir(), "id")
	must(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
	return s, path
}

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		}
	}
}
