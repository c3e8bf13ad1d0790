package haproxy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/watcher"
)

// counts is what a sink has seen and done since it began.
type counts struct {
	Status
	alone int // pid of the worker beside which no old one was left
}

// Status is what a person or a metric asks about the proxy.
type Status struct {
	Connected      bool            `json:"connected"`
	Version        string          `json:"version,omitempty"`
	Pid            int             `json:"pid,omitempty"` // of the worker
	Commands       int64           `json:"commands"`      // acknowledged by the runtime API
	Reloads        int64           `json:"reloads"`       // made by this process
	ReloadFailures int64           `json:"reload_failures"`
	LastReload     time.Time       `json:"last_reload,omitzero"`
	ReloadWhy      string          `json:"reload_why,omitempty"` // of the last one
	ReloadDue      string          `json:"reload_due,omitempty"` // why another one is needed
	Refused        string          `json:"refused,omitempty"`    // why the wanted configuration is not loaded
	OldWorkers     int             `json:"old_workers"`
	Backends       []BackendStatus `json:"backends,omitempty"` // by name
}

// BackendStatus is one route as HAProxy has it.
type BackendStatus struct {
	Route    string `json:"route"`
	Slots    int    `json:"slots"`
	Overflow int    `json:"overflow,omitempty"` // servers beyond the slots
	Ready    int    `json:"ready"`
	Draining int    `json:"draining,omitempty"`
	Down     int    `json:"down,omitempty"`    // of the ready ones, by checks or by the breaker
	Ejected  int    `json:"ejected,omitempty"` // of those, by the breaker
	Missing  int    `json:"missing,omitempty"` // instances that are not served yet
}

// Status returns what is known now. It asks nobody.
func (s *Sink) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.counts.Status
	out.Connected = s.rt != nil
	out.ReloadDue = s.reloadWhy()
	for _, b := range s.backends {
		if b.orphan() {
			continue
		}
		st := BackendStatus{Route: strings.TrimPrefix(b.name, prefix), Missing: b.missing, Overflow: b.overflowing(), Slots: b.slotsNow()}
		for _, x := range b.servers {
			switch x.admin {
			case ready:
				st.Ready++
			case drain:
				st.Draining++
			}
			if x.admin == ready && x.down {
				st.Down++
			}
			if x.admin == ready && x.ejected {
				st.Ejected++
			}
		}
		out.Backends = append(out.Backends, st)
	}
	return out
}

func byAge(old []oldWorker) []oldWorker {
	old = slices.Clone(old)
	slices.SortFunc(old, func(a, b oldWorker) int { return cmp.Or(cmp.Compare(b.reloads, a.reloads), cmp.Compare(a.pid, b.pid)) })
	return old
}

func thinned(pid, n, old int) watcher.Action {
	return watcher.Action{Kind: "command", Text: fmt.Sprintf("@!%d shutdown session (%d of them)", pid, n), Why: fmt.Sprintf("%d old workers", old)}
}
