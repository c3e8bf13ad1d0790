package zookeeper

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestTogether(t *testing.T) {
	for _, tt := range []struct {
		name   string
		n      int
		change func(*scene)
		want   []string // none: the gate opens
	}{
		{"a whole ensemble", 3, func(*scene) {}, nil},
		{"five", 5, func(*scene) {}, nil},
		{"one", 1, func(*scene) {}, nil},
		{"an AdminServer is silent, zxid and znodes are equal", 3, func(sc *scene) { sc.servers["zk1"].state = "" }, nil},
		{"a member is down", 3, func(sc *scene) { sc.stop("zk2") }, []string{"zk2", "expected a serving member, found down: srvr: connection refused"}},
		{"a member cannot be reached", 3, func(sc *scene) { sc.servers["zk2"].away = true }, []string{"zk2", "unreachable"}},
		{"a member does not vote", 3, func(sc *scene) { sc.servers["zk1"].voting = false }, []string{"zk1", "expected a voting member", "voting=false"}},
		{"a member still synchronizes", 3, func(sc *scene) { sc.servers["zk1"].state = "synchronization" }, []string{"zk1", "synchronization"}},
		{"nobody leads", 3, func(sc *scene) { sc.servers["zk3"].mode = modeFollower }, []string{"expected one leader, found none"}},
		{"two lead", 3, func(sc *scene) { sc.lead("zk1", 2, 0) }, []string{"zk3", "expected one leader, found zk1 and zk3"}},
		{"a follower lags", 3, func(sc *scene) { sc.servers["zk3"].mntr["zk_synced_followers"] = "1" }, []string{"zk3", "expected zk_synced_followers of 2, found 1"}},
		{"syncs are pending", 3, func(sc *scene) { sc.servers["zk3"].mntr["zk_pending_syncs"] = "4" }, []string{"zk3", "expected zk_pending_syncs of 0, found 4"}},
		{"transactions differ under load, digests agree", 3, func(sc *scene) { sc.servers["zk1"].zxid = 0x1000000c1 }, nil},
		{"transactions differ and there is no digest yet", 3, func(sc *scene) {
			for _, a := range sc.servers {
				a.digests = nil
			}
			sc.servers["zk1"].zxid = 0x1000000c1
		}, []string{"zk1", "expected zxid 0x1000000ca and 205 znodes as on the leader zk3, found 0x1000000c1 and 205"}},
		{"no transaction in this epoch yet", 3, func(sc *scene) {
			for _, a := range sc.servers {
				a.digests, a.zxid = nil, 0x1000000ca
			}
			sc.servers["zk3"].zxid = 0x200000000
		}, nil},
		{"fewer znodes at the same transaction", 3, func(sc *scene) {
			for _, a := range sc.servers {
				a.digests = nil
			}
			sc.servers["zk2"].nodes = 10
		}, []string{"zk2", "205 znodes as on the leader zk3, found 0x1000000ca and 10"}},
		{"digests differ", 3, func(sc *scene) { sc.servers["zk2"].digests[0x100000080] = -1 }, []string{"zk2", "members hold different data", "0x100000080", "ZOOKEEPER-4882"}},
		{"a member counted a mismatch, digests are equal since", 3, func(sc *scene) { sc.servers["zk2"].mntr["zk_digest_mismatches_count"] = "1" }, nil},
		{"a member counted mismatches, and has no digest since", 3, func(sc *scene) {
			sc.servers["zk2"].mntr["zk_digest_mismatches_count"], sc.servers["zk2"].digests = "18", nil
		}, []string{"zk2", "expected no digest mismatch, or equal digests since, found 18 and none", "zkboot replace zk2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := healthyScene(testSpec(tt.n))
			tt.change(sc)
			err := together(sc.views())
			if len(tt.want) == 0 {
				if err != nil {
					t.Errorf("the gate stays shut: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("the gate opens")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestObserversAreNoVoters(t *testing.T) {
	s := testSpec(4)
	s.Ensemble.Members["zk1"] = bootstrap.Member{ID: 1, Role: bootstrap.Observer}
	sc := healthyScene(s)
	if err := together(sc.views()); err != nil {
		t.Errorf("a whole ensemble with an observer: %v", err)
	}
	if err := canMiss(sc.stop("zk1").views(), "zk2"); err != nil {
		t.Errorf("zk2 can be missed whatever the observer does: %v", err)
	}
	if err := canMiss(sc.stop("zk3").views(), "zk2"); err == nil {
		t.Error("with zk3 down zk2 cannot be missed: an observer does not make up for it")
	}
}

func TestQuorumWithout(t *testing.T) {
	for _, tt := range []struct {
		name   string
		n      int
		stop   []string
		target string
		want   []string
	}{
		{"all are well", 3, nil, "zk1", nil},
		{"the leader itself", 3, nil, "zk3", nil},
		{"the target is the one that is down", 3, []string{"zk1"}, "zk1", nil},
		{"another is down", 3, []string{"zk2"}, "zk1", []string{"expected 2 voters of 3 besides zk1, found 1 (zk3)", "zk2 does not vote", "repair zk2 first"}},
		{"one of five is down", 5, []string{"zk2"}, "zk1", nil},
		{"two of five are down", 5, []string{"zk2", "zk4"}, "zk1", []string{"expected 3 voters of 5 besides zk1, found 2 (zk3, zk5)", "zk2 does not vote"}},
		{"a single voter cannot be spared and must be", 1, nil, "zk1", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := canMiss(healthyScene(testSpec(tt.n)).stop(tt.stop...).views(), tt.target)
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

// On 3.8.0 a follower that counted an unrecoverable error when its leader went served the
// right data until its next restart, and other data after it.
func TestASuspectMemberIsNotRestarted(t *testing.T) {
	sc := healthyScene(testSpec(3))
	sc.servers["zk2"].mntr["zk_unrecoverable_error_count"] = "1"
	err := canMiss(sc.views(), "zk2")
	refused(t, err, "zk2 counts 1 unrecoverable errors", "`zkboot replace zk2`")
	if !errors.Is(err, errDiverged) {
		t.Errorf("the gate would wait for it: %v", err)
	}
	if err := canMiss(sc.views(), "zk1"); err != nil {
		t.Errorf("another one is refused: %v", err)
	}
}

func TestGatesWaitAndGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := healthyScene(testSpec(3)).stop("zk2")
		err := New().Do(t.Context(), sc.spec, sc.hosts(), bootstrap.SiteStep{Name: stepEveryone})
		refused(t, err, "not within 1m20s", "zk2", "expected a serving member", "journalctl -u zookeeper-main.service")
		err = New().Do(t.Context(), sc.spec, sc.hosts(), bootstrap.SiteStep{Name: stepQuorumWithout, Hosts: []string{"zk1"}})
		refused(t, err, "not within 20s", "zk2 does not vote")
	})
}

func TestGatesDoNotWaitForDivergedData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := healthyScene(testSpec(3))
		sc.servers["zk1"].digests[0x100000080] = 1
		ctx, cancel := context.WithTimeout(t.Context(), pollEvery)
		defer cancel()
		err := New().Do(ctx, sc.spec, sc.hosts(), bootstrap.SiteStep{Name: stepEveryone})
		if !errors.Is(err, errDiverged) || ctx.Err() != nil {
			t.Errorf("got %v (%v), want the difference at once", err, ctx.Err())
		}
	})
}

func TestGatesDoNotWaitForALostHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := healthyScene(testSpec(3))
		hosts := sc.hosts()
		sc.servers["zk3"].away = true
		ctx, cancel := context.WithTimeout(t.Context(), pollEvery)
		defer cancel()
		err := New().Do(ctx, sc.spec, hosts, bootstrap.SiteStep{Name: stepEveryone})
		if !errors.Is(err, bootstrap.ErrUnreachable) || !strings.HasPrefix(err.Error(), "zk3: everyone: ") || ctx.Err() != nil {
			t.Errorf("got %v (%v), want the loss of zk3 at once", err, ctx.Err())
		}
	})
}

func TestGatesHonourTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := healthyScene(testSpec(3)).stop("zk2")
		ctx, cancel := context.WithTimeout(t.Context(), 3*pollEvery)
		defer cancel()
		err := New().Do(ctx, sc.spec, sc.hosts(), bootstrap.SiteStep{Name: stepEveryone})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "zk2") {
			t.Errorf("got %v, want the end of the context and what was missing until then", err)
		}
	})
}

func TestUnknownSiteSteps(t *testing.T) {
	sc := healthyScene(testSpec(3))
	if err := New().Do(t.Context(), sc.spec, sc.hosts(), bootstrap.SiteStep{Name: "dance"}); err == nil || !strings.Contains(err.Error(), `"dance"`) {
		t.Errorf("got %v, want an error that names the step", err)
	}
	err := New().Do(t.Context(), sc.spec, sc.hosts(), bootstrap.SiteStep{Name: stepQuorumWithout, Hosts: []string{"app1"}})
	if err == nil || !strings.Contains(err.Error(), "app1 is no member") {
		t.Errorf("got %v, want it to say that app1 is no member", err)
	}
}

func TestGatesNameTheHost(t *testing.T) {
	before, after := New().Gates("zk2")
	if len(before) != 1 || before[0].Name != stepQuorumWithout || before[0].Hosts[0] != "zk2" {
		t.Errorf("before: %+v, want the quorum without zk2", before)
	}
	if len(after) != 2 || after[0].Name != stepEveryone || after[1].Name != stepCanary {
		t.Errorf("after: %+v, want everyone and a canary", after)
	}
}
