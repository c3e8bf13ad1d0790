package main

import (
	"errors"
	"fmt"

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
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			s, err := a.newSpecSession(mode, file)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.close()) }()
			s.patience = firstBoot
			plan, report := s.engine.Plan(cmd.Context(), s.spec, bootstrap.Intent{Verb: bootstrap.VerbConverge})
			s.out.report(report)
			if plan == nil {
				return said(codeFailed)
			}
			s.show(plan)
			if store != "" {
				if err := writePlan(store, plan); err != nil {
					return err
				}
				fmt.Fprintf(a.stderr, "stored in %s: `zkboot apply %s` carries out exactly this\n", store, store)
			}
			if detailed && !plan.Empty() {
				return said(codeChanges)
			}
			return nil
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	cmd.Flags().StringVarP(&store, "out", "o", "", "store the plan in this file, for `zkboot apply FILE`")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are changes")
	return cmd
}

// show prints a plan, which is a result.
func (s *session) show(p *bootstrap.Plan) {
	if j := s.machine(); j != nil {
		hosts, steps := p.Counts()
		j.write(planLine{Type: "plan", Empty: p.Empty(), Hosts: hosts, Steps: steps, Plan: p})
		return
	}
	fmt.Fprint(s.app.stdout, p)
}
