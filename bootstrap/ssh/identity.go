package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Ask supplies the passphrase of the key file at path, by prompt or from the
// environment.
type Ask func(ctx context.Context, path string) (string, error)

// Keyring holds the identity files that a process has read. Each file is read
// once and its passphrase asked for at most once, however many hosts need it
// and whether or not it was right: sixty hosts must not mean sixty prompts
// (https://github.com/k0sproject/k0sctl/issues/133). Safe for concurrent use.
type Keyring struct {
	ask   Ask
	mu    sync.Mutex
	files map[string]*keyFile
	held  []*keyFile // offered to every host, before all files
}

// NewKeyring returns an empty keyring. With a nil ask, encrypted keys that are
// not in the ssh-agent are an error.
func NewKeyring(ask Ask) *Keyring {
	return &Keyring{ask: ask, files: map[string]*keyFile{}}
}

// keyFile is one identity file. signer and err are final once set.
type keyFile struct {
	path   string
	raw    []byte
	public xssh.PublicKey // known before the passphrase is; nil if only the private half tells

	// turn holds one token for whoever asks. It is not mu, so that a handshake
	// elsewhere can find the key locked while a human is still typing.
	turn chan struct{}

	mu     sync.Mutex
	signer xssh.Signer
	err    error
}

// load reads path once. A missing file is not remembered: it may yet be made.
func (k *Keyring) load(path string) (*keyFile, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f, ok := k.files[path]; ok {
		return f, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := parseKeyFile(path, raw)
	if err != nil {
		return nil, err
	}
	k.files[path] = f
	return f, nil
}

// Hold adds a private key that lies in no file. It is offered to every host, before all files.
// name stands for it in messages and where its passphrase is asked for; the error shows nothing
// of the key.
func (k *Keyring) Hold(name string, pem []byte) error {
	f, err := parseKeyFile(name, pem)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = append(k.held, f)
	return nil
}

func parseKeyFile(path string, raw []byte) (*keyFile, error) {
	f := &keyFile{path: path, raw: raw, turn: make(chan struct{}, 1)}
	signer, err := xssh.ParsePrivateKey(raw)
	var locked *xssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		f.public = locked.PublicKey
		if f.public == nil { // the older PEM format hides it; ssh-keygen left it next door
			if pub, err := os.ReadFile(path + ".pub"); err == nil {
				f.public, _, _, _, _ = xssh.ParseAuthorizedKey(pub)
			}
		}
	case err != nil:
		return nil, fmt.Errorf("%s is not a private key that can be read from a file: %w", path, err)
	default:
		f.signer, f.public = signer, signer.PublicKey()
	}
	return f, nil
}

// unlock asks for the passphrase of f unless that has been done.
func (k *Keyring) unlock(ctx context.Context, f *keyFile) error {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if signer, err := f.unlocked(); signer != nil || err != nil {
		return err
	}
	if k.ask == nil {
		return fmt.Errorf("%s has a passphrase and there is nobody to ask: add the key to ssh-agent or supply the passphrase", f.path)
	}
	phrase, err := k.ask(ctx, f.path)
	if ctx.Err() != nil { // one host's deadline must not fail the others
		return ctx.Err()
	}
	if err != nil {
		return f.settle(nil, fmt.Errorf("passphrase of %s: %w", f.path, err))
	}
	signer, err := xssh.ParsePrivateKeyWithPassphrase(f.raw, []byte(phrase))
	if err != nil {
		return f.settle(nil, fmt.Errorf("passphrase of %s is wrong", f.path))
	}
	return f.settle(signer, nil)
}

func (f *keyFile) settle(signer xssh.Signer, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signer, f.err = signer, err
	return err
}

func (f *keyFile) unlocked() (xssh.Signer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.signer, f.err
}

// publicKey is nil as long as only the locked half could tell.
func (f *keyFile) publicKey() xssh.PublicKey {
	if f.public != nil {
		return f.public
	}
	if signer, _ := f.unlocked(); signer != nil {
		return signer.PublicKey()
	}
	return nil
}

// lockedError says that the server would take the key in file, if only it were
// unlocked. The dialler then asks, outside of any handshake, and dials again:
// a human's pause must not run into sshd's LoginGraceTime.
type lockedError struct{ file *keyFile }

func (e *lockedError) Error() string { return e.file.path + " has a passphrase" }

// fileSigner signs with a file's key. While the key is locked it offers only
// the public half.
type fileSigner struct{ file *keyFile }

func (s fileSigner) PublicKey() xssh.PublicKey { return s.file.publicKey() }

func (s fileSigner) Sign(rand io.Reader, data []byte) (*xssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm makes this an xssh.AlgorithmSigner, without which RSA keys
// would sign with SHA-1.
func (s fileSigner) SignWithAlgorithm(rand io.Reader, data []byte, algo string) (*xssh.Signature, error) {
	signer, err := s.file.unlocked()
	if err != nil {
		return nil, &localError{err}
	}
	if signer == nil {
		return nil, &lockedError{s.file}
	}
	if as, ok := signer.(xssh.AlgorithmSigner); ok && algo != "" {
		return as.SignWithAlgorithm(rand, data, algo)
	}
	return signer.Sign(rand, data)
}

// localError is an authentication failure that the host has no part in, so
// that waiting for the host does not help.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// fileSigners loads the identities of r. Files that were not asked for by name
// may be missing or of a kind that cannot be read.
func (k *Keyring) fileSigners(ctx context.Context, r *route) ([]xssh.Signer, error) {
	var signers []xssh.Signer
	for _, id := range r.identities {
		f, err := k.load(id.path)
		if err == nil && f.publicKey() == nil && id.required {
			err = k.unlock(ctx, f)
		}
		switch {
		case err != nil && id.required:
			return nil, &localError{fmt.Errorf("identity file: %w", err)}
		case err != nil || f.publicKey() == nil:
			continue // not asked for by name: do not bother anybody about it
		}
		signers = append(signers, fileSigner{f})
	}
	return signers, nil
}

// heldSigners are of the keys that lie in no file; all of them were asked for.
func (k *Keyring) heldSigners(ctx context.Context) ([]xssh.Signer, error) {
	k.mu.Lock()
	held := slices.Clone(k.held)
	k.mu.Unlock()
	var signers []xssh.Signer
	for _, f := range held {
		if f.publicKey() == nil {
			if err := k.unlock(ctx, f); err != nil {
				return nil, &localError{err}
			}
		}
		signers = append(signers, fileSigner{f})
	}
	return signers, nil
}

// agentSigners lists the keys of the ssh-agent over conn.
func agentSigners(conn net.Conn) ([]xssh.Signer, error) {
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil, err
	}
	return signers, conn.SetDeadline(time.Time{}) // signing may wait for a touch
}

// orderSigners puts first the agent's keys that the identity files name, then
// its others, then the files: so the files asked for come within sshd's
// MaxAuthTries (6) although the agent holds many keys. ssh(1) does the same.
func orderSigners(agents, files []xssh.Signer, only bool) []xssh.Signer {
	var named, others, rest []xssh.Signer
	for _, s := range agents {
		if hasSigner(files, s) {
			named = append(named, s)
		} else if !only {
			others = append(others, s)
		}
	}
	for _, s := range files {
		if !hasSigner(agents, s) {
			rest = append(rest, s)
		}
	}
	return append(append(named, others...), rest...)
}

func hasSigner(list []xssh.Signer, s xssh.Signer) bool {
	want := s.PublicKey().Marshal()
	for _, o := range list {
		if bytes.Equal(o.PublicKey().Marshal(), want) {
			return true
		}
	}
	return false
}

// signers opens the agent if there is one and returns what to offer. The
// returned connection, nil without an agent, stays open for signing.
func (k *Keyring) signers(ctx context.Context, r *route) ([]xssh.Signer, net.Conn, error) {
	held, err := k.heldSigners(ctx)
	if err != nil {
		return nil, nil, err
	}
	files, err := k.fileSigners(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	var agents []xssh.Signer
	conn, err := dialAgent(ctx, r.agent)
	if err == nil && conn != nil {
		if agents, err = agentSigners(conn); err != nil {
			conn.Close()
			conn = nil
		}
	}
	if err != nil && r.agent.required {
		return nil, nil, &localError{fmt.Errorf("ssh-agent at %s: %w", r.agent.path, err)}
	}
	all := append(held, orderSigners(agents, files, r.identitiesOnly)...)
	if len(all) == 0 {
		if conn != nil {
			conn.Close()
		}
		return nil, nil, &localError{errors.New("there is no key to offer: no identity file was found and ssh-agent has none")}
	}
	return all, conn, nil
}

func dialAgent(ctx context.Context, a agentSocket) (net.Conn, error) {
	if a.path == "" {
		return nil, nil
	}
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", a.path)
}
