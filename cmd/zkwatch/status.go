package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/watcher"
)

const askWithin = 10 * time.Second

func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVar(output, "output", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that does not exist
}

// write prints v as JSON, or with text.
func (a *app) write(output string, v any, text func(io.Writer) error) error {
	switch output {
	case "text":
		return text(a.stdout)
	case "json":
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	return fmt.Errorf("--output %q: want text or json", output)
}

func (a *app) statusCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status [SERVICE]",
		Short: "Show what the running zkwatch serves and announces",
		Long: `status asks the running zkwatch. With the name of a service it shows its instances.

It exits with 0 when all is well and with 3 when something needs a look: a service that is unknown,
held or empty, a registration that is not announced, a registry or a proxy that does not answer.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("--output %q: want text or json", output)
			}
			var s watcher.Status
			if err := a.ask(cmd.Context(), askWithin, http.MethodGet, "/v1/status", url.Values{"service": args}, &s); err != nil {
				return err
			}
			if len(args) > 0 && len(s.Services)+len(s.Registrations) == 0 {
				return fmt.Errorf("this host neither routes nor registers service %q; zkwatch status shows what there is", args[0])
			}
			if err := a.write(output, s, func(w io.Writer) error { return writeStatus(w, s, len(args) > 0, a.now()) }); err != nil {
				return err
			}
			if !s.Well() {
				return &exitError{code: codeUnfit}
			}
			return nil
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// clean makes text of others safe for a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, s)
}

func ago(now, at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return watcher.Span(now.Sub(at)) + " ago"
}

// table writes aligned columns below a blank line.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, head ...string) table {
	fmt.Fprintln(w)
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(head...)
	return t
}

func (t table) row(cells ...string) {
	for i, c := range cells {
		if cells[i] = clean(c); c == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func writeStatus(w io.Writer, s watcher.Status, instances bool, now time.Time) error {
	fmt.Fprintf(w, "%s  zkwatch %s  up %s  configuration loaded %s\n", clean(s.Host), clean(s.Version), watcher.Span(now.Sub(s.Started)), ago(now, s.Loaded))
	if s.Refused != "" {
		fmt.Fprintf(w, "a newer configuration was REFUSED, the old one is in force:\n  %s\n", strings.Join(strings.Split(s.Refused, "\n"), "\n  "))
	}
	var errs []error
	if s.HAProxy != nil {
		errs = append(errs, writeServices(w, s, now))
	}
	if instances {
		errs = append(errs, writeInstances(w, s))
	}
	if len(s.Registrations) > 0 {
		t := newTable(w, "REGISTRATION", "SERVICE", "ADDRESS", "STATE", "SINCE", "LAST CHECK", "WHY")
		for _, r := range s.Registrations {
			why := r.Why
			if r.Word() == "announced" {
				why = "" // because its check passes
			}
			t.row(r.Name, r.Service, r.Addr, r.Word(), ago(now, r.Since), r.LastCheck, why)
		}
		errs = append(errs, t.w.Flush())
	}
	t := newTable(w, "REGISTRY", "STATE", "SERVER", "SESSION", "LAST REPLY")
	for _, r := range s.Registries {
		t.row(r.Name, r.State, r.Server, r.Session, ago(now, r.LastReply))
	}
	errs = append(errs, t.w.Flush())
	if s.HAProxy != nil {
		errs = append(errs, writeProxy(w, *s.HAProxy, now))
	}
	return errors.Join(errs...)
}

func writeServices(w io.Writer, s watcher.Status, now time.Time) error {
	routes := map[string][]string{}
	for _, r := range s.Routes {
		routes[r.Service] = append(routes[r.Service], r.Bind)
	}
	t := newTable(w, "SERVICE", "STATE", "INSTANCES", "READ", "APPLIED", "REVISION", "ROUTES", "NOTE")
	for _, one := range s.Services {
		t.row(one.Service, one.Word(), fmt.Sprint(len(one.Instances)), ago(now, one.Read), ago(now, one.Applied),
			strconv.FormatInt(one.Revision, 16), strings.Join(routes[one.Service], " "), note(one, now))
	}
	return t.w.Flush()
}

// note is what is out of the ordinary.
func note(s watcher.ServiceStatus, now time.Time) string {
	var notes []string
	if s.Reason != "" {
		notes = append(notes, s.Reason)
	}
	if h := s.Held; h != nil {
		notes = append(notes, fmt.Sprintf("%d instances would become %d: %s; believed in %s", h.From, h.To, h.Rule, watcher.Span(h.Until.Sub(now))))
	}
	draining := 0
	for _, i := range s.Instances {
		if i.Draining {
			draining++
		}
	}
	for _, one := range []struct {
		n    int
		text string
	}{{draining, "draining"}, {len(s.Rejected), "rejected"}, {int(s.Missed), "missed events"}} {
		if one.n > 0 {
			notes = append(notes, fmt.Sprintf("%d %s", one.n, one.text))
		}
	}
	return strings.Join(notes, "; ")
}

func writeInstances(w io.Writer, s watcher.Status) error {
	for _, one := range s.Services {
		t := newTable(w, "INSTANCE", "ADDRESS", "WEIGHT", "ZONE", "NAME", "STATE")
		for _, i := range one.Instances {
			state := "in rotation"
			if i.Draining {
				state = "draining"
			}
			t.row(i.ID, i.Addr(), fmt.Sprint(i.Weight), i.Zone, i.Name, state)
		}
		for _, r := range one.Rejected {
			t.row(r.ID, "", "", "", "", "rejected: "+r.Reason)
		}
		if err := t.w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func writeProxy(w io.Writer, p watcher.ProxyStatus, now time.Time) error {
	t := newTable(w, "HAPROXY", "WORKER", "OLD WORKERS", "RELOADS", "LAST RELOAD", "WHY")
	worker := "does not answer"
	if p.Worker > 0 {
		worker = fmt.Sprint(p.Worker)
	}
	t.row(p.Version, worker, fmt.Sprint(p.OldWorkers), fmt.Sprint(p.Reloads), ago(now, p.LastReload), p.Why)
	if err := t.w.Flush(); err != nil {
		return err
	}
	t = newTable(w, "ROUTE", "SLOTS", "READY", "DOWN", "EJECTED", "DRAINING", "MISSING")
	for _, r := range p.Routes {
		t.row(r.Route, fmt.Sprint(r.Slots+r.Overflow), fmt.Sprint(r.Ready), fmt.Sprint(r.Down), fmt.Sprint(r.Ejected), fmt.Sprint(r.Draining), fmt.Sprint(r.Missing))
	}
	if err := t.w.Flush(); err != nil {
		return err
	}
	if p.Due != "" {
		fmt.Fprintf(w, "\na reload is due: %s\n", clean(p.Due))
	}
	if p.Refused != "" {
		fmt.Fprintf(w, "\nHAProxy does NOT run what it should: %s\n", clean(p.Refused))
	}
	return nil
}
