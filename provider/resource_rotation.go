package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/crypto/ssh"

	"github.com/zkboot/zkboot/bootstrap"
)

// rotation is zkboot_host_key_rotation: the replacement of a host key that lay in user-data. It
// is a resource of its own, because the machine stands between the key pair and it, and the
// ensemble pins what comes of it.
type rotation struct {
	provider *Provider
	site     *site // nil while Terraform only validates
}

const (
	// keySettle bounds the wait for an SSH server to show its new key.
	keySettle = 5 * time.Second
	keyPoll   = 250 * time.Millisecond
)

// rotationModel is its state.
type rotationModel struct {
	Address     types.String `tfsdk:"address"`
	SSH         types.Object `tfsdk:"ssh"`
	HostKey     types.String `tfsdk:"host_key"`
	Keepers     types.Map    `tfsdk:"keepers"`
	PublicKey   types.String `tfsdk:"public_key"`
	Fingerprint types.String `tfsdk:"fingerprint"`
}

var (
	_ resource.ResourceWithConfigure      = (*rotation)(nil)
	_ resource.ResourceWithValidateConfig = (*rotation)(nil)
	_ resource.ResourceWithImportState    = (*rotation)(nil)
)

// Metadata implements resource.Resource.
func (r *rotation) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_host_key_rotation"
}

// Schema implements resource.Resource.
func (r *rotation) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	host := hostAttributes()
	made := func(about string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: about, PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()}}
	}
	const unlessImported = "Another value replaces the resource, unless it has just been imported."
	resp.Schema = schema.Schema{
		MarkdownDescription: "Replaces the SSH host key that user-data brought to a host by one that is made there, so that what lies in user-data and in the state of `zkboot_host_key` " +
			"cannot stand in for the host any more. The private half of the new key never leaves the host; its public half is `public_key`, to be pinned as `host_key` from then on.\n\n" +
			"The one connection that the old key is good for is that of the create, which accepts no other. A destroy leaves the key on the host as it is.\n\n" +
			"**A host that is reinstalled from the same user-data shows the old key again**, and so would somebody who has got hold of that key and answers in its place. " +
			"zkboot logs in at neither: a plan warns, and what refers to `public_key` fails to connect. Where you know that it was reinstalled, `terraform apply -replace=zkboot_host_key_rotation.NAME` " +
			"replaces the key again; `keepers` say the same for a machine that Terraform makes anew.",
		Attributes: map[string]schema.Attribute{
			"address": host["address"], "ssh": host["ssh"],
			"host_key": schema.StringAttribute{Required: true,
				PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplaceIf(func(ctx context.Context, req planmodifier.StringRequest, resp *stringplanmodifier.RequiresReplaceIfFuncResponse) {
					resp.RequiresReplace = !imported(ctx, req.State, &resp.Diagnostics)
				}, unlessImported, unlessImported)},
				MarkdownDescription: "The ed25519 key that user-data brought: `public_key` of a `zkboot_host_key`."},
			"keepers": schema.MapAttribute{Optional: true, ElementType: types.StringType,
				PlanModifiers: []planmodifier.Map{mapplanmodifier.RequiresReplaceIf(func(ctx context.Context, req planmodifier.MapRequest, resp *mapplanmodifier.RequiresReplaceIfFuncResponse) {
					resp.RequiresReplace = !imported(ctx, req.State, &resp.Diagnostics)
				}, unlessImported, unlessImported)},
				MarkdownDescription: "Any texts that change with a machine that is made anew from the same user-data, such as its id: the key is then replaced there in the same apply."},
			"public_key":  made("The public half of the key that the host has now, such as `ssh-ed25519 AAAA...`; for `host_key`."),
			"fingerprint": made("Of `public_key`, as OpenSSH shows it: `SHA256:...`."),
		},
	}
}

// imported reports whether a state has come from an import, which knows the new key alone.
func imported(ctx context.Context, state tfsdk.State, diags *diag.Diagnostics) bool {
	var old types.String
	diags.Append(state.GetAttribute(ctx, path.Root("host_key"), &old)...)
	return old.IsNull()
}

// Configure implements resource.ResourceWithConfigure.
func (r *rotation) Configure(ctx context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	var m managed
	m.Configure(ctx, req, resp)
	r.site = m.site
}

// ValidateConfig implements resource.ResourceWithValidateConfig.
func (r *rotation) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m rotationModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || m.Address.IsUnknown() || m.SSH.IsUnknown() || m.HostKey.IsUnknown() {
		return
	}
	if _, err := publicKey(m.HostKey.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("host_key"), "host_key", err.Error())
		return
	}
	if raw, err := m.SSH.ToTerraformValue(ctx); err != nil || !raw.IsFullyKnown() {
		return
	}
	spec := m.spec(ctx, bootstrap.SSH{}, m.HostKey.ValueString(), &resp.Diagnostics)
	if spec == nil {
		return
	}
	report := spec.Validate()
	report.Merge(r.provider.HostKey.Validate(spec))
	resp.Diagnostics.Append(m.diagnostics(report)...)
}

// Create implements resource.Resource. The state gets the new key when the host has shown it.
func (r *rotation) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	var m rotationModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	spec := r.spec(ctx, m, m.HostKey, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	key, report := r.replace(ctx, spec, &resp.Diagnostics)
	resp.Diagnostics.Append(m.diagnostics(m.explain(report))...)
	if resp.Diagnostics.HasError() {
		return
	}
	public, err := publicKey(key.Public)
	if err != nil {
		resp.Diagnostics.AddError("zkboot_host_key_rotation", "reading the key that the host has now: "+err.Error())
		return
	}
	m.PublicKey, m.Fingerprint = types.StringValue(line(public)), types.StringValue(ssh.FingerprintSHA256(public))
	if spec = r.spec(ctx, m, m.PublicKey, &resp.Diagnostics); spec == nil {
		return
	}
	report = r.await(ctx, spec, m.HostKey.ValueString(), &resp.Diagnostics)
	if shown, other := shownInstead(report); other {
		resp.Diagnostics.AddError(m.Address.ValueString()+": the new host key is not shown", fmt.Sprintf("want %s, which is at %s, found %s.\n\n"+
			"Next: see whether HostKey in /etc/ssh/sshd_config names another file; take that line away, or replace that key by hand.", keyText(key.Public), key.Path, keyText(shown)))
		return
	}
	resp.Diagnostics.Append(m.diagnostics(warn(report, func(bootstrap.Finding) bool { return true }))...)
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
}

// replace has the key replaced that the spec pins, and returns what is there now. What broke
// after the key was replaced is a warning: an error would taint the resource, and its next
// create would meet a host that does not have the old key any more.
func (r *rotation) replace(ctx context.Context, spec *bootstrap.Spec, diags *diag.Diagnostics) (bootstrap.HostKey, bootstrap.Report) {
	eng := r.site.engine(ctx, []bootstrap.Role{r.provider.HostKey}, 0)
	defer closeEngine(eng, diags)
	touched := false
	report := carryOut(ctx, eng, spec, bootstrap.Intent{Verb: bootstrap.VerbConverge}, func() { touched = true })
	if !touched {
		return bootstrap.HostKey{}, report
	}
	now := eng.LastSeen()
	if report.Failed() {
		now, _ = eng.Look(ctx, spec)
	}
	for _, t := range now.Hosts[rotated].State.Things {
		key, ok := t.Resource.(bootstrap.HostKey)
		if ok && !key.Unannounced && key.Public != bootstrap.PublicKey(spec.Hosts[rotated].HostKey) {
			return key, warn(report, func(bootstrap.Finding) bool { return true })
		}
	}
	if !report.Failed() {
		report.HostError(rotated, "replace the host key", errors.New("the host was changed and shows no new key; this is a fault of zkboot"))
	}
	return bootstrap.HostKey{}, report
}

// meet connects to the host with the pin of the spec, and does nothing there.
func (r *rotation) meet(ctx context.Context, spec *bootstrap.Spec, patience time.Duration, diags *diag.Diagnostics) bootstrap.Report {
	eng := r.site.engine(ctx, nil, patience)
	defer closeEngine(eng, diags)
	_, report := eng.Hosts(ctx, spec)
	return report
}

// await is meet for a host that has just been told of its new key. systemctl does not wait
// until a server that got SIGHUP has read it.
func (r *rotation) await(ctx context.Context, spec *bootstrap.Spec, old string, diags *diag.Diagnostics) bootstrap.Report {
	settled := time.After(keySettle)
	tick := time.NewTicker(keyPoll)
	defer tick.Stop()
	for {
		report := r.meet(ctx, spec, 0, diags)
		if shown, other := shownInstead(report); !other || shown != bootstrap.PublicKey(old) {
			return report
		}
		select {
		case <-ctx.Done():
			return report
		case <-settled:
			return report
		case <-tick.C:
		}
	}
}

// Read implements resource.Resource. Which key the host has shows before anybody logs in.
func (r *rotation) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var m rotationModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || r.site == nil || !r.site.known || m.Address.IsNull() { // or just imported
		return
	}
	spec := r.spec(ctx, m, m.PublicKey, &resp.Diagnostics)
	if spec == nil {
		return
	}
	report := r.meet(ctx, spec, standing, &resp.Diagnostics)
	shown, other := shownInstead(report)
	switch at := m.Address.ValueString(); {
	case other && shown == bootstrap.PublicKey(m.HostKey.ValueString()):
		resp.Diagnostics.AddWarning(at+": the key from user-data is back", fmt.Sprintf("want %s, found %s, which lay in user-data: the host was reinstalled from that, "+
			"or somebody who has it answers in its place. Nothing logs in there.\n\nNext: if you know that it was reinstalled, terraform apply -replace=ADDRESS_OF_THE_RESOURCE, "+
			"which replaces the key again; if not, find out who answers.", keyText(m.PublicKey.ValueString()), keyText(shown)))
	case other:
		resp.Diagnostics.AddAttributeWarning(path.Root("public_key"), at+": another host key", fmt.Sprintf("want %s, found %s.\n\n"+
			"Next: see who has changed it. %s", keyText(m.PublicKey.ValueString()), keyText(shown), importHint(shown)))
	default:
		resp.Diagnostics.Append(m.diagnostics(warn(report, func(bootstrap.Finding) bool { return true }))...)
	}
}

// Update implements resource.Resource. Only the way to the host changes here, which the next
// read tries.
func (r *rotation) Update(_ context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.State.Raw = req.Plan.Raw
}

// Delete implements resource.Resource. The key stays: without one a host lets nobody in. What
// is left on a host that does not answer is a note of a few lines that harms nobody.
func (r *rotation) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	ctx, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	var m rotationModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || m.Address.IsNull() {
		return
	}
	spec := r.spec(ctx, m, m.PublicKey, &resp.Diagnostics)
	if spec == nil {
		return
	}
	eng := r.site.engine(ctx, []bootstrap.Role{r.provider.HostKey}, standing)
	defer closeEngine(eng, &resp.Diagnostics)
	report := destroy(ctx, eng, spec, bootstrap.Intent{Verb: bootstrap.VerbDestroy, Reachable: true})
	resp.Diagnostics.Append(m.diagnostics(warn(report, func(bootstrap.Finding) bool { return true }))...)
}

// ImportState implements resource.ResourceWithImportState: the id is the key that the host has
// now, which nobody but its operator can vouch for. The rest comes from the configuration.
func (r *rotation) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	key, err := publicKey(req.ID)
	if err != nil {
		resp.Diagnostics.AddError("import", err.Error())
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("public_key"), line(key))...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("fingerprint"), ssh.FingerprintSHA256(key))...)
}
