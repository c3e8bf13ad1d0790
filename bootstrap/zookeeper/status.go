package zookeeper

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/zkboot/zkboot/bootstrap"
)

// StatusReport is what `zkboot status` tells; its JSON is a contract with scripts.
type StatusReport struct {
	Name          string         `json:"name"`
	Quorum        bool           `json:"quorum"`
	Leader        string         `json:"leader"`         // host, "" without exactly one leader
	ConfigVersion string         `json:"config_version"` // hex
	Members       []MemberStatus `json:"members"`        // by host name
}

// MemberStatus is one member of a StatusReport.
type MemberStatus struct {
	Host    string `json:"host"`
	ID      int    `json:"id"`
	Address string `json:"address"`
	Role    string `json:"role"` // voter or observer, as the spec wants it
	Mode    string `json:"mode"` // leader, follower, observer, standalone or down
	Version string `json:"version"`
	Zxid    string `json:"zxid"` // hex
	Voting  bool   `json:"voting"`
	Synced  bool   `json:"synced"`
	Error   string `json:"error"` // why something is not known, "" when everything is
}

// Status tells how the ensemble of a spec stands in a site. It is pure. Without an
// ensemble the report has no members and no quorum.
func Status(s *bootstrap.Spec, now bootstrap.Site) StatusReport {
	r := StatusReport{Name: s.Name, Members: []MemberStatus{}}
	if s.Ensemble == nil {
		return r
	}
	vs := known(s, now)
	rs := roster(vs)
	r.Quorum = quorate(rs)
	if found := leaders(rs); len(found) == 1 {
		r.Leader, r.ConfigVersion = found[0].host, found[0].configVersion()
	}
	for _, v := range vs {
		i := slices.IndexFunc(rs, func(m view) bool { return m.host == v.host })
		if i >= 0 {
			v.voter = rs[i].voter // as it is, not as it is wanted
		} else if !v.planned {
			continue // it has left, and its server is to be removed
		}
		m := v.status(r.Quorum)
		switch {
		case m.Error != "":
		case doubt(rs, v) != "":
			m.Error = "in doubt, do not restart it: " + doubt(rs, v) + "; zkboot replace " + v.host
		case i < 0:
			m.Error = "no member of the live configuration yet: apply"
		case !v.planned:
			m.Error = "to leave the ensemble: apply"
		}
		r.Members = append(r.Members, m)
	}
	return r
}

// status is one line of the report. A member counts as synced when it votes, since a voter
// is admitted only after it has caught up, and an observer when it serves.
func (v view) status(quorum bool) MemberStatus {
	m := MemberStatus{Host: v.host, ID: v.id, Address: v.addr, Role: bootstrap.Voter, Mode: v.mode,
		Version: v.version, Voting: v.votes(), Error: v.z.Err}
	if !v.voter {
		m.Role = bootstrap.Observer
	}
	if v.err != nil {
		m.Error = v.err.Error()
	}
	if v.serving() {
		m.Zxid = fmt.Sprintf("%x", v.zxid)
		m.Synced = quorum && (v.votes() || v.mode == modeObserver)
	} else if m.Error == "" {
		m.Error = "no server answers at " + v.client()
	}
	return m
}

// WriteJSON writes the report as JSON.
func (r StatusReport) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report as a table for a person.
func (r StatusReport) WriteText(w io.Writer) error {
	head := r.Name + ": no quorum"
	if r.Quorum {
		head = fmt.Sprintf("%s: quorum, leader %s, configuration %s", r.Name, r.Leader, r.ConfigVersion)
	}
	if _, err := fmt.Fprintln(w, head); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "HOST\tID\tADDRESS\tMODE\tVERSION\tZXID\tVOTING\tSYNCED\tNOTE")
	for _, m := range r.Members {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%t\t%t\t%s\n", m.Host, m.ID, m.Address, m.Mode, dash(m.Version), dash(m.Zxid), m.Voting, m.Synced, m.Error)
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
