package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"

	"github.com/zkboot/zkboot/bootstrap"
)

const (
	// sshUnit is the unit of openssh-server on Debian and Ubuntu.
	sshUnit = "ssh.service"
	// freshKey ends the name of a pair that is not in use yet. It lies beside the one that it
	// replaces, because a rename does not leave a file system.
	freshKey = ".zkboot-new"
	// maxPublicKey bounds a .pub file in bytes; RSA keys of 16384 bits stay far below.
	maxPublicKey = 16 << 10
)

func (m *machine) lookHostKeys(ctx context.Context, g glance, s *sighting) {
	for _, name := range g.names {
		r, err := m.seeHostKey(ctx, name)
		s.one(bootstrap.NewID(bootstrap.KindHostKey, name), r, err)
	}
}

// seeHostKey makes the public half of the private one, because that is what the SSH server
// shows: the .pub file may say anything.
func (m *machine) seeHostKey(ctx context.Context, name string) (bootstrap.Resource, error) {
	f, _, err := m.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f.Close()
	public, err := m.publicHalf(ctx, name)
	if err != nil {
		return nil, err
	}
	told, err := m.read(name+".pub", maxPublicKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return bootstrap.HostKey{Path: name, Public: public, Unannounced: bootstrap.PublicKey(string(told)) != public}, nil
}

// publicHalf asks with an empty passphrase, so that ssh-keygen never asks for one: a host key
// that has one is of no use to the SSH server either.
func (m *machine) publicHalf(ctx context.Context, name string) (string, error) {
	out, err := m.keygen(ctx, "-y", "-f", m.under(name), "-P", "")
	if err != nil {
		return "", fmt.Errorf("the private key %s cannot be read: %w", name, err)
	}
	return bootstrap.PublicKey(out), nil
}

func (m *machine) keygen(ctx context.Context, args ...string) (string, error) {
	out, err := m.run(ctx, append([]string{"ssh-keygen"}, args...)...)
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%w; install openssh-client on the host", err)
	}
	return out, err
}

// putHostKey replaces a key that others may know and tells the SSH server. There is a whole
// key at Path at any moment, and the .pub file is written last: until then a look shows that
// there is something left to do, even where the agent ended in between. The server keeps its
// connections when it is reloaded, that of the agent among them.
func (m *machine) putHostKey(ctx context.Context, want bootstrap.HostKey, note func(string)) error {
	seen, err := m.seeHostKey(ctx, want.Path)
	if err != nil {
		return err
	}
	key, ok := seen.(bootstrap.HostKey)
	if ok && len(want.Drift(key)) == 0 {
		return nil
	}
	if !ok || slices.Contains(want.Replaces, key.Public) {
		note("making a new host key")
		if key.Public, err = m.replaceHostKey(ctx, want); err != nil {
			return err
		}
	}
	// To its end also when the connection is lost. A server that is started per connection is
	// not running, and reads the key when the next one comes.
	if _, err := m.finish(ctx, "systemctl", "try-reload-or-restart", "--", sshUnit); err != nil {
		return fmt.Errorf("the host key at %s is a new one, and %s may not know yet: %w", want.Path, sshUnit, m.unitFailure(ctx, sshUnit, err))
	}
	return m.write(want.Path+".pub", []byte(key.Public+"\n"), ownRights(0o644))
}

// replaceHostKey puts a new private key at its place and returns the public half.
func (m *machine) replaceHostKey(ctx context.Context, want bootstrap.HostKey) (string, error) {
	dir, base, err := m.parent(want.Path)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	fresh := want.Path + freshKey
	// What a run that was cut off has left; ssh-keygen would ask whether to overwrite it.
	if err := removePair(dir, base+freshKey); err != nil {
		return "", err
	}
	if _, err := m.keygen(ctx, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", m.under(fresh)); err != nil {
		return "", errors.Join(spaceHint(fresh, err), removePair(dir, base+freshKey))
	}
	public, err := m.publicHalf(ctx, fresh)
	if err == nil && slices.Contains(want.Replaces, public) {
		err = fmt.Errorf("ssh-keygen made %s, which is one of those to be replaced", public)
	}
	if err == nil {
		err = m.setFileRights(fresh, ownRights(0o600)) // syncs it too
	}
	if err == nil {
		err = removeIn(dir, base+freshKey+".pub")
	}
	if err != nil {
		return "", errors.Join(err, removePair(dir, base+freshKey))
	}
	if err := dir.Rename(base+freshKey, base); err != nil {
		return "", err
	}
	return public, syncRoot(dir)
}

func removePair(dir *os.Root, base string) error {
	return errors.Join(removeIn(dir, base), removeIn(dir, base+".pub"))
}

// ownRights are those of a file of the user that the agent is, which is root but in tests.
func ownRights(mode uint32) rights {
	return rights{mode: mode, owner: strconv.Itoa(os.Geteuid()), group: strconv.Itoa(os.Getegid())}
}
