package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say what this program was built from and which agents it carries",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			return writeVersion(a.stdout, info)
		},
	}
}

// writeVersion prints a line for each part; what the build does not know is "unknown".
func writeVersion(w io.Writer, info *debug.BuildInfo) error {
	version, commit, state := "unknown", "unknown", ""
	if info != nil {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				state = " with local changes"
			}
		}
	}
	_, err := fmt.Fprintf(w, "zkboot  %s\ncommit  %s%s\ngo      %s %s/%s\n%s",
		version, commit, state, runtime.Version(), runtime.GOOS, runtime.GOARCH, agentLines())
	return err
}

// agentLines says what would be put on hosts.
func agentLines() string { return "agent   none embedded\n" }
