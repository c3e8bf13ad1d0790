package zookeeper

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// probed lets every member of a healthy site measure a p99.9 of a sync and a p99 of a round
// trip, in milliseconds.
func probed(sc *scene, p999, rtt map[string]float64) bootstrap.Site {
	now := sc.site()
	for host, seen := range now.Hosts {
		if v, ok := p999[host]; ok {
			seen.Probed.Fsync = &verify.FsyncResult{Latency: verify.Latency{P999: &v}}
		}
		if v, ok := rtt[host]; ok {
			seen.Probed.Net = []verify.NetResult{
				{NetTarget: verify.NetTarget{Name: "zk1"}, Latency: verify.Latency{Samples: 9, P99: v}},
				{NetTarget: verify.NetTarget{Name: "gone"}, Latency: verify.Latency{P99: 9999}}, // nothing came back
			}
		}
		now.Hosts[host] = seen
	}
	return now
}

func TestProveSyncLimit(t *testing.T) {
	counts := func(n, p999 int) func(*scene) {
		return func(sc *scene) {
			sc.servers["zk2"].mntr["zk_cnt_sync_processor_queue_flush_time_ms"] = fmt.Sprint(n)
			sc.servers["zk2"].mntr["zk_p999_sync_processor_queue_flush_time_ms"] = fmt.Sprint(p999)
		}
	}
	for _, tt := range []struct {
		name    string
		config  map[string]string
		change  func(*scene)
		p999    map[string]float64
		profile string
		want    verify.Verdict
		part    string
	}{
		{"nobody has a p99.9", nil, func(*scene) {}, nil, "", verify.NotApplicable, "10000 syncs"},
		{"the slowest counts", nil, func(*scene) {}, map[string]float64{"zk1": 4, "zk3": 12.5}, "", verify.Pass, "10000 ms, and the p99.9 of a sync is 12.5 ms on zk3"},
		{"just enough", nil, func(*scene) {}, map[string]float64{"zk1": 500}, "", verify.Pass, ""},
		{"too slow", nil, func(*scene) {}, map[string]float64{"zk1": 501}, "", verify.Fail, "20x"},
		{"too slow for a short limit", map[string]string{"tickTime": "500", "syncLimit": "2"}, func(*scene) {}, map[string]float64{"zk1": 51}, "", verify.Fail, "1000 ms, and the p99.9 of a sync is 51 ms on zk1"},
		{"a lab may be slow", nil, func(*scene) {}, map[string]float64{"zk1": 4000}, verify.ProfileLab, verify.Pass, ""},
		{"a lab may not be that slow", nil, func(*scene) {}, map[string]float64{"zk1": 6000}, verify.ProfileLab, verify.Warn, "below 2x"},
		{"as the member counts", nil, counts(10_000, 600), nil, "", verify.Fail, "600 ms on zk2"},
		{"as a member counts too few", nil, counts(9999, 600), nil, "", verify.NotApplicable, ""},
		{"below a whole millisecond", nil, counts(10_000, 0), nil, "", verify.Pass, "1 ms on zk2"},
		{"counted and measured", nil, counts(10_000, 600), map[string]float64{"zk2": 3}, "", verify.Fail, "600 ms on zk2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := healthyScene(testSpec(3))
			sc.spec.Ensemble.Config = tt.config
			tt.change(sc)
			now := probed(sc, tt.p999, nil)
			same(t, proveSyncLimit(sc.spec, now, views(sc.spec, now), limitsOf(t, tt.profile)), tt.want, tt.part)
		})
	}
}

func TestProveTickTime(t *testing.T) {
	for _, tt := range []struct {
		name    string
		tick    string
		rtt     map[string]float64
		profile string
		want    verify.Verdict
		part    string
	}{
		{"nothing was measured", "2000", nil, "", verify.NotApplicable, ""},
		{"the longest way counts", "2000", map[string]float64{"zk2": 1, "zk3": 80}, "", verify.Pass, "2000 ms, and the p99 of a round trip is 80 ms from zk3 to zk1"},
		{"too long", "2000", map[string]float64{"zk2": 201}, "", verify.Fail, "9.95x is below the limit of 10x"},
		{"too long for a short tick", "500", map[string]float64{"zk2": 80}, "", verify.Fail, "500 ms"},
		{"in a lab", "2000", map[string]float64{"zk2": 1001}, verify.ProfileLab, verify.Warn, "below 2x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := healthyScene(testSpec(3))
			sc.spec.Ensemble.Config = map[string]string{"tickTime": tt.tick}
			now := probed(sc, nil, tt.rtt)
			same(t, proveTickTime(sc.spec, now, views(sc.spec, now), limitsOf(t, tt.profile)), tt.want, tt.part)
		})
	}
}

func TestProveJava(t *testing.T) {
	for _, tt := range []struct {
		name   string
		majors map[string]int
		want   verify.Verdict
		part   string
	}{
		{"before the first apply", nil, verify.NotApplicable, "no member has Java yet"},
		{"one for all", map[string]int{"zk1": 17, "zk2": 17, "zk3": 17}, verify.Pass, "Java 17 on zk1, zk2, zk3"},
		{"one is behind", map[string]int{"zk1": 17, "zk2": 11, "zk3": 17}, verify.Warn, "Java 11 on zk2; Java 17 on zk1, zk3"},
		{"one has none yet", map[string]int{"zk1": 17, "zk2": 17}, verify.Pass, "Java 17 on zk1, zk2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := healthyScene(testSpec(3))
			for host, a := range sc.servers {
				a.facts.Java = nil
				if major, ok := tt.majors[host]; ok {
					a.facts.Java = &verify.Java{Major: major}
				}
			}
			now := sc.site()
			same(t, proveJava(now, views(sc.spec, now)), tt.want, tt.part)
		})
	}
}

func limitsOf(t *testing.T, profile string) verify.Thresholds {
	t.Helper()
	limits, ok := verify.Profile(profile)
	if !ok {
		t.Fatalf("no profile %q", profile)
	}
	return limits
}

func same(t *testing.T, c verify.Check, want verify.Verdict, part string) {
	t.Helper()
	if c.Verdict != want || !strings.Contains(c.Text+" "+c.Why, part) {
		t.Errorf("%+v; want %s with %q", c, want, part)
	}
}

// TestMountsOfDirectories: a mount that was made once and is gone is a fault, also for the
// plan that would make it again; one that never was is not.
func TestMountsOfDirectories(t *testing.T) {
	s := testSpec(3)
	s.Ensemble.DataDir, s.Ensemble.DataLogDir = "/srv/zk/data", "/srv/zk/log"
	h := s.Hosts["zk1"]
	h.Mounts = map[string]bootstrap.MountSpec{"/srv/zk": {Device: "/dev/vdb"}, "/srv/zk/log": {Device: "/dev/vdc"}, "/srv": {Device: "/dev/vdd"}, "/srv/z": {Device: "/dev/vde"}}
	s.Hosts["zk1"] = h
	m := members(s)[0]
	entry := func(at, hash string) bootstrap.Entry {
		return bootstrap.Entry{ID: bootstrap.NewID(bootstrap.KindMount, at), Hash: hash}
	}
	for _, tt := range []struct {
		name      string
		entries   []bootstrap.Entry
		log, data bool // come with the plan
	}{
		{"nothing is there yet", nil, true, true},
		{"a run was cut short", []bootstrap.Entry{entry("/srv/zk", ""), entry("/srv/zk/log", "")}, true, true},
		{"both were made", []bootstrap.Entry{entry("/srv/zk", "5eed"), entry("/srv/zk/log", "5eed")}, false, false},
		{"only the outer one was made", []bootstrap.Entry{entry("/srv/zk", "5eed")}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state := bootstrap.NewState()
			state.Manifests = map[string]bootstrap.Manifest{string(bootstrap.OwnerOf(s.Name, roleName)): {Entries: tt.entries}}
			d, err := m.desired(platform{jre: 17}, bootstrap.Seen{State: state, Facts: debian12()}, "c0ffee")
			if err != nil {
				t.Fatal(err)
			}
			want := []verify.DirNeed{
				{Path: "/srv/zk/log", Use: "log", Mount: "/srv/zk/log", MountComes: tt.log},
				{Path: "/srv/zk/data", Use: "data", Mount: "/srv/zk", MountComes: tt.data},
			}
			if got := d.Needs.Dirs; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	if d := compile(t, testSpec(3), fresh(testSpec(3)))["zk1"].Needs.Dirs; len(d) != 2 || d[0].Mount != "" || d[1].Mount != "" {
		t.Errorf("a host without mounts: %+v", d)
	}
}
