package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// ExitError says that a program in a virtual machine failed. It is to [Host.Exec] there what
// *exec.ExitError is in a container.
type ExitError struct {
	Code   int    // exit status; -1 when a signal ended it
	Signal int    // that signal, or 0
	Stderr string // without blanks around it
}

// Error reads like that of os/exec, followed by what the program wrote to stderr.
func (e *ExitError) Error() string {
	text := fmt.Sprintf("exit status %d", e.Code)
	if e.Signal != 0 {
		text = fmt.Sprintf("signal %d", e.Signal)
	}
	if e.Stderr != "" {
		text += ": " + e.Stderr
	}
	return text
}

// guestExec and guestStatus are commands of QEMU's guest agent, which runs them as root and needs
// no network. https://www.qemu.org/docs/master/interop/qemu-ga-ref.html
type guestExec struct {
	Path    string   `json:"path"`
	Args    []string `json:"arg"`
	Capture bool     `json:"capture-output"`
}

type guestStatus struct {
	PID int `json:"pid"`
}

// guestResult is the answer to guest-exec-status. Output is cut at 16 MiB.
type guestResult struct {
	Exited       bool   `json:"exited"`
	Code         int    `json:"exitcode"`
	Signal       int    `json:"signal"`
	Out          []byte `json:"out-data"` // base64, as encoding/json reads bytes
	Err          []byte `json:"err-data"`
	OutTruncated bool   `json:"out-truncated"`
}

// ask sends one command to a guest agent and returns its answer, whole.
type ask func(ctx context.Context, command string) (string, error)

// call sends a command and reads what it returns.
func (a ask) call(ctx context.Context, name string, arguments, result any) error {
	command, err := json.Marshal(map[string]any{"execute": name, "arguments": arguments})
	if err != nil {
		return err
	}
	answer, err := a(ctx, string(command))
	if err != nil {
		return fmt.Errorf("guest agent: %s: %w", name, err)
	}
	var a2 struct {
		Return json.RawMessage `json:"return"`
	}
	if err := json.Unmarshal([]byte(answer), &a2); err != nil {
		return fmt.Errorf("guest agent: %s: %q: %w", name, answer, err)
	}
	if err := json.Unmarshal(a2.Return, result); err != nil {
		return fmt.Errorf("guest agent: %s: %q: %w", name, answer, err)
	}
	return nil
}

// agentLook is how often a program is asked for: each time is work for an emulated processor.
const agentLook = 100 * time.Millisecond

// exec runs argv to its end and returns its stdout. When ctx ends first the program goes on.
func (a ask) exec(ctx context.Context, argv []string) ([]byte, error) {
	if len(argv) == 0 {
		return nil, errors.New("no program")
	}
	var started guestStatus
	if err := a.call(ctx, "guest-exec", guestExec{Path: argv[0], Args: argv[1:], Capture: true}, &started); err != nil {
		return nil, err
	}
	var r guestResult
	if err := machine.WaitEvery(ctx, agentLook, argv[0]+" to end", func() (bool, error) {
		r = guestResult{}
		err := a.call(ctx, "guest-exec-status", started, &r)
		return r.Exited, err
	}); err != nil {
		return nil, err
	}
	switch {
	case r.Signal != 0:
		return r.Out, &ExitError{Code: -1, Signal: r.Signal, Stderr: strings.TrimSpace(string(r.Err))}
	case r.Code != 0:
		return r.Out, &ExitError{Code: r.Code, Stderr: strings.TrimSpace(string(r.Err))}
	case r.OutTruncated:
		return r.Out, errors.New("its output is longer than the guest agent keeps")
	}
	return r.Out, nil
}
