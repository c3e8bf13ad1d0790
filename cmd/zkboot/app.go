package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
)

// app is one run of the program with everything it touches, so that tests can run it in
// process.
type app struct {
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	getenv  func(string) string
	console console
	roles   []bootstrap.Role
	// open reaches hosts; nil stands for SSH.
	open opener

	logFile string // --log-file
}

// opener is the type of bootstrap.Engine.Open.
type opener = func(ctx context.Context, s *bootstrap.Spec, host string) (bootstrap.Host, error)

// newApp returns the app that main runs.
func newApp() *app {
	return &app{
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		getenv:  os.Getenv,
		console: newConsole(os.Stdin, os.Stderr, os.Getenv("TERM")),
		roles:   roles(),
	}
}

// run executes one command line and returns the exit code. The first SIGINT or SIGTERM
// cancels the work; a second one kills the program, because signals are then given back.
func (a *app) run(ctx context.Context, args []string) int {
	ctx, release := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release)

	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.stdin)
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
		fmt.Fprintln(a.stderr, "zkboot: interrupted")
		return codeInterrupted
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "zkboot: %v\n", err)
	}
	return code
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "zkboot",
		Short: "Stand up, prove and look after ZooKeeper ensembles on plain hosts",
		Long: `zkboot takes hosts that answer SSH, proves that they are fit, tunes them, stands up a
ZooKeeper ensemble on them and proves the result.

  zkboot init      write a zkboot.yaml to start from
  zkboot plan      show every step, change nothing
  zkboot apply     carry the steps out
  zkboot verify    prove what stands`,
		SilenceErrors: true, // run prints them, once
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&a.logFile, "log-file", "", "append a JSON log to this file")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())
	})
	root.AddCommand(
		a.initCommand(), a.adoptCommand(), a.planCommand(), a.applyCommand(), a.verifyCommand(), a.statusCommand(),
		a.rollCommand(), a.replaceCommand(), a.drillCommand(), a.backupCommand(), a.restoreCommand(), a.destroyCommand(), a.renderCommand(), a.hostkeysCommand(), a.labCommand(), a.versionCommand(), a.serveCommand(),
	)
	return root
}

// log opens the log; closing it is the caller's. Without --log-file nothing is logged.
func (a *app) log() (*slog.Logger, io.Closer, error) {
	if a.logFile == "" {
		return slog.New(slog.DiscardHandler), io.NopCloser(nil), nil
	}
	f, err := os.OpenFile(a.logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("--log-file: %w", err)
	}
	return slog.New(slog.NewJSONHandler(f, nil)), f, nil
}

// who is told to whoever finds a host locked by this run.
func who() string {
	name, machine := "somebody", "unknown machine"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		machine = h
	}
	return name + "@" + machine
}
