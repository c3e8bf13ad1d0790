package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
)

func (a *app) applyCommand() *cobra.Command {
	var file, mode string
	var approved bool
	cmd := &cobra.Command{
		Use:   "apply [PLAN]",
		Short: "Carry out what plan shows, and prove the result",
		Long: `apply plans, asks, carries the plan out and proves the result. With the file of an
earlier ` + "`zkboot plan -o PLAN`" + ` it carries out exactly that plan without asking again, and
refuses when a host has changed since.

Interrupt it whenever you must: the next apply goes on from what is there.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if cmd.Flags().Changed("file") {
					return errors.New("-f and PLAN exclude each other: a plan holds its spec")
				}
				return a.applyStored(cmd.Context(), mode, args[0])
			}
			if err := a.mayAsk(approved); err != nil {
				return err
			}
			return a.change(cmd.Context(), mode, file, approved, bootstrap.Intent{Verb: bootstrap.VerbConverge})
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	approveFlag(cmd, &approved)
	return cmd
}

func approveFlag(cmd *cobra.Command, approved *bool) {
	cmd.Flags().BoolVar(approved, "auto-approve", false, "do not ask")
}

// mayAsk fails, before anything is looked at, when nobody would be there to say yes.
func (a *app) mayAsk(approved bool) error {
	if approved || a.console.asks {
		return nil
	}
	return fmt.Errorf("%w, so nothing was done: give --auto-approve, or store a plan with `zkboot plan -o PLAN` and apply that", errNoTerminal)
}

// applyStored carries out a stored plan.
func (a *app) applyStored(ctx context.Context, mode, path string) error {
	plan, err := readPlan(path)
	if err != nil {
		return err
	}
	s, err := a.newSession(mode)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	s.spec, s.patience = plan.Spec, firstBoot
	if err := s.show(plan); err != nil {
		return err
	}
	return s.apply(ctx, plan)
}

// change plans for the intent, shows the plan, asks and applies.
func (a *app) change(ctx context.Context, mode, file string, approved bool, in bootstrap.Intent) error {
	s, err := a.newSpecSession(mode, file)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	if in.Verb == bootstrap.VerbConverge || in.Verb == bootstrap.VerbReplace {
		s.patience = firstBoot
	}
	plan, report := s.engine.Plan(ctx, s.spec, in)
	report.Merge(pinned(s.spec, in.Verb))
	s.out.report(report)
	if plan == nil {
		return s.end("failed", codeOf(report))
	}
	if err := s.show(plan); err != nil {
		return err
	}
	if !approved && !plan.Empty() {
		yes, err := s.ask(ctx, plan)
		if err != nil {
			return err
		}
		if !yes {
			return errors.New("not approved, nothing was changed")
		}
	}
	return s.apply(ctx, plan)
}

func (s *session) ask(ctx context.Context, p *bootstrap.Plan) (bool, error) {
	defer s.out.hold()()
	question := "apply?"
	switch p.Intent.Verb {
	case bootstrap.VerbDestroy:
		question = "destroy? " + fate(p)
	case bootstrap.VerbReplace:
		question = "replace " + strings.Join(p.Intent.Hosts, ", ") + "? what it holds is deleted, and copied from the others"
	case bootstrap.VerbRestore:
		question = "restore? every member stops, and what it holds now is kept aside"
	case bootstrap.VerbRestart, bootstrap.VerbUpgrade, bootstrap.VerbReboot:
		question = string(p.Intent.Verb) + "?"
	}
	return s.app.confirm(ctx, question)
}

// apply carries the plan out and says what stands. Where nothing is left to do, what stands
// is proven all the same: 0 means done and verified.
func (s *session) apply(ctx context.Context, p *bootstrap.Plan) error {
	defer s.sayWhenStopped(ctx, "stopping after the current step; run "+onward(p.Intent.Verb))()
	start := time.Now()
	pulsed := s.pulse(ctx, p)
	report := s.engine.Apply(ctx, p)
	pulsed(&report)
	s.out.report(report)
	if report.Failed() {
		return s.end("failed", codeOf(report))
	}
	if p.Empty() {
		return s.end("nothing to do", codeOK)
	}
	return s.conclude(ctx, p, time.Since(start))
}

// sayWhenStopped says something as soon as ctx ends, until the returned function is called.
func (s *session) sayWhenStopped(ctx context.Context, text string) func() {
	said := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(said)
		defer s.out.hold()()
		fmt.Fprintln(s.app.stderr, text)
	})
	return func() {
		if !stop() {
			<-said
		}
	}
}

// onward names the command that goes on with an interrupted plan.
func onward(v bootstrap.Verb) string {
	switch v {
	case bootstrap.VerbDestroy:
		return "destroy again to go on"
	case bootstrap.VerbRestart:
		return "roll restart again to restart all members, those that had their turn too"
	case bootstrap.VerbReplace:
		return "apply to go on"
	case bootstrap.VerbRestore:
		return "restore again with the same backup to go on"
	case bootstrap.VerbUpgrade:
		return "apply if plan shows a member that is stopped, then roll upgrade again to go on"
	case bootstrap.VerbReboot:
		return "roll reboot again when all hosts are back; without --if-required it reboots all of them"
	}
	return "apply again to go on"
}

// conclude says what stands after a plan was carried out.
func (s *session) conclude(ctx context.Context, p *bootstrap.Plan, took time.Duration) error {
	outcome := "applied"
	switch p.Intent.Verb {
	case bootstrap.VerbDestroy:
		outcome = "destroyed"
	case bootstrap.VerbRestart:
		outcome = "restarted"
	case bootstrap.VerbReplace:
		outcome = "replaced"
	case bootstrap.VerbRestore:
		outcome = "restored"
	case bootstrap.VerbUpgrade:
		outcome = "upgraded"
	case bootstrap.VerbReboot:
		outcome = "rebooted"
	}
	if s.machine() != nil {
		return s.end(outcome, codeOK)
	}
	text := fmt.Sprintf("\n%s: %s, %s in %s\n", p.Spec.Name, outcome, p.Size(), seconds(took))
	if p.Intent.Verb == bootstrap.VerbDestroy {
		text += fate(p) + "\n"
	}
	err := s.print(func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
	if err != nil || p.Intent.Verb == bootstrap.VerbDestroy || p.Spec.Ensemble == nil && len(p.Spec.Sidecars) == 0 {
		return err
	}
	open, _ := s.engine.Hosts(ctx, s.spec) // all are open: the proof has just spoken to each
	return s.print(statusOf(ctx, s.spec, s.engine.LastSeen(), open).WriteText)
}
