package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/verify"
)

// formats are the values of --format.
var formats = []string{"text", "json", "junit", "html"}

// writerOf returns what writes a report in the given format, nil for an unknown one.
func writerOf(format string) func(verify.Report, io.Writer) error {
	switch format {
	case "text":
		return verify.Report.WriteText
	case "json":
		return verify.Report.WriteJSON
	case "junit":
		return verify.Report.WriteJUnit
	case "html":
		return verify.Report.WriteHTML
	}
	return nil
}

func (a *app) verifyCommand() *cobra.Command {
	var file, format, mode string
	var o verify.Options
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove hardware, disks, network, time and the ensemble",
		Long: `verify judges every host, the way between each two of them, and the ensemble. It changes
nothing but a canary znode that it writes and removes. The disks of running members are
judged by the members' own figures; --on-live-members loads them with a probe as well.

It exits with 0 on pass or warn, 3 when anything fails, 1 when it could not run.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if mode == outputJSON && !cmd.Flags().Changed("format") {
				format = "json" // --output json asks any command for machine-readable results
			}
			if err := errors.Join(checkOutput(mode), checkFormat(format), checkDuration(o.Duration)); err != nil {
				return err
			}
			return a.verify(cmd.Context(), file, format, o)
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	cmd.Flags().StringVar(&format, "format", "text", strings.Join(formats, ", "))
	cmd.Flags().BoolVar(&o.DiskOnly, "iops", false, "judge the disks alone")
	cmd.Flags().BoolVar(&o.OnLiveMembers, "on-live-members", false, "probe the disks of running members too, which slows them down")
	cmd.Flags().DurationVar(&o.Duration, "duration", 30*time.Second, "length of the disk probe's first phase")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // as outputFlag
	return cmd
}

func checkFormat(format string) error {
	if !slices.Contains(formats, format) {
		return fmt.Errorf("--format %q: want %s", format, strings.Join(formats, ", "))
	}
	return nil
}

func checkDuration(d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("--duration %s: want a time above 0, such as 30s", d)
	}
	return nil
}

func (a *app) verify(ctx context.Context, file, format string, o verify.Options) error {
	s, err := a.newSpecSession(outputText, file)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	found, report := s.engine.Verify(ctx, s.spec, o)
	s.out.report(report)
	if found == nil {
		return said(codeFailed)
	}
	if err := ctx.Err(); err != nil {
		return err // what a cancelled probe found would read as a failing host
	}
	if err := s.print(func(w io.Writer) error { return writerOf(format)(*found, w) }); err != nil {
		return err
	}
	if found.Verdict == verify.Fail {
		return said(codeUnfit)
	}
	return nil
}
