// Package provider is zkboot for Terraform: it turns a configuration into a
// bootstrap.Spec, hands it to the engine that the zkboot program uses as well, and turns
// the engine's Report into diagnostics that point at the attributes they are about.
//
// It holds no knowledge of ZooKeeper, of SSH or of how a host is changed, and it never
// connects to a host while Terraform validates or configures. Terraform's state is a note
// of what was seen, never the truth: hosts are, so a state that was lost or that lies costs
// no data. Its functions make texts of texts, and need no host at all.
package provider

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/zkboot/zkboot/bootstrap"
)

// Address is where Terraform looks for this provider.
const Address = "registry.terraform.io/zkboot/zkboot"

// Provider implements the Terraform provider. Its fields are set once, before it is served.
type Provider struct {
	Version string
	// Ensemble and Sidecar are the roles behind the resources of these names. Each resource
	// has its own alone: to a role whose part a Spec leaves out, its things on the hosts would
	// be left over, and go.
	Ensemble, Sidecar bootstrap.Role
	// HostKey is the role that has the host key replaced that a spec pins.
	HostKey bootstrap.Role
	// Status tells how the ensemble of a spec stands in a site.
	Status func(*bootstrap.Spec, bootstrap.Site) Status
	// LockPatience bounds how long an operation waits for a host that another one is
	// changing, such as that of another resource of the same run.
	LockPatience time.Duration
	// Reach makes the function with which an engine opens hosts.
	Reach func(Contact) func(ctx context.Context, s *bootstrap.Spec, host string) (bootstrap.Host, error)
	// Getenv reads the environment that stands in for missing settings.
	Getenv func(string) string
	// Who is told to whoever finds a host locked by this provider, such as "user@machine".
	Who string

	connections connections // of all operations
}

// Contact is how one operation wants to reach hosts.
type Contact struct {
	// Patience bounds the wait for a host that does not answer; zero means what the spec
	// says, because the host may just have been made.
	Patience time.Duration
	// Progress receives what a host is doing, in plain sentences.
	Progress func(host, note string)
	Secrets  Secrets
}

var (
	_ provider.Provider                   = (*Provider)(nil)
	_ provider.ProviderWithValidateConfig = (*Provider)(nil)
	_ provider.ProviderWithFunctions      = (*Provider)(nil)
	_ provider.ProviderWithActions        = (*Provider)(nil)
)

// Metadata implements provider.Provider.
func (p *Provider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName, resp.Version = "zkboot", p.Version
}

// Schema implements provider.Provider.
func (p *Provider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = providerSchema()
}

// ValidateConfig implements provider.ProviderWithValidateConfig.
func (p *Provider) ValidateConfig(_ context.Context, req provider.ValidateConfigRequest, resp *provider.ValidateConfigResponse) {
	if !req.Config.Raw.IsFullyKnown() {
		return
	}
	ssh, err := sshOf(req.Config.Raw, p.Getenv)
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("ssh"), "ssh", err.Error())
		return
	}
	if _, err := secretsOf(req.Config.Raw); err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("secrets").AtName("private_key"), "secrets", err.Error())
	}
	// Only the part about SSH is looked at: the rest belongs to the resources.
	report := (&bootstrap.Spec{SSH: ssh}).Validate()
	for _, f := range report.Findings {
		if at, ok := sshAttribute(f.Path); ok {
			resp.Diagnostics.Append(diagnostic(f, at))
		}
	}
}

// Configure implements provider.Provider. It connects to nothing: hosts may not exist yet.
func (p *Provider) Configure(_ context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	s := &site{provider: p, walk: rand.Text()}
	if s.known = req.Config.Raw.IsFullyKnown(); s.known {
		var err error
		if s.ssh, err = sshOf(req.Config.Raw, p.Getenv); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("ssh"), "ssh", err.Error())
			return
		}
		if s.secrets, err = secretsOf(req.Config.Raw); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("secrets"), "secrets", err.Error())
			return
		}
	}
	resp.ResourceData, resp.DataSourceData, resp.ActionData = s, s, s
}

// Resources implements provider.Provider.
func (p *Provider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		func() resource.Resource { return &importable{managed{kind: ensemble(), provider: p}} },
		func() resource.Resource { return &managed{kind: sidecar(), provider: p} },
		func() resource.Resource { return hostKeyPair{} },
		func() resource.Resource { return &rotation{provider: p} },
	}
}

// DataSources implements provider.Provider.
func (p *Provider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{
		func() datasource.DataSource { return cloudinitData(p) },
		func() datasource.DataSource { return statusData(p) },
		func() datasource.DataSource { return verifyData(p) },
	}
}

// Actions implements provider.ProviderWithActions.
func (p *Provider) Actions(context.Context) []func() action.Action {
	return []func() action.Action{
		func() action.Action { return &restartAction{managed{kind: ensemble(), provider: p}} },
		func() action.Action { return &verifyAction{managed{kind: ensemble(), provider: p}} },
	}
}

// Functions implements provider.ProviderWithFunctions.
func (p *Provider) Functions(context.Context) []func() function.Function {
	return []func() function.Function{connectStringFunction, knownHostFunction, sysctlPresetFunction, p.zooCfgFunction}
}
