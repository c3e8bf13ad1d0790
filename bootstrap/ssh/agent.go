package ssh

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// scanLimit bounds what a login shell may print before the agent speaks, and
// what the output of a helper command may hold.
const scanLimit = 64 << 10

// preamble starts the line with which the agent greets: "zkagent/1 SHA256\n",
// the hash being of its own executable.
const preamble = "zkagent/1 "

// AgentBinary is one build of the agent.
type AgentBinary struct {
	SHA256 string                 // of the executable, 64 lower-case hex digits
	Arch   string                 // GOARCH; empty: fits any host
	Bytes  func() ([]byte, error) // the executable; called only when it must be sent
	Path   string                 // on the host; AgentPath(SHA256) when empty
}

// AgentPath is where the agent with the given hash lives on a host. The
// directory belongs to root; the hash in the name makes versions coexist and
// an upload final.
func AgentPath(sha256 string) string { return "/usr/lib/zkboot/zkagent-" + sha256 }

func (a AgentBinary) check() (AgentBinary, error) {
	if raw, err := hex.DecodeString(a.SHA256); err != nil || len(raw) != 32 || strings.ToLower(a.SHA256) != a.SHA256 {
		return a, fmt.Errorf("agent hash %.80q is not 64 lower-case hex digits", a.SHA256)
	}
	if a.Path == "" {
		a.Path = AgentPath(a.SHA256)
	}
	if !strings.HasPrefix(a.Path, "/") {
		return a, fmt.Errorf("agent path %s is not absolute", a.Path)
	}
	return a, nil
}

// StartAgent runs "PATH serve" as root and returns its standard input and
// output once it has greeted. When the agent is already there this costs one
// exec; when not, or when it is damaged, it is uploaded first. Of several
// builds the first is tried first, and the host's own architecture decides
// before anything is sent.
//
// The stream ends when ctx does. Errors wrap ErrSudo, ErrSudoPassword,
// ErrDiskFull, ErrNotExecutable or ErrAgent.
func (c *Conn) StartAgent(ctx context.Context, builds ...AgentBinary) (*Stream, error) {
	if len(builds) == 0 {
		return nil, c.fail("starting the agent", errors.New("no agent to start"))
	}
	agent, err := builds[0].check()
	if err != nil {
		return nil, c.fail("starting the agent", err)
	}
	var mendable *mendableError
	stream, err := c.launch(ctx, agent)
	if !errors.As(err, &mendable) {
		return stream, err
	}
	if agent, err = c.pickBuild(ctx, builds, agent); err != nil {
		return nil, c.fail("choosing the agent for the architecture", err)
	}
	if agent.SHA256 != builds[0].SHA256 { // perhaps this one is there
		if stream, err = c.launch(ctx, agent); !errors.As(err, &mendable) {
			return stream, err
		}
	}
	if err := c.upload(ctx, agent); err != nil {
		return nil, c.fail("putting the agent on the host", err)
	}
	if stream, err = c.launch(ctx, agent); errors.As(err, &mendable) { // it is there now, so this is something else
		err = c.fail("starting the agent", &failure{kind: ErrNotExecutable, cause: mendable.cause,
			hint: "compare the host's architecture (uname -m) with the agent's"})
	}
	return stream, err
}

// mendableError is what an upload can mend: an agent that is absent or damaged.
type mendableError struct {
	what  string
	cause error
}

func (e *mendableError) Error() string { return "the agent is " + e.what + ": " + e.cause.Error() }
func (e *mendableError) Unwrap() error { return e.cause }

// pickBuild returns the build for the host's architecture. A host is asked
// only when some build says that it cares.
func (c *Conn) pickBuild(ctx context.Context, builds []AgentBinary, only AgentBinary) (AgentBinary, error) {
	if len(builds) == 1 && only.Arch == "" {
		return only, nil
	}
	out, err := c.run(ctx, false, "uname", "-m")
	if err != nil {
		return only, err
	}
	words := strings.Fields(out) // the last one: a noisy shell prints first
	machine := ""
	if len(words) > 0 {
		machine = words[len(words)-1]
	}
	arch := map[string]string{"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[machine]
	var have []string
	for _, b := range builds {
		if b.Arch == "" || b.Arch == arch {
			return b.check()
		}
		have = append(have, b.Arch)
	}
	return only, &failure{kind: ErrNotExecutable,
		cause: fmt.Errorf("the host is %.40q, agents exist for %s", machine, strings.Join(have, ", "))}
}

// launch starts the agent and waits for its preamble, once more when sudo wants the
// password that it was not given at first.
func (c *Conn) launch(ctx context.Context, a AgentBinary) (*Stream, error) {
	stream, err := c.launchOnce(ctx, a)
	if err == nil {
		return stream, nil
	}
	again, err := c.sudo.supply(ctx, err)
	if !again {
		return nil, c.fail("starting the agent", err)
	}
	return c.launchOnce(ctx, a)
}

func (c *Conn) launchOnce(ctx context.Context, a AgentBinary) (*Stream, error) {
	p, err := c.start(ctx, command{argv: []string{a.Path, "serve"}, root: true})
	if err != nil {
		return nil, c.fail("starting the agent", err)
	}
	limit := time.AfterFunc(c.target.Timeouts.Start, func() {
		p.kill(&failure{kind: ErrAgent, cause: fmt.Errorf("no preamble within %s%s", c.target.Timeouts.Start, quoteRemote(p.stderr.String()))})
	})
	r := bufio.NewReaderSize(p.stdout, 32<<10)
	sum, err := scanPreamble(r)
	limit.Stop()
	s := &Stream{p: p, r: r}
	if err == nil && sum == a.SHA256 {
		return s, nil
	}
	if err == nil {
		err = &mendableError{"damaged", fmt.Errorf("it says that its hash is %s", sum)}
	}
	s.Close()
	return nil, c.fail("starting the agent", launchError(err, a.Path))
}

// scanPreamble skips what a login shell prints and returns the hash that the
// agent greets with. The greeting need not start a line: a banner may lack its
// line end.
func scanPreamble(r *bufio.Reader) (string, error) {
	var seen []byte
	for len(seen) <= scanLimit {
		b, err := r.ReadByte()
		if err != nil {
			return "", silent(err, seen)
		}
		seen = append(seen, b)
		if b != '\n' {
			continue
		}
		line := seen[bytes.LastIndexByte(seen[:len(seen)-1], '\n')+1 : len(seen)-1]
		if i := bytes.LastIndex(line, []byte(preamble)); i >= 0 {
			sum := string(line[i+len(preamble):])
			if raw, err := hex.DecodeString(sum); err == nil && len(raw) == 32 {
				return sum, nil
			}
		}
	}
	return "", &failure{kind: ErrAgent, cause: fmt.Errorf("%d KiB of other output instead of its preamble", scanLimit>>10),
		hint: "make the login shell print less when it is not interactive"}
}

// silent explains the end of an output without preamble. What was printed
// instead is often the reason: "This account is currently not available".
func silent(err error, seen []byte) error {
	said := string(seen[max(0, len(seen)-tailLimit):])
	var exit *exitError
	switch {
	case err == io.EOF:
		// A power cut can leave an empty file, which every shell runs with success.
		return &mendableError{"damaged", &exitError{status: 0, stderr: said}}
	case errors.As(err, &exit) && exit.stderr == "":
		return &exitError{status: exit.status, cause: exit.cause, stderr: said}
	}
	return err
}

// launchError tells apart why the agent did not greet.
func launchError(err error, path string) error {
	if f := sudoFailure(err); f != nil {
		return f
	}
	var mendable *mendableError
	var exit *exitError
	if errors.As(err, &mendable) || !errors.As(err, &exit) {
		return err
	}
	says := func(text string) bool {
		for line := range strings.Lines(exit.stderr) {
			if strings.Contains(line, path) && strings.Contains(line, text) {
				return true
			}
		}
		return false
	}
	switch {
	case says("not found"), says("No such file"):
		return &mendableError{"not there", err}
	case says("Exec format error"), says("cannot execute binary file"):
		return &mendableError{"damaged", err}
	case says("ermission denied"):
		return &failure{kind: ErrNotExecutable, cause: err,
			hint: "check whether the file system of " + path + " is mounted noexec, and what SELinux or AppArmor log"}
	}
	return &failure{kind: ErrAgent, cause: err}
}

// Stream is the standard input and output of the running agent. Reads end with
// io.EOF when the agent exits with status 0, else with an error that has its
// status and the tail of its stderr. One reader and one writer at a time.
type Stream struct {
	p    *process
	r    *bufio.Reader
	once sync.Once
	err  error
}

// Read implements io.Reader. Close and the end of ctx unblock it.
func (s *Stream) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil && err != io.EOF && err != io.ErrClosedPipe {
		err = s.p.c.fail("reading from the agent", err)
	}
	return n, err
}

// Write implements io.Writer. Close and the end of ctx unblock it.
func (s *Stream) Write(b []byte) (int, error) {
	n, err := s.p.stdin.Write(b)
	if err != nil && err != io.ErrClosedPipe {
		err = s.p.c.fail("writing to the agent", err)
	}
	return n, err
}

// Stderr returns the last 4 KiB of what the agent has written to its stderr,
// without the sudo password should the host have echoed it.
func (s *Stream) Stderr() string { return s.p.stderr.String() }

// Close ends the agent: it closes its input, and after two seconds its channel;
// a host that does not confirm that loses the whole connection. No goroutine is
// left. The error says that the connection had to be cut.
func (s *Stream) Close() error {
	s.once.Do(func() { s.err = s.p.close() })
	return s.err
}

func (p *process) close() error {
	p.unwatch()
	_ = p.stdout.Close()
	_ = p.stdin.Close()
	grace := time.NewTimer(p.c.grace)
	defer grace.Stop()
	select {
	case <-p.ended:
		return nil
	case <-grace.C:
	}
	cut := make(chan struct{})
	abort := time.AfterFunc(p.c.grace, func() {
		_ = p.c.client.Close()
		close(cut)
	})
	p.kill(errors.New("closed"))
	<-p.ended
	if abort.Stop() {
		return nil
	}
	<-cut
	return p.c.fail("stopping the agent", errors.New("the host did not confirm; the connection was cut"))
}
