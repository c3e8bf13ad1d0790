package zookeeper

import (
	"slices"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

func someBackup() *bootstrap.Backup {
	return &bootstrap.Backup{URL: "file:///b.tar.zst", SHA512: strings.Repeat("a", 128), Name: "old", Taken: "2026-12-01T17:30:00Z",
		Version: "3.8.4", Zxid: 0x100000009, Znodes: 205, Ephemerals: 5, Digest: true}
}

// under puts a restore that is under way on a host.
func (sc *scene) under(host, sum string, stage bootstrap.RestoreStage, epoch uint64) {
	a := sc.servers[host]
	a.things = append(a.things, bootstrap.Restore{Dir: a.member.data, LogDir: a.dataLog, SHA512: sum, Stage: stage, Epoch: epoch, Owner: account, Group: account})
}

func TestPlanRestore(t *testing.T) {
	same, other := someBackup().SHA512, strings.Repeat("b", 128)
	for name, c := range map[string]struct {
		scene   func() *scene
		change  func(*bootstrap.Backup)
		refused []string // nil: it is planned
	}{
		"members that are blank": {scene: func() *scene { return emptyScene(testSpec(3)) }},
		"members that were formed and hold nothing": {scene: func() *scene {
			sc := healthyScene(testSpec(3))
			for _, a := range sc.servers {
				a.nodes = systemZnodes
			}
			return sc
		}},
		"members that hold data": {scene: func() *scene { return healthyScene(testSpec(3)) },
			refused: []string{"zk1", "it holds data (205 znodes, zxid 0x1000000ca)", "--replace-data", "never deleted"}},
		"members that hold data and are down": {scene: func() *scene { return healthyScene(testSpec(3)).stop("zk1", "zk2", "zk3") },
			refused: []string{"zk1", "it holds data (snapshots or logs; no server answers)"}},
		"data may be replaced": {scene: func() *scene { return healthyScene(testSpec(3)) }, change: func(b *bootstrap.Backup) { b.Replace = true }},
		"the quorum is lost, data may be replaced": {scene: func() *scene {
			sc := healthyScene(testSpec(3)).stop("zk1", "zk2", "zk3")
			sc.servers["zk1"].data, sc.servers["zk2"].data = bootstrap.DataEmpty, bootstrap.DataEmpty
			return sc
		}, change: func(b *bootstrap.Backup) { b.Replace = true }},
		"a restore of it was cut off": {scene: func() *scene {
			sc := healthyScene(testSpec(3)).stop("zk1", "zk2", "zk3")
			sc.under("zk2", same, bootstrap.RestoreStaged, 1)
			return sc
		}},
		"a restore of another was cut off": {scene: func() *scene {
			sc := emptyScene(testSpec(3))
			sc.under("zk2", other, bootstrap.RestorePlaced, 1)
			return sc
		}, refused: []string{"zk2", "the restore of another backup was cut off here (sha512 bbbbbbbbbbbb)"}},
		"one cannot be reached": {scene: func() *scene {
			sc := healthyScene(testSpec(3))
			sc.servers["zk3"].away = true
			return sc
		}, change: func(b *bootstrap.Backup) { b.Replace = true }, refused: []string{"zk3", "on every member at once"}},
		"a host has a server that the spec does not want": {scene: func() *scene {
			sc := emptyScene(testSpec(3))
			gone := emptyScene(testSpec(4)).servers["zk4"]
			gone.absent, gone.running, gone.data, gone.member.planned = false, true, bootstrap.DataPresent, false
			sc.spec.Hosts["zk4"], sc.servers["zk4"] = testSpec(4).Hosts["zk4"], gone
			return sc
		}, change: func(b *bootstrap.Backup) { b.Replace = true }, refused: []string{"zk4", "has server 4 of this ensemble", "apply first"}},
		"a later version wrote it": {scene: func() *scene { return emptyScene(testSpec(3)) }, change: func(b *bootstrap.Backup) { b.Version = "3.9.4" },
			refused: []string{"zk1", "written by ZooKeeper 3.9.4, this member is to run 3.8.0"}},
		"nobody knows which version wrote it": {scene: func() *scene { return emptyScene(testSpec(3)) }, change: func(b *bootstrap.Backup) { b.Version = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			sc, b := c.scene(), someBackup()
			if c.change != nil {
				c.change(b)
			}
			st, ok, err := New().Next(sc.spec, sc.site(), bootstrap.Intent{Verb: bootstrap.VerbRestore, Backup: b})
			if c.refused != nil {
				refused(t, err, c.refused...)
				return
			}
			if err != nil || !ok || st.Name != stepRestore || st.Backup != b || !slices.Equal(st.Hosts, []string{"zk1", "zk2", "zk3"}) {
				t.Errorf("got %+v, %t, %v; want the restore on all three", st, ok, err)
			}
			for _, part := range []string{"old", "2026-12-01T17:30:00Z", "0x100000009", "zk1, zk2, zk3", "kept aside"} {
				if !strings.Contains(st.Title, part) {
					t.Errorf("%q does not say %q", st.Title, part)
				}
			}
		})
	}
}

// Whatever else is seen, an apply does not bring up members of which some may have the data
// of a backup and some their own.
func TestApplyRefusesARestoreThatWasCutOff(t *testing.T) {
	for _, stage := range []bootstrap.RestoreStage{bootstrap.RestoreStaged, bootstrap.RestorePlaced} {
		for name, sc := range map[string]*scene{"blank": emptyScene(testSpec(3)), "healthy": healthyScene(testSpec(3)),
			"stopped": healthyScene(testSpec(3)).stop("zk1", "zk2", "zk3")} {
			sc.under("zk2", strings.Repeat("a", 128), stage, 1)
			_, _, err := New().Next(sc.spec, sc.site(), bootstrap.Intent{Verb: bootstrap.VerbConverge})
			t.Log(name)
			refused(t, err, "zk2", "a restore was cut off (the backup with sha512 aaaaaaaaaaaa is "+string(stage), "zkboot restore")
		}
	}
}

// Where a run that was cut off has come to, and what the next one does.
func TestAllPlaced(t *testing.T) {
	const staged, placed, none = bootstrap.RestoreStaged, bootstrap.RestorePlaced, bootstrap.RestoreStage("")
	for _, c := range []struct {
		stages [3]bootstrap.RestoreStage
		want   bool
	}{
		{[3]bootstrap.RestoreStage{none, none, none}, false},       // nothing has begun
		{[3]bootstrap.RestoreStage{staged, none, none}, false},     // being staged
		{[3]bootstrap.RestoreStage{staged, staged, staged}, false}, // old data still
		{[3]bootstrap.RestoreStage{placed, staged, placed}, false}, // being placed: again, all of it
		{[3]bootstrap.RestoreStage{placed, placed, placed}, true},  // started or not
		{[3]bootstrap.RestoreStage{placed, none, placed}, true},    // proven, and being ended
	} {
		sc, b := emptyScene(testSpec(3)), someBackup()
		var states []bootstrap.State
		for i, m := range members(sc.spec) {
			if c.stages[i] != none {
				sc.under(m.host, b.SHA512, c.stages[i], 1)
			}
			_, state, _ := sc.servers[m.host].Look(t.Context())
			states = append(states, state)
		}
		if got := allPlaced(members(sc.spec), states, b); got != c.want {
			t.Errorf("%v: %t, want %t", c.stages, got, c.want)
		}
		b.SHA512 = strings.Repeat("b", 128)
		if allPlaced(members(sc.spec), states, b) {
			t.Errorf("%v: counts as the restore of another backup", c.stages)
		}
	}
}

// The epoch behind which members go on is the latest that anybody can have seen.
func TestNextEpoch(t *testing.T) {
	sc, b := healthyScene(testSpec(3)), someBackup()
	ms := members(sc.spec)
	epochOf := func() uint64 {
		var states []bootstrap.State
		for _, m := range ms {
			_, state, _ := sc.servers[m.host].Look(t.Context())
			states = append(states, state)
		}
		return nextEpoch(ms, states, b)
	}
	b.Zxid = 0
	if got := epochOf(); got != 1 {
		t.Errorf("%d, want that of the members' zxids", got)
	}
	b.Zxid = 7 << 32
	if got := epochOf(); got != 7 {
		t.Errorf("%d, want that of the backup", got)
	}
	sc.servers["zk2"].things = append(sc.servers["zk2"].things, bootstrap.File{Path: ms[1].acceptedEpoch(), Content: "9\n"})
	if got := epochOf(); got != 9 {
		t.Errorf("%d, want the one that zk2 accepted", got)
	}
	sc.under("zk3", b.SHA512, bootstrap.RestoreStaged, 12)
	if got := epochOf(); got != 12 {
		t.Errorf("%d, want the one of the run that was cut off", got)
	}
}

// What is done on each member when all have stopped; the exchange comes last, so that a
// backup that is placed has its configuration.
func TestPlacing(t *testing.T) {
	sc := healthyScene(testSpec(3))
	sc.under("zk1", someBackup().SHA512, bootstrap.RestoreStaged, 1)
	m := members(sc.spec)[0]
	for _, f := range []string{m.nextDynamic(), initialize(m.dataLog)} {
		sc.servers["zk1"].things = append(sc.servers["zk1"].things, bootstrap.File{Path: f})
	}
	_, have, err := sc.servers["zk1"].Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, st := range m.placing(have) {
		if st.Owner != "" {
			t.Errorf("%s has an owner: the server takes these files over", st)
		}
		got = append(got, st.String())
	}
	want := []string{"create file " + m.zooCfg, "create file " + m.dynamic, "delete file " + m.nextDynamic(),
		"delete file " + initialize(m.dataLog), "update restore " + m.data}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestHoldsBackup(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*scene, *bootstrap.Backup)
		says   string // "": nothing is wrong
	}{
		"as it was": {nil, ""},
		"fewer znodes, and digests that say more": {func(sc *scene, _ *bootstrap.Backup) { sc.servers["zk2"].nodes = 1 }, ""},
		"without digests, ephemerals are gone":    {func(sc *scene, b *bootstrap.Backup) { b.Digest = false; sc.servers["zk2"].nodes = 200 }, ""},
		"without digests, more is gone":           {func(sc *scene, b *bootstrap.Backup) { b.Digest = false; sc.servers["zk2"].nodes = 199 }, "expected the backup's 205 znodes, 5 of them ephemeral, found 199"},
		"a server that keeps no digests": {func(sc *scene, _ *bootstrap.Backup) {
			delete(sc.servers["zk2"].mntr, "zk_digest_mismatches_count")
			sc.servers["zk2"].nodes = 1
		}, "found 1"},
		"nobody knows the number, without digests": {func(sc *scene, b *bootstrap.Backup) {
			b.Digest = false
			b.Znodes, b.Ephemerals = 0, 0
			sc.servers["zk2"].nodes = 1
		}, ""},
		"it ends before the backup": {func(sc *scene, _ *bootstrap.Backup) { sc.servers["zk2"].zxid = 8 }, "expected zxid 0x100000009 or later, found 0x8"},
	} {
		t.Run(name, func(t *testing.T) {
			sc, b := healthyScene(testSpec(3)), someBackup()
			if c.change != nil {
				c.change(sc, b)
			}
			err := holdsBackup(sc.views(), b)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}
