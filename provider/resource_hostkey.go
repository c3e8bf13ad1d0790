package provider

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeyPair is zkboot_host_key: an SSH host key that exists before its host does. It cannot be
// ephemeral, because the key that a host was booted with has to be the one that is pinned in
// every run after that, nor write-only, because nobody but the provider makes it.
type hostKeyPair struct{}

// hostKeyModel is its state.
type hostKeyModel struct {
	Addresses   []types.String `tfsdk:"addresses"`
	Keepers     types.Map      `tfsdk:"keepers"`
	PrivateKey  types.String   `tfsdk:"private_key"`
	PublicKey   types.String   `tfsdk:"public_key"`
	Fingerprint types.String   `tfsdk:"fingerprint"`
	KnownHosts  types.String   `tfsdk:"known_hosts"`
}

var (
	_ resource.ResourceWithModifyPlan     = hostKeyPair{}
	_ resource.ResourceWithValidateConfig = hostKeyPair{}
)

// Metadata implements resource.Resource.
func (hostKeyPair) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_host_key"
}

// Schema implements resource.Resource.
func (hostKeyPair) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	made := func(about string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: about, PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()}}
	}
	secret := made("The private half, in the form of OpenSSH, without a passphrase.")
	secret.Sensitive = true
	resp.Schema = schema.Schema{
		MarkdownDescription: "An ed25519 SSH host key that exists before its host does: user-data brings it there at the first boot, and `host_key` of the host pins it, " +
			"so that the very first connection can be checked.\n\n" +
			"**The private key lies in Terraform's state as text**, and in the user-data of the host: whoever reads either can stand in for the host. Terraform marks it as sensitive, " +
			"which hides it from its output and no more. Keep the state where secrets may be kept. `zkboot_host_key_rotation` has the key replaced " +
			"by one that is made on the host, after which what lies in state and user-data cannot stand in for it any more.",
		Attributes: map[string]schema.Attribute{
			"addresses": schema.ListAttribute{Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Where SSH of the host answers: addresses or names, with `:port` unless it is 22; for `known_hosts`."},
			"keepers": schema.MapAttribute{Optional: true, ElementType: types.StringType, PlanModifiers: []planmodifier.Map{mapplanmodifier.RequiresReplace()},
				MarkdownDescription: "Any texts; another key is made when they change, such as the image of the host."},
			"private_key": secret,
			"public_key":  made("The public half, such as `ssh-ed25519 AAAA...`; for `host_key`."),
			"fingerprint": made("Of the public half, as OpenSSH shows it: `SHA256:...`."),
			"known_hosts": schema.StringAttribute{Computed: true, MarkdownDescription: "Line of a known_hosts file for `addresses`; null without any."},
		},
	}
}

// ValidateConfig implements resource.ResourceWithValidateConfig.
func (hostKeyPair) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var addresses types.List
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("addresses"), &addresses)...)
	for i, v := range addresses.Elements() {
		text, ok := v.(types.String)
		if !ok || text.IsUnknown() {
			continue
		}
		if _, err := sshAddress(text.ValueString()); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("addresses").AtListIndex(i), "addresses", err.Error())
		}
	}
}

// ModifyPlan implements resource.ResourceWithModifyPlan: the line of a key that is there
// already is known when planning.
func (hostKeyPair) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return
	}
	var public types.String
	var addresses types.List
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("public_key"), &public)...)
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("addresses"), &addresses)...)
	known := !public.IsUnknown() && !addresses.IsUnknown()
	for _, v := range addresses.Elements() {
		known = known && !v.IsUnknown()
	}
	at := path.Root("known_hosts")
	if len(addresses.Elements()) == 0 && !addresses.IsUnknown() {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, at, types.StringNull())...)
	} else if !known {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, at, types.StringUnknown())...)
	} else {
		var m hostKeyModel
		resp.Diagnostics.Append(resp.Plan.Get(ctx, &m)...)
		resp.Diagnostics.Append(m.pin()...)
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, at, m.KnownHosts)...)
	}
}

// Create implements resource.Resource.
func (hostKeyPair) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m hostKeyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if err := m.make(); err != nil {
		resp.Diagnostics.AddError("zkboot_host_key", "making a key pair: "+err.Error())
		return
	}
	resp.Diagnostics.Append(m.pin()...)
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
}

// Read implements resource.Resource: the state is all there is of a key pair.
func (hostKeyPair) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

// Update implements resource.Resource.
func (hostKeyPair) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m hostKeyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(m.pin()...)
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
}

// Delete implements resource.Resource: the framework takes it out of the state.
func (hostKeyPair) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// make makes a key pair.
func (m *hostKeyModel) make() error {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	m.PrivateKey = types.StringValue(string(pem.EncodeToMemory(block)))
	m.PublicKey, m.Fingerprint = types.StringValue(line(key)), types.StringValue(ssh.FingerprintSHA256(key))
	return nil
}

// pin writes the line of known_hosts.
func (m *hostKeyModel) pin() diag.Diagnostics {
	var diags diag.Diagnostics
	if m.KnownHosts = types.StringNull(); len(m.Addresses) == 0 {
		return diags
	}
	key, err := publicKey(m.PublicKey.ValueString())
	if err != nil {
		diags.AddError("zkboot_host_key", "reading the public key in the state: "+err.Error())
		return diags
	}
	var all []string
	for i, text := range m.Addresses {
		at, err := sshAddress(text.ValueString())
		if err != nil {
			diags.AddAttributeError(path.Root("addresses").AtListIndex(i), "addresses", err.Error())
			continue
		}
		all = append(all, at)
	}
	if !diags.HasError() {
		m.KnownHosts = types.StringValue(knownhosts.Line(all, key))
	}
	return diags
}

// sshAddress reads an address with or without a port, as host:port. Patterns have no place
// here: a line for "*" would let any host in.
func sshAddress(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), "22"
	}
	n, err := strconv.Atoi(port)
	if err != nil || !isPort(int64(n)) || !isHost(host) {
		return "", fmt.Errorf("want an IP address or a host name, with :port unless it is 22, found %q", text)
	}
	return net.JoinHostPort(host, port), nil
}
