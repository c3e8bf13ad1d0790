package zookeeper

import (
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestSuspects(t *testing.T) {
	const zxid = 0x100000080
	for _, tt := range []struct {
		name   string
		n      int
		change func(*scene)
		want   map[string]string // host -> part of the reason
	}{
		{"a follower lost its leader", 3, func(sc *scene) { sc.servers["zk2"].mntr["zk_unrecoverable_error_count"] = "1" }, nil},
		{"errors of before", 3, func(sc *scene) { sc.servers["zk1"].mntr["zk_unrecoverable_error_count"] = "6" }, nil},
		{"a new process that failed", 3, func(sc *scene) { sc.servers["zk1"].mntr["zk_unrecoverable_error_count"] = "4" },
			map[string]string{"zk1": "grew by 4, and 1 leaders were lost"}},
		{"a whole ensemble", 3, func(*scene) {}, nil},
		{"a member is down", 3, func(sc *scene) { sc.stop("zk1") }, nil},
		{"a member's disk fails", 3, func(sc *scene) { sc.servers["zk2"].mntr["zk_unrecoverable_error_count"] = "22" },
			map[string]string{"zk2": "zk_unrecoverable_error_count grew by 22, and 1 leaders were lost meanwhile"}},
		{"a member noticed by itself", 3, func(sc *scene) {
			sc.servers["zk1"].mntr["zk_digest_mismatches_count"], sc.servers["zk1"].digests = "18", nil
		},
			map[string]string{"zk1": "zk_digest_mismatches_count is 18, want 0, or equal digests since"}},
		{"one of three has another digest", 3, func(sc *scene) { sc.servers["zk2"].digests[zxid] = -1 },
			map[string]string{"zk2": "at zxid 0x100000080 its digest is -1, that of 2 other members"}},
		{"also where it is the leader", 3, func(sc *scene) { sc.servers["zk3"].digests[zxid] = -1 }, map[string]string{"zk3": "its digest is -1"}},
		{"three of three differ: nobody is right", 3, func(sc *scene) {
			sc.servers["zk1"].digests[zxid], sc.servers["zk2"].digests[zxid] = -1, -2
		}, nil},
		{"two of five", 5, func(sc *scene) { sc.servers["zk1"].digests[zxid], sc.servers["zk4"].digests[zxid] = -1, -2 },
			map[string]string{"zk1": "its digest is -1", "zk4": "its digest is -2"}},
		{"without a majority nobody is", 3, func(sc *scene) { sc.servers["zk1"].digests[zxid], sc.servers["zk2"].digests = -1, nil }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := healthyScene(testSpec(tt.n))
			tt.change(sc)
			found := map[string]Suspect{}
			for _, s := range suspects(sc.views(), Errors{"zk1": 5}, 1) {
				found[s.Host] = s
				if s.Next != "zkboot replace "+s.Host {
					t.Errorf("next: %q", s.Next)
				}
			}
			for host, why := range tt.want {
				if !strings.Contains(found[host].Why, why) {
					t.Errorf("%s: %q, want %q", host, found[host].Why, why)
				}
			}
			if len(found) != len(tt.want) {
				t.Errorf("suspects: %v, want %v", found, tt.want)
			}
		})
	}
}

func TestForms(t *testing.T) {
	for step, want := range map[string]bool{stepForm: true, stepRecover: true, stepCanary: false, stepEveryone: false} {
		if got := Forms(bootstrap.SiteStep{Role: roleName, Name: step}); got != want {
			t.Errorf("%s: %t", step, got)
		}
	}
	if Forms(bootstrap.SiteStep{Role: "sidecar", Name: stepForm}) {
		t.Error("a step of another role")
	}
}

func TestTimingOf(t *testing.T) {
	got := TimingOf(testSpec(3))
	if got.Join.Seconds() != 20 || got.Sync.Seconds() != 10 {
		t.Errorf("%+v, want initLimit 10 and syncLimit 5 ticks of 2s", got)
	}
}
