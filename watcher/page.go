package watcher

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

// pageInstances is how many instances of a service the page lists, and pageEntries how much
// of the journal. All of them are in the JSON.
const (
	pageInstances = 200
	pageEntries   = 15
)

//go:embed page.html
var pageText string

// pageTemplate is parsed once: it is constant, and a mistake in it fails every test of the page.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"ago": ago, "span": Span, "clock": func(t time.Time) string { return t.Format("15:04:05.000") },
	"hour": func(t time.Time) string { return t.Format("15:04:05") },
	"rfc":  func(t time.Time) string { return t.Format(time.RFC3339) },
}).Parse(pageText))

type pageView struct {
	Status
	Now           time.Time
	Good          bool
	Services      []pageService
	Registrations []pageRegistration
	Entries       []Entry
}

type pageService struct {
	ServiceStatus
	Routes  []RouteStatus
	Servers []ServerCount
	Shown   []Instance
	More    int // instances that are not shown
	Mood    string
	Word    string
}

// Rejects are those of the rejected entries that the page lists.
func (p pageService) Rejects() []Rejection { return p.Rejected[:min(len(p.Rejected), pageInstances)] }

type pageRegistration struct {
	RegistrationStatus
	Mood string
	Word string
}

// page is for a person with a browser. It needs no script, and nothing from elsewhere.
func (w *Watcher) page(rw http.ResponseWriter, _ *http.Request) {
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, newPageView(w.Status(""), w.journal.Entries("", pageEntries), time.Now())); err != nil {
		http.Error(rw, "the page could not be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	_, _ = rw.Write(out.Bytes()) // whoever asked has gone
}

func newPageView(s Status, entries []Entry, now time.Time) pageView {
	v := pageView{Status: s, Now: now, Good: s.Well(), Entries: entries}
	for _, one := range s.Services {
		p := pageService{ServiceStatus: one, Shown: one.Instances[:min(len(one.Instances), pageInstances)]}
		p.More = len(one.Instances) - len(p.Shown)
		for _, r := range s.Routes {
			if r.Service == one.Service {
				p.Routes = append(p.Routes, r)
				p.Servers = append(p.Servers, s.HAProxy.servers(r.Name)...)
			}
		}
		p.Word = one.Word()
		p.Mood = map[string]string{"known": "good", "empty": "bad"}[p.Word]
		if p.Mood == "" {
			p.Mood = "warn"
		}
		v.Services = append(v.Services, p)
	}
	for _, r := range s.Registrations {
		p := pageRegistration{RegistrationStatus: r, Word: r.Word()}
		p.Mood = map[string]string{"announced": "good", "not healthy": "bad", "draining": "warn", "being announced": "warn"}[p.Word]
		v.Registrations = append(v.Registrations, p)
	}
	return v
}

// servers returns what is known of a route in the proxy: one, or nothing.
func (p *ProxyStatus) servers(route string) []ServerCount {
	if p == nil {
		return nil
	}
	n := slices.IndexFunc(p.Routes, func(c ServerCount) bool { return c.Route == route })
	if n < 0 {
		return nil
	}
	return p.Routes[n : n+1]
}

func ago(now, at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return Span(now.Sub(at)) + " ago"
}

// Span is a length of time with its two greatest units.
func Span(d time.Duration) string {
	switch d = d.Round(time.Millisecond); {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return strings.TrimSpace(fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24))
}
