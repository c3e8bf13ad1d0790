package main

import (
	"context"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/sidecar"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

func (a *app) statusCommand() *cobra.Command {
	var file, mode string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the members and the sidecars stand right now",
		Long: `status looks at every member and asks the zkwatch of every sidecar, once. A host that cannot
be reached is a row with the reason. For each service it tells whether every host that routes
to it has applied what the registry last said.

It exits with 0 when a majority serves and every sidecar is up to date, and with 3 otherwise.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(mode); err != nil {
				return err
			}
			s, err := a.newSpecSession(outputText, file)
			if err != nil {
				return err
			}
			defer s.close(cmd.Context())
			now, hosts := s.engine.Look(cmd.Context(), s.spec)
			status := statusOf(cmd.Context(), s.spec, now, hosts)
			// What a cancelled look saw would read as members that are down.
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			write := status.WriteText
			if mode == outputJSON {
				write = status.WriteJSON
			}
			if err := s.print(write); err != nil {
				return err
			}
			if !status.good() {
				return said(codeUnfit)
			}
			return nil
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	return cmd
}

// siteStatus is what `zkboot status` tells; its JSON is a contract with scripts.
type siteStatus struct {
	zookeeper.StatusReport
	Sidecars *sidecar.StatusReport `json:"sidecars,omitempty"`

	spec *bootstrap.Spec
}

// statusOf joins what was seen of the members with what the sidecars say now.
func statusOf(ctx context.Context, s *bootstrap.Spec, now bootstrap.Site, hosts bootstrap.Hosts) siteStatus {
	out := siteStatus{StatusReport: zookeeper.Status(s, now), spec: s}
	if len(s.Sidecars) > 0 {
		r := sidecar.Status(ctx, s, hosts)
		out.Sidecars = &r
	}
	return out
}

func (s siteStatus) good() bool {
	return (s.Quorum || s.spec.Ensemble == nil && s.Sidecars != nil) && (s.Sidecars == nil || s.Sidecars.Whole())
}

// WriteText writes the parts that the spec has as tables for a person.
func (s siteStatus) WriteText(w io.Writer) error {
	if s.spec.Ensemble != nil || s.Sidecars == nil {
		if err := s.StatusReport.WriteText(w); err != nil || s.Sidecars == nil {
			return err
		}
		if _, err := io.WriteString(w, "\n"); err != nil {
			return err
		}
	}
	return s.Sidecars.WriteText(w)
}

// WriteJSON writes all of it as JSON.
func (s siteStatus) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}
