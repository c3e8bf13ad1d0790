package verify

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOptionsQuery(t *testing.T) {
	both := HostNeeds{Dirs: []DirNeed{{Path: "/zk/data", Use: UseData}, {Path: "/zk/log", Use: UseLog}}}
	for _, tt := range []struct {
		name  string
		o     Options
		needs HostNeeds
		live  bool
		want  Query
	}{
		{"everything", Options{}, both, false, Query{Fsync: LongFsync("/zk/log", "/zk/data", 30*time.Second), Jitter: &JitterQuery{}, Steal: &StealQuery{}}},
		{"disk alone", Options{DiskOnly: true, Duration: time.Minute}, both, false, Query{Fsync: LongFsync("/zk/log", "/zk/data", time.Minute)}},
		{"a live member is spared", Options{DiskOnly: true}, both, true, Query{}},
		{"unless asked", Options{DiskOnly: true, OnLiveMembers: true}, both, true, Query{Fsync: LongFsync("/zk/log", "/zk/data", 0)}},
		{"one directory for both", Options{DiskOnly: true}, HostNeeds{Dirs: both.Dirs[:1]}, false, Query{Fsync: LongFsync("/zk/data", "/zk/data", 0)}},
		{"no data here", Options{DiskOnly: true}, HostNeeds{}, false, Query{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.o.Query(tt.needs, tt.live)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	want := Query{Fsync: GateFsync("/zk/log"), Jitter: &JitterQuery{Count: 300}, Steal: &StealQuery{}}
	if diff := cmp.Diff(want, GateQuery(both)); diff != "" {
		t.Errorf("the gate (-want +got):\n%s", diff)
	}
}

func TestOptionsKeep(t *testing.T) {
	checks := []Check{{ID: "host.os"}, {ID: "disk.free"}, {ID: "disk.fsync.p99"}}
	if diff := cmp.Diff(checks[1:], Options{DiskOnly: true}.Keep(checks)); diff != "" {
		t.Errorf("disk only (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(checks, Options{}.Keep(checks)); diff != "" {
		t.Errorf("everything (-want +got):\n%s", diff)
	}
}

// TestFactsAndResultsTravel holds that nothing is lost between the host that is
// examined and the one that judges.
func TestFactsAndResultsTravel(t *testing.T) {
	facts, result := goodFacts(), goodResult()
	facts.Unknown = map[string]string{"thp": "no such file"}
	result.Net = []NetResult{{NetTarget: NetTarget{Name: "zk2", Addr: "10.0.0.2:2888"}, Latency: Latency{Samples: 3, P99: 1.5}, Sent: 4, Lost: 1, Error: "i/o timeout",
		Path: &PathResult{Passed: true, MTU: 1500, LinkMTU: 9000}}}
	result.Clock = ptr(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	travel(t, facts, new(Facts))
	travel(t, result, new(Result))
	travel(t, Options{}.Query(goodNeeds(), false), new(Query))
}

func travel[T any](t *testing.T, sent T, received *T) {
	t.Helper()
	wire, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(wire, received); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, *received); diff != "" {
		t.Errorf("%T (-sent +received):\n%s", sent, diff)
	}
}
