package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/zkboot/zkboot/bootstrap"
)

// How long an operation may take where the configuration has no timeouts.
const (
	createTimeout = 30 * time.Minute
	readTimeout   = 2 * time.Minute
	updateTimeout = 60 * time.Minute
	deleteTimeout = 20 * time.Minute
	// secondLook bounds the look after an update that failed, when its own time is up.
	secondLook = 30 * time.Second
)

// managed is a resource whose attributes make up a Spec, which the engine brings about.
type managed struct {
	kind
	provider *Provider
	site     *site // nil while Terraform only validates
}

var (
	_ resource.ResourceWithConfigure      = (*managed)(nil)
	_ resource.ResourceWithValidateConfig = (*managed)(nil)
	_ resource.ResourceWithModifyPlan     = (*managed)(nil)
)

// Metadata implements resource.Resource.
func (m *managed) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + m.name
}

// Schema implements resource.Resource.
func (m *managed) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = m.schema(ctx)
}

// Configure implements resource.ResourceWithConfigure.
func (m *managed) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	if req.ProviderData == nil {
		return
	}
	s, ok := req.ProviderData.(*site)
	if !ok {
		resp.Diagnostics.AddError("zkboot", fmt.Sprintf("the provider handed over a %T; this is a fault of zkboot", req.ProviderData))
		return
	}
	m.site = s
}

// Create implements resource.Resource. It takes over whatever of it is on the
// hosts already, so that it goes on from where an earlier create broke.
func (m *managed) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	ctx, cancel := within(ctx, req.Plan, timeouts.Value.Create, createTimeout, &resp.Diagnostics)
	defer cancel()
	spec := m.spec(req.Plan.Raw, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	eng := m.engine(ctx, 0)
	defer closeEngine(eng, &resp.Diagnostics)
	touched := false
	report := carryOut(ctx, eng, spec, bootstrap.Intent{Verb: bootstrap.VerbConverge}, func() {
		// From here on hosts may change, and the state must say so however this ends.
		touched = true
		resp.State.Raw = req.Plan.Raw
		m.save(ctx, &resp.State, observed{}, &resp.Diagnostics)
	})
	resp.Diagnostics.Append(m.diagnostics(timeUp(ctx, report))...)
	switch err := report.Err(); {
	case !touched: // there is nothing to remember
	case errors.Is(err, bootstrap.ErrHardware):
		resp.State.RemoveResource(ctx) // the gate refuses before any change
	case err == nil:
		m.save(ctx, &resp.State, m.converged(ctx, eng, spec), &resp.Diagnostics)
	}
}

// Read implements resource.Resource. A host that does not answer says nothing about what is
// on it: it is a warning, and the state stays as it was.
func (m *managed) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	ctx, cancel := within(ctx, req.State, timeouts.Value.Read, readTimeout, &resp.Diagnostics)
	defer cancel()
	if m.site == nil || !m.site.known || resp.Diagnostics.HasError() {
		return // the way to the hosts is not known yet
	}
	spec := m.spec(req.State.Raw, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	eng := m.site.looker(ctx, m.roles(m.provider))
	defer closeEngine(eng, &resp.Diagnostics)
	now, _ := eng.Look(ctx, spec)
	if gone(eng.Roles, spec, now) {
		resp.State.RemoveResource(ctx)
		return
	}
	found, report := drift(eng, spec, now)
	resp.Diagnostics.Append(m.diagnostics(warn(report, func(bootstrap.Finding) bool { return true }))...)
	if found != nil {
		found.save(ctx, &resp.State, &resp.Diagnostics)
		resp.Diagnostics.Append(found.wanted.save(ctx, resp.Private)...)
	}
}

// Update implements resource.Resource. What failed half-way is not written down as done:
// the state keeps what was before, and the next plan starts from what the hosts say.
func (m *managed) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	limited, cancel := within(ctx, req.Plan, timeouts.Value.Update, updateTimeout, &resp.Diagnostics)
	defer cancel()
	if m.sameSpec(req.Plan.Raw, req.State.Raw) && settledHosts(ctx, req.State, &resp.Diagnostics) {
		// Only Terraform's own attributes change, which must work with dead hosts too:
		// on_destroy.ignore_unreachable is there for them.
		resp.State.Raw = req.Plan.Raw
		return
	}
	spec := m.spec(req.Plan.Raw, &resp.Diagnostics)
	var planned types.Map
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("things"), &planned)...)
	if resp.Diagnostics.HasError() {
		return
	}
	eng := m.engine(limited, 0)
	defer closeEngine(eng, &resp.Diagnostics)
	report := carryOut(limited, eng, spec, bootstrap.Intent{Verb: bootstrap.VerbConverge}, func() {})
	resp.Diagnostics.Append(m.diagnostics(timeUp(limited, report))...)
	if report.Failed() {
		closeEngine(eng, &resp.Diagnostics) // its connections count: with all of them taken, reread would wait for itself
		m.reread(ctx, &resp.State, &resp.Diagnostics)
		return
	}
	resp.State.Raw = req.Plan.Raw
	now := m.converged(limited, eng, spec)
	now.things = now.things.promised(planned)
	m.save(limited, &resp.State, now, &resp.Diagnostics)
}

// reread writes into the state of before what an update that failed has left on the hosts,
// as far as they answer: the failure itself has been reported.
func (m *managed) reread(ctx context.Context, state *tfsdk.State, diags *diag.Diagnostics) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), secondLook)
	defer cancel()
	spec := m.spec(state.Raw, diags)
	if spec == nil {
		return
	}
	eng := m.site.looker(ctx, m.roles(m.provider))
	defer closeEngine(eng, diags)
	now, _ := eng.Look(ctx, spec)
	if found, _ := drift(eng, spec, now); found != nil {
		found.save(ctx, state, diags)
	}
}

// Delete implements resource.Resource. A delete that is one leg of a replacement of the
// resource by itself leaves everything in place, see successor.
func (m *managed) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	ctx, cancel := within(ctx, req.State, timeouts.Value.Delete, deleteTimeout, &resp.Diagnostics)
	defer cancel()
	spec := m.spec(req.State.Raw, &resp.Diagnostics)
	note, diags := loadSuccessor(ctx, req.Private)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	if note.continues(spec.Name, m.site.walk) {
		resp.Diagnostics.AddWarning(spec.Name+": left in place", "Terraform replaces this "+m.name+" by itself, so what it has on the hosts stays there "+
			"and the create that belongs to it goes on from there.\n\nNext: to start over instead, destroy it and apply again.")
		return
	}
	resp.Diagnostics.Append(m.protected(ctx, req.State)...)
	in := m.intent(ctx, req.State, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	eng := m.engine(ctx, standing)
	defer closeEngine(eng, &resp.Diagnostics)
	report := destroy(ctx, eng, spec, in)
	resp.Diagnostics.Append(m.diagnostics(timeUp(ctx, report))...)
}

// replans is how often a plan is made anew because a host changed after it was made.
const replans = 3

// carryOut plans and applies. touched is called before hosts may change, each time. Another
// resource of the same run may change a host between the two; nobody has seen the plan yet,
// and by then the locks are ours, so it is made anew.
func carryOut(ctx context.Context, eng *bootstrap.Engine, spec *bootstrap.Spec, in bootstrap.Intent, touched func()) bootstrap.Report {
	for i := 1; ; i++ {
		plan, report := eng.Plan(ctx, spec, in)
		if plan == nil {
			return report
		}
		touched()
		report.Merge(eng.Apply(ctx, plan))
		if i == replans || !errors.Is(report.Err(), bootstrap.ErrStale) {
			return report
		}
	}
}

// intent is what a destroy of the resource does by its on_destroy.
func (m *managed) intent(ctx context.Context, state tfsdk.State, diags *diag.Diagnostics) bootstrap.Intent {
	var wipe, ignore types.Bool
	on := path.Root("on_destroy")
	if m.hasData {
		diags.Append(state.GetAttribute(ctx, on.AtName("wipe_data"), &wipe)...)
	}
	diags.Append(state.GetAttribute(ctx, on.AtName("ignore_unreachable"), &ignore)...)
	return bootstrap.Intent{Verb: bootstrap.VerbDestroy, Wipe: wipe.ValueBool(), Reachable: ignore.ValueBool()}
}

// destroy takes everything of the spec from every host that answers. Hosts that do not are
// errors, or warnings where the intent goes on without them.
func destroy(ctx context.Context, eng *bootstrap.Engine, spec *bootstrap.Spec, in bootstrap.Intent) bootstrap.Report {
	planned := false
	report := carryOut(ctx, eng, spec, in, func() { planned = true })
	if planned && in.Reachable {
		return unreachableWarns(report)
	}
	for i, f := range report.Findings {
		if errors.Is(f, bootstrap.ErrUnreachable) && f.Hint == "" {
			report.Findings[i].Hint = "bring the host back, or apply on_destroy = { ignore_unreachable = true } first"
		}
	}
	return report
}

// protected refuses when the state says deletion_protection.
func (m *managed) protected(ctx context.Context, state tfsdk.State) diag.Diagnostics {
	var on types.Bool
	at := path.Root("deletion_protection")
	if !m.hasData {
		return nil
	}
	diags := state.GetAttribute(ctx, at, &on)
	if on.ValueBool() {
		diags.AddAttributeError(at, "deletion_protection", "This "+m.name+" is protected, so it is neither destroyed nor replaced by one of another name.\n\n"+
			"Next: apply deletion_protection = false first.")
	}
	return diags
}

// engine is one for an operation, to be closed when the operation ends. Zero patience means
// what the spec says.
func (m *managed) engine(ctx context.Context, patience time.Duration) *bootstrap.Engine {
	return m.site.engine(ctx, m.roles(m.provider), patience)
}

// spec builds the Spec of a configuration that is fully known; nil when that failed.
func (m *managed) spec(raw tftypes.Value, diags *diag.Diagnostics) *bootstrap.Spec {
	if m.site == nil || !m.site.known {
		diags.AddError("provider zkboot", "The provider block has values that are not known, so no host can be reached.\n\nNext: apply what it refers to first, with -target.")
		return nil
	}
	s, err := m.specOf(raw, m.site.ssh)
	if err != nil {
		diags.AddError("zkboot_"+m.name, "reading the configuration: "+err.Error())
		return nil
	}
	return s
}

// attributes are a configuration, a plan or a state.
type attributes interface {
	GetAttribute(context.Context, path.Path, any) diag.Diagnostics
}

// within bounds an operation by the timeouts of the configuration.
func within(ctx context.Context, from attributes, which func(timeouts.Value, context.Context, time.Duration) (time.Duration, diag.Diagnostics), usual time.Duration, diags *diag.Diagnostics) (context.Context, context.CancelFunc) {
	var t timeouts.Value
	diags.Append(from.GetAttribute(ctx, path.Root("timeouts"), &t)...)
	limit, d := which(t, ctx, usual)
	diags.Append(d...)
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("the operation took longer than %s", limit))
}

// timeUp adds to a report that failed that the operation ran out of its time, which the
// errors of single hosts only hint at.
func timeUp(ctx context.Context, r bootstrap.Report) bootstrap.Report {
	if r.Failed() && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.Add(bootstrap.Finding{Severity: bootstrap.SeverityError, Step: "timeouts", Text: context.Cause(ctx).Error(), Hint: "raise it in timeouts"})
	}
	return r
}

func closeEngine(e *bootstrap.Engine, diags *diag.Diagnostics) {
	if err := e.Close(); err != nil {
		diags.AddWarning("closing connections", err.Error())
	}
}
