package zookeeper

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestConverge(t *testing.T) {
	converge := bootstrap.Intent{Verb: bootstrap.VerbConverge}
	for _, tt := range []struct {
		name  string
		scene func() *scene
		step  string // "" for none
		hosts []string
	}{
		{"nothing was ever done", func() *scene { return emptyScene(testSpec(3)) }, stepForm, []string{"zk1", "zk2", "zk3"}},
		{"a single member", func() *scene { return emptyScene(testSpec(1)) }, stepForm, []string{"zk1"}},
		{"formation was cut short", func() *scene {
			sc := emptyScene(testSpec(3))
			a := sc.servers["zk2"]
			a.absent, a.running, a.data = false, true, bootstrap.DataPristine
			return sc
		}, stepForm, []string{"zk1", "zk2", "zk3"}},
		{"all is well", func() *scene { return healthyScene(testSpec(3)) }, "", nil},
		{"one is stopped, it gets its turn", func() *scene { return healthyScene(testSpec(3)).stop("zk1") }, "", nil},
		{"one lost its disk, the others have a quorum", func() *scene {
			sc := healthyScene(testSpec(3)).stop("zk1")
			sc.servers["zk1"].data = bootstrap.DataEmpty
			return sc
		}, "", nil},
		{"the quorum is lost", func() *scene { return healthyScene(testSpec(3)).stop("zk2", "zk3") }, stepRecover, []string{"zk2", "zk3"}},
		{"all were stopped", func() *scene { return healthyScene(testSpec(5)).stop("zk1", "zk2", "zk3", "zk4", "zk5") }, stepRecover,
			[]string{"zk1", "zk2", "zk3", "zk4", "zk5"}},
		{"a minority lost its disk and all were stopped", func() *scene {
			sc := healthyScene(testSpec(3)).stop("zk1", "zk2", "zk3")
			sc.servers["zk1"].data = bootstrap.DataEmpty
			return sc
		}, stepRecover, []string{"zk1", "zk2", "zk3"}},
		{"all run and still elect", func() *scene {
			sc := healthyScene(testSpec(3)).stop("zk1", "zk2", "zk3")
			for _, a := range sc.servers {
				a.running = true
			}
			return sc
		}, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := tt.scene()
			st, ok, err := New().Next(sc.spec, sc.site(), converge)
			if err != nil || ok != (tt.step != "") || st.Name != tt.step || !slices.Equal(st.Hosts, tt.hosts) {
				t.Errorf("got %q %v, %t, %v; want %q %v", st.Name, st.Hosts, ok, err, tt.step, tt.hosts)
			}
		})
	}
}

func TestConvergeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scene func() *scene
		want  []string
	}{
		{"one is unreachable while the others are empty", func() *scene {
			sc := emptyScene(testSpec(3))
			sc.servers["zk3"].away = true
			return sc
		}, []string{"zk3", "formed only when every member can be seen to be empty"}},
		{"a majority lost its data", func() *scene {
			sc := healthyScene(testSpec(3)).stop("zk1", "zk2", "zk3")
			sc.servers["zk1"].data, sc.servers["zk3"].data = bootstrap.DataEmpty, bootstrap.DataPristine
			return sc
		}, []string{"zk1", "1 of 3 voters hold data (zk2), 2 are needed"}},
		{"data that could not be read", func() *scene {
			sc := healthyScene(testSpec(3)).stop("zk2")
			sc.servers["zk2"].data = bootstrap.DataUnknown
			return sc
		}, []string{"zk2", "/var/lib/zookeeper/main", "could not be read"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := tt.scene()
			_, ok, err := New().Next(sc.spec, sc.site(), bootstrap.Intent{Verb: bootstrap.VerbConverge})
			if ok {
				t.Error("a step comes with the refusal")
			}
			refused(t, err, tt.want...)
		})
	}
}

func TestDestroyNeedsNoSiteStep(t *testing.T) {
	sc := healthyScene(testSpec(3))
	if st, ok, err := New().Next(sc.spec, sc.site(), bootstrap.Intent{Verb: bootstrap.VerbDestroy}); ok || err != nil {
		t.Errorf("%+v, %t, %v", st, ok, err)
	}
}

// A restart of everybody begins only where no gate would end it in the middle.
func TestRestartable(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scene func() *scene
		want  []string // nil: it may begin
	}{
		{"all is well", func() *scene { return healthyScene(testSpec(3)) }, nil},
		{"a single member, which nobody can stand in for", func() *scene { return healthyScene(testSpec(1)) }, nil},
		{"one is down", func() *scene { return healthyScene(testSpec(3)).stop("zk2") },
			[]string{"zk2", "expected a serving member, found down", "journalctl -u zookeeper-main.service"}},
		{"one of five is down", func() *scene { return healthyScene(testSpec(5)).stop("zk4") }, []string{"zk4", "expected a serving member"}},
		{"the quorum is lost", func() *scene { return healthyScene(testSpec(3)).stop("zk1", "zk2") }, []string{"zk1", "expected a serving member"}},
		{"one cannot be reached", func() *scene {
			sc := healthyScene(testSpec(3))
			sc.servers["zk3"].away = true
			return sc
		}, []string{"zk3", "expected a serving member"}},
		{"one counts errors that a restart makes worse", func() *scene {
			sc := healthyScene(testSpec(3))
			sc.servers["zk2"].mntr["zk_unrecoverable_error_count"] = "1"
			return sc
		}, []string{"zk2 counts 1 unrecoverable errors"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := tt.scene()
			_, ok, err := New().Next(sc.spec, sc.site(), bootstrap.Intent{Verb: bootstrap.VerbRestart})
			if ok {
				t.Error("there is a site step: turns are all there is to do")
			}
			if tt.want == nil {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			refused(t, err, tt.want...)
		})
	}
}

// TestTurns lets everybody have a turn in any state of the ensemble.
func TestTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 3, 5, 7}).Draw(t, "members")
		sc := healthyScene(testSpec(n))
		down := map[string]bool{}
		for _, h := range sc.spec.MemberNames() {
			if rapid.Bool().Draw(t, h+" is down") {
				sc.stop(h)
				down[h] = true
			}
		}
		pending := rapid.SliceOfNDistinct(rapid.SampledFrom(sc.spec.MemberNames()), 1, n, rapid.ID).Draw(t, "pending")
		left, order := slices.Clone(pending), []string{}
		for len(left) > 0 {
			st, ok, err := New().Next(sc.spec, sc.site(), bootstrap.Intent{Verb: bootstrap.VerbTurn, Hosts: left})
			if err != nil || !ok || len(st.Hosts) != 1 || !slices.Contains(left, st.Hosts[0]) {
				t.Fatalf("of %v it is the turn of %v, %t, %v", left, st.Hosts, ok, err)
			}
			order = append(order, st.Hosts[0])
			left = slices.DeleteFunc(left, func(h string) bool { return h == st.Hosts[0] })
		}
		if a, b := slices.Sorted(slices.Values(order)), slices.Sorted(slices.Values(pending)); !slices.Equal(a, b) {
			t.Fatalf("turns %v of pending %v", order, pending)
		}
		leader := fmtHost(n)
		if slices.Contains(pending, leader) && !down[leader] && order[len(order)-1] != leader {
			t.Fatalf("the leader %s is not the last of %v", leader, order)
		}
		firstUp := slices.IndexFunc(order, func(h string) bool { return !down[h] })
		if firstUp >= 0 && slices.ContainsFunc(order[firstUp:], func(h string) bool { return down[h] }) {
			t.Fatalf("of %v a member that serves comes before one of the stopped %v", order, slices.Sorted(maps.Keys(down)))
		}
	})
}

func fmtHost(n int) string { return testSpec(n).MemberNames()[n-1] }
