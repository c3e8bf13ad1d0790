package bootstrap

import (
	"strings"
	"testing"
)

func TestAdoptIsValidated(t *testing.T) {
	for name, tt := range map[string]struct {
		adopt string
		want  string
	}{
		"defaults":        {"{}", ""},
		"places":          {"{config: /opt/zookeeper/conf/zoo.cfg, unit: zk@1.service}", ""},
		"relative config": {"{config: zoo.cfg}", `ensemble.adopt.config: want the absolute path of a zoo.cfg, found "zoo.cfg"`},
		"unclean config":  {"{config: /etc/../zoo.cfg}", "ensemble.adopt.config"},
		"no service":      {"{unit: zookeeper}", `ensemble.adopt.unit: want the name of a service such as zookeeper.service, found "zookeeper"`},
		"an option":       {`{unit: "-x y.service"}`, "ensemble.adopt.unit"},
		"unknown key":     {"{file: x}", "ensemble.adopt.file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, r := Load("zkboot.yaml", []byte("name: main\nhosts: {zk1: {address: 10.0.0.1}}\nensemble: {members: {zk1: {id: 1}}, source: {apt: {}}, adopt: "+tt.adopt+"}\n"))
			switch {
			case tt.want == "" && r.Failed():
				t.Error(r.Err())
			case tt.want != "" && (!r.Failed() || !strings.Contains(r.Err().Error(), tt.want)):
				t.Errorf("got %v, want %q", r.Err(), tt.want)
			}
		})
	}
}

// The other's unit goes before everything, files come before the owner's own.
func TestTakeoverStandsAroundTheOwnersSteps(t *testing.T) {
	off := Step{Action: ActionUpdate, Target: "unit:theirs.service", Was: Thing{Unit{Name: "theirs.service", Running: true}}, Want: Thing{Unit{Name: "theirs.service"}}}
	list := Step{Action: ActionCreate, Target: "file:/etc/list", Want: Thing{File{Path: "/etc/list"}}}
	d := Desired{Resources: []Resource{Dir{Path: "/data"}, File{Path: "/etc/a"}, Unit{Name: "ours.service", Turn: true, Running: true}},
		Takeover: Takeover{Steps: []Step{list, off}, Late: []ID{"dir:/data"}}}
	var got []string
	for _, st := range Diff("main.role", d, State{}, Intent{}) {
		got = append(got, string(st.Target))
	}
	if want := "unit:theirs.service dir:/data file:/etc/list file:/etc/a unit:ours.service"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	hs := sortSteps(d, Diff("main.role", d, State{}, Intent{}), false)
	if len(hs.prepare) != 1 || hs.prepare[0].Target != "file:/etc/a" || len(hs.turn) != 4 {
		t.Errorf("before the turn %v, in the turn %v; want /etc/a alone before it", hs.prepare, hs.turn)
	}
	if hs := sortSteps(d, Diff("main.role", d, State{}, Intent{}), true); len(hs.turn) != 0 || hs.prepare[0].Target != "unit:theirs.service" {
		t.Errorf("with nothing to protect: before %v, in the turn %v; want theirs off first", hs.prepare, hs.turn)
	}
	if running(d, State{}) || !running(Desired{Takeover: Takeover{Standing: true}}, State{}) {
		t.Error("a host is in service where theirs stood before us, and not because of steps alone")
	}
}
