package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/agent"
)

// asAgent makes the test binary be the agent.
const asAgent = "ZKBOOT_TEST_AS_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// process is a running agent and its standard input and output.
type process struct {
	*exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	stderr strings.Builder
}

func (p *process) Read(b []byte) (int, error)  { return p.out.Read(b) }
func (p *process) Write(b []byte) (int, error) { return p.in.Write(b) }
func (p *process) Close() error                { return errors.Join(p.in.Close(), p.out.Close()) }

func startAgent(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	p := &process{Cmd: exec.CommandContext(ctx, "/proc/self/exe", args...)}
	p.Env = append(os.Environ(), asAgent+"=1")
	p.Stderr = &p.stderr
	var err error
	if p.in, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if p.out, err = p.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// ends waits for the exit status.
func (p *process) ends(t *testing.T, status int) {
	t.Helper()
	p.Wait()
	if got := p.ProcessState.ExitCode(); got != status {
		t.Errorf("want exit status %d, got %s; stderr: %s", status, p.ProcessState, p.stderr.String())
	}
}

func TestServesOnStandardInputAndOutput(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p := startAgent(t, "serve")
	h, err := agent.Connect(t.Context(), p, agent.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	facts, _, err := h.Look(t.Context(), "file:/proc/self/no-such-file")
	if hostname, _ := os.Hostname(); err != nil || facts.Hostname != hostname {
		t.Errorf("look: want the facts of %s, got %q, %v", hostname, facts.Hostname, err)
	}
	conn, err := h.DialContext(t.Context(), "tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	p.ends(t, 0)
}

func TestEndsWithItsInput(t *testing.T) {
	p := startAgent(t, "serve")
	if err := p.in.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(p.out)
	if line := string(b); err != nil || !strings.HasPrefix(line, fmt.Sprintf("zkagent/%d ", agent.Protocol)) || strings.Count(line, "\n") != 1 {
		t.Errorf("want nothing but the greeting, got %q, %v", line, err)
	}
	p.ends(t, 0)
}

// A broken pipe on standard output is an error and not a deadly signal.
func TestOutlivesABrokenPipe(t *testing.T) {
	p := startAgent(t, "serve")
	h, err := agent.Connect(t.Context(), p, agent.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.out.Close()
	if _, _, err := h.Look(t.Context()); !errors.Is(err, bootstrap.ErrUnreachable) {
		t.Errorf("want ErrUnreachable, got %v", err)
	}
	h.Close()
	p.ends(t, 0)
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"help"}, {"serve", "now"}} {
		p := startAgent(t, args...)
		p.ends(t, 2)
		if got := p.stderr.String(); got != usage {
			t.Errorf("%q: want the usage, got %q", args, got)
		}
	}
}

func TestVersion(t *testing.T) {
	p := startAgent(t, "version")
	b, err := io.ReadAll(p.out)
	if err != nil || !strings.HasPrefix(string(b), "zkagent ") || !strings.HasSuffix(string(b), " protocol 1\n") {
		t.Errorf("got %q, %v", b, err)
	}
	p.ends(t, 0)
}
