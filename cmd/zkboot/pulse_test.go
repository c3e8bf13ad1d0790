package main

import (
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

// A pulse beats where members that serve are disturbed, and nowhere else.
func TestWhichPlansHaveAPulse(t *testing.T) {
	ensemble := &bootstrap.Spec{Name: "main", Ensemble: &bootstrap.Ensemble{}}
	steps := map[string][]bootstrap.Step{"zk1": {{Action: bootstrap.ActionRestart}}}
	site := func(name string) bootstrap.Wave {
		return bootstrap.Wave{Site: []bootstrap.SiteStep{{Role: "zookeeper", Name: name}}}
	}
	roll := bootstrap.Wave{Rolling: true, Role: "zookeeper", Steps: steps}
	for _, tt := range []struct {
		name string
		plan bootstrap.Plan
		want bool
	}{
		{"nothing to do", bootstrap.Plan{Spec: ensemble}, false},
		{"files everywhere at once", bootstrap.Plan{Spec: ensemble, Waves: []bootstrap.Wave{{Steps: steps}}}, false},
		{"members in turn", bootstrap.Plan{Spec: ensemble, Waves: []bootstrap.Wave{{Steps: steps}, roll}}, true},
		{"another role's units in turn", bootstrap.Plan{Spec: ensemble, Waves: []bootstrap.Wave{{Rolling: true, Role: "note", Steps: steps}}}, false},
		{"members are changed", bootstrap.Plan{Spec: ensemble, Waves: []bootstrap.Wave{site("leave")}}, true},
		{"a member joins behind its start", bootstrap.Plan{Spec: ensemble, Waves: []bootstrap.Wave{{Steps: steps, Then: []bootstrap.SiteStep{{Role: "zookeeper", Name: "join"}}}}}, true},
		{"the ensemble is formed", bootstrap.Plan{Spec: ensemble, Waves: []bootstrap.Wave{site("form")}}, false},
		{"the quorum is brought back first", bootstrap.Plan{Spec: ensemble, Waves: []bootstrap.Wave{site("recover"), roll}}, false},
		{"everything goes", bootstrap.Plan{Spec: ensemble, Intent: bootstrap.Intent{Verb: bootstrap.VerbDestroy}, Waves: []bootstrap.Wave{roll}}, false},
		{"a backup takes the place of what is there", bootstrap.Plan{Spec: ensemble, Intent: bootstrap.Intent{Verb: bootstrap.VerbRestore}, Waves: []bootstrap.Wave{site("restore")}}, false},
		{"without an ensemble", bootstrap.Plan{Spec: &bootstrap.Spec{}, Waves: []bootstrap.Wave{roll}}, false},
	} {
		if got := disturbs(&tt.plan); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}
