package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes; the package comment says what they promise. Those that zkboot has as well
// mean the same there.
const (
	codeOK          = 0
	codeFailed      = 1
	codeUnfit       = 3
	codeNoDaemon    = 5
	codeInterrupted = 130 // 128 + SIGINT, as shells report it
)

const (
	defaultFile   = "/etc/zkwatch/zkwatch.yaml"
	defaultSocket = "/run/zkwatch/zkwatch.sock"
)

// exitError ends a command with a code. A nil err means that everything has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return "already reported"
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// app is one run of the program with everything it touches.
type app struct {
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
	now    func() time.Time

	socket string // --socket
}

func newApp() *app {
	return &app{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, now: time.Now}
}

// run executes one command line and returns the exit code. The first SIGINT or SIGTERM
// ends the work in order; a second one kills the program, because signals are then given back.
func (a *app) run(ctx context.Context, args []string) int {
	ctx, release := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release)

	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return codeOK
	}
	var exit *exitError
	code := codeFailed
	if errors.As(err, &exit) {
		code, err = exit.code, exit.err
	}
	if ctx.Err() != nil {
		fmt.Fprintln(a.stderr, "zkwatch: interrupted")
		return codeInterrupted
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "zkwatch: %v\n", err)
	}
	return code
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "zkwatch",
		Short: "Serve what the registry has through the local HAProxy, and announce local services",
		Long: `zkwatch runs on every application host. It makes the local HAProxy serve exactly the instances
that the registry has, and announces the host's own services while their checks pass.

  zkwatch check     judge a configuration, change nothing
  zkwatch run       the daemon
  zkwatch status    what it serves and announces right now
  zkwatch explain   what it did, and why
  zkwatch drain     take an instance of this host out of rotation without breaking a request`,
		SilenceErrors: true, // run prints them, once
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&a.socket, "socket", defaultSocket, "of the running zkwatch (status.socket in its configuration)")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())
	})
	root.AddCommand(a.runCommand(), a.checkCommand(), a.statusCommand(), a.explainCommand(), a.acceptCommand(),
		a.drainCommand(), a.registerCommand(), a.deregisterCommand(), a.versionCommand())
	return root
}

// log is for the journal, which has the time already when it reads us directly.
func (a *app) log(debug bool) *slog.Logger {
	o := &slog.HandlerOptions{}
	if debug {
		o.Level = slog.LevelDebug
	}
	if a.getenv("JOURNAL_STREAM") != "" {
		o.ReplaceAttr = func(groups []string, attr slog.Attr) slog.Attr {
			if len(groups) == 0 && attr.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return attr
		}
	}
	return slog.New(slog.NewTextHandler(a.stderr, o))
}
