package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	dschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// shortProbe is the length of the disk probe's first phase: every plan waits for it.
const shortProbe = time.Second

// verdictFinding is one check that did not pass, by the names of the attributes.
type verdictFinding struct {
	At      string `tfsdk:"at"`
	Check   string `tfsdk:"check"`
	Verdict string `tfsdk:"verdict"`
	Text    string `tfsdk:"text"`
	Why     string `tfsdk:"why"`
	Hint    string `tfsdk:"hint"`
}

// verifyData is zkboot_verify.
func verifyData(p *Provider) *dataSource {
	text := dataText
	return &dataSource{ensemble: managed{kind: ensemble(), provider: p}, name: "verify", limit: 5 * time.Minute, read: readVerify,
		about: "Judges hosts, the ways between them, and the ensemble, as `zkboot verify` does; made for `check` blocks. It changes nothing but a canary znode " +
			"that it writes and removes. What fails is a finding and a verdict, not an error. It is read by every plan, so that its probes are short unless `duration` says otherwise. " +
			"Terraform reads what stands in a `check` block in every apply as well, so that no plan of such a configuration is empty.",
		own: map[string]dschema.Attribute{
			"duration": dschema.StringAttribute{Optional: true, Validators: []validator.String{durationText()},
				MarkdownDescription: "Length of the disk probe's first phase, default `1s`; `zkboot verify` takes `30s`. All phases take about four times as long."},
			"on_live_members": dschema.BoolAttribute{Optional: true, MarkdownDescription: "Probe the disks of running members too, which slows them down. By default they are judged by their own figures."},
			"disk_only":       dschema.BoolAttribute{Optional: true, MarkdownDescription: "Judge the disks alone."},
			"verdict":         text("The worst of all: `pass`, `warn`, `fail`, `unknown` or `n/a`."),
			"ok":              dataFlag("Whether nothing failed: the verdict is `pass` or `warn`."),
			"findings": dschema.ListNestedAttribute{Computed: true, MarkdownDescription: "What warns, fails or is not known, the hosts first.",
				NestedObject: dschema.NestedAttributeObject{Attributes: map[string]dschema.Attribute{
					"at":    text("Where: `host zk1`, `zk1 to zk2`, `ensemble` or `site`."),
					"check": text("Id of the check, such as `disk.fsync.p99`; docs/guides/verify.md lists all."), "verdict": text("`warn`, `fail` or `unknown`."),
					"text": text("What was seen."), "why": text("Why that is its verdict."), "hint": text("What to do about it."),
				}}},
		}}
}

func readVerify(ctx context.Context, d *dataSource, spec *bootstrap.Spec, resp *datasource.ReadResponse) {
	o := verifyOptions(ctx, resp.State, shortProbe, &resp.Diagnostics)
	if resp.Diagnostics.HasError() || !d.valid(spec, resp) {
		return
	}
	eng := d.ensemble.engine(ctx, standing)
	defer closeEngine(eng, &resp.Diagnostics)
	found, report := eng.Verify(ctx, spec, o)
	resp.Diagnostics.Append(d.ensemble.diagnostics(timeUp(ctx, onlyErrors(report)))...)
	if err := ctx.Err(); err != nil && !resp.Diagnostics.HasError() {
		// What a probe that was cut short found would read as a host that fails.
		resp.Diagnostics.AddError("timeouts", context.Cause(ctx).Error()+"\n\nNext: raise it in timeouts")
	}
	if found == nil || resp.Diagnostics.HasError() {
		return
	}
	set(ctx, resp, "verdict", string(found.Verdict))
	set(ctx, resp, "ok", found.Verdict == verify.Pass || found.Verdict == verify.Warn)
	set(ctx, resp, "findings", findingsOf(*found))
}

// onlyErrors leaves warnings out: Validate has told them already.
func onlyErrors(r bootstrap.Report) bootstrap.Report {
	var out bootstrap.Report
	for _, f := range r.Findings {
		if f.Severity == bootstrap.SeverityError {
			out.Add(f)
		}
	}
	return out
}

// verifyOptions reads what a configuration asks for; usual is the length of the probe where
// it says none.
func verifyOptions(ctx context.Context, from attributes, usual time.Duration, diags *diag.Diagnostics) verify.Options {
	var length types.String
	var live, disk types.Bool
	diags.Append(from.GetAttribute(ctx, path.Root("duration"), &length)...)
	diags.Append(from.GetAttribute(ctx, path.Root("on_live_members"), &live)...)
	diags.Append(from.GetAttribute(ctx, path.Root("disk_only"), &disk)...)
	o := verify.Options{Duration: usual, OnLiveMembers: live.ValueBool(), DiskOnly: disk.ValueBool()}
	if !length.IsNull() {
		var given bootstrap.Duration
		if err := given.UnmarshalText([]byte(length.ValueString())); err != nil || given <= 0 {
			diags.AddAttributeError(path.Root("duration"), "duration", fmt.Sprintf("want a time above 0, such as 30s, found %q", length.ValueString()))
		}
		o.Duration = time.Duration(given)
	}
	return o
}

// findingsOf lists what did not pass: hosts by name, then pairs, the ensemble and the site.
func findingsOf(r verify.Report) []verdictFinding {
	out := []verdictFinding{}
	add := func(at string, checks []verify.Check) {
		for _, c := range checks {
			if c.Verdict == verify.Warn || c.Verdict == verify.Fail || c.Verdict == verify.Unknown {
				out = append(out, verdictFinding{At: at, Check: c.ID, Verdict: string(c.Verdict), Text: c.Text, Why: c.Why, Hint: c.Hint})
			}
		}
	}
	for _, host := range slices.Sorted(maps.Keys(r.Hosts)) {
		add("host "+host, r.Hosts[host].Checks)
	}
	for _, p := range r.Pairs { // in the order of names already
		add(p.From+" to "+p.To, p.Checks)
	}
	add("ensemble", r.Ensemble.Checks)
	add("site", r.Checks)
	return out
}
