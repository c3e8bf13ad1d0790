package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap"
)

func sourcePath(name string) string { return "/etc/apt/sources.list.d/" + name + ".sources" }
func keyPath(name string) string    { return bootstrap.AptSource{Name: name}.KeyPath() }

// maxSource bounds a source file and a key, in bytes.
const maxSource = 256 << 10

func (m *machine) lookAptSources(_ context.Context, g glance, s *sighting) {
	for _, name := range g.names {
		r, err := m.seeAptSource(name)
		s.one(bootstrap.NewID(bootstrap.KindAptSource, name), r, err)
	}
}

func (m *machine) seeAptSource(name string) (bootstrap.Resource, error) {
	src, err := m.read(sourcePath(name), maxSource)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key, err := m.read(keyPath(name), maxSource)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	seen := parseSource(string(src), keyPath(name))
	seen.Name, seen.Key = name, string(key)
	return seen, nil
}

// parseSource reads what AptSource.Deb822 writes. A file that says anything else, such as a
// second stanza, another type or another key, comes out without URIs, so that it differs
// from every wanted source.
func parseSource(src, key string) bootstrap.AptSource {
	fields := map[string][]string{}
	foreign, last := false, ""
	for line := range strings.Lines(strings.Trim(src, "\n")) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			fields[last] = append(fields[last], strings.Fields(line)...)
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		last = strings.ToLower(name)
		if _, dup := fields[last]; dup || !ok {
			foreign = true
		}
		fields[last] = strings.Fields(value)
	}
	for name, values := range fields {
		switch name {
		case "uris", "suites", "components":
		case "types":
			foreign = foreign || !slices.Equal(values, []string{"deb"})
		case "signed-by":
			foreign = foreign || !slices.Equal(values, []string{key})
		default:
			foreign = true
		}
	}
	foreign = foreign || fields["types"] == nil || fields["signed-by"] == nil
	r := bootstrap.AptSource{URIs: fields["uris"], Suites: fields["suites"], Components: fields["components"]}
	if foreign {
		r.URIs = nil
	}
	return r
}

// putAptSource writes the key before the source that needs it, then fetches the lists of
// this source alone.
func (m *machine) putAptSource(ctx context.Context, want bootstrap.AptSource, note func(string)) error {
	for _, word := range slices.Concat(want.URIs, want.Suites, want.Components) {
		if word == "" || strings.ContainsAny(word, " \t\n") {
			return fmt.Errorf("apt source %s: %q is not one word", want.Name, word)
		}
	}
	root := rights{mode: 0o644, owner: strconv.Itoa(os.Geteuid()), group: strconv.Itoa(os.Getegid())}
	if err := m.write(keyPath(want.Name), []byte(want.Key), root); err != nil {
		return err
	}
	if err := m.write(sourcePath(want.Name), []byte(want.Deb822()), root); err != nil {
		return err
	}
	if err := m.awaitAptLock(ctx, note); err != nil {
		return err
	}
	note("apt-get update: source " + want.Name)
	// Without Error-Mode=any apt reports a mirror that is down with status 0.
	_, err := m.finish(ctx, "apt-get", "update", "-q", "-o", "Dir::Etc::sourcelist="+sourcePath(want.Name),
		"-o", "Dir::Etc::sourceparts=-", "-o", "APT::Get::List-Cleanup=0", "-o", "APT::Update::Error-Mode=any")
	if err != nil {
		return aptFailure(err)
	}
	return nil
}

func (m *machine) deleteAptSource(name string) error {
	return errors.Join(m.deleteFile(sourcePath(name)), m.deleteFile(keyPath(name)))
}

// aptError is a failed run of apt, told by its cause where apt is known to say it.
type aptError struct {
	cause string // "" when not known
	err   error
}

// Error implements error.
func (e *aptError) Error() string {
	if e.cause == "" {
		return e.err.Error()
	}
	return e.cause + "\n" + e.err.Error()
}

// Unwrap returns the failed program.
func (e *aptError) Unwrap() error { return e.err }

// failedURL finds the address in "E: Failed to fetch URL  reason".
var failedURL = regexp.MustCompile(`Failed to fetch ([a-z+]+://[^/\s]+)`)

// aptFailure puts the cause of a failure before what apt said, and the next action.
func aptFailure(err error) error {
	var pe *programError
	if !errors.As(err, &pe) {
		return err
	}
	said := pe.Stdout + "\n" + pe.Stderr
	cause := ""
	switch u := failedURL.FindStringSubmatch(said); {
	case strings.Contains(said, "No space left on device") || strings.Contains(said, "enough free space"):
		cause = "the disk is full; free some space and apply again"
	case u != nil:
		cause = fmt.Sprintf("the mirror %s did not give what apt asked for; check it or the sources in /etc/apt", withoutUser(u[1]))
	case strings.Contains(said, "Unable to locate package"):
		cause = "apt does not know the package; enable the archive section that has it (universe on Ubuntu) or add an apt source"
	case strings.Contains(said, "Packages need to be removed but remove is disabled"):
		cause = "the package conflicts with one that is installed; remove that by hand"
	case strings.Contains(said, "Could not get lock"):
		cause = "another program holds the package lock; wait for it and apply again"
	}
	return &aptError{cause: cause, err: err}
}

// withoutUser takes name and password out of the address of a mirror.
func withoutUser(u string) string {
	scheme, rest, _ := strings.Cut(u, "://")
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = rest[i+1:]
	}
	return scheme + "://" + rest
}

// staleLists reports whether apt failed on a file that the mirror no longer has.
func staleLists(err error) bool {
	var pe *programError
	if !errors.As(err, &pe) {
		return false
	}
	said := pe.Stdout + pe.Stderr
	return strings.Contains(said, "404  Not Found") || strings.Contains(said, "Hash Sum mismatch") ||
		strings.Contains(said, "File has unexpected size")
}

const (
	// aptLockWait bounds the wait for another package manager; a first unattended
	// upgrade of a fresh VPS takes several minutes.
	aptLockWait = 15 * time.Minute
	aptLockPoll = 500 * time.Millisecond
)

// awaitAptLock waits until no other program holds one of the locks of apt and dpkg, and
// says who does. It is the only part of a package change that can be cancelled.
func (m *machine) awaitAptLock(ctx context.Context, note func(string)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, aptLockWait, fmt.Errorf("waited %s", aptLockWait))
	defer cancel()
	tick := time.NewTicker(aptLockPoll)
	defer tick.Stop()
	said := ""
	for {
		held, err := m.aptLockHolder()
		if err != nil || held == "" {
			return err
		}
		if held != said {
			note("waiting for the package lock held by " + held)
			said = held
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the package lock is held by %s: %w", held, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// aptLockHolder names who holds a lock of apt or dpkg, or is "".
func (m *machine) aptLockHolder() (string, error) {
	for _, p := range []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock",
		"/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock"} {
		f, err := os.Open(m.under(p))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK}
		err = unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock) // asks, takes nothing
		f.Close()
		if err != nil {
			return "", fmt.Errorf("%s: %w", p, err)
		}
		if lock.Type == unix.F_UNLCK {
			continue
		}
		return m.processName(int(lock.Pid)), nil
	}
	return "", nil
}

// processName is "NAME (pid N)". A holder in another PID namespace has no number here.
func (m *machine) processName(pid int) string {
	if pid <= 0 {
		return "a program outside of this container"
	}
	comm, err := os.ReadFile(m.under("/proc/" + strconv.Itoa(pid) + "/comm"))
	if err != nil {
		return fmt.Sprintf("pid %d", pid)
	}
	return fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(comm)), pid)
}
