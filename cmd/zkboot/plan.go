package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
)

// planOptions are the flags of plan.
type planOptions struct {
	file     string
	mode     string // --output
	store    string // -o
	detailed bool   // --detailed-exitcode
}

func (a *app) planCommand() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show every step that apply would take, and change nothing",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.plan(cmd.Context(), o) },
	}
	fileFlag(cmd, &o.file)
	outputFlag(cmd, &o.mode)
	cmd.Flags().StringVarP(&o.store, "out", "o", "", "store the plan in this file, for `zkboot apply FILE`")
	cmd.Flags().BoolVar(&o.detailed, "detailed-exitcode", false, "exit with 2 when there are changes")
	return cmd
}

// plan fails with 1 also where the hardware gate refuses: 3 is for an apply that was turned
// back, and nobody asked for one.
func (a *app) plan(ctx context.Context, o planOptions) error {
	s, err := a.newSpecSession(o.mode, o.file)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	s.patience, s.engine.LookOnly = firstBoot, true
	plan, report := s.engine.Plan(ctx, s.spec, bootstrap.Intent{Verb: bootstrap.VerbConverge})
	s.out.report(report)
	if plan == nil {
		return s.end("failed", codeFailed)
	}
	if err := s.show(plan); err != nil {
		return err
	}
	if o.store != "" {
		if err := writePlan(o.store, plan); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "stored in %s: `zkboot apply %s` carries out exactly this\n", o.store, o.store)
	}
	switch {
	case plan.Empty():
		return s.end("nothing to do", codeOK)
	case o.detailed:
		return s.end("planned", codeChanges)
	}
	return s.end("planned", codeOK)
}

// show prints a plan. It is a result: what is shown here is what is applied.
func (s *session) show(p *bootstrap.Plan) error {
	if j := s.machine(); j != nil {
		hosts, steps := p.Counts()
		j.write(planLine{Type: "plan", Empty: p.Empty(), Hosts: hosts, Steps: steps, Plan: p})
		return nil
	}
	return s.print(func(w io.Writer) error {
		_, err := io.WriteString(w, p.String())
		return err
	})
}
