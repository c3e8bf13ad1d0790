package provider

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/action"
	aschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// verifyAction is the action zkboot_verify: the data source of that name for somebody who
// waits for it, with the long probe, its progress, and an error where something fails. Actions
// need Terraform 1.14; older ones pass over them.
type verifyAction struct{ ensemble managed }

var _ action.ActionWithConfigure = (*verifyAction)(nil)

// longProbe bounds an action as a whole: the probe takes about four times its first phase.
const longProbe = 15 * time.Minute

// Metadata implements action.Action.
func (a *verifyAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_verify"
}

// Schema implements action.Action.
func (a *verifyAction) Schema(ctx context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = aboutEnsemble(ctx, a.ensemble, map[string]aschema.Attribute{
		"duration": aschema.StringAttribute{Optional: true, Validators: []validator.String{durationText()},
			MarkdownDescription: "Length of the disk probe's first phase, default `30s`."},
		"on_live_members": aschema.BoolAttribute{Optional: true, MarkdownDescription: "Probe the disks of running members too, which slows them down."},
		"disk_only":       aschema.BoolAttribute{Optional: true, MarkdownDescription: "Judge the disks alone."},
	})
	resp.Schema.MarkdownDescription = "Judges hosts, the ways between them, and the ensemble, as `zkboot verify` does, and fails where anything does."
}

// Configure implements action.ActionWithConfigure.
func (a *verifyAction) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	configureAction(&a.ensemble, req, resp)
}

// Invoke implements action.Action.
func (a *verifyAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	defer errorsAlone(resp)
	o := verifyOptions(ctx, req.Config, 30*time.Second, &resp.Diagnostics)
	spec := a.ensemble.spec(req.Config.Raw, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, longProbe, fmt.Errorf("the action took longer than %s", longProbe))
	defer cancel()
	eng := a.ensemble.engine(ctx, standing)
	defer closeEngine(eng, &resp.Diagnostics)
	tellProgress(eng, resp)
	found, report := eng.Verify(ctx, spec, o)
	resp.Diagnostics.Append(a.ensemble.diagnostics(report)...)
	if err := ctx.Err(); err != nil {
		resp.Diagnostics.AddError("zkboot_verify", context.Cause(ctx).Error())
		return
	}
	if found == nil {
		return
	}
	for _, f := range findingsOf(*found) {
		said := bootstrap.Finding{Severity: bootstrap.SeverityWarning, Host: f.At, Step: f.Check, Text: strings.Trim(f.Text+": "+f.Why, ": "), Hint: f.Hint}
		switch verify.Verdict(f.Verdict) {
		case verify.Fail:
			said.Severity = bootstrap.SeverityError
		case verify.Unknown:
			continue // says nothing against the site
		}
		resp.Diagnostics.Append(diagnostic(said, path.Empty()))
	}
}
