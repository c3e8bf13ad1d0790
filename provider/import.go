package provider

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/zkboot/zkboot/bootstrap"
)

// recaller is a role that knows from one of its hosts what the whole is, as the ensemble's
// does. Hosts of the spec that it makes are named by server ids.
type recaller interface {
	bootstrap.Role
	Recall(name string, seen bootstrap.Seen) (s *bootstrap.Spec, self string, err error)
	// Recognize is for what somebody else set up; as tells which host was seen as which.
	Recognize(name string, a bootstrap.Adopt, seen map[string]bootstrap.Seen) (s *bootstrap.Spec, as map[string]string, r bootstrap.Report)
}

// importable is a managed resource that can be imported from one of its hosts.
type importable struct{ managed }

var _ resource.ResourceWithImportState = (*importable)(nil)

// ImportState implements resource.ResourceWithImportState. It only looks. What no host keeps
// is missing from the state it makes, and shows in the first plan as what the configuration
// adds; things in that plan tells whether any of it changes a host.
func (m *importable) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if m.site == nil || !m.site.known {
		resp.Diagnostics.AddError("provider zkboot", "The provider block has values that are not known, so no host can be reached.\n\nNext: import with values that are.")
		return
	}
	from, err := parseSeed(req.ID)
	if err != nil {
		resp.Diagnostics.AddError("import", err.Error())
		return
	}
	eng := m.engine(ctx, standing)
	defer closeEngine(eng, &resp.Diagnostics)
	spec, cluster, err := m.recall(ctx, eng, from, &resp.Diagnostics)
	if err != nil {
		resp.Diagnostics.Append(importError(req.ID, err))
		return
	}
	all, err := m.attributesOf(spec)
	if err == nil {
		resp.State.Raw, err = valueOf(resp.State.Schema.Type().TerraformType(ctx), all)
	}
	if err != nil {
		resp.Diagnostics.AddError("import", "writing what was found as attributes: "+err.Error())
		return
	}
	texts := map[string]*string{"id": cluster}
	for name, text := range m.planned(spec) {
		texts[name] = &text
	}
	m.save(ctx, &resp.State, observed{texts: texts}, &resp.Diagnostics)
}

// importError keeps what to do next apart from what went wrong.
func importError(id string, err error) diag.Diagnostic {
	var f bootstrap.Finding
	if !errors.As(err, &f) {
		f = bootstrap.Finding{Text: err.Error()}
	}
	f.Severity, f.Path, f.Host, f.Step = bootstrap.SeverityError, "", "import "+id, ""
	return diagnostic(f, path.Empty())
}

// seed is the host that an import starts from.
type seed struct {
	user, host string
	port       int
	name       string          // of the ensemble; "": the only one there
	adopts     bool            // it was set up by somebody else
	places     bootstrap.Adopt // where that is; zero: as Debian's package has it
}

// parseSeed reads [user@]host[:port][/name], with ?adopt behind it for an ensemble that
// somebody else set up; ?config=PATH&unit=NAME is the same where these are not as Debian's
// package has them. An IPv6 address stands in brackets.
func parseSeed(id string) (seed, error) {
	wrong := fmt.Errorf("want [user@]host[:port][/name][?adopt], such as debian@203.0.113.11:22, found %q", id)
	var s seed
	front, query, adopts := strings.Cut(id, "?")
	if adopts {
		words, err := url.ParseQuery(query)
		s.adopts, s.places = true, bootstrap.Adopt{Config: words.Get("config"), Unit: words.Get("unit")}
		for word := range words {
			if err != nil || !slices.Contains([]string{"adopt", "config", "unit"}, word) {
				return s, wrong
			}
		}
		if len(words) == 0 {
			return s, wrong
		}
	}
	rest, name, named := strings.Cut(front, "/")
	if s.name = name; named && name == "" {
		return s, wrong
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if s.user, rest = rest[:at], rest[at+1:]; s.user == "" {
			return s, wrong
		}
	}
	s.host = rest
	if host, port, err := net.SplitHostPort(rest); err == nil {
		if s.port, err = strconv.Atoi(port); err != nil || !isPort(int64(s.port)) {
			return s, wrong
		}
		s.host = host
	} else if inner, ok := strings.CutPrefix(rest, "["); ok {
		s.host = strings.TrimSuffix(inner, "]")
	}
	if !isHost(s.host) {
		return s, wrong
	}
	return s, nil
}

// seedHost is the name under which the host of a seed is looked at: it has no other yet.
const seedHost = "seed"

// recall makes the spec of what the seed is part of, and its cluster id.
func (m *importable) recall(ctx context.Context, eng *bootstrap.Engine, from seed, diags *diag.Diagnostics) (*bootstrap.Spec, *string, error) {
	role, ok := m.role(m.provider).(recaller)
	if !ok {
		return nil, nil, fmt.Errorf("%T cannot tell what a host is part of; this is a fault of zkboot", m.role(m.provider))
	}
	over := bootstrap.SSH{User: from.user, Port: from.port}
	look := &bootstrap.Spec{SSH: m.site.ssh, Hosts: map[string]bootstrap.HostSpec{seedHost: {Address: from.host, SSH: over}},
		Ensemble: &bootstrap.Ensemble{Source: bootstrap.Source{Apt: &bootstrap.AptPackages{}}}}
	if from.adopts {
		spec, err := m.recognize(ctx, eng, role, look, from, diags)
		return spec, nil, err
	}
	now, _ := eng.Look(ctx, look)
	seen := now.Hosts[seedHost]
	if seen.Err != nil {
		return nil, nil, seen.Err
	}
	var err error
	if look.Name, err = only(from.name, namesOn(role, seen.State)); err != nil {
		return nil, nil, err
	}
	// With the name it is known what to look at.
	look.Ensemble.Members = map[string]bootstrap.Member{seedHost: {ID: 1}}
	now, _ = eng.Look(ctx, look)
	if seen = now.Hosts[seedHost]; seen.Err != nil {
		return nil, nil, seen.Err
	}
	spec, self, err := role.Recall(look.Name, seen)
	if err != nil {
		return nil, nil, err
	}
	cluster := clusterID(eng.Roles, look, now)
	return m.named(ctx, eng, spec, self, from, diags), cluster, nil
}

// recognize makes the spec of an ensemble that somebody else set up. It has no cluster id
// until it is taken over.
func (m *importable) recognize(ctx context.Context, eng *bootstrap.Engine, role recaller, look *bootstrap.Spec, from seed, diags *diag.Diagnostics) (*bootstrap.Spec, error) {
	look.Name = cmp.Or(from.name, "main")
	look.Ensemble.Adopt, look.Ensemble.Members = &from.places, map[string]bootstrap.Member{seedHost: {ID: 1}}
	now, _ := eng.Look(ctx, look)
	if err := now.Hosts[seedHost].Err; err != nil {
		return nil, err
	}
	spec, as, report := role.Recognize(look.Name, from.places, now.Hosts)
	if report.Failed() {
		return nil, report.Err()
	}
	for _, f := range report.Findings {
		f.Path = "" // of an attribute that nobody wrote yet
		diags.Append(diagnostic(f, path.Empty()))
	}
	self := ""
	for id := range as {
		self = id // the seed is the one host that was seen
	}
	return m.named(ctx, eng, spec, self, from, diags), nil
}

// named says how the hosts of a spec are reached and asks them for their names.
func (m *importable) named(ctx context.Context, eng *bootstrap.Engine, spec *bootstrap.Spec, self string, from seed, diags *diag.Diagnostics) *bootstrap.Spec {
	m.reach(spec, self, from)
	spec.SSH = m.site.ssh
	others := *spec
	others.Ensemble = &bootstrap.Ensemble{}
	now, _ := eng.Look(ctx, &others)
	return withNames(spec, now, diags)
}

// reach says how the hosts are reached, where that differs from what the provider block says:
// all as the seed, which alone is known to have another address for SSH.
func (m *importable) reach(spec *bootstrap.Spec, self string, from seed) {
	for id, h := range spec.Hosts {
		if from.user != m.site.ssh.User {
			h.SSH.User = from.user // empty where the id names nobody
		}
		if from.port != cmp.Or(m.site.ssh.Port, 22) {
			h.SSH.Port = from.port
		}
		if id == self && from.host != h.Address {
			h.SSH.Address = from.host
		}
		spec.Hosts[id] = h
	}
}

// namesOn lists what the role has on a host, by the manifests there.
func namesOn(role bootstrap.Role, have bootstrap.State) []string {
	var out []string
	for owner := range have.Manifests {
		if name, ok := strings.CutSuffix(owner, "."+role.Name()); ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// only picks the name that was asked for, or the only one there is.
func only(asked string, there []string) (string, error) {
	switch {
	case asked != "" && slices.Contains(there, asked):
		return asked, nil
	case asked == "" && len(there) == 1:
		return there[0], nil
	case len(there) == 0:
		return "", bootstrap.Finding{Text: "want a host with an ensemble of zkboot's, found none there", Hint: "name a host that has a member"}
	case asked == "":
		return "", bootstrap.Finding{Text: "the host has several ensembles: " + strings.Join(there, ", "), Hint: "put a slash and the name behind the host"}
	}
	return "", bootstrap.Finding{Text: fmt.Sprintf("want an ensemble %q, found %s", asked, strings.Join(there, ", ")), Hint: "put the name of one of them behind the slash"}
}

// withNames names the hosts as they name themselves. One that cannot be asked, or whose name is
// another's too, is called zk and its server id.
func withNames(spec *bootstrap.Spec, now bootstrap.Site, diags *diag.Diagnostics) *bootstrap.Spec {
	names := map[string]int{}
	nameOf := func(id string) string {
		short, _, _ := strings.Cut(now.Hosts[id].Facts.Hostname, ".")
		return short
	}
	for id := range spec.Hosts {
		names[nameOf(id)]++
	}
	out := *spec
	ensemble := *spec.Ensemble
	out.Hosts, out.Ensemble, ensemble.Members = map[string]bootstrap.HostSpec{}, &ensemble, map[string]bootstrap.Member{}
	for _, id := range spec.HostNames() {
		name := nameOf(id)
		if name == "" || names[name] > 1 {
			name = "zk" + id
		}
		if err := now.Hosts[id].Err; err != nil {
			diags.AddWarning(name+": its own name is not known", fmt.Sprintf("Server %s could not be asked: %v\n\n"+
				"Next: nothing, if the configuration calls it %s as well; else the first plan shows it under both names, which changes nothing on the host.", id, err, name))
		}
		out.Hosts[name], ensemble.Members[name] = spec.Hosts[id], spec.Ensemble.Members[id]
	}
	return &out
}

// attributesOf turns a spec into attributes, the reverse of specOf.
func (k kind) attributesOf(s *bootstrap.Spec) (map[string]any, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil {
		return nil, err
	}
	own, _ := all[k.section].(map[string]any)
	out := map[string]any{}
	for _, from := range []map[string]any{all, own} {
		for name, v := range from {
			// A section that says nothing is one that nobody wrote.
			if m, ok := v.(map[string]any); ok && len(m) == 0 {
				continue
			}
			if _, ok := k.place(name); ok {
				out[name] = v
			}
		}
	}
	return out, nil
}
