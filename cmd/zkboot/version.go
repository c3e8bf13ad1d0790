package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap/agent"
	"github.com/zkboot/zkboot/bootstrap/ssh"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say what this program was built from and which agents it carries",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			agents, err := ssh.Embedded()
			if err != nil {
				return err
			}
			return writeVersion(a.stdout, info, agents)
		},
	}
}

// writeVersion prints a line for each part; what the build does not know is "unknown".
func writeVersion(w io.Writer, info *debug.BuildInfo, agents []ssh.AgentBinary) error {
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
	fmt.Fprintf(w, "zkboot    %s\ncommit    %s%s\ngo        %s %s/%s\nprotocol  %d\n",
		version, commit, state, runtime.Version(), runtime.GOOS, runtime.GOARCH, agent.Protocol)
	for _, b := range agents {
		fmt.Fprintf(w, "agent     linux/%s %s\n", b.Arch, b.SHA256)
	}
	if len(agents) == 0 {
		_, err := fmt.Fprintln(w, "agent     none embedded: this program serves hosts of its own architecture itself")
		return err
	}
	return nil
}
