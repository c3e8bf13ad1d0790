package zookeeper

import (
	"slices"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

func formStep(s *bootstrap.Spec) bootstrap.SiteStep {
	return bootstrap.SiteStep{Role: roleName, Name: stepForm, Hosts: s.MemberNames()}
}

func TestFormationWritesWhatTheServerNeeds(t *testing.T) {
	sc := emptyScene(testSpec(3))
	for _, a := range sc.servers {
		a.absent = false
	}
	if err := New().Do(t.Context(), sc.spec, sc.hosts(), formStep(sc.spec)); err != nil {
		t.Fatal(err)
	}
	for host, a := range sc.servers {
		var got []bootstrap.ID
		for _, r := range a.things {
			got = append(got, r.ID())
			if f, ok := r.(bootstrap.File); !ok || f.Owner != account || f.Mode != 0o640 {
				t.Errorf("%s: %+v is no file of the server's account", host, r)
			}
		}
		want := []bootstrap.ID{"file:/etc/zookeeper/main/zoo.cfg.dynamic", "file:/var/lib/zookeeper-log/main/initialize"}
		if !slices.Equal(got, want) {
			t.Errorf("%s: formation wrote %v, want %v", host, got, want)
		}
		if f := a.things[0].(bootstrap.File); f.Content != Founding(sc.spec).String() {
			t.Errorf("%s: dynamic configuration %q", host, f.Content)
		}
	}
}

func TestFormationRefusesWhatIsNotEmpty(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*actor)
		want   string
	}{
		{"it has data", func(a *actor) { a.data = bootstrap.DataPresent }, `expected an empty member, found data "present"`},
		{"it serves", func(a *actor) { a.mode = modeLeader }, "mode leader"},
		{"its data could not be read", func(a *actor) { a.data = bootstrap.DataUnknown }, `found data ""`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := emptyScene(testSpec(3))
			for _, a := range sc.servers {
				a.absent = false
			}
			tt.change(sc.servers["zk2"])
			refused(t, New().Do(t.Context(), sc.spec, sc.hosts(), formStep(sc.spec)), "zk2", tt.want, "plan again")
			for host, a := range sc.servers {
				if len(a.things) > 0 {
					t.Errorf("%s was changed: %v", host, a.things)
				}
			}
		})
	}
}

func TestFormationNeedsEveryMember(t *testing.T) {
	sc := emptyScene(testSpec(3))
	sc.servers["zk3"].away = true
	err := New().Do(t.Context(), sc.spec, sc.hosts(), formStep(sc.spec))
	if err == nil || len(sc.servers["zk1"].things) > 0 {
		t.Errorf("%v, with %v changed on zk1; want an error and no change", err, sc.servers["zk1"].things)
	}
}

// TestFormationStartsOver: a member that was started by an earlier attempt and found no
// quorum is stopped, cleaned and started again.
func TestFormationStartsOver(t *testing.T) {
	m := members(testSpec(3))[0]
	snapshot := bootstrap.File{Path: versionDir(m.data) + "/snapshot.0", Sum: "5a"}
	unit := bootstrap.Unit{Name: m.unit, Running: true, Enabled: true, Rev: "1"}
	have := bootstrap.NewState(unit, snapshot,
		bootstrap.ZooKeeper{Config: m.zooCfg, Data: bootstrap.DataPristine, Properties: map[string]string{"dynamicConfigFile": m.dynamic + ".100"}})
	var got []string
	for _, st := range m.formation(have) {
		line := st.String()
		if u, ok := st.Want.Resource.(bootstrap.Unit); ok && !u.Running {
			line += " (stop)"
		}
		if st.Owner != "" {
			t.Errorf("%s has an owner: it would be drift as soon as the server takes it over", line)
		}
		got = append(got, line)
	}
	want := []string{
		"update unit zookeeper-main.service (stop)",
		"delete file /var/lib/zookeeper/main/version-2/snapshot.0",
		"create file /etc/zookeeper/main/zoo.cfg",
		"create file /etc/zookeeper/main/zoo.cfg.dynamic",
		"create file /var/lib/zookeeper-log/main/initialize",
		"update unit zookeeper-main.service (start)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("steps\n%q\nwant\n%q", got, want)
	}
}

func TestRecoveryGivesBackALostMemberList(t *testing.T) {
	sc := healthyScene(testSpec(3)).stop("zk2", "zk3")
	a := sc.servers["zk2"]
	z := a.server()
	z.Dynamic = ""
	a.absent, a.things = true, []bootstrap.Resource{z}
	if err := New().Do(t.Context(), sc.spec, sc.hosts(), bootstrap.SiteStep{Name: stepRecover, Hosts: []string{"zk2", "zk3"}}); err != nil {
		t.Fatal(err)
	}
	if f, ok := a.things[len(a.things)-1].(bootstrap.File); !ok || f.Path != a.dynamic {
		t.Errorf("zk2 got %v, want its dynamic configuration", a.things)
	}
	if got := sc.servers["zk3"].things; len(got) > 0 {
		t.Errorf("zk3 has its own and got %v", got)
	}
}
