package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/watcher"
)

func timeoutFlag(cmd *cobra.Command, within *time.Duration) {
	cmd.Flags().DurationVar(within, "timeout", 10*time.Second, "wait at most this long for the answer")
}

func (a *app) acceptCommand() *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "accept SERVICE",
		Short: "Believe a loss of instances that the guard holds back",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.ask(cmd.Context(), within, http.MethodPost, "/v1/accept", url.Values{"service": args}, &struct{}{}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.stdout, "%s: what was held back is believed now\n", args[0])
			return err
		},
	}
	timeoutFlag(cmd, &within)
	return cmd
}

func (a *app) drainCommand() *cobra.Command {
	var undo, wait bool
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "drain NAME|all",
		Short: "Take a registration out of rotation and withdraw it when nobody uses it any more",
		Long: `drain marks the instance as draining, so that nobody sends new traffic to it, and withdraws it when
every host that posts what it serves has no connection to it left, or after drain.grace where
none does, or after drain.timeout in any case. It stays away, also over restarts, until
--undo.

With --wait it returns when that is over, with 3 when somebody had connections left.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case undo && wait:
				return fmt.Errorf("--undo and --wait exclude each other; see `%s --help`", cmd.CommandPath())
			case undo:
				return a.tell(cmd.Context(), within, "/v1/undrain", args[0], "%s: announced again as soon as its check passes\n")
			case !wait:
				return a.tell(cmd.Context(), within, "/v1/drain", args[0], "%s: the drain has begun; zkwatch status shows how it goes, drain --wait waits for its end\n")
			}
			if !cmd.Flags().Changed("timeout") {
				within = time.Hour // drain.timeout bounds it, which only the daemon knows
			}
			var report watcher.DrainReport
			if err := a.ask(cmd.Context(), within, http.MethodPost, "/v1/drain", url.Values{"name": args, "wait": {"true"}}, &report); err != nil {
				return err
			}
			return writeDrain(a.stdout, report)
		},
	}
	timeoutFlag(cmd, &within)
	cmd.Flags().BoolVar(&undo, "undo", false, "announce it again")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the drain is over")
	return cmd
}

// writeDrain says how a drain ended. One that was cut short is an error.
func writeDrain(w io.Writer, r watcher.DrainReport) error {
	parts := r.Parts
	if len(parts) == 0 {
		parts = []watcher.DrainReport{r}
	}
	for _, p := range parts {
		fmt.Fprintf(w, "%s: over after %s, by %s\n", clean(p.Name), p.Took.Round(time.Millisecond), p.Ended)
		for _, c := range p.Consumers {
			fmt.Fprintf(w, "  %s: %s\n", clean(c.Host), consumer(c))
		}
		if p.Board != "" {
			fmt.Fprintf(w, "  what hosts post could not be read: %s\n", clean(p.Board))
		}
	}
	switch r.Ended {
	case watcher.DrainedByTimeout, watcher.DrainInterrupted, watcher.DrainUndone:
		return &exitError{code: codeUnfit}
	}
	return nil
}

func consumer(c watcher.Consumer) string {
	switch {
	case c.Gone:
		return "no longer posts"
	case !c.Applied:
		return "has not stopped sending"
	case c.Connections < 0:
		return "has not counted its connections"
	}
	return fmt.Sprintf("%d connections left", c.Connections)
}

func (a *app) registerCommand() *cobra.Command {
	return a.oneShot("register NAME", "Say that a service was started: check it now and announce it when the check passes",
		`register is for ExecStartPost= of a service's unit. It ends what deregister did, has the service checked
at once, and announces it after the first pass. It does not wait for that.`,
		"/v1/release", "%s: checked now, and announced when the check passes\n")
}

func (a *app) deregisterCommand() *cobra.Command {
	return a.oneShot("deregister NAME", "Say that a service is being stopped: withdraw it at once",
		`deregister is for ExecStop= of a service's unit, before the service stops. It returns when the registry
has removed the instance, and keeps it out until register, also over restarts of zkwatch.
When no zkwatch runs it exits with 5; the instance then goes with the session of the last one.`,
		"/v1/hold", "%s: withdrawn\n")
}

func (a *app) oneShot(use, short, long, path, done string) *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.tell(cmd.Context(), within, path, args[0], done)
		},
	}
	timeoutFlag(cmd, &within)
	return cmd
}

// tell has the daemon do something to a registration, and says so.
func (a *app) tell(ctx context.Context, within time.Duration, path, name, done string) error {
	if err := a.ask(ctx, within, http.MethodPost, path, url.Values{"name": {name}}, &struct{}{}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, done, name)
	return err
}
