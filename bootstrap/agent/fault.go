package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/zkboot/zkboot/bootstrap"
)

// errMethod: the agent does not know what it is asked for. It is of another version:
// let zkboot put its own agent on the host.
var errMethod = errors.New("unknown method")

// causes are the errors that callers tell apart, by their code on the wire. Of several
// that an error wraps the first counts.
var causes = []struct {
	code string
	err  error
}{
	{"stale", bootstrap.ErrStale},
	{"locked", bootstrap.ErrLocked},
	{"refused", bootstrap.ErrRefused},
	{"hardware", bootstrap.ErrHardware},
	{"unreachable", bootstrap.ErrUnreachable},
	{"method", errMethod},
	{"frame", errFrame},
	{"canceled", context.Canceled},
	{"deadline", context.DeadlineExceeded},
	{"timeout", os.ErrDeadlineExceeded},
	{"connection-refused", syscall.ECONNREFUSED},
	{"host-unreachable", syscall.EHOSTUNREACH},
	{"no-space", syscall.ENOSPC},
	{"not-exist", fs.ErrNotExist},
	{"permission", fs.ErrPermission},
}

// fault is an error on the wire.
type fault struct {
	Code string `json:"code,omitempty"`
	Text string `json:"text"`
	Step *int   `json:"step,omitempty"` // index of the step that broke
}

// Error implements error.
func (f *fault) Error() string { return f.Text }

// Unwrap returns the error that the code stands for, so that errors.Is holds on both
// ends of the wire.
func (f *fault) Unwrap() error {
	for _, c := range causes {
		if c.code == f.Code {
			return c.err
		}
	}
	return nil
}

func faultOf(err error) *fault {
	f := &fault{Text: err.Error()}
	var step *bootstrap.StepError
	if errors.As(err, &step) {
		f.Step, f.Text = &step.Index, step.Err.Error()
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			f.Code = c.code
			break
		}
	}
	return f
}

// restore turns a fault of a Change back into what the Host returned.
func (f *fault) restore(steps []bootstrap.Step) error {
	if f.Step == nil || *f.Step < 0 || *f.Step >= len(steps) {
		return f
	}
	return &bootstrap.StepError{Index: *f.Step, Step: steps[*f.Step], Err: f}
}

// result is the reply that ends a call.
func result(v any, err error) reply {
	if err != nil {
		return reply{Error: faultOf(err)}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return reply{Error: faultOf(err)}
	}
	return reply{OK: b}
}
