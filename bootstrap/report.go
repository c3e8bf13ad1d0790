package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Severity tells whether a Finding stops the work.
type Severity string

// A finding of SeverityError stops before any change; SeverityWarning does not.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Errors that callers tell apart (exit codes, Terraform diagnostics). Findings wrap
// them; use errors.Is on Report.Err.
var (
	// ErrHardware: the hardware gate refused a host; nothing was changed.
	ErrHardware = errors.New("hardware gate refused")
	// ErrLocked: another apply holds the lock of a host; wait for it or find its owner.
	ErrLocked = errors.New("locked by another apply")
	// ErrRefused: the wanted change is not safe now; the text says why and what to do first.
	ErrRefused = errors.New("refused")
	// ErrStale: a host is no longer as the plan saw it; plan again.
	ErrStale = errors.New("host changed since the plan")
	// ErrUnreachable: a host could not be asked. It says nothing about what is on it.
	ErrUnreachable = errors.New("host unreachable")
)

// OtherHostKeyError: a host has shown, and proven to have, another SSH host key than the one
// that is pinned. Nobody has logged in there.
type OtherHostKeyError struct {
	Shown string // as PublicKey has it; "" when the host has none of the kind that is pinned
	Err   error
}

// Error implements error.
func (e *OtherHostKeyError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *OtherHostKeyError) Unwrap() error { return e.Err }

// Finding is one thing to tell about the spec, a host or a step.
type Finding struct {
	Severity Severity `json:"severity"`
	Path     Path     `json:"path,omitempty"` // place in the spec
	Pos      Pos      `json:"pos,omitzero"`   // place in the file it was loaded from
	Host     string   `json:"host,omitempty"`
	Step     string   `json:"step,omitempty"`
	Text     string   `json:"text"`           // what was expected and what was seen
	Hint     string   `json:"hint,omitempty"` // what to do next
	Err      error    `json:"-"`              // cause, for errors.Is
}

// Error renders the finding on one line: place, host, step, text and hint.
func (f Finding) Error() string {
	var b strings.Builder
	if f.Pos.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: ", f.Pos.File, f.Pos.Line, f.Pos.Col)
	}
	for _, part := range []string{string(f.Path), f.Host, f.Step} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(f.Text)
	if f.Hint != "" {
		b.WriteString(" (" + f.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (f Finding) Unwrap() error { return f.Err }

// Report collects findings; the zero value is an empty report. Functions that check
// something return one and never stop at the first fault.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Add appends findings.
func (r *Report) Add(f ...Finding) { r.Findings = append(r.Findings, f...) }

// Errorf adds an error about the place p in the spec. A %w verb is kept as its cause.
func (r *Report) Errorf(p Path, format string, args ...any) {
	r.add(SeverityError, p, format, args...)
}

// Warnf adds a warning about the place p in the spec.
func (r *Report) Warnf(p Path, format string, args ...any) {
	r.add(SeverityWarning, p, format, args...)
}

func (r *Report) add(s Severity, p Path, format string, args ...any) {
	err := fmt.Errorf(format, args...)
	r.Add(Finding{Severity: s, Path: p, Text: err.Error(), Err: err})
}

// HostError adds an error that happened on a host during a step ("look", "lock",
// or a step's title).
func (r *Report) HostError(host, step string, err error) {
	var f Finding
	if errors.As(err, &f) {
		if f.Host == "" {
			f.Host = host
		}
		if f.Step == "" {
			f.Step = step
		}
		r.Add(f)
		return
	}
	text := err.Error()
	if step != "" {
		text = strings.TrimPrefix(text, step+": ") // a StepError says its step as well
	}
	r.Add(Finding{Severity: SeverityError, Host: host, Step: step, Text: text, Err: err})
}

// Merge appends the findings of other.
func (r *Report) Merge(other Report) { r.Add(other.Findings...) }

// Failed reports whether any finding is an error.
func (r Report) Failed() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == SeverityError })
}

// Err joins the errors of the report, or returns nil when it has none.
func (r Report) Err() error {
	var errs []error
	for _, f := range r.Findings {
		if f.Severity == SeverityError {
			errs = append(errs, f)
		}
	}
	return errors.Join(errs...)
}

// WriteText writes one block a finding: severity, place, text, the source line with
// a caret where the finding has one, and the next action.
func (r Report) WriteText(w io.Writer) error {
	for _, f := range r.Findings {
		head := f
		head.Hint = ""
		if _, err := fmt.Fprintf(w, "%s: %s\n", f.Severity, head.Error()); err != nil {
			return err
		}
		if f.Pos.Source != "" {
			fmt.Fprintf(w, "    %s\n    %s^\n", f.Pos.Source, blank(f.Pos.Source, f.Pos.Col-1))
		}
		if f.Hint != "" {
			fmt.Fprintf(w, "  next: %s\n", f.Hint)
		}
	}
	return nil
}

// blank returns the white space that puts a caret under column n of line; tabs stay
// tabs so that the caret lines up however wide the terminal draws them.
func blank(line string, n int) string {
	var b strings.Builder
	for i, c := range []rune(line) {
		if i >= n {
			break
		}
		if c != '\t' {
			c = ' '
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Pos is a place in a file; Line and Col count from 1, Source is the whole line.
type Pos struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Col    int    `json:"col"`
	Source string `json:"-"`
}
