package main

import (
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap/agent"
)

// serveCommand lets a zkboot that has no agent embedded, as `go install` builds it, be its
// own agent. A lost connection may come as SIGHUP; the step under way still ends.
func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "serve",
		Short:  "Be the agent, on standard input and output",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
			defer stop()
			return agent.ServeStdio(ctx)
		},
	}
}
