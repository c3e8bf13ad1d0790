package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ServeStdio offers this machine on standard input and output, as Serve does. The
// caller writes nothing to standard output. It is what the agent runs, and what a
// zkboot that has no agent embedded runs in its place.
func ServeStdio(ctx context.Context) error {
	sum, err := ownHash()
	if err != nil {
		return err
	}
	rw, err := openStdio()
	if err != nil {
		return err
	}
	host := Local(Options{})
	err = Serve(ctx, rw, host, ServeOptions{SHA256: sum})
	if host.emptied {
		err = errors.Join(err, removeAgents())
	}
	return err
}

// agentDir is where bootstrap/ssh puts agents; see its AgentPath.
const agentDir = "/usr/lib/zkboot"

// removeAgents takes every version of the agent from a host that nothing of ours is left
// on, when it is one of them that runs. A running file can be removed.
func removeAgents() error {
	exe, err := os.Executable()
	if err != nil || filepath.Dir(exe) != agentDir {
		return err
	}
	agents, err := filepath.Glob(filepath.Join(agentDir, "zkagent-*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range agents {
		errs = append(errs, os.Remove(a))
	}
	return errors.Join(append(errs, os.Remove(agentDir))...)
}

// ownHash is the sha256 of the running executable in hex; /proc names it also when
// its file has been replaced since.
func ownHash() (string, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("own hash: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("own hash: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// stdio joins standard input and output.
type stdio struct{ in, out *os.File }

// openStdio duplicates the two. A broken pipe on descriptor 1 would kill the process
// (see os/signal, SIGPIPE), in the middle of a step; on any other it is an error. And
// non-blocking files are left by a Close that comes while they are read.
func openStdio() (*stdio, error) {
	in, err := duplicate(unix.Stdin, "stdin")
	if err != nil {
		return nil, err
	}
	out, err := duplicate(unix.Stdout, "stdout")
	if err != nil {
		in.Close()
		return nil, err
	}
	return &stdio{in: in, out: out}, nil
}

func duplicate(fd int, name string) (*os.File, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := unix.SetNonblock(dup, true); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), unix.Close(dup))
	}
	return os.NewFile(uintptr(dup), name), nil
}

// Read implements io.Reader.
func (s *stdio) Read(p []byte) (int, error) { return s.in.Read(p) }

// Write implements io.Writer.
func (s *stdio) Write(p []byte) (int, error) { return s.out.Write(p) }

// Close implements io.Closer.
func (s *stdio) Close() error { return errors.Join(s.in.Close(), s.out.Close()) }
