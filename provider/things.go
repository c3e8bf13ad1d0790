package provider

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/zkboot/zkboot/bootstrap"
)

// things are the computed attribute of that name: by host, what the resource owns there as
// resource ID -> hash. The hashes are those of the manifests on the hosts, so that a thing
// that is as it was applied has the hash that it was applied with. A hash tells two contents
// apart and nothing of either; secrets are not even part of it (see bootstrap.File).
type things map[string]map[string]string

// thingsType is the type of one host's part.
var thingsType = types.MapType{ElemType: types.StringType}

// thingsOf says what stands on the hosts that the plan has seen. A thing that is not as
// wanted has the hash of what was seen in its place, and one that is missing there has none:
// so what a plan changes is what differs from thingsAfter.
func thingsOf(roles []bootstrap.Role, spec *bootstrap.Spec, now bootstrap.Site, plan *bootstrap.Plan) things {
	out := things{}
	for _, host := range now.Reachable() {
		out[host] = owned(roles, spec, now.Hosts[host].State)
	}
	for host, s := range ownSteps(plan) {
		switch {
		case out[host] == nil:
		case s.Action == bootstrap.ActionCreate:
			delete(out[host], string(s.Target))
		case s.Action == bootstrap.ActionUpdate:
			out[host][string(s.Target)] = bootstrap.Hash(s.Was.Resource)
		}
	}
	return out
}

// thingsAfter says what stands there once the plan was applied. A host that the hardware
// gate has yet to judge is missing, because that leaves a verdict of its own.
func thingsAfter(roles []bootstrap.Role, spec *bootstrap.Spec, now bootstrap.Site, plan *bootstrap.Plan) things {
	out := thingsOf(roles, spec, now, plan)
	for host, s := range ownSteps(plan) {
		switch {
		case out[host] == nil:
		case s.Action == bootstrap.ActionDelete || s.Action == bootstrap.ActionRelease:
			delete(out[host], string(s.Target))
		default:
			out[host][string(s.Target)] = bootstrap.Hash(s.Want.Resource)
		}
	}
	for _, p := range plan.Prove {
		delete(out, p.Host)
	}
	return out
}

// owned is what the manifests of the roles list on one host.
func owned(roles []bootstrap.Role, spec *bootstrap.Spec, have bootstrap.State) map[string]string {
	out := map[string]string{}
	for _, role := range roles {
		for _, e := range have.Manifests[string(bootstrap.OwnerOf(spec.Name, role.Name()))].Entries {
			out[string(e.ID)] = e.Hash
		}
	}
	return out
}

// ownSteps yields the steps of a plan that change what a manifest lists, with their hosts.
func ownSteps(plan *bootstrap.Plan) func(func(string, bootstrap.Step) bool) {
	return func(yield func(string, bootstrap.Step) bool) {
		for _, w := range plan.Waves {
			for _, host := range w.Hosts() {
				for _, s := range w.Steps[host] {
					if s.Owner != "" && !yield(host, s) {
						return
					}
				}
			}
		}
	}
}

// value is the attribute. Hosts without an entry are unknown: what comes to stand there is
// known after the apply.
func (t things) value(hosts []string) types.Map {
	out := map[string]attr.Value{}
	for _, host := range hosts {
		out[host] = types.MapUnknown(types.StringType)
		if is, ok := t[host]; ok {
			out[host] = textMap(is)
		}
	}
	return types.MapValueMust(thingsType, out)
}

func textMap(m map[string]string) types.Map {
	out := map[string]attr.Value{}
	for k, v := range m {
		out[k] = types.StringValue(v)
	}
	return types.MapValueMust(types.StringType, out)
}

// promised takes over what a plan said of hosts, in place of what was seen there after the
// apply. Terraform ends an apply with an error where the two differ, as they may when another
// resource has changed the host in between; the next read tells what stands.
func (t things) promised(plan types.Map) things {
	out := things{}
	maps.Copy(out, t)
	for host, v := range plan.Elements() {
		m, ok := v.(types.Map)
		if !ok || m.IsUnknown() || m.IsNull() {
			continue
		}
		is := map[string]string{}
		for id, hash := range m.Elements() {
			if s, ok := hash.(types.String); ok {
				is[id] = s.ValueString()
			}
		}
		out[host] = is
	}
	return out
}

// wantedKey is where Read leaves, in private state, what an apply of the spec in the state
// would bring about. A plan of an unchanged configuration asks no host a second time. It is a
// cache: without it those hosts are known after apply.
const wantedKey = "wanted"

func (t things) save(ctx context.Context, to private) diag.Diagnostics {
	b, err := json.Marshal(t)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("zkboot", "encoding private state: "+err.Error())}
	}
	return to.SetKey(ctx, wantedKey, b)
}

// loadWanted reads what Read left; nothing when it left nothing.
func loadWanted(ctx context.Context, from private) (things, diag.Diagnostics) {
	b, diags := from.GetKey(ctx, wantedKey)
	var t things
	if b == nil || json.Unmarshal(b, &t) != nil {
		return nil, diags // what cannot be read is no more than a cache that is lost
	}
	return t, diags
}
