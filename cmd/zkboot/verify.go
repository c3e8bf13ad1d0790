package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/verify"
)

// reportWriters write what verify found, by --format.
var reportWriters = map[string]func(verify.Report, io.Writer) error{
	"text":  verify.Report.WriteText,
	"json":  verify.Report.WriteJSON,
	"junit": verify.Report.WriteJUnit,
	"html":  verify.Report.WriteHTML,
}

func (a *app) verifyCommand() *cobra.Command {
	var file, format, mode string
	var opts verify.Options
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
				format = "json"
			}
			write, ok := reportWriters[format]
			if !ok {
				return fmt.Errorf("--format %q: want %s", format, strings.Join(formats(), ", "))
			}
			if err := errors.Join(checkOutput(mode), checkDuration(opts.Duration)); err != nil {
				return err
			}
			s, err := a.newSpecSession(outputText, file)
			if err != nil {
				return err
			}
			defer s.close()
			found, report := s.engine.Verify(cmd.Context(), s.spec, opts)
			s.out.report(report)
			if found == nil {
				return said(codeFailed)
			}
			if err := cmd.Context().Err(); err != nil {
				return err // what a cancelled probe found would read as a failing host
			}
			if err := s.print(func(w io.Writer) error { return write(*found, w) }); err != nil {
				return err
			}
			if found.Verdict == verify.Fail {
				return said(codeUnfit)
			}
			return nil
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	cmd.Flags().StringVar(&format, "format", "text", strings.Join(formats(), ", "))
	cmd.Flags().BoolVar(&opts.DiskOnly, "iops", false, "judge the disks alone")
	cmd.Flags().BoolVar(&opts.OnLiveMembers, "on-live-members", false, "probe the disks of running members too, which slows them down")
	cmd.Flags().DurationVar(&opts.Duration, "duration", 30*time.Second, "length of the disk probe")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func formats() []string { return slices.Sorted(maps.Keys(reportWriters)) }

func checkDuration(d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("--duration %s: want a time above 0, such as 30s", d)
	}
	return nil
}
