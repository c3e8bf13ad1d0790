package provider

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"

	"github.com/zkboot/zkboot/bootstrap"
)

// inSync is the state of a host on which nothing has to be done.
const inSync = "in sync"

// shown is how many changes of one host are spelt out in its state.
const shown = 5

// observed are the computed attributes. Facts that change by themselves, such as who leads,
// are not among them: they would make every plan dirty.
type observed struct {
	texts  map[string]*string // by attribute; nil: not known
	hosts  map[string]string  // nil: not known
	things things             // nil: not known
}

// save writes the computed attributes; what is not known becomes null, never unknown,
// because Terraform refuses a state with unknown values.
func (k kind) save(ctx context.Context, to *tfsdk.State, o observed, diags *diag.Diagnostics) {
	for _, name := range k.texts {
		diags.Append(to.SetAttribute(ctx, path.Root(name), o.texts[name])...)
	}
	diags.Append(to.SetAttribute(ctx, path.Root("hosts_state"), o.hosts)...)
	diags.Append(to.SetAttribute(ctx, path.Root("things"), map[string]map[string]string(o.things))...)
}

// converged is what stands after an apply that succeeded.
func (m *managed) converged(ctx context.Context, eng *bootstrap.Engine, spec *bootstrap.Spec) observed {
	now, _ := eng.Look(ctx, spec)
	o := observed{texts: map[string]*string{}, hosts: allInSync(spec), things: things{}}
	for _, host := range spec.HostNames() {
		o.things[host] = map[string]string{} // what a plan knows a host of must not be missing
	}
	if found, _ := drift(eng, spec, now); found != nil {
		maps.Copy(o.things, found.things)
	}
	for name, text := range m.planned(spec) {
		o.texts[name] = &text
	}
	if slices.Contains(m.texts, "id") {
		o.texts["id"] = clusterID(eng.Roles, spec, now)
	}
	return o
}

func allInSync(spec *bootstrap.Spec) map[string]string {
	out := map[string]string{}
	for _, name := range spec.HostNames() {
		out[name] = inSync
	}
	return out
}

// settledHosts reports whether the state says that nothing has to be done on any host.
func settledHosts(ctx context.Context, state tfsdk.State, diags *diag.Diagnostics) bool {
	var hosts map[string]string
	diags.Append(state.GetAttribute(ctx, path.Root("hosts_state"), &hosts)...)
	for _, is := range hosts {
		if is != inSync {
			return false
		}
	}
	return len(hosts) > 0
}

// connectString is what a ZooKeeper client takes, members in the order of their names.
func connectString(spec *bootstrap.Spec) string {
	port := strconv.Itoa(spec.Ensemble.Ports.WithDefaults().Client)
	var at []string
	for _, name := range spec.MemberNames() {
		at = append(at, net.JoinHostPort(spec.Hosts[name].Address, port))
	}
	return strings.Join(at, ",")
}

// manifests returns what the roles own on the hosts that answered.
func manifests(roles []bootstrap.Role, spec *bootstrap.Spec, now bootstrap.Site) []bootstrap.Manifest {
	var out []bootstrap.Manifest
	for _, host := range now.Reachable() {
		for _, role := range roles {
			if m, ok := now.Hosts[host].State.Manifests[string(bootstrap.OwnerOf(spec.Name, role.Name()))]; ok {
				out = append(out, m)
			}
		}
	}
	return out
}

// clusterID is the id that the hosts carry, or nil when none does.
func clusterID(roles []bootstrap.Role, spec *bootstrap.Spec, now bootstrap.Site) *string {
	for _, m := range manifests(roles, spec, now) {
		if m.Cluster != "" {
			return &m.Cluster
		}
	}
	return nil
}

// gone is the proof that nothing of the ensemble stands: every host was seen, and none has
// anything that is owned by it.
func gone(roles []bootstrap.Role, spec *bootstrap.Spec, now bootstrap.Site) bool {
	return len(now.Reachable()) == len(spec.Hosts) && len(manifests(roles, spec, now)) == 0
}

// drifted is what stands on hosts, seen against what a spec wants there.
type drifted struct {
	hosts  map[string]string // what an apply would do on each
	things things            // as they are
	wanted things            // as an apply would leave them
}

// save writes the attributes about hosts.
func (d *drifted) save(ctx context.Context, to *tfsdk.State, diags *diag.Diagnostics) {
	diags.Append(to.SetAttribute(ctx, path.Root("hosts_state"), d.hosts)...)
	diags.Append(to.SetAttribute(ctx, path.Root("things"), map[string]map[string]string(d.things))...)
}

// drift compares what was seen with the spec. It is nil when that cannot be told, and the
// report then says why; warnings of the spec are not repeated.
func drift(eng *bootstrap.Engine, spec *bootstrap.Spec, now bootstrap.Site) (*drifted, bootstrap.Report) {
	plan, report := eng.PlanFrom(spec, now, bootstrap.Intent{Verb: bootstrap.VerbConverge})
	errs := onlyErrors(report)
	if plan == nil {
		return nil, errs
	}
	out := &drifted{hosts: allInSync(spec), things: thingsOf(eng.Roles, spec, now, plan), wanted: thingsAfter(eng.Roles, spec, now, plan)}
	maps.Copy(out.hosts, pending(plan))
	return out, errs
}

// pending says what a plan changes on each host that it changes.
func pending(plan *bootstrap.Plan) map[string]string {
	steps := map[string][]string{}
	for _, w := range plan.Waves {
		for _, s := range w.Site {
			for _, host := range s.Hosts {
				steps[host] = append(steps[host], s.Title)
			}
		}
		for host, list := range w.Steps {
			for _, s := range list {
				steps[host] = append(steps[host], s.String())
			}
		}
	}
	out := map[string]string{}
	for _, host := range slices.Sorted(maps.Keys(steps)) {
		list, more := steps[host], ""
		if n := len(list) - shown; n > 0 {
			list, more = list[:shown], fmt.Sprintf("; and %d more", n)
		}
		out[host] = strings.Join(list, "; ") + more
	}
	return out
}
