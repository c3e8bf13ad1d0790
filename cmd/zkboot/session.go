package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// session is the work of one command with one site.
type session struct {
	app      *app
	spec     *bootstrap.Spec
	engine   *bootstrap.Engine
	out      output
	log      io.Closer
	patience time.Duration // with hosts that do not answer, where the spec says nothing
}

// newSession makes an engine that shows its progress in the given mode. Whoever opens a
// session closes it.
func (a *app) newSession(mode string) (*session, error) {
	if err := checkOutput(mode); err != nil {
		return nil, err
	}
	log, closer, err := a.log()
	if err != nil {
		return nil, err
	}
	s := &session{app: a, out: a.newOutput(mode), log: closer, patience: standing}
	s.engine = &bootstrap.Engine{Roles: a.roles, Open: a.open, Log: log, Events: s.out.event, Who: who()}
	if s.engine.Open == nil {
		s.engine.Open = s.overSSH()
	}
	return s, nil
}

// newSpecSession is newSession with the spec in file, fully validated.
func (a *app) newSpecSession(mode, file string) (*session, error) {
	s, err := a.newSession(mode)
	if err != nil {
		return nil, err
	}
	if s.spec, err = s.load(file); err != nil {
		s.close(context.Background()) // no host is open yet
		return nil, err
	}
	return s, nil
}

// load reads the spec and lets every role check its part, so that all faults of a file are
// shown at once and before any host is asked.
func (s *session) load(file string) (*bootstrap.Spec, error) {
	spec, report, err := loadSpec(file)
	if err != nil {
		return nil, err
	}
	if spec != nil {
		report = s.engine.Validate(spec)
	}
	if report.Failed() {
		s.out.report(report)
		return nil, s.end("failed", codeFailed)
	}
	return spec, nil
}

// machine returns the JSON lines of --output json, nil in text mode.
func (s *session) machine() *jsonLines {
	j, _ := s.out.(*jsonLines)
	return j
}

// print writes a result to stdout, after all that was said before.
func (s *session) print(write func(io.Writer) error) error {
	defer s.out.hold()()
	return write(s.app.stdout)
}

// end puts out the last line for machines and turns the code into the command's error.
func (s *session) end(outcome string, code int) error {
	if j := s.machine(); j != nil {
		j.write(resultLine{Type: "result", Outcome: outcome, Code: code})
	}
	if code == codeOK {
		return nil
	}
	return said(code)
}

// close gives locks and connections back. The work is done by then, so that a connection
// that does not end well is worth a word and no other exit code; and no word when ctx has
// ended, because connections end with it.
func (s *session) close(ctx context.Context) {
	err := s.engine.Close()
	s.out.close()
	if ctx.Err() != nil {
		err = nil
	}
	if err = errors.Join(err, s.log.Close()); err != nil {
		fmt.Fprintf(s.app.stderr, "zkboot: closing: %v\n", err)
	}
}
