package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

func (a *app) statusCommand() *cobra.Command {
	var file, mode string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the members stand right now",
		Long: `status looks at every member once. A host that cannot be reached is a row with the reason.

It exits with 0 when a majority serves, and with 3 otherwise.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(mode); err != nil {
				return err
			}
			s, err := a.newSpecSession(outputText, file)
			if err != nil {
				return err
			}
			defer s.close(cmd.Context())
			status, err := s.status(cmd.Context())
			if err != nil {
				return err
			}
			write := status.WriteText
			if mode == outputJSON {
				write = status.WriteJSON
			}
			if err := s.print(write); err != nil {
				return err
			}
			if !status.Quorum {
				return said(codeUnfit)
			}
			return nil
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	return cmd
}

// status looks at the members. What a cancelled look saw would read as members that are
// down, so it is an error.
func (s *session) status(ctx context.Context) (zookeeper.StatusReport, error) {
	now, _ := s.engine.Look(ctx, s.spec)
	return zookeeper.Status(s.spec, now), ctx.Err()
}
