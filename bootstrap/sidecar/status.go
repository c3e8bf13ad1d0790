package sidecar

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/zkboot/zkboot/bootstrap"
)

// StatusReport tells how the sidecars stand; its JSON is a contract with scripts.
type StatusReport struct {
	Hosts    []HostStatus    `json:"hosts"`    // by host name
	Services []ServiceStatus `json:"services"` // those that some host routes to, by name
}

// HostStatus is one application host of a StatusReport.
type HostStatus struct {
	Host     string   `json:"host"`
	Version  string   `json:"version"`  // of zkwatch
	Announce []string `json:"announce"` // registrations that are in the registry, by name
	Withheld []string `json:"withheld"` // those that are not, each with the reason
	Error    string   `json:"error"`    // why nothing is known, "" when it answers
}

// ServiceStatus answers whether every host has applied what the registry last said of a
// service.
type ServiceStatus struct {
	Service   string   `json:"service"`
	Revision  int64    `json:"revision"`  // the newest that any host serves
	Instances int      `json:"instances"` // at that revision
	Hosts     int      `json:"hosts"`     // that route to it
	Applied   int      `json:"applied"`   // of these, how many serve that revision
	Behind    []string `json:"behind"`    // the others, each with the reason
}

// Status asks the zkwatch of every application host of the spec. Hosts that are missing
// from hosts are in the report with an error.
func Status(ctx context.Context, s *bootstrap.Spec, hosts bootstrap.Hosts) StatusReport {
	return statusOf(askAll(ctx, s, hosts))
}

// Whole reports whether every host answers and has applied the newest revision of every
// service that it routes to.
func (r StatusReport) Whole() bool {
	for _, h := range r.Hosts {
		if h.Error != "" {
			return false
		}
	}
	for _, s := range r.Services {
		if s.Applied != s.Hosts {
			return false
		}
	}
	return true
}

func statusOf(all []heard) StatusReport {
	r := StatusReport{Hosts: []HostStatus{}, Services: []ServiceStatus{}}
	names := map[string]bool{}
	for _, h := range all {
		r.Hosts = append(r.Hosts, h.status())
		for _, name := range h.routed() {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		r.Services = append(r.Services, serviceStatus(name, all))
	}
	return r
}

func (h heard) status() HostStatus {
	out := HostStatus{Host: h.host, Version: h.Version, Announce: []string{}, Withheld: []string{}}
	if h.err != nil {
		out.Error = h.err.Error()
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(h.is.Register)) {
		r, ok := h.registration(name)
		switch {
		case !ok:
			out.Withheld = append(out.Withheld, name+": zkwatch does not know it")
		case r.Announced && r.Draining:
			out.Announce = append(out.Announce, name+" (draining)")
		case r.Announced:
			out.Announce = append(out.Announce, name)
		default:
			out.Withheld = append(out.Withheld, name+": "+r.Why)
		}
	}
	return out
}

// serviceStatus compares what the hosts serve of one service. The newest revision is that
// of the registry as far as any host has heard.
func serviceStatus(name string, all []heard) ServiceStatus {
	out := ServiceStatus{Service: name, Behind: []string{}}
	var users []heard
	for _, h := range all {
		if !slices.Contains(h.routed(), name) {
			continue
		}
		users = append(users, h)
		if s, ok := h.service(name); ok && s.Revision >= out.Revision {
			out.Revision, out.Instances = s.Revision, len(s.Instances)
		}
	}
	out.Hosts = len(users)
	for _, h := range users {
		if why := h.behind(name, out.Revision); why != "" {
			out.Behind = append(out.Behind, h.host+": "+why)
			continue
		}
		out.Applied++
	}
	return out
}

// behind says why a host does not serve a revision of a service, "" when it does.
func (h heard) behind(name string, revision int64) string {
	s, ok := h.service(name)
	switch {
	case h.err != nil:
		return h.err.Error()
	case !ok:
		return "zkwatch does not know it"
	case s.Truth == "unknown":
		return "unknown: " + s.Reason
	case s.Held != nil:
		return fmt.Sprintf("held at %d instances, the registry says %d: %s", s.Held.From, s.Held.To, s.Held.Rule)
	case s.Pending:
		return "a change waits for a reload of HAProxy"
	case s.Revision < revision:
		return fmt.Sprintf("at revision %x", s.Revision)
	}
	return ""
}

// WriteText writes the report as two tables for a person.
func (r StatusReport) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "SIDECAR\tZKWATCH\tANNOUNCES\tNOTE")
	for _, h := range r.Hosts {
		note := h.Error
		if note == "" {
			note = strings.Join(h.Withheld, "; ")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", h.Host, dash(h.Version), dash(strings.Join(h.Announce, ", ")), note)
	}
	if err := t.Flush(); err != nil || len(r.Services) == 0 {
		return err
	}
	fmt.Fprintln(t, "\nSERVICE\tREVISION\tINSTANCES\tAPPLIED\tBEHIND")
	for _, s := range r.Services {
		fmt.Fprintf(t, "%s\t%x\t%d\t%d of %d\t%s\n", s.Service, s.Revision, s.Instances, s.Applied, s.Hosts, strings.Join(s.Behind, "; "))
	}
	return t.Flush()
}

// dash keeps an empty cell from looking like a lost column.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
