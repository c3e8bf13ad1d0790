package provider

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/datasource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	dschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"

	"github.com/zkboot/zkboot/bootstrap"
)

// dataSource tells something of an ensemble that is described in the words of
// zkboot_ensemble, so that the attributes of one can be handed over as they are.
type dataSource struct {
	ensemble managed // never managed here: it knows the attributes, and how hosts are reached
	name     string  // behind "zkboot_"
	about    string
	// inputs names the attributes of zkboot_ensemble that count; nil for all.
	inputs []string
	own    map[string]dschema.Attribute // besides those
	limit  time.Duration                // of a read, where the configuration has none
	// offline is a data source that asks no host, and so does without the provider block as
	// long as that refers to what does not exist yet.
	offline bool
	read    func(ctx context.Context, d *dataSource, spec *bootstrap.Spec, resp *datasource.ReadResponse)
}

var _ datasource.DataSourceWithConfigure = (*dataSource)(nil)

// Metadata implements datasource.DataSource.
func (d *dataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + d.name
}

// Schema implements datasource.DataSource.
func (d *dataSource) Schema(ctx context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = dschema.Schema{MarkdownDescription: d.about, Attributes: map[string]dschema.Attribute{
		"timeouts": timeouts.AttributesWithOpts(ctx, timeouts.Opts{ReadDescription: fmt.Sprintf("Default `%s`.", bootstrap.Duration(d.limit))}),
	}}
	for name, a := range d.ensemble.schema(ctx).Attributes {
		if _, ok := d.ensemble.place(name); ok && (d.inputs == nil || slices.Contains(d.inputs, name)) {
			resp.Schema.Attributes[name] = forData(a)
		}
	}
	for name, a := range d.own {
		resp.Schema.Attributes[name] = a
	}
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *dataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	if req.ProviderData == nil {
		return
	}
	var ok bool
	if d.ensemble.site, ok = req.ProviderData.(*site); !ok {
		resp.Diagnostics.AddError("zkboot", fmt.Sprintf("the provider handed over a %T; this is a fault of zkboot", req.ProviderData))
	}
}

// Read implements datasource.DataSource. Terraform calls it once the configuration is known.
func (d *dataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var t timeouts.Value
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("timeouts"), &t)...)
	limit, diags := t.Read(ctx, d.limit)
	resp.Diagnostics.Append(diags...)
	m := d.ensemble
	if d.offline && m.site != nil && !m.site.known {
		m.site = &site{provider: m.provider, known: true}
	}
	spec := m.spec(req.Config.Raw, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the read took longer than %s", limit))
	defer cancel()
	resp.State.Raw = req.Config.Raw
	d.read(ctx, d, spec, resp)
}

// set writes a computed attribute.
func set(ctx context.Context, resp *datasource.ReadResponse, name string, v any) {
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(name), v)...)
}

// valid validates the spec as the resource does, and reports whether it may be used.
func (d *dataSource) valid(spec *bootstrap.Spec, resp *datasource.ReadResponse) bool {
	report := d.ensemble.pure().Validate(spec)
	resp.Diagnostics.Append(d.ensemble.diagnostics(report)...)
	return !report.Failed()
}

// forData is an attribute of a resource as one that a data source takes.
func forData(a schema.Attribute) dschema.Attribute {
	all := func(in map[string]schema.Attribute) map[string]dschema.Attribute {
		out := map[string]dschema.Attribute{}
		for name, a := range in {
			out[name] = forData(a)
		}
		return out
	}
	about := a.GetMarkdownDescription()
	switch a := a.(type) {
	case schema.BoolAttribute:
		return dschema.BoolAttribute{Required: a.Required, Optional: a.Optional, MarkdownDescription: about}
	case schema.Int64Attribute:
		return dschema.Int64Attribute{Required: a.Required, Optional: a.Optional, MarkdownDescription: about}
	case schema.ListAttribute:
		return dschema.ListAttribute{Required: a.Required, Optional: a.Optional, ElementType: a.ElementType, MarkdownDescription: about}
	case schema.MapAttribute:
		return dschema.MapAttribute{Required: a.Required, Optional: a.Optional, ElementType: a.ElementType, MarkdownDescription: about}
	case schema.SingleNestedAttribute:
		return dschema.SingleNestedAttribute{Required: a.Required, Optional: a.Optional, Attributes: all(a.Attributes), MarkdownDescription: about}
	case schema.MapNestedAttribute:
		return dschema.MapNestedAttribute{Required: a.Required, Optional: a.Optional, MarkdownDescription: about,
			NestedObject: dschema.NestedAttributeObject{Attributes: all(a.NestedObject.Attributes)}}
	}
	is, _ := a.(schema.StringAttribute) // a test compares the types, so that no other kind gets here unseen
	return dschema.StringAttribute{Required: is.Required, Optional: is.Optional, Validators: is.Validators, MarkdownDescription: about}
}

func dataText(about string) dschema.StringAttribute {
	return dschema.StringAttribute{Computed: true, MarkdownDescription: about}
}

func dataFlag(about string) dschema.BoolAttribute {
	return dschema.BoolAttribute{Computed: true, MarkdownDescription: about}
}
