package drill

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

func leads(epoch uint64) zookeeper.Standing {
	return zookeeper.Standing{Serves: true, Leader: true, Epoch: epoch}
}

func follows(epoch uint64) zookeeper.Standing {
	return zookeeper.Standing{Serves: true, Epoch: epoch}
}

func TestTally(t *testing.T) {
	calm := poll{"zk1": leads(1), "zk2": follows(1), "zk3": follows(1)}
	none := poll{"zk1": {}, "zk2": {}}
	next := poll{"zk1": {}, "zk2": leads(2), "zk3": follows(2)}
	for _, tt := range []struct {
		name  string
		polls []poll
		want  tally
	}{
		{"calm", []poll{calm, calm}, tally{polls: 2}},
		{"an election", []poll{calm, none, next}, tally{polls: 3, changes: 1}},
		{"the same one is elected again", []poll{calm, none, {"zk1": leads(2)}}, tally{polls: 3}},
		{"a deposed leader has not noticed", []poll{calm, {"zk1": leads(1), "zk2": leads(2)}, {"zk1": leads(1), "zk2": leads(2)}, next},
			tally{polls: 4, deposed: 2, changes: 1}},
		{"two leaders of one epoch", []poll{{"zk1": leads(2), "zk2": leads(2)}, {"zk1": leads(2), "zk2": leads(2)}}, tally{polls: 2, two: 1, deposed: 1}},
		{"a new leader shows the epoch before while it starts", []poll{calm, {"zk1": leads(1), "zk2": leads(1)}, {"zk1": leads(1), "zk2": leads(2)}},
			tally{polls: 3, deposed: 2, changes: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got tally
			for _, p := range tt.polls {
				got.add(p)
			}
			if want := map[string]int{"an election": 1, "the same one is elected again": 1, "a deposed leader has not noticed": 1, "a new leader shows the epoch before while it starts": 1}[tt.name]; got.epochs() != want {
				t.Errorf("%d epochs, want %d", got.epochs(), want)
			}
			got.before, got.last, got.first, got.latest = nil, "", 0, 0
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(tally{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestVictims(t *testing.T) {
	p := poll{"zk1": follows(3), "zk2": leads(3), "zk3": follows(3), "zk4": {}}
	members := []string{"zk1", "zk2", "zk3", "zk4"}
	for _, tt := range []struct {
		on   target
		now  poll
		want []string
		says string
	}{
		{nobody, p, nil, ""},
		{leader, p, []string{"zk2"}, ""},
		{follower, p, []string{"zk1"}, ""},
		{everyone, p, members, ""},
		{leader, poll{"zk1": leads(1), "zk2": leads(2)}, []string{"zk2"}, ""},
		{leader, poll{"zk1": follows(1)}, nil, "there is none now"},
		{follower, poll{"zk1": leads(1), "zk4": {}}, nil, "there is none now"},
	} {
		got, err := Fault{Name: "x", On: tt.on}.victims(tt.now, members)
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s of %v: %v, %v", tt.on, tt.now, got, err)
		}
	}
}

// The table of faults is what the documentation and the CLI are made of.
func TestFaults(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Faults() {
		if seen[f.Name] || f.Does == "" || f.Expect == "" || f.gap == nil || f.On == "" {
			t.Errorf("%+v: double, or not told in full", f)
		}
		seen[f.Name] = true
		if found, err := Find(f.Name); err != nil || found.Name != f.Name {
			t.Errorf("Find(%q): %v, %v", f.Name, found.Name, err)
		}
		if f.Safe() && (f.Lasts || f.On != nobody && f.Step == "") {
			t.Errorf("%s is called safe, and lasts or does nothing", f.Name)
		}
		if f.Step != "" && f.Step != bootstrap.ActionKill && f.Step != bootstrap.ActionRestart {
			t.Errorf("%s: %s leaves more behind than systemd makes good", f.Name, f.Step)
		}
	}
	if _, err := Find("kill"); err == nil || !strings.Contains(err.Error(), `unknown fault "kill": want one of none, kill-leader`) {
		t.Errorf("Find of what is not there: %v", err)
	}
}
