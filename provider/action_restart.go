package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/action"
	aschema "github.com/hashicorp/terraform-plugin-framework/action/schema"

	"github.com/zkboot/zkboot/bootstrap"
)

// restartAction is the action zkboot_rolling_restart. An action cannot change state and need
// not: a restart changes nothing that the state says.
type restartAction struct{ ensemble managed }

var _ action.ActionWithConfigure = (*restartAction)(nil)

// Metadata implements action.Action.
func (a *restartAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_rolling_restart"
}

// Schema implements action.Action.
func (a *restartAction) Schema(ctx context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = aboutEnsemble(ctx, a.ensemble, map[string]aschema.Attribute{})
	resp.Schema.MarkdownDescription = "Restarts every member of an ensemble in turn, the leader last, as `zkboot roll restart` does: each only while the others have a quorum " +
		"without it, and the next only when all are in sync again. It takes what `zkboot_ensemble` says of the ensemble, and refuses while anything is left to apply, " +
		"while a member is down and while there is no quorum."
}

// Configure implements action.ActionWithConfigure.
func (a *restartAction) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	configureAction(&a.ensemble, req, resp)
}

// Invoke implements action.Action. It may take as long as an update, which restarts as many.
func (a *restartAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	defer errorsAlone(resp)
	spec := a.ensemble.spec(req.Config.Raw, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, updateTimeout, fmt.Errorf("the action took longer than %s", updateTimeout))
	defer cancel()
	eng := a.ensemble.engine(ctx, standing)
	defer closeEngine(eng, &resp.Diagnostics)
	tellProgress(eng, resp)
	report := carryOut(ctx, eng, spec, bootstrap.Intent{Verb: bootstrap.VerbRestart}, func() {})
	resp.Diagnostics.Append(a.ensemble.diagnostics(report)...)
	if ctx.Err() != nil {
		resp.Diagnostics.AddError("zkboot_rolling_restart", context.Cause(ctx).Error()+"\n\nNext: invoke it again; it restarts all members, those that had their turn too.")
	}
}
