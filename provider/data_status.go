package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	dschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"

	"github.com/zkboot/zkboot/bootstrap"
)

// Status is how an ensemble stands at one moment.
type Status struct {
	Quorum        bool
	Leader        string // host, "" without exactly one leader
	ConfigVersion string // hex, "" without exactly one leader
	Servers       map[string]ServerStatus
}

// ServerStatus is how one member stands, by the names of the attributes.
type ServerStatus struct {
	ID      int    `tfsdk:"id"`
	Role    string `tfsdk:"role"`
	Mode    string `tfsdk:"mode"`
	Version string `tfsdk:"version"`
	Zxid    string `tfsdk:"zxid"` // hex
	Voting  bool   `tfsdk:"voting"`
	Synced  bool   `tfsdk:"synced"`
	Error   string `tfsdk:"error"`
}

// healthy reports whether there is a quorum and nobody is missing from it.
func (s Status) healthy() bool {
	for _, is := range s.Servers {
		if !is.Synced {
			return false
		}
	}
	return s.Quorum
}

// statusData is zkboot_status. What it tells changes by itself: in the state of
// zkboot_ensemble it would make every plan dirty.
func statusData(p *Provider) *dataSource {
	text := dataText
	return &dataSource{ensemble: managed{kind: ensemble(), provider: p}, name: "status", limit: readTimeout, read: readStatus,
		about:  "How an ensemble stands right now: its quorum, its leader, every member. A host that cannot be reached is a value with the reason, not an error.",
		inputs: []string{"name", "hosts", "members", "ports"},
		own: map[string]dschema.Attribute{
			"quorum":         dataFlag("Whether a majority serves."),
			"healthy":        dataFlag("Whether there is a quorum and every member is in sync with it."),
			"leader":         text("The host that leads; empty without exactly one leader."),
			"config_version": text("Version of the live configuration, in hex; empty without exactly one leader."),
			"servers": dschema.MapNestedAttribute{Computed: true, MarkdownDescription: "Every member, by host name.",
				NestedObject: dschema.NestedAttributeObject{Attributes: map[string]dschema.Attribute{
					"id":      dschema.Int64Attribute{Computed: true, MarkdownDescription: "Server id."},
					"role":    text("`voter` or `observer`, as it is wanted."),
					"mode":    text("`leader`, `follower`, `observer`, `standalone` or `down`."),
					"version": text("Version of ZooKeeper that the server names."),
					"zxid":    text("Last transaction that it has, in hex."),
					"voting":  dataFlag("Whether it votes."),
					"synced":  dataFlag("Whether it serves in sync with the quorum."),
					"error":   text("Why something is not known; empty when everything is."),
				}}},
		}}
}

func readStatus(ctx context.Context, d *dataSource, spec *bootstrap.Spec, resp *datasource.ReadResponse) {
	// Where the server came from does not matter to what it says; a spec needs a source.
	spec.Ensemble.Source.Apt = &bootstrap.AptPackages{}
	if report := spec.Validate(); report.Failed() {
		resp.Diagnostics.Append(d.ensemble.diagnostics(report)...)
		return
	}
	eng := d.ensemble.site.looker(ctx, d.ensemble.roles(d.ensemble.provider))
	defer closeEngine(eng, &resp.Diagnostics)
	now, _ := eng.Look(ctx, spec)
	if err := ctx.Err(); err != nil {
		// What a look that was cut short saw would read as members that are down.
		resp.Diagnostics.AddError("timeouts", context.Cause(ctx).Error()+"\n\nNext: raise it in timeouts")
		return
	}
	s := d.ensemble.provider.Status(spec, now)
	set(ctx, resp, "quorum", s.Quorum)
	set(ctx, resp, "healthy", s.healthy())
	set(ctx, resp, "leader", s.Leader)
	set(ctx, resp, "config_version", s.ConfigVersion)
	set(ctx, resp, "servers", s.Servers)
}
