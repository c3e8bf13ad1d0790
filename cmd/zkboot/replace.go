package main

import (
	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
)

func (a *app) replaceCommand() *cobra.Command {
	var file, mode string
	var approved bool
	cmd := &cobra.Command{
		Use:   "replace HOST",
		Short: "Have a member begin anew and copy everything from the others",
		Long: `replace is for a member whose disk or data is lost or in doubt: a host that was installed
again, a member that counts digest mismatches or unrecoverable errors, a disk that was full or
failed. It stops the server, deletes what it holds, installs whatever the host lacks, and lets
the member copy everything from the others. It keeps its server id and its address.

It refuses unless the others have a quorum without that member and no reason to doubt their
data. For another host in its place, change the members of the spec and apply.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.mayAsk(approved); err != nil {
				return err
			}
			return a.change(cmd.Context(), mode, file, approved, bootstrap.Intent{Verb: bootstrap.VerbReplace, Hosts: args})
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	approveFlag(cmd, &approved)
	return cmd
}
