package zookeeper

import (
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

// A mismatch is cleared by digests that are equal since, in the time of the leader of now.
func TestCleared(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*scene)
		want   bool
	}{
		{"equal digests since", func(*scene) {}, true},
		{"no digest since it was started", func(sc *scene) { sc.servers["zk1"].digests = nil }, false},
		{"digests of the time of another leader alone", func(sc *scene) {
			for _, a := range sc.servers {
				a.zxid = 0x20000000a
			}
		}, false},
		{"the latest digest is another one", func(sc *scene) {
			for i, host := range []string{"zk1", "zk2", "zk3"} {
				sc.servers[host].digests = map[uint64]int64{0x100000080: 7, 0x100000100: int64(i)}
			}
		}, false},
		{"equal to one other, the third has none there", func(sc *scene) { sc.servers["zk2"].digests = nil }, true},
		{"nobody leads", func(sc *scene) { sc.stop("zk3") }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := healthyScene(testSpec(3))
			tt.change(sc)
			vs := sc.views()
			if got := cleared(vs, vs[0]); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestDoubt(t *testing.T) {
	for _, tt := range []struct {
		name, version                 string
		errors, elections, mismatches string
		want                          string
	}{
		{"nothing", "3.9.6", "0", "1", "0", ""},
		{"no figures", "3.9.6", "", "", "", ""},
		{"a mismatch", "3.9.6", "0", "1", "3", "zk_digest_mismatches_count=3"},
		{"an error since it began to follow", "3.9.6", "1", "1", "0", "zk_unrecoverable_error_count=1"},
		{"an error, and one leader was lost", "3.9.6", "1", "2", "0", ""},
		{"more errors than leaders were lost", "3.9.6", "3", "2", "0", "zk_unrecoverable_error_count=2"},
		{"how often it elected is not told", "3.9.6", "1", "", "0", "zk_unrecoverable_error_count=1"},
		{"an error and a lost leader in a release with faults", "3.8.0", "1", "2", "0", "zk_unrecoverable_error_count=1"},
		{"a failing disk throws it out again and again", "3.9.6", "12", "143", "0", "zk_unrecoverable_error_count=10"},
		{"a release that nobody knows", "", "1", "2", "0", "zk_unrecoverable_error_count=1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := view{version: tt.version}
			v.z.Mntr = map[string]string{}
			for k, n := range map[string]string{"zk_unrecoverable_error_count": tt.errors, "zk_cnt_election_time": tt.elections, "zk_digest_mismatches_count": tt.mismatches} {
				if n != "" {
					v.z.Mntr[k] = n
				}
			}
			other := view{version: tt.version} // it has lost two leaders
			other.host, other.z.Mntr = "other", map[string]string{"zk_cnt_election_time": "3"}
			if got := doubt([]view{v, other}, v); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFrail(t *testing.T) {
	sc := healthyScene(testSpec(3)) // of 3.8.0
	if !Frail(sc.spec, sc.site()) {
		t.Error("3.8.0 bears any number of writes")
	}
	if sc.stop("zk1", "zk2", "zk3"); Frail(sc.spec, sc.site()) {
		t.Error("nobody serves, and writes may break it")
	}
	if s := testSpec(0); Frail(&bootstrap.Spec{Hosts: s.Hosts}, bootstrap.Site{}) {
		t.Error("there is no ensemble")
	}
}
