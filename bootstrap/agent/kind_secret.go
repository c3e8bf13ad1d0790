package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap"
)

// maxSecret bounds the bytes of a Secret. Everything of ours has 32.
const maxSecret = 1024

func (m *machine) lookSecrets(_ context.Context, g glance, s *sighting) {
	for _, name := range g.names {
		r, err := m.seeSecret(name)
		s.one(bootstrap.NewID(bootstrap.KindSecret, name), r, err)
	}
}

// seeSecret tells how many bytes a secret has; one that is not hex, such as one cut
// short by a full disk, has 0.
func (m *machine) seeSecret(name string) (bootstrap.Resource, error) {
	f, info, err := m.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 2*maxSecret+2))
	if err != nil {
		return nil, err
	}
	r := m.rightsOf(info)
	seen := bootstrap.Secret{Path: name, Mode: r.mode, Owner: r.owner, Group: r.group}
	if b, err := hex.DecodeString(strings.TrimSpace(string(text))); err == nil {
		seen.Bytes = len(b)
	}
	return seen, nil
}

// putSecret makes a secret, once: one of the right length is never made anew, whatever
// else is to be changed about it.
func (m *machine) putSecret(want bootstrap.Secret) error {
	if want.Bytes < 16 || want.Bytes > maxSecret {
		return fmt.Errorf("secret of %d bytes, want 16 to %d", want.Bytes, maxSecret)
	}
	r := rights{mode: want.Mode, owner: want.Owner, group: want.Group}
	seen, err := m.seeSecret(want.Path)
	if err != nil {
		return err
	}
	if s, ok := seen.(bootstrap.Secret); ok && s.Bytes == want.Bytes {
		return m.setFileRights(want.Path, r)
	}
	b := make([]byte, want.Bytes)
	if _, err := rand.Read(b); err != nil {
		return err
	}
	return m.write(want.Path, []byte(hex.EncodeToString(b)+"\n"), r)
}

// setFileRights changes the rights of the regular file p in place.
func (m *machine) setFileRights(p string, r rights) error {
	uid, gid, err := m.ids(r)
	if err != nil {
		return err
	}
	f, _, err := m.open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := setRights(f, uid, gid, r.mode); err != nil {
		return err
	}
	return f.Sync()
}

// readSecret returns the text of the secret at p.
func (m *machine) readSecret(p string) (string, error) {
	b, err := m.read(p, 2*maxSecret+2)
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", fmt.Errorf("secret %s is empty; delete it and apply again", p)
	}
	return text, nil
}

// writable reports whether the agent may write to a file below /proc or /sys, without
// writing: the permission bits bind root there too, and access(2) knows of read-only
// mounts and user namespaces.
func (m *machine) writable(p string, info fs.FileInfo) bool {
	return info.Mode().Perm()&0o200 != 0 && unix.Access(m.under(p), unix.W_OK) == nil
}
