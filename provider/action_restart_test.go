package provider

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"

	"github.com/zkboot/zkboot/bootstrap"
)

// since lists the steps that machines have got since they had the given numbers.
func (f *fleet) since(before map[string]int) []string {
	var out []string
	for _, host := range []string{"zk1", "zk2", "zk3"} {
		for _, st := range f.machines[host].Applied()[before[host]:] {
			out = append(out, host+": "+st.String())
		}
	}
	return out
}

func TestRollingRestartAction(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fleet)
		config map[string]any
		said   string // "" where it succeeds
	}{
		"an ensemble that is as it is wanted": {},
		"a host is away": {change: func(f *fleet) { f.setDown("zk3") },
			said: "zk3: connect: host unreachable: no route to zk3"},
		"something is left to apply": {config: map[string]any{"config": map[string]any{"tickTime": "3000"}},
			said: "zk1: restart: expected nothing left to apply, found 6 steps on zk1, zk2, zk3, first: update file /etc/toy/toy.conf\n\nNext: apply first, then restart"},
		"a file was edited": {change: func(f *fleet) {
			f.machines["zk2"].Set(bootstrap.File{Path: toyConf.Name(), Content: "edited\n", Mode: 0o644, Owner: "root", Group: "root"})
		}, said: "zk2: restart: expected nothing left to apply, found 1 step on zk2"},
		"a wrong key": {config: map[string]any{"config": map[string]any{"tickTme": "3000"}}, said: `unknown key "tickTme"`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet("zk1", "zk2", "zk3")
			if err := f.stand(t).Close(); err != nil {
				t.Fatal(err)
			}
			before := map[string]int{}
			for host, m := range f.machines {
				before[host] = len(m.Applied())
			}
			if c.change != nil {
				c.change(f)
			}
			got, failed, progress := f.restart(t, c.config)
			want := []string{"zk1: restart unit toy.service", "zk2: restart unit toy.service", "zk3: restart unit toy.service"}
			if c.said != "" {
				want = nil
			}
			if failed != (c.said != "") || !strings.Contains(got, c.said) {
				t.Errorf("said %q, want %q", got, c.said)
			}
			if steps := f.since(before); !slices.Equal(steps, want) {
				t.Errorf("done: %q, want %q", steps, want)
			}
			if c.said == "" && !slices.Contains(progress, "zk2: restart toy members in turn (1 step)") {
				t.Errorf("progress %q says nothing of zk2", progress)
			}
		})
	}
}

// restart invokes the action with the members of the fleet, and more.
func (f *fleet) restart(t *testing.T, more map[string]any) (text string, failed bool, progress []string) {
	t.Helper()
	p := f.provider()
	a := &restartAction{managed{kind: ensemble(), provider: p, site: &site{provider: p, known: true, ssh: bootstrap.SSH{User: "debian"}}}}
	var s action.SchemaResponse
	a.Schema(t.Context(), action.SchemaRequest{}, &s)
	if problems := s.Schema.ValidateImplementation(t.Context()); problems.HasError() {
		t.Fatal(problems)
	}
	raw := value(t, s.Schema.Type().TerraformType(t.Context()), with(with(members3(), map[string]any{
		"source": map[string]any{"apt": map[string]any{}}, "hardware": map[string]any{"profile": "lab"}}), more))
	resp := action.InvokeResponse{SendProgress: func(ev action.InvokeProgressEvent) { progress = append(progress, ev.Message) }}
	a.Invoke(t.Context(), action.InvokeRequest{Config: tfsdk.Config{Schema: s.Schema, Raw: raw}}, &resp)
	return said(resp.Diagnostics), resp.Diagnostics.HasError(), progress
}
