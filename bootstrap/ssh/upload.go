package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"
)

// upload puts the agent at its path: to a file of the user's own, verified,
// then copied and renamed by root, so that the path never holds half an agent.
func (c *Conn) upload(ctx context.Context, a AgentBinary) error {
	data, err := a.Bytes()
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != a.SHA256 {
		return fmt.Errorf("the agent at hand has hash %x, not %s: build zkboot anew", sum, a.SHA256)
	}
	temp, err := c.send(ctx, data, a.SHA256)
	if err != nil {
		return err
	}
	defer c.remove(ctx, temp, false)
	return c.install(ctx, temp, a.Path)
}

// send tries sftp and then cat, each in /tmp and then in the user's home: sftp
// may be switched off or garbled by a noisy shell, /tmp may be small, and root
// may be unable to read a home on NFS. It returns the name of the verified file.
func (c *Conn) send(ctx context.Context, data []byte, sum string) (string, error) {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails since Go 1.24
	name := ".zkagent-" + hex.EncodeToString(nonce) + ".tmp"
	var errs []error
	full := map[string]bool{}
	for _, way := range []struct {
		title string
		send  func(context.Context, string, []byte) error
	}{{"sftp", c.sendSFTP}, {"cat", c.sendCat}} {
		for _, dir := range []string{c.tmp, "."} {
			if full[dir] {
				continue
			}
			temp := path.Join(dir, name) // a relative name starts at home for both
			err := way.send(ctx, temp, data)
			if err == nil {
				err = c.verify(ctx, temp, sum)
			}
			if err == nil {
				return temp, nil
			}
			c.remove(ctx, temp, false)
			if ctx.Err() != nil || c.dead() {
				return "", err
			}
			full[dir] = errors.Is(err, ErrDiskFull)
			errs = append(errs, fmt.Errorf("by %s to %s: %w", way.title, dir, err))
			if errors.Is(err, errNoSFTP) {
				break
			}
		}
	}
	return "", errors.Join(errs...)
}

// errNoSFTP: the sftp subsystem is missing, or a shell prints into it, which
// the protocol reads as a packet of absurd length
// (https://github.com/kubesphere/kubekey/issues/1331).
var errNoSFTP = errors.New("sftp does not work on this host")

func (c *Conn) sendSFTP(ctx context.Context, name string, data []byte) error {
	sess, release, err := c.session(ctx)
	if err != nil {
		return err
	}
	defer release()
	defer sess.Close()
	in, err := sess.StdinPipe()
	if err != nil {
		return err
	}
	out, err := sess.StdoutPipe()
	if err != nil {
		return err
	}
	if err := sess.RequestSubsystem("sftp"); err != nil {
		return fmt.Errorf("%w: %w", errNoSFTP, err)
	}
	client, err := sftp.NewClientPipe(out, in, sftp.UseConcurrentWrites(true))
	if err != nil {
		return fmt.Errorf("%w: %w", errNoSFTP, err)
	}
	defer client.Close()
	err = writeSFTP(client, name, data)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func writeSFTP(client *sftp.Client, name string, data []byte) error {
	f, err := client.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return spaceError(client, name, data, err)
	}
	defer f.Close()
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	if _, err := f.ReadFrom(bytes.NewReader(data)); err != nil {
		return spaceError(client, name, data, err)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != int64(len(data)) {
		return fmt.Errorf("%d bytes arrived of %d", info.Size(), len(data))
	}
	return f.Close()
}

// spaceError finds out what sftp cannot say: version 3 of the protocol has no
// code for a full disk, OpenSSH sends the bare word "Failure".
func spaceError(client *sftp.Client, name string, data []byte, err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) || status.FxCode() != sftp.ErrSSHFxFailure {
		return err
	}
	fs, statErr := client.StatVFS(path.Dir(name))
	if statErr != nil {
		return err
	}
	// What was written counts as taken already, hence the whole length.
	if free := fs.Bavail * fs.Frsize; free < uint64(len(data)) {
		return diskFull(fmt.Errorf("%d bytes are free in %s, the agent has %d", free, path.Dir(name), len(data)))
	}
	if fs.Files > 0 && fs.Favail == 0 {
		return diskFull(fmt.Errorf("no inodes are free in %s", path.Dir(name)))
	}
	return err
}

func diskFull(cause error) error {
	return &failure{kind: ErrDiskFull, cause: cause, hint: "free some space on the host and run again"}
}

// sendCat is the one place that needs a redirection, and so a shell: the
// script is constant but for the name, which holds no character that any shell
// treats specially. noclobber makes the shell open with O_EXCL.
func (c *Conn) sendCat(ctx context.Context, name string, data []byte) error {
	if _, err := shellWords([]string{name}); err != nil {
		return err
	}
	line := "LC_ALL=C sh -c 'umask 077 && set -C && cat >" + name + "'"
	_, err := c.finish(ctx, command{line: "env " + line}, bytes.NewReader(data))
	return remoteError(err)
}

// verify compares the hash of what arrived. A host without sha256sum is left to
// the agent's own hash in its preamble.
func (c *Conn) verify(ctx context.Context, name, sum string) error {
	out, err := c.run(ctx, false, "sha256sum", name)
	var exit *exitError
	if errors.As(err, &exit) && exit.status == 127 {
		return nil
	}
	if err != nil {
		return remoteError(err)
	}
	if !strings.Contains(out, sum) {
		return errors.New("what arrived on the host has another sha256")
	}
	return nil
}

// install copies temp next to target and renames it, as root. Every command is a round
// trip and a run of sudo, so there are no more than needed.
func (c *Conn) install(ctx context.Context, temp, target string) error {
	stage := path.Join(path.Dir(target), path.Base(temp))
	for _, argv := range [][]string{
		{"install", "-D", "-o", "root", "-g", "root", "-m", "0755", temp, stage}, // -D makes the directory, as root's
		{"sync", stage}, // else a power cut after the rename leaves an empty file
		{"mv", "-f", stage, target},
	} {
		if _, err := c.run(ctx, true, argv...); err != nil {
			c.remove(ctx, stage, true)
			return fmt.Errorf("%s: %w", strings.Join(argv[:1], " "), remoteError(err))
		}
	}
	return nil
}

// remove deletes a file of ours, also after ctx has ended. Its failure is not
// the caller's: the file has a random name and nobody runs it.
func (c *Conn) remove(ctx context.Context, name string, root bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = c.run(ctx, root, "rm", "-f", name)
}

// remoteError recognises what the tools of the host complain about.
func remoteError(err error) error {
	if f := sudoFailure(err); f != nil {
		return f
	}
	var exit *exitError
	if errors.As(err, &exit) {
		switch {
		case strings.Contains(exit.stderr, "No space left on device"), strings.Contains(exit.stderr, "Disk quota exceeded"):
			return diskFull(err)
		case strings.Contains(exit.stderr, "Read-only file system"):
			return &failure{kind: ErrNotExecutable, cause: err, hint: "remount the file system writable"}
		}
	}
	return err
}
