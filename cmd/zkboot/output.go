package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
)

// The values of --output.
const (
	outputText = "text"
	outputJSON = "json"
)

func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVar(output, "output", outputText, "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]string{outputText, outputJSON}, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that does not exist
}

func checkOutput(output string) error {
	if output != outputText && output != outputJSON {
		return fmt.Errorf("--output %q: want text or json", output)
	}
	return nil
}

// output tells the operator what happens while a command works. Its methods may be called
// from any goroutine.
type output interface {
	// event shows progress.
	event(ev bootstrap.Event)
	// report shows findings.
	report(r bootstrap.Report)
	// hold keeps the terminal still, for a question, until the returned function is called.
	hold() (release func())
	// close leaves the terminal as plain lines.
	close()
}

// newOutput picks the output: JSON lines on stdout for machines, else progress on stderr,
// redrawn in place where that is a terminal.
func (a *app) newOutput(mode string) output {
	switch {
	case mode == outputJSON:
		return &jsonLines{enc: json.NewEncoder(a.stdout)}
	case a.console.draws:
		return newLive(a.stderr, a.console.width)
	}
	return &plainLines{w: a.stderr}
}

// jsonLines writes one JSON object a line. Every object has a type: event, finding, plan or
// result.
type jsonLines struct {
	mu  sync.Mutex
	enc *json.Encoder
}

type eventLine struct {
	Type    string              `json:"type"` // "event"
	Kind    bootstrap.EventKind `json:"kind"`
	Host    string              `json:"host,omitempty"`
	Step    string              `json:"step"`
	Seconds float64             `json:"seconds,omitempty"`
	Error   string              `json:"error,omitempty"`
}

type findingLine struct {
	Type string `json:"type"` // "finding"
	bootstrap.Finding
}

type planLine struct {
	Type  string          `json:"type"` // "plan"
	Empty bool            `json:"empty"`
	Hosts int             `json:"hosts"` // that change
	Steps int             `json:"steps"`
	Plan  *bootstrap.Plan `json:"plan"`
}

type resultLine struct {
	Type    string `json:"type"`    // "result"
	Outcome string `json:"outcome"` // "nothing to do", "planned", "applied", "destroyed", "restarted", "upgraded", "rebooted" or "failed"
	Code    int    `json:"code"`    // that the program exits with
}

// write puts out one object. Whoever reads stdout has gone when that fails, and the work
// goes on without a reader.
func (j *jsonLines) write(v any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = j.enc.Encode(v)
}

func (j *jsonLines) event(ev bootstrap.Event) {
	line := eventLine{Type: "event", Kind: ev.Kind, Host: ev.Host, Step: ev.Step, Seconds: ev.Took.Seconds()}
	if ev.Err != nil {
		line.Error = ev.Err.Error()
	}
	j.write(line)
}

func (j *jsonLines) report(r bootstrap.Report) {
	for _, f := range r.Findings {
		j.write(findingLine{"finding", f})
	}
}

func (j *jsonLines) hold() func() { return func() {} }
func (j *jsonLines) close()       {}

// plainLines writes a line for everything that ended and for every note.
type plainLines struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *plainLines) event(ev bootstrap.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	io.WriteString(p.w, eventText(ev))
}

func (p *plainLines) report(r bootstrap.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = r.WriteText(p.w) // stderr is gone: there is nobody left to tell
}

func (p *plainLines) hold() func() { return func() {} }
func (p *plainLines) close()       {}

// eventText is the line that stays of an event: "" for a start.
func eventText(ev bootstrap.Event) string {
	head := siteName(ev.Host) + "  " + ev.Step
	switch ev.Kind {
	case bootstrap.EventDone:
		return fmt.Sprintf("%s  done %s\n", head, seconds(ev.Took))
	case bootstrap.EventFailed:
		return fmt.Sprintf("%s  failed %s\n", head, seconds(ev.Took))
	case bootstrap.EventNote:
		return head + "\n"
	}
	return ""
}

// siteName stands for the whole site where no single host is meant.
func siteName(host string) string {
	if host == "" {
		return "site"
	}
	return host
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
