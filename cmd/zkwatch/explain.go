package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/watcher"
)

func (a *app) explainCommand() *cobra.Command {
	var output string
	limit := 20
	cmd := &cobra.Command{
		Use:   "explain [SERVICE]",
		Short: "Show what happened: which event, which rule, which command or reload",
		Long: `explain shows the last entries of the journal that zkwatch keeps in memory, the newest at the end. With
the name of a service it shows those about it alone.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("--output %q: want text or json", output)
			}
			var entries []watcher.Entry
			query := url.Values{"service": args, "max": {strconv.Itoa(limit)}}
			if err := a.ask(cmd.Context(), askWithin, http.MethodGet, "/v1/explain", query, &entries); err != nil {
				return err
			}
			slices.Reverse(entries)
			return a.write(output, entries, func(w io.Writer) error { return writeEntries(w, entries) })
		},
	}
	outputFlag(cmd, &output)
	cmd.Flags().IntVar(&limit, "max", limit, "show at most this many entries")
	return cmd
}

func writeEntries(w io.Writer, entries []watcher.Entry) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintln(w, "nothing has happened since zkwatch started")
		return err
	}
	for _, e := range entries {
		line := e.At.Local().Format("2006-01-02 15:04:05.000")
		if e.Service != "" {
			line += "  " + e.Service + ":"
		}
		line += "  " + e.Event
		if e.Rule != "" {
			line += " -> " + e.Rule
		}
		if e.Took > 0 {
			line += fmt.Sprintf(" (%s)", e.Took.Round(10*time.Microsecond))
		}
		fmt.Fprintln(w, clean(line))
		for _, a := range e.Actions {
			text := "    " + a.Kind + ": " + a.Text
			if a.Why != "" {
				text += "  [" + a.Why + "]"
			}
			fmt.Fprintln(w, clean(text))
		}
		if e.Error != "" {
			fmt.Fprintln(w, clean("    FAILED: "+e.Error))
		}
	}
	return nil
}
