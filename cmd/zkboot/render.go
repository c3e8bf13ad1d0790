package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
	"github.com/zkboot/zkboot/verify"
)

// rendered are the files that render knows.
var rendered = []string{"zoo.cfg", "sysctl", "unit", "dynamic"}

func (a *app) renderCommand() *cobra.Command {
	var file, host, factsFile string
	cmd := &cobra.Command{
		Use:   "render " + strings.Join(rendered, "|"),
		Short: "Print a file as apply would write it, without asking any host",
		Long: `render prints what apply would write on a host: zoo.cfg (a marker stands in the place of
the super digest, which never leaves the host), the sysctl.d drop-in, the systemd unit, or
the dynamic configuration that the ensemble is formed with.

What depends on the host is taken from --facts, a JSON file of facts; without it a host
with Debian 12 on amd64 is assumed.`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: rendered,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.newSpecSession(outputText, file)
			if err != nil {
				return err
			}
			defer s.close(cmd.Context())
			facts, err := a.facts(factsFile)
			if err != nil {
				return err
			}
			content, err := render(args[0], s.spec, host, facts)
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(content)
			return err
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().StringVar(&host, "host", "", "the host to render for")
	cmd.Flags().StringVar(&factsFile, "facts", "", "facts of the host, as JSON")
	_ = cmd.MarkFlagRequired("host") // fails only for a flag that does not exist
	cmd.AddCommand(a.renderUserDataCommand(), a.renderBackupServiceCommand(), a.renderBackupTimerCommand())
	return cmd
}

func render(what string, s *bootstrap.Spec, host string, facts bootstrap.Facts) ([]byte, error) {
	if !slices.Contains(s.MemberNames(), host) {
		return nil, fmt.Errorf("--host %s is no member; members are: %s", host, strings.Join(s.MemberNames(), ", "))
	}
	if what == "dynamic" {
		return []byte(zookeeper.Founding(s).String()), nil
	}
	zooCfg, unit, drop, err := zookeeper.New().Files(s, host, facts)
	if err != nil {
		return nil, fmt.Errorf("rendering %s for %s: %w", what, host, err)
	}
	switch what {
	case "zoo.cfg":
		return zooCfg, nil
	case "unit":
		return unit, nil
	}
	return drop, nil
}

// facts reads a file of facts. A key that facts do not have is an error: a typo would render
// a file for another host without a word.
func (a *app) facts(file string) (bootstrap.Facts, error) {
	if file == "" {
		fmt.Fprintln(a.stderr, "no --facts: rendering for Debian 12 on amd64")
		return debian12(), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return bootstrap.Facts{}, fmt.Errorf("--facts: %w", err)
	}
	var facts bootstrap.Facts
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&facts); err != nil {
		return bootstrap.Facts{}, fmt.Errorf("--facts: %s: %w", file, err)
	}
	return facts, nil
}

// debian12 are the facts that files depend on, of a common host.
func debian12() bootstrap.Facts {
	return bootstrap.Facts{
		OS:     verify.OS{ID: "debian", VersionID: "12", Codename: "bookworm", Pretty: "Debian GNU/Linux 12 (bookworm)"},
		Arch:   "amd64",
		Kernel: "6.1.0-18-amd64",
		CPU:    verify.CPU{Count: 2},
		Memory: verify.Memory{Total: 4 << 30, Available: 3 << 30},
	}
}
