package provider

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestDriftSaysWhatAnApplyWouldDo(t *testing.T) {
	f := newFleet("zk1")
	spec, eng := f.spec(), f.stand(t)
	look := func() (map[string]string, bootstrap.Report) {
		now, _ := eng.Look(t.Context(), spec)
		found, report := drift(eng, spec, now)
		if found == nil {
			return nil, report
		}
		return found.hosts, report
	}
	got, report := look()
	if diff := cmp.Diff(map[string]string{"zk1": inSync}, got); diff != "" || report.Failed() {
		t.Errorf("right after an apply (-want +got):\n%s%v", diff, report.Err())
	}
	f.machines["zk1"].Remove(toyConf)
	got, _ = look()
	if diff := cmp.Diff(map[string]string{"zk1": "create file /etc/toy/toy.conf"}, got); diff != "" {
		t.Errorf("without its file (-want +got):\n%s", diff)
	}
	if err := eng.Close(); err != nil {
		t.Fatal(err)
	}
	f.setDown("zk1")
	got, report = look()
	if got != nil || !errors.Is(report.Err(), bootstrap.ErrUnreachable) {
		t.Errorf("of a host that does not answer: %v, %v", got, report.Err())
	}
}

// Nothing but a look at every host proves that an ensemble is gone.
func TestGone(t *testing.T) {
	f := newFleet("zk1")
	spec, eng := f.spec(), f.stand(t)
	there, _ := eng.Look(t.Context(), spec)
	empty := bootstrap.Site{Hosts: map[string]bootstrap.Seen{"zk1": {}}}
	away := bootstrap.Site{Hosts: map[string]bootstrap.Seen{"zk1": {Err: bootstrap.ErrUnreachable}}}
	for name, c := range map[string]struct {
		now  bootstrap.Site
		gone bool
	}{
		"it stands":                {there, false},
		"the host has nothing":     {empty, true},
		"the host does not answer": {away, false},
		"nobody has looked":        {bootstrap.Site{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := gone(eng.Roles, spec, c.now); got != c.gone {
				t.Errorf("gone: %v", got)
			}
		})
	}
	if id := clusterID(eng.Roles, spec, there); id == nil || *id != bootstrap.ClusterID("main", nil) {
		t.Errorf("cluster id: %v", id)
	}
	if id := clusterID(eng.Roles, spec, empty); id != nil {
		t.Errorf("cluster id of nothing: %s", *id)
	}
}

func TestPendingIsShort(t *testing.T) {
	step := func(path string) bootstrap.Step {
		return bootstrap.Step{Action: bootstrap.ActionCreate, Target: bootstrap.NewID(bootstrap.KindFile, path)}
	}
	got := pending(&bootstrap.Plan{Waves: []bootstrap.Wave{
		{Steps: map[string][]bootstrap.Step{"zk1": {step("/a"), step("/b"), step("/c")}, "zk2": {step("/a")}}},
		{Site: []bootstrap.SiteStep{{Title: "form the ensemble", Hosts: []string{"zk1"}}}},
		{Steps: map[string][]bootstrap.Step{"zk1": {step("/d"), step("/e"), step("/f")}}},
	}})
	want := map[string]string{
		"zk1": "create file /a; create file /b; create file /c; form the ensemble; create file /d; and 2 more",
		"zk2": "create file /a",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestConnectStringIsInTheOrderOfNames(t *testing.T) {
	spec := &bootstrap.Spec{
		Hosts: map[string]bootstrap.HostSpec{"b": {Address: "2001:db8::1"}, "a": {Address: "10.0.0.2"}, "app": {Address: "10.0.0.3"}},
		Ensemble: &bootstrap.Ensemble{Members: map[string]bootstrap.Member{"b": {ID: 1}, "a": {ID: 2}},
			Ports: bootstrap.Ports{Client: 2182}},
	}
	if got, want := connectString(spec), "10.0.0.2:2182,[2001:db8::1]:2182"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTimeUpSaysWhichLimitItWas(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Nanosecond, errors.New("the operation took longer than 1ns"))
	defer cancel()
	<-ctx.Done()
	var broken bootstrap.Report
	broken.HostError("zk1", "look", ctx.Err())
	text := func(ds diag.Diagnostics) string {
		var b strings.Builder
		for _, d := range ds {
			b.WriteString(d.Summary() + ": " + d.Detail() + "\n")
		}
		return b.String()
	}
	if got := text(ensemble().diagnostics(timeUp(ctx, broken))); !strings.Contains(got, "timeouts: the operation took longer than 1ns\n\nNext: raise it in timeouts") {
		t.Errorf("out of time: %s", got)
	}
	if got := text(ensemble().diagnostics(timeUp(t.Context(), broken))); strings.Contains(got, "timeouts") {
		t.Errorf("in time: %s", got)
	}
	if got := timeUp(ctx, bootstrap.Report{}); len(got.Findings) != 0 {
		t.Errorf("nothing failed: %v", got.Findings)
	}
}

func TestDestroyTellsWhatToDoAboutAHostThatIsAway(t *testing.T) {
	f := newFleet("zk1")
	spec, eng := f.spec(), f.stand(t)
	if err := eng.Close(); err != nil {
		t.Fatal(err)
	}
	f.setDown("zk1")
	report := destroy(t.Context(), eng, spec, bootstrap.Intent{Verb: bootstrap.VerbDestroy})
	if !report.Failed() || report.Findings[0].Host != "zk1" || !strings.Contains(report.Findings[0].Hint, "ignore_unreachable") {
		t.Errorf("got %v", report.Findings)
	}
	if !f.stands("zk1") {
		t.Error("the machine has changed")
	}
}
