package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/zkboot/zkboot/bootstrap"
)

// ValidateConfig implements resource.ResourceWithValidateConfig.
func (m *managed) ValidateConfig(_ context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	if !m.settled(req.Config.Raw) {
		return // Terraform validates again once values are known
	}
	spec, err := m.specOf(req.Config.Raw, bootstrap.SSH{})
	if err != nil {
		resp.Diagnostics.AddError("zkboot_"+m.name, "reading the configuration: "+err.Error())
		return
	}
	resp.Diagnostics.Append(m.diagnostics(m.pure().Validate(spec))...)
}

// pure is an engine that reaches no host.
func (m *managed) pure() *bootstrap.Engine { return &bootstrap.Engine{Roles: m.roles(m.provider)} }

// ModifyPlan implements resource.ResourceWithModifyPlan. It leaves the note that Delete
// needs, and says in hosts_state which hosts an update changes.
func (m *managed) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if m.site == nil {
		return
	}
	if req.Plan.Raw.IsNull() {
		note := successor{Destroy: true, Walk: m.site.walk}
		resp.Diagnostics.Append(note.save(ctx, resp.Private)...)
		resp.Diagnostics.Append(m.protected(ctx, req.State)...)
		return
	}
	var name types.String
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("name"), &name)...)
	note := successor{Name: name.ValueString(), Walk: m.site.walk}
	resp.Diagnostics.Append(note.save(ctx, resp.Private)...)
	m.checkRename(ctx, req, resp, name)
	if resp.Diagnostics.HasError() || !m.settled(req.Plan.Raw) || !m.site.known {
		return
	}
	spec := m.spec(req.Plan.Raw, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	if report := m.pure().Validate(spec); report.Failed() {
		resp.Diagnostics.Append(m.diagnostics(report)...)
		return
	}
	for name, text := range m.planned(spec) {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root(name), text)...)
	}
	if !req.State.Raw.IsNull() {
		m.planHosts(ctx, spec, req, resp)
	}
}

// checkRename refuses a replacement that nobody can judge yet, or that is forbidden.
func (m *managed) checkRename(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse, name types.String) {
	if req.State.Raw.IsNull() {
		return
	}
	at := path.Root("name")
	var was types.String
	resp.Diagnostics.Append(req.State.GetAttribute(ctx, at, &was)...)
	switch {
	case name.IsUnknown():
		resp.Diagnostics.AddAttributeError(at, "name", "The name of what stands must be known when planning: another name is another "+m.name+", and this one would go.")
	case !name.Equal(was):
		resp.Diagnostics.Append(m.protected(ctx, req.State)...)
	}
}

// planHosts sets hosts_state and things for an object that is there already: a host that has
// drifted comes back in sync, and one that a new configuration changes is known after apply.
// Hosts are asked only when the configuration has changed: drift was found by Read.
func (m *managed) planHosts(ctx context.Context, spec *bootstrap.Spec, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	at := path.Root("hosts_state")
	var planned types.Map
	var before map[string]string
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, at, &planned)...)
	resp.Diagnostics.Append(req.State.GetAttribute(ctx, at, &before)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if !planned.IsUnknown() || m.sameSpec(req.Plan.Raw, req.State.Raw) {
		m.planDrift(ctx, spec, before, req, resp)
		return
	}
	changes, things, ok := m.ask(ctx, spec, req, resp)
	if !ok {
		return
	}
	after := map[string]attr.Value{}
	for _, host := range spec.HostNames() {
		after[host] = types.StringValue(inSync)
		if changes[host] != "" && before[host] == inSync {
			after[host] = types.StringUnknown()
		}
	}
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, at, types.MapValueMust(types.StringType, after))...)
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("things"), things.value(spec.HostNames()))...)
}

// planDrift plans for an unchanged spec that hosts which have drifted come back to what Read
// found to be wanted there. What has not drifted is not touched, so that nothing but drift
// makes a plan.
func (m *managed) planDrift(ctx context.Context, spec *bootstrap.Spec, before map[string]string, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	at := path.Root("things")
	var were types.Map
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("hosts_state"), allInSync(spec))...)
	resp.Diagnostics.Append(req.State.GetAttribute(ctx, at, &were)...)
	wanted, diags := loadWanted(ctx, req.Private)
	resp.Diagnostics.Append(diags...)
	if were.IsNull() || resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, at, were)...)
		return
	}
	after := were.Elements()
	planned := wanted.value(spec.HostNames()).Elements()
	for _, host := range spec.HostNames() {
		if before[host] != inSync {
			after[host] = planned[host]
		}
	}
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, at, types.MapValueMust(thingsType, after))...)
}

// ask looks at the hosts and returns what a changed configuration changes on each, and what
// stands there afterwards. Hosts that do not answer are warnings: whether they are needed is
// for the apply to say.
func (m *managed) ask(ctx context.Context, spec *bootstrap.Spec, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) (map[string]string, things, bool) {
	ctx, cancel := within(ctx, req.Plan, timeouts.Value.Read, readTimeout, &resp.Diagnostics)
	defer cancel()
	eng := m.site.looker(ctx, m.roles(m.provider))
	defer closeEngine(eng, &resp.Diagnostics)
	now, _ := eng.Look(ctx, spec)
	plan, report := eng.PlanFrom(spec, now, bootstrap.Intent{Verb: bootstrap.VerbConverge})
	resp.Diagnostics.Append(m.diagnostics(unreachableWarns(report))...)
	if plan == nil {
		return nil, nil, false
	}
	return pending(plan), thingsAfter(eng.Roles, spec, now, plan), true
}
