package main

import (
	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
)

func (a *app) rollCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "roll",
		Short: "Do something to every member of the ensemble in turn",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.rollRestartCommand())
	return cmd
}

func (a *app) rollRestartCommand() *cobra.Command {
	var file, mode string
	var approved bool
	cmd := &cobra.Command{
		Use:   "restart",
		Short: "Restart every member in turn, the leader last, though nothing has changed",
		Long: `restart gives every member a new process: one at a time, the leader last, each only while
the others have a quorum without it, and the next only when all are in sync again. It shows
its plan, asks, restarts and proves the result.

It refuses while there is anything to apply, while a member is down and while there is no
quorum. A run that was interrupted leaves nothing to be put right; as soon as all members
serve, the next one restarts all of them, those that had their turn too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.mayAsk(approved); err != nil {
				return err
			}
			return a.change(cmd.Context(), mode, file, approved, bootstrap.Intent{Verb: bootstrap.VerbRestart})
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	approveFlag(cmd, &approved)
	return cmd
}
