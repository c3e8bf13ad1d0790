package zookeeper

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

func TestStatus(t *testing.T) {
	s := testSpec(4)
	s.Ensemble.Members["zk1"] = bootstrap.Member{ID: 1, Role: bootstrap.Observer}
	sc := healthyScene(s).stop("zk2")
	r := Status(s, sc.site())
	var text, json bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&json); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.txt", text.String())
	golden(t, "status.json", json.String())

	sc.stop("zk3")
	sc.servers["zk4"].away = true
	var none bytes.Buffer
	if err := Status(s, sc.site()).WriteText(&none); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.none.txt", none.String())
}

// verdicts proves a scene without looking a second time.
func verdicts(t *testing.T, sc *scene) map[string]verify.Check {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the scene does not change, and takes no connections
	out := map[string]verify.Check{}
	for _, c := range New().Prove(ctx, sc.spec, sc.site(), sc.hosts()) {
		out[c.ID] = c
	}
	return out
}

func TestProve(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*scene)
		id     string
		want   verify.Verdict
		part   string
	}{
		{"quorum", func(*scene) {}, "ensemble.quorum", verify.Pass, "3 of 3 voters serve, 2 are needed"},
		{"quorum with one down", func(sc *scene) { sc.stop("zk1") }, "ensemble.quorum", verify.Pass, "2 of 3"},
		{"no quorum", func(sc *scene) { sc.stop("zk1", "zk3") }, "ensemble.quorum", verify.Fail, "zk1: down"},
		{"leader", func(*scene) {}, "ensemble.leader", verify.Pass, "zk3"},
		{"two leaders", func(sc *scene) { sc.lead("zk1", 2, 0) }, "ensemble.leader", verify.Fail, "zk1 and zk3"},
		{"voting", func(*scene) {}, "ensemble.voting", verify.Pass, ""},
		{"one is down", func(sc *scene) { sc.stop("zk1") }, "ensemble.voting", verify.Fail, "zk1"},
		{"synced", func(*scene) {}, "ensemble.synced", verify.Pass, ""},
		{"one lags", func(sc *scene) { sc.servers["zk3"].mntr["zk_synced_followers"] = "1" }, "ensemble.synced", verify.Fail, "zk_synced_followers of 2, found 1"},
		{"config", func(*scene) {}, "ensemble.config", verify.Pass, "version 100000000"},
		{"digest", func(*scene) {}, "ensemble.digest", verify.Pass, "equal at zxid 0x100000080"},
		{"digests differ", func(sc *scene) { sc.servers["zk1"].digests[0x100000080] = 1 }, "ensemble.digest", verify.Fail, "hold different data"},
		{"never a quiet moment", func(sc *scene) {
			sc.servers["zk1"].digests = nil
			sc.servers["zk1"].zxid++
		}, "ensemble.digest", verify.Unknown, "expected zxid"},
		{"canary that cannot fly", func(*scene) {}, "ensemble.canary", verify.Fail, "canary"},
		{"nobody to compare with", func(sc *scene) { sc.stop("zk3") }, "ensemble.canary", verify.Unknown, "no one leader"},
		{"version", func(*scene) {}, "ensemble.version", verify.Warn, "3.8.0 (zk1, zk2, zk3) has ZOOKEEPER-4882"},
		{"a version that was not accepted", func(sc *scene) { sc.spec.Ensemble.AcceptKnownIssues = nil }, "ensemble.version", verify.Fail, "ZOOKEEPER-4785"},
		{"flush", func(*scene) {}, "ensemble.flush.p99", verify.Pass, "4 ms on zk1"},
		{"a slow disk", func(sc *scene) { sc.servers["zk2"].mntr["zk_p99_sync_processor_queue_flush_time_ms"] = "90" }, "ensemble.flush.p99", verify.Fail, "on zk2"},
		{"too few syncs", func(sc *scene) {
			for _, a := range sc.servers {
				a.mntr["zk_cnt_sync_processor_queue_flush_time_ms"] = "13"
			}
		}, "ensemble.flush.p99", verify.Unknown, "at most 13 syncs"},
		{"disk errors", func(sc *scene) { sc.servers["zk2"].mntr["zk_digest_mismatches_count"] = "18" }, "ensemble.disk_errors", verify.Warn, "on zk2"},
		{"errors", func(sc *scene) { sc.servers["zk2"].mntr["zk_unrecoverable_error_count"] = "1" }, "ensemble.errors", verify.Fail, "on zk2"},
		{"descriptors", func(sc *scene) { sc.servers["zk2"].mntr["zk_open_file_descriptor_count"] = "60000" }, "ensemble.limits", verify.Fail, "on zk2"},
		{"no figures at all", func(sc *scene) { sc.stop("zk1", "zk2", "zk3") }, "ensemble.errors", verify.Unknown, "no member told"},
		{"private addresses", func(*scene) {}, "ensemble.exposure", verify.Pass, ""},
		{"open to everybody", func(sc *scene) {
			a := sc.servers["zk1"]
			a.facts.Listeners = []verify.Listener{{Address: "::", Port: 2181, Process: &verify.Process{Unit: a.unit}}}
		}, "ensemble.exposure", verify.Warn, "zk1: port 2181 (client) listens on ::, want 10.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := healthyScene(testSpec(3))
			tt.change(sc)
			c, ok := verdicts(t, sc)[tt.id]
			if !ok || c.Verdict != tt.want || !strings.Contains(c.Text+" "+c.Why, tt.part) {
				t.Errorf("%s: %+v; want %s with %q", tt.id, c, tt.want, tt.part)
			}
		})
	}
}

func TestProveAnswersEveryQuestion(t *testing.T) {
	got := verdicts(t, healthyScene(testSpec(3)))
	var want []string
	for _, c := range verify.Checks() {
		if strings.HasPrefix(c.ID, "ensemble.") {
			want = append(want, c.ID)
		}
	}
	for _, id := range want {
		if _, ok := got[id]; !ok {
			t.Errorf("%s is in the catalogue and not judged", id)
		}
	}
	if len(want) != len(got) {
		t.Errorf("%d checks are judged, the catalogue has %d", len(got), len(want))
	}
}

// Between a change of the spec and its apply the status is that of the live configuration: a
// quorum of its members counts, and who is to come or to go is told.
func TestStatusWhileMembersChange(t *testing.T) {
	sc := grown(3, 5).wants("zk4", "zk5", "-zk1").stop("zk2")
	r := Status(sc.spec, sc.site())
	if !r.Quorum || r.Leader != "zk3" {
		t.Errorf("quorum %t, leader %q: want a quorum of zk1 and zk3", r.Quorum, r.Leader)
	}
	notes := map[string]string{}
	for _, m := range r.Members {
		notes[m.Host] = m.Error
	}
	for host, want := range map[string]string{"zk1": "to leave the ensemble: apply", "zk2": "srvr: connection refused", "zk3": "", "zk4": "no server answers at 10.0.0.4:2181"} {
		if got, ok := notes[host]; !ok || got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}
