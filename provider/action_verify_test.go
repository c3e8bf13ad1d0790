package provider

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

func TestVerifyAction(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	if err := f.stand(t).Close(); err != nil {
		t.Fatal(err)
	}
	p := f.provider()
	a := &verifyAction{managed{kind: ensemble(), provider: p, site: &site{provider: p, known: true, ssh: bootstrap.SSH{User: "debian"}}}}
	var s action.SchemaResponse
	a.Schema(t.Context(), action.SchemaRequest{}, &s)
	if problems := s.Schema.ValidateImplementation(t.Context()); problems.HasError() {
		t.Fatal(problems)
	}
	invoke := func(more map[string]any) (string, bool, []string) {
		var progress []string
		raw := value(t, s.Schema.Type().TerraformType(t.Context()), with(with(members3(), map[string]any{
			"source": map[string]any{"apt": map[string]any{}}, "hardware": map[string]any{"profile": "lab"}, "disk_only": true}), more))
		resp := action.InvokeResponse{SendProgress: func(ev action.InvokeProgressEvent) { progress = append(progress, ev.Message) }}
		a.Invoke(t.Context(), action.InvokeRequest{Config: tfsdk.Config{Schema: s.Schema, Raw: raw}}, &resp)
		return said(resp.Diagnostics), resp.Diagnostics.HasError(), progress
	}
	if got, failed, progress := invoke(nil); failed || !slices.Contains(progress, "zk2: probe") {
		t.Errorf("a sound site: %s\nprogress %q", got, progress)
	}
	f.machines["zk2"].Probes = func(verify.Query) (verify.Result, error) { return disk(5000), nil }
	if got, failed, _ := invoke(nil); !failed || !strings.Contains(got, "Error at : host zk2: disk.fsync.p99: 5000 ms") {
		t.Errorf("a slow disk: %s", got)
	}
	f.setDown("zk3")
	if got, failed, _ := invoke(map[string]any{"disk_only": false}); !failed || !strings.Contains(got, "host zk3: host.reachable") {
		t.Errorf("a host is away: %s", got)
	}
	if got, failed, _ := invoke(map[string]any{"duration": "0s"}); !failed || !strings.Contains(got, "at duration: duration: want a time above 0") {
		t.Errorf("no time at all: %s", got)
	}
}

// Actions take what zkboot_ensemble has, of the same types.
func TestActionTakesWhatTheEnsembleHas(t *testing.T) {
	m := managed{kind: ensemble(), provider: newFleet().provider()}
	for _, a := range []action.Action{&restartAction{m}, &verifyAction{m}} {
		var s action.SchemaResponse
		a.Schema(t.Context(), action.SchemaRequest{}, &s)
		have := s.Schema.Type().TerraformType(t.Context()).(tftypes.Object).AttributeTypes
		for name, typ := range ensembleSchema(t.Context()).Type().TerraformType(t.Context()).(tftypes.Object).AttributeTypes {
			if _, ok := m.place(name); ok && (have[name] == nil || !have[name].Equal(typ)) {
				t.Errorf("%T, %s: %v, want %v", a, name, have[name], typ)
			}
		}
	}
}
