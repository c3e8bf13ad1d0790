package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// runner runs a program to its end, without a shell, and returns its standard output.
// A program that ends with another status than 0 is a *programError.
type runner func(ctx context.Context, argv ...string) (stdout string, err error)

// programError is a program that ran and failed.
type programError struct {
	Argv   []string
	Status int    // exit status; -1 when a signal ended it
	Stdout string // everything, for callers that know how the program reports
	Stderr string
}

// Error implements error with the last lines of what the program said.
func (e *programError) Error() string {
	said := lastLines(strings.TrimSpace(e.Stderr), tailLines)
	if said == "" {
		said = lastLines(strings.TrimSpace(e.Stdout), tailLines)
	}
	if said == "" {
		said = "it said nothing"
	}
	return fmt.Sprintf("%s ended with status %d: %s", programName(e.Argv), e.Status, redact(said))
}

// tailLines is how much of a program's output an error carries.
const tailLines = 12

// programName is the program and its verb, such as "apt-get install".
func programName(argv []string) string {
	for _, a := range argv[1:] {
		if !strings.HasPrefix(a, "-") && !strings.Contains(a, "::") {
			return argv[0] + " " + a
		}
	}
	return argv[0]
}

// lastLines returns at most n lines from the end of text.
func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// ended reports whether err is a program that ended with that status.
func ended(err error, status int) bool {
	var pe *programError
	return errors.As(err, &pe) && pe.Status == status
}

// finish runs a program that must not be cancelled: a package manager that is killed in
// the middle leaves the machine to be repaired by hand.
func (m *machine) finish(ctx context.Context, argv ...string) (string, error) {
	return m.run(context.WithoutCancel(ctx), argv...)
}

// runProgram is the runner of real machines. The program leads its own process group, so
// that a signal to the agent's group does not reach it, and writes into memory files: a
// pipe would kill it with SIGPIPE when the agent dies.
func runProgram(ctx context.Context, argv ...string) (string, error) {
	stdout, err := memoryFile("stdout")
	if err != nil {
		return "", err
	}
	defer stdout.Close()
	stderr, err := memoryFile("stderr")
	if err != nil {
		return "", err
	}
	defer stderr.Close()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Env = programEnv(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	runErr := cmd.Run()
	said := contents(stdout)
	var exit *exec.ExitError
	switch {
	case runErr == nil:
		return said, nil
	case ctx.Err() != nil:
		return said, fmt.Errorf("%s: %w", programName(argv), ctx.Err())
	case errors.As(runErr, &exit):
		return said, &programError{Argv: argv, Status: exit.ExitCode(), Stdout: said, Stderr: contents(stderr)}
	}
	return said, runErr // such as: executable file not found in $PATH
}

// programEnv makes programs speak English, ask nothing and restart nothing.
// NEEDRESTART_SUSPEND keeps needrestart's apt hook from restarting services, ours among
// them: https://github.com/liske/needrestart/blob/master/man/needrestart.1
func programEnv(env []string) []string {
	return append(env, "LC_ALL=C", "LANG=C", "TZ=UTC", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=",
		"DEBIAN_FRONTEND=noninteractive", "APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_SUSPEND=1",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate("zkboot-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// outputLimit bounds what is kept of a program's output; apt stays far below.
const outputLimit = 4 << 20

func contents(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, outputLimit))
	if err != nil {
		return ""
	}
	return string(b)
}
