package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
)

func (a *app) planCommand() *cobra.Command {
	var file, store, mode string
	var detailed bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show every step that apply would take, and change nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.newSpecSession(mode, file)
			if err != nil {
				return err
			}
			defer s.close()
			s.patience = firstBoot
			plan, report := s.engine.Plan(cmd.Context(), s.spec, bootstrap.Intent{Verb: bootstrap.VerbConverge})
			s.out.report(report)
			if plan == nil {
				return s.end("failed", codeFailed)
			}
			if err := s.show(plan); err != nil {
				return err
			}
			if store != "" {
				if err := writePlan(store, plan); err != nil {
					return err
				}
				fmt.Fprintf(a.stderr, "stored in %s: `zkboot apply %s` carries out exactly this\n", store, store)
			}
			if plan.Empty() {
				return s.end("nothing to do", codeOK)
			}
			if detailed {
				return s.end("planned", codeChanges)
			}
			return s.end("planned", codeOK)
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	cmd.Flags().StringVarP(&store, "out", "o", "", "store the plan in this file, for `zkboot apply FILE`")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are changes")
	return cmd
}

// show prints a plan, which is a result.
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
