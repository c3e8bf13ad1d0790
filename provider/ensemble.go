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

// ensemble is the resource zkboot_ensemble.
type ensemble struct {
	provider *Provider
	site     *site // nil while Terraform only validates
}

var (
	_ resource.ResourceWithConfigure      = (*ensemble)(nil)
	_ resource.ResourceWithValidateConfig = (*ensemble)(nil)
	_ resource.ResourceWithModifyPlan     = (*ensemble)(nil)
)

// Metadata implements resource.Resource.
func (e *ensemble) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_ensemble"
}

// Schema implements resource.Resource.
func (e *ensemble) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = ensembleSchema(ctx)
}

// Configure implements resource.ResourceWithConfigure.
func (e *ensemble) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	if req.ProviderData == nil {
		return
	}
	s, ok := req.ProviderData.(*site)
	if !ok {
		resp.Diagnostics.AddError("zkboot", fmt.Sprintf("the provider handed over a %T; this is a fault of zkboot", req.ProviderData))
		return
	}
	e.site = s
}

// Create implements resource.Resource. It takes over whatever of this ensemble is on the
// hosts already, so that it goes on from where an earlier create broke.
func (e *ensemble) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	ctx, cancel := within(ctx, req.Plan, timeouts.Value.Create, createTimeout, &resp.Diagnostics)
	defer cancel()
	spec := e.spec(req.Plan.Raw, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	eng := e.site.engine(ctx, 0)
	defer closeEngine(eng, &resp.Diagnostics)
	plan, report := eng.Plan(ctx, spec, bootstrap.Intent{Verb: bootstrap.VerbConverge})
	resp.Diagnostics.Append(diagnostics(timeUp(ctx, report))...)
	if plan == nil {
		return // nothing was touched, so there is nothing to remember
	}
	// From here on hosts may change, and the state must say so however this ends.
	resp.State.Raw = req.Plan.Raw
	save(ctx, &resp.State, observed{}, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	report = eng.Apply(ctx, plan)
	resp.Diagnostics.Append(diagnostics(timeUp(ctx, report))...)
	switch err := report.Err(); {
	case errors.Is(err, bootstrap.ErrHardware):
		resp.State.RemoveResource(ctx) // the gate refuses before any change
	case err == nil:
		save(ctx, &resp.State, e.converged(ctx, eng, spec), &resp.Diagnostics)
	}
}

// Read implements resource.Resource. A host that does not answer says nothing about what is
// on it: it is a warning, and the state stays as it was.
func (e *ensemble) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	ctx, cancel := within(ctx, req.State, timeouts.Value.Read, readTimeout, &resp.Diagnostics)
	defer cancel()
	if e.site == nil || !e.site.known || resp.Diagnostics.HasError() {
		return // the way to the hosts is not known yet
	}
	spec := e.spec(req.State.Raw, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	eng := e.site.engine(ctx, standing)
	defer closeEngine(eng, &resp.Diagnostics)
	now, _ := eng.Look(ctx, spec)
	if gone(eng.Roles, spec, now) {
		resp.State.RemoveResource(ctx)
		return
	}
	hosts, report := drift(eng, spec, now)
	resp.Diagnostics.Append(diagnostics(warn(report, func(bootstrap.Finding) bool { return true }))...)
	if hosts != nil {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("hosts_state"), hosts)...)
	}
}

// Update implements resource.Resource. What failed half-way is not written down as done:
// the state keeps what was before, and the next plan starts from what the hosts say.
func (e *ensemble) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	limited, cancel := within(ctx, req.Plan, timeouts.Value.Update, updateTimeout, &resp.Diagnostics)
	defer cancel()
	if sameSpec(req.Plan.Raw, req.State.Raw) && settledHosts(ctx, req.State, &resp.Diagnostics) {
		// Only Terraform's own attributes change, which must work with dead hosts too:
		// on_destroy.ignore_unreachable is there for them.
		resp.State.Raw = req.Plan.Raw
		return
	}
	spec := e.spec(req.Plan.Raw, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	eng := e.site.engine(limited, 0)
	defer closeEngine(eng, &resp.Diagnostics)
	plan, report := eng.Plan(limited, spec, bootstrap.Intent{Verb: bootstrap.VerbConverge})
	if plan != nil {
		report.Merge(eng.Apply(limited, plan))
	}
	resp.Diagnostics.Append(diagnostics(timeUp(limited, report))...)
	if report.Failed() {
		e.reread(ctx, &resp.State, &resp.Diagnostics)
		return
	}
	resp.State.Raw = req.Plan.Raw
	save(limited, &resp.State, e.converged(limited, eng, spec), &resp.Diagnostics)
}

// reread writes into the state of before what an update that failed has left on the hosts,
// as far as they answer: the failure itself has been reported.
func (e *ensemble) reread(ctx context.Context, state *tfsdk.State, diags *diag.Diagnostics) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), secondLook)
	defer cancel()
	spec := e.spec(state.Raw, diags)
	if spec == nil {
		return
	}
	eng := e.site.engine(ctx, standing)
	defer closeEngine(eng, diags)
	now, _ := eng.Look(ctx, spec)
	if hosts, _ := drift(eng, spec, now); hosts != nil {
		diags.Append(state.SetAttribute(ctx, path.Root("hosts_state"), hosts)...)
	}
}

// Delete implements resource.Resource. A delete that is one leg of a replacement of the
// ensemble by itself leaves everything in place, see successor.
func (e *ensemble) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	ctx, cancel := within(ctx, req.State, timeouts.Value.Delete, deleteTimeout, &resp.Diagnostics)
	defer cancel()
	spec := e.spec(req.State.Raw, &resp.Diagnostics)
	note, diags := loadSuccessor(ctx, req.Private)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	if note.continues(spec.Name, e.site.walk) {
		resp.Diagnostics.AddWarning(spec.Name+": left in place", "Terraform replaces this ensemble by itself, so its services and its data stay on the hosts "+
			"and the create that belongs to it goes on from there.\n\nNext: to start over instead, destroy it and apply again.")
		return
	}
	resp.Diagnostics.Append(protected(ctx, req.State)...)
	in := intent(ctx, req.State, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	eng := e.site.engine(ctx, standing)
	defer closeEngine(eng, &resp.Diagnostics)
	report := destroy(ctx, eng, spec, in)
	resp.Diagnostics.Append(diagnostics(timeUp(ctx, report))...)
}

// intent is what a destroy of the ensemble does by its on_destroy.
func intent(ctx context.Context, state tfsdk.State, diags *diag.Diagnostics) bootstrap.Intent {
	var wipe, ignore types.Bool
	on := path.Root("on_destroy")
	diags.Append(state.GetAttribute(ctx, on.AtName("wipe_data"), &wipe)...)
	diags.Append(state.GetAttribute(ctx, on.AtName("ignore_unreachable"), &ignore)...)
	return bootstrap.Intent{Verb: bootstrap.VerbDestroy, Wipe: wipe.ValueBool(), Reachable: ignore.ValueBool()}
}

// destroy takes the ensemble from every host that answers. Hosts that do not are errors, or
// warnings where the intent goes on without them.
func destroy(ctx context.Context, eng *bootstrap.Engine, spec *bootstrap.Spec, in bootstrap.Intent) bootstrap.Report {
	plan, report := eng.Plan(ctx, spec, in)
	if plan != nil {
		report.Merge(eng.Apply(ctx, plan))
		if in.Reachable {
			return unreachableWarns(report)
		}
	}
	for i, f := range report.Findings {
		if errors.Is(f, bootstrap.ErrUnreachable) && f.Hint == "" {
			report.Findings[i].Hint = "bring the host back, or apply on_destroy = { ignore_unreachable = true } first"
		}
	}
	return report
}

// protected refuses when the state says deletion_protection.
func protected(ctx context.Context, state tfsdk.State) diag.Diagnostics {
	var on types.Bool
	at := path.Root("deletion_protection")
	diags := state.GetAttribute(ctx, at, &on)
	if on.ValueBool() {
		diags.AddAttributeError(at, "deletion_protection", "This ensemble is protected, so it is neither destroyed nor replaced by one of another name.\n\n"+
			"Next: apply deletion_protection = false first.")
	}
	return diags
}

// spec builds the Spec of a configuration that is fully known; nil when that failed.
func (e *ensemble) spec(raw tftypes.Value, diags *diag.Diagnostics) *bootstrap.Spec {
	if e.site == nil || !e.site.known {
		diags.AddError("provider zkboot", "The provider block has values that are not known, so no host can be reached.\n\nNext: apply what it refers to first, with -target.")
		return nil
	}
	s, err := specOf(raw, e.site.ssh)
	if err != nil {
		diags.AddError("zkboot_ensemble", "reading the configuration: "+err.Error())
		return nil
	}
	return s
}

// within bounds an operation by the timeouts of the configuration.
func within(ctx context.Context, from interface {
	GetAttribute(context.Context, path.Path, any) diag.Diagnostics
}, which func(timeouts.Value, context.Context, time.Duration) (time.Duration, diag.Diagnostics), usual time.Duration, diags *diag.Diagnostics) (context.Context, context.CancelFunc) {
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
