package zookeeper

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
)

// adoptSpec is testSpec for servers of Debian's package.
func adoptSpec(n int) *bootstrap.Spec {
	s := testSpec(n)
	s.Ensemble.DataDir, s.Ensemble.DataLogDir = "/var/lib/zookeeper", "/var/lib/zookeeper"
	s.Ensemble.Adopt = &bootstrap.Adopt{}
	return s
}

// debianCfg is a zoo.cfg as Debian's package has it, with server lines behind.
const debianCfg = "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/var/lib/zookeeper\nclientPort=2181\n"

const staticLines = "server.1=10.0.0.1:2888:3888\nserver.2=10.0.0.2:2888:3888\nserver.3=10.0.0.3:2888:3888\n"

// before is a host whose server somebody else set up.
type before struct {
	cfg     string
	dynamic string
	id      string
	names   map[string][]string
	unit    bootstrap.Unit
	procs   []bootstrap.ServerProcess
	mode    string
	version string
	mntr    map[string]string
	things  []bootstrap.Resource
	unread  map[bootstrap.ID]string
}

func debianMember(i, n int) *before {
	b := &before{cfg: debianCfg, id: fmt.Sprint(i), mode: modeFollower, version: "3.8.0",
		unit:  bootstrap.Unit{Name: bootstrap.AdoptUnit, Enabled: true, Running: true},
		procs: []bootstrap.ServerProcess{{PID: 812, Unit: bootstrap.AdoptUnit, Args: []string{"-Xmx1g", "-cp", "/etc/zookeeper/conf"}}}}
	for j := range n {
		b.cfg += fmt.Sprintf("server.%d=10.0.0.%d:2888:3888\n", j+1, j+1)
	}
	if i == n {
		b.mode = modeLeader
	}
	return b
}

func (b *before) server() bootstrap.ZooKeeper {
	z := bootstrap.ZooKeeper{Config: bootstrap.AdoptConfig, Properties: bootstrap.Properties(b.cfg), Dynamic: b.dynamic, MyID: b.id,
		Data: bootstrap.DataPresent, Names: b.names, Processes: b.procs, Mntr: b.mntr}
	if b.mode != "" {
		z.Srvr = fmt.Sprintf("Zookeeper version: %s-x, built on 2024-12-29 17:54 UTC\nZxid: 0x1000000ca\nMode: %s\nNode count: 205\n", b.version, b.mode)
	}
	return z
}

// foreignSite is a site of such hosts, by name.
func foreignSite(s *bootstrap.Spec, hosts map[string]*before) bootstrap.Site {
	now := bootstrap.Site{Hosts: map[string]bootstrap.Seen{}}
	for host, b := range hosts {
		state := bootstrap.NewState(append([]bootstrap.Resource{b.server(), b.unit,
			bootstrap.Dir{Path: "/var/lib/zookeeper", Mode: 0o755, Owner: "zk", Group: "zk"}}, b.things...)...)
		state.Unread = b.unread
		now.Hosts[host] = bootstrap.Seen{Facts: debian12(), State: state}
	}
	return now
}

func debianHosts(n int) map[string]*before {
	out := map[string]*before{}
	for i := range n {
		out[fmt.Sprintf("zk%d", i+1)] = debianMember(i+1, n)
	}
	return out
}

// What cannot be taken over as the spec says is refused, with what is there and the line to
// write.
func TestAdoptionRefuses(t *testing.T) {
	on := func(change func(*before)) func(map[string]*before) {
		return func(hosts map[string]*before) { change(hosts["zk2"]) }
	}
	for _, tt := range []struct {
		name   string
		spec   func(*bootstrap.Spec)
		hosts  func(map[string]*before)
		path   bootstrap.Path
		text   string
		hinted string
	}{
		{"other data directory", nil, on(func(b *before) { b.cfg = strings.Replace(b.cfg, "dataDir=/var/lib/zookeeper", "dataDir=/srv/zk", 1) }),
			"ensemble.data_dir", "has dataDir /srv/zk, the spec /var/lib/zookeeper", "`data_dir: /srv/zk`"},
		{"a log directory of its own", nil, on(func(b *before) { b.cfg += "dataLogDir=/srv/log/\n" }),
			"ensemble.data_log_dir", "has its transaction log in /srv/log, the spec in /var/lib/zookeeper", "`data_log_dir: /srv/log`"},
		{"other server id", nil, on(func(b *before) { b.id = "7" }), `ensemble.members["zk2"].id`, `says server "7", the spec says server 2`, "`id: 7`"},
		{"no myid", nil, on(func(b *before) { b.id = "" }), `ensemble.members["zk2"].id`, `says server ""`, ""},
		{"a server that the spec lacks", nil, on(func(b *before) { b.cfg += "server.4=10.0.0.4:2888:3888\n" }),
			"ensemble.members", "live has server.4=10.0.0.4:2888:3888:participant;", "after it was taken over"},
		{"a server that only the spec has", nil, on(func(b *before) { b.cfg = strings.Replace(b.cfg, "server.3=10.0.0.3:2888:3888\n", "", 1) }),
			"ensemble.members", "the live ensemble has no server 3", ""},
		{"other address", nil, on(func(b *before) { b.cfg = strings.Replace(b.cfg, "10.0.0.1:", "10.9.9.9:", 1) }), "ensemble.members", "live has server.1=10.9.9.9", ""},
		{"other quorum port", nil, on(func(b *before) { b.cfg = strings.ReplaceAll(b.cfg, ":2888:", ":12888:") }), "ensemble.members", ":12888:3888", ""},
		{"other client port", nil, on(func(b *before) { b.cfg = strings.Replace(b.cfg, "clientPort=2181", "clientPort=2281", 1) }), "ensemble.members", ";10.0.0.2:2281", ""},
		{"clients elsewhere", nil, on(func(b *before) { b.cfg += "clientPortAddress=192.0.2.7\n" }), "ensemble.members", ";192.0.2.7:2181", ""},
		{"an observer that is a voter in the spec", nil, on(func(b *before) {
			b.cfg = strings.Replace(b.cfg, "10.0.0.3:2888:3888", "10.0.0.3:2888:3888:observer", 1)
		}),
			"ensemble.members", ":observer", ""},
		{"a name that nobody knows", nil, on(func(b *before) { b.cfg = strings.Replace(b.cfg, "10.0.0.1:", "one.example:", 1) }),
			"ensemble.members", "server.1: the name one.example is not known on the host", "use addresses"},
		{"a name of another host", nil, on(func(b *before) {
			b.cfg = strings.Replace(b.cfg, "10.0.0.1:", "one.example:", 1)
			b.names = map[string][]string{"one.example": {"10.7.7.7"}}
		}), "ensemble.members", "live has server.1=10.7.7.7", ""},
		{"weights", nil, on(func(b *before) { b.cfg += "group.1=1:2:3\nweight.1=2\n" }), "ensemble.members", "groups or weights: group.1, weight.1", ""},
		{"standalone", nil, on(func(b *before) { b.cfg = debianCfg }), "ensemble.members", "a standalone server is not taken over", ""},
		{"TLS", nil, on(func(b *before) { b.cfg += "sslQuorum=true\n" }), "ensemble.config", "sets sslQuorum, which zkboot cannot carry over", ""},
		{"SASL", nil, on(func(b *before) {
			b.cfg += "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n"
		}), "ensemble.config", "sets authProvider.1", ""},
		{"larger packets", nil, on(func(b *before) { b.procs[0].Args = append(b.procs[0].Args, "-Djute.maxbuffer=4194304") }),
			"ensemble.jvm_flags", "without it ours could not read what the others send", "`jvm_flags: [-Djute.maxbuffer=4194304]`"},
		{"a newer server", nil, on(func(b *before) { b.version = "3.9.3" }), "ensemble.source.apt", "older than the data", ""},
		{"a unit that runs something else", nil, on(func(b *before) { b.procs[0].Unit = "kafka-zk.service" }), "ensemble.adopt.unit", "is run by kafka-zk.service, not by zookeeper.service", ""},
		{"a server without a unit", nil, on(func(b *before) { b.procs[0].Unit = "" }), "ensemble.adopt.unit", "is run by no unit", ""},
		{"no such unit", nil, on(func(b *before) { b.unit.Name = "zk.service"; b.procs, b.mode = nil, "" }), "ensemble.adopt.unit", "there is no unit zookeeper.service", ""},
		{"a unit that runs with another zoo.cfg", nil, on(func(b *before) { b.procs = nil }), "ensemble.adopt.config", "no process was started with", ""},
		{"two servers", nil, on(func(b *before) { b.procs = append(b.procs, bootstrap.ServerProcess{PID: 900}) }), "ensemble.adopt.unit", "2 servers run", ""},
		{"both units", nil, on(func(b *before) {
			b.things = append(b.things, bootstrap.Unit{Name: "zookeeper-main.service", Running: true})
		}), "ensemble.adopt.unit", "both run, in one data directory", "stop one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, hosts := adoptSpec(3), debianHosts(3)
			if tt.spec != nil {
				tt.spec(s)
			}
			tt.hosts(hosts)
			_, r := New().Compile(s, foreignSite(s, hosts))
			f := finding(t, r, tt.path, tt.text)
			if f.Severity != bootstrap.SeverityError || f.Host != "zk2" || !strings.Contains(f.Hint, tt.hinted) || f.Hint == "" {
				t.Errorf("%+v; want an error on zk2 with %q among what to do", f, tt.hinted)
			}
		})
	}
}

// What is taken over although it looks different.
func TestAdoptionAccepts(t *testing.T) {
	for name, change := range map[string]func(*bootstrap.Spec, map[string]*before){
		"Debian's package": func(*bootstrap.Spec, map[string]*before) {},
		"names, the own one on loopback": func(_ *bootstrap.Spec, hosts map[string]*before) {
			for i, host := range []string{"zk1", "zk2", "zk3"} {
				b := hosts[host]
				b.names = map[string][]string{}
				for j := range 3 {
					name, addr := fmt.Sprintf("zk%d.example", j+1), fmt.Sprintf("10.0.0.%d", j+1)
					b.cfg = strings.Replace(b.cfg, addr+":", name+":", 1)
					b.names[name] = []string{addr}
					if i == j {
						b.names[name] = []string{"127.0.1.1"}
					}
				}
			}
		},
		"the own line on every address": func(_ *bootstrap.Spec, hosts map[string]*before) {
			hosts["zk1"].cfg = strings.Replace(hosts["zk1"].cfg, "10.0.0.1:", "0.0.0.0:", 1)
		},
		"an observer": func(s *bootstrap.Spec, hosts map[string]*before) {
			s.Hosts["zk4"], s.Ensemble.Members["zk4"] = bootstrap.HostSpec{Address: "10.0.0.4"}, bootstrap.Member{ID: 4, Role: bootstrap.Observer}
			hosts["zk4"] = debianMember(4, 3)
			for _, b := range hosts {
				b.cfg += "server.4=10.0.0.4:2888:3888:observer\n"
			}
		},
		"client ports in the lines": func(_ *bootstrap.Spec, hosts map[string]*before) {
			for _, b := range hosts {
				b.cfg = strings.ReplaceAll(strings.Replace(b.cfg, "clientPort=2181\n", "", 1), ":3888", ":3888;2181")
			}
		},
		"dynamic": func(s *bootstrap.Spec, hosts map[string]*before) {
			for _, b := range hosts {
				b.cfg = debianCfg + "reconfigEnabled=true\ndynamicConfigFile=/etc/zookeeper/conf/zoo.cfg.dynamic.100000000\n"
				b.dynamic = Founding(s).String()
			}
		},
		"the flag that the spec has": func(s *bootstrap.Spec, hosts map[string]*before) {
			s.Ensemble.JVMFlags = []string{"-Djute.maxbuffer=4194304"}
			for _, b := range hosts {
				b.procs[0].Args = append(b.procs[0].Args, "-Djute.maxbuffer=4194304")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, hosts := adoptSpec(3), debianHosts(3)
			change(s, hosts)
			if _, r := New().Compile(s, foreignSite(s, hosts)); r.Failed() {
				t.Error(r.Err())
			}
		})
	}
}

// What the operator should know is said, and stops nothing.
func TestAdoptionWarns(t *testing.T) {
	s, hosts := adoptSpec(3), debianHosts(3)
	hosts["zk2"].cfg += "team.note=ours\nmaxClientCnxns=0\n"
	hosts["zk2"].procs[0].Args = []string{"-Xmx512m", "-Dzookeeper.extra=1", "-Dzookeeper.log.dir=/var/log"}
	_, r := New().Compile(s, foreignSite(s, hosts))
	if r.Failed() {
		t.Fatal(r.Err())
	}
	for path, text := range map[bootstrap.Path]string{
		"ensemble.config": "does not know and would leave out: team.note", "ensemble.jvm_flags": "that ours would not have: -Dzookeeper.extra=1",
		"ensemble.heap": "has a heap of 512MiB, ours would have 1GiB"} {
		f := finding(t, r, path, text)
		if f.Severity != bootstrap.SeverityWarning || f.Host != "zk2" {
			t.Errorf("%+v; want a warning about zk2", f)
		}
	}
	finding(t, r, "ensemble.adopt", "at 10.0.0.1:2181 alone afterwards")
	finding(t, r, "ensemble.adopt", "reconfig stays off")
}

// adoptPlan is the plan for a foreign site.
func adoptPlan(t *testing.T, s *bootstrap.Spec, now bootstrap.Site) *bootstrap.Plan {
	t.Helper()
	e := &bootstrap.Engine{Roles: []bootstrap.Role{New()}}
	plan, r := e.PlanFrom(s, now, bootstrap.Intent{Verb: bootstrap.VerbConverge})
	if plan == nil {
		t.Fatal(r.Err())
	}
	return plan
}

// Nothing that the running server uses changes outside of the member's turn; in it, the unit
// of before goes first and ours comes last.
func TestAdoptionChangesInTurn(t *testing.T) {
	s, hosts := adoptSpec(3), debianHosts(3)
	hosts["zk1"].things = []bootstrap.Resource{bootstrap.User{Name: account, Shell: "/bin/false"}, bootstrap.Package{Name: library, Version: "3.8.0-11+deb12u2"}}
	plan := adoptPlan(t, s, foreignSite(s, hosts))
	if len(plan.Prove) > 0 {
		t.Errorf("the plan probes disks of serving members: %v", plan.Prove)
	}
	var turn bootstrap.Wave
	for _, w := range plan.Waves {
		if w.Rolling {
			turn = w
			continue
		}
		for host, steps := range w.Steps {
			for _, st := range steps {
				used := st.Target.Kind() == bootstrap.KindPackage || st.Target.Kind() == bootstrap.KindUnit || strings.HasPrefix(st.Target.Name(), "/var/lib/zookeeper")
				if used || host == "zk1" && st.Target.Kind() == bootstrap.KindUser {
					t.Errorf("%s: %q is in %q", host, st, w.Title)
				}
			}
		}
	}
	for _, host := range s.MemberNames() {
		steps := turn.Steps[host]
		if len(steps) == 0 {
			t.Fatalf("%s has no turn:\n%s", host, plan)
		}
		first, last := steps[0], steps[len(steps)-1]
		off, _ := first.Want.Resource.(bootstrap.Unit)
		if first.Target != "unit:zookeeper.service" || off.Running || off.Enabled || first.Owner != "" {
			t.Errorf("%s: the turn begins with %q, want the unit of before off, without an owner", host, first)
		}
		if last.Target != "unit:zookeeper-main.service" {
			t.Errorf("%s: the turn ends with %q, want the start of our unit", host, last)
		}
		at := func(id bootstrap.ID) int {
			return slices.IndexFunc(steps, func(st bootstrap.Step) bool { return st.Target == id })
		}
		list, own := at("file:/etc/zookeeper/main/zoo.cfg.dynamic"), at("file:/etc/zookeeper/main/zoo.cfg")
		if list < 0 || list > own || steps[list].Want.Resource.(bootstrap.File).Content != Founding(s).String() {
			t.Errorf("%s: want the list of members before the zoo.cfg that names it, found them at %d and %d", host, list, own)
		}
	}
	if text := plan.String(); !strings.Contains(text, "+ reconfigEnabled = false") || !strings.Contains(text, "~ owner: zk -> zookeeper") {
		t.Errorf("the plan does not show what changes:\n%s", text)
	}
}

// As long as one member is to be taken over, none has reconfig; then all get it.
func TestReconfigWaitsForTheLastMember(t *testing.T) {
	s := adoptSpec(3)
	for name, tt := range map[string]struct {
		change func(map[string]*before)
		want   string
	}{
		"none taken over": {func(map[string]*before) {}, "false"},
		"all but one": {func(hosts map[string]*before) {
			for _, host := range []string{"zk1", "zk2"} {
				m, _ := memberOn(s, host)
				hosts[host].things = []bootstrap.Resource{bootstrap.ZooKeeper{Config: m.zooCfg}}
			}
		}, "false"},
		"all": {func(hosts map[string]*before) {
			for host, b := range hosts {
				m, _ := memberOn(s, host)
				b.things = []bootstrap.Resource{bootstrap.ZooKeeper{Config: m.zooCfg}}
			}
		}, "true"},
		"dynamic already": {func(hosts map[string]*before) {
			for _, b := range hosts {
				b.cfg += "reconfigEnabled=true\n"
			}
		}, "true"},
	} {
		t.Run(name, func(t *testing.T) {
			hosts := debianHosts(3)
			tt.change(hosts)
			want, r := New().Compile(s, foreignSite(s, hosts))
			if r.Failed() {
				t.Fatal(r.Err())
			}
			for host, d := range want {
				i := slices.IndexFunc(d.Resources, func(r bootstrap.Resource) bool { return r.ID() == "file:/etc/zookeeper/main/zoo.cfg" })
				if got := bootstrap.Properties(d.Resources[i].(bootstrap.File).Content)["reconfigEnabled"]; got != tt.want {
					t.Errorf("%s: reconfigEnabled=%s, want %s", host, got, tt.want)
				}
			}
		})
	}
}

// Once taken over, a unit of before that stays off asks for nothing; one that somebody
// started or enabled is put off again, and nothing else changes for it.
func TestUnitOfBeforeStaysOff(t *testing.T) {
	s := adoptSpec(1)
	m, _ := memberOn(s, "zk1")
	for name, tt := range map[string]struct {
		enabled, running bool
		want             int
	}{"off": {false, false, 0}, "enabled": {true, false, 1}, "running": {false, true, 1}} {
		t.Run(name, func(t *testing.T) {
			b := debianMember(1, 1)
			b.unit.Enabled, b.unit.Running = tt.enabled, tt.running
			b.things = []bootstrap.Resource{m.dynamicFile(), bootstrap.ZooKeeper{Config: m.zooCfg, Properties: map[string]string{"dynamicConfigFile": m.dynamic}}}
			got := m.takeover(foreignSite(s, map[string]*before{"zk1": b}).Hosts["zk1"].State)
			if len(got.Steps) != tt.want {
				t.Errorf("%v, want %d steps", got.Steps, tt.want)
			}
		})
	}
}

// A member that was cut off in its turn is no member that lost its data: its turn goes on.
func TestAdoptionGoesOnWhereItWasCut(t *testing.T) {
	s, hosts := adoptSpec(3), debianHosts(3)
	one, _ := memberOn(s, "zk1")
	hosts["zk1"].things = []bootstrap.Resource{one.dynamicFile(), bootstrap.ZooKeeper{Config: one.zooCfg, MyID: "1", Data: bootstrap.DataPresent, Dynamic: Founding(s).String(),
		Properties: map[string]string{"dynamicConfigFile": one.dynamic}, Srvr: hosts["zk1"].server().Srvr},
		bootstrap.Unit{Name: one.unit, Enabled: true, Running: true}}
	hosts["zk1"].unit.Enabled, hosts["zk1"].unit.Running, hosts["zk1"].procs = false, false, nil
	hosts["zk2"].unit.Enabled, hosts["zk2"].unit.Running, hosts["zk2"].procs, hosts["zk2"].mode = false, false, nil, ""
	plan := adoptPlan(t, s, foreignSite(s, hosts))
	for _, w := range plan.Waves {
		if len(w.Site) > 0 {
			t.Errorf("the plan has a site step: %v", w.Site)
		}
		if steps := w.Steps["zk2"]; w.Rolling && (len(steps) == 0 || steps[len(steps)-1].Target != "unit:zookeeper-main.service") {
			t.Errorf("zk2 does not start in its turn: %v", steps)
		}
	}
}

// Members change when reconfig is on, not in the same apply.
func TestMembersWaitForReconfig(t *testing.T) {
	s, hosts := adoptSpec(3), debianHosts(3)
	for host, b := range hosts {
		m, _ := memberOn(s, host)
		b.things = []bootstrap.Resource{bootstrap.ZooKeeper{Config: m.zooCfg, MyID: b.id, Data: bootstrap.DataPresent, Dynamic: Founding(s).String(),
			Properties: map[string]string{"dynamicConfigFile": m.dynamic, "reconfigEnabled": "false"}, Srvr: b.server().Srvr}}
	}
	now := foreignSite(s, hosts)
	if r := membersWait(s, known(s, now)); r.Failed() {
		t.Error(r.Err())
	}
	delete(s.Ensemble.Members, "zk3")
	finding(t, membersWait(s, known(s, now)), "ensemble.members", "reconfig is still off on zk1")
}

// A link in the place of myid, as Debian's package has it, is left alone when it says what
// the spec says.
func TestLinkedIDStays(t *testing.T) {
	s, hosts := adoptSpec(3), debianHosts(3)
	id := bootstrap.NewID(bootstrap.KindFile, "/var/lib/zookeeper/myid")
	hosts["zk1"].unread = map[bootstrap.ID]string{id: "is a symbolic link, want a regular file"}
	want := compile(t, s, foreignSite(s, hosts))
	for host, has := range map[string]bool{"zk1": false, "zk2": true} {
		if got := slices.ContainsFunc(want[host].Resources, func(r bootstrap.Resource) bool { return r.ID() == id }); got != has {
			t.Errorf("%s: myid among what is wanted: %t, want %t", host, got, has)
		}
	}
}

// The gates judge a mixed ensemble by what its members can tell.
func TestGatesOfAMixedEnsemble(t *testing.T) {
	s := adoptSpec(3)
	vs := views(s, foreignSite(s, debianHosts(3)))
	if err := together(vs); err != nil {
		t.Errorf("an ensemble without AdminServer and mntr: %v", err)
	}
	if err := canMiss(vs, "zk1"); err != nil {
		t.Errorf("zk1 cannot be missed: %v", err)
	}
	down := debianHosts(3)
	down["zk2"].mode = ""
	vs = views(s, foreignSite(s, down))
	refused(t, together(vs), "expected a serving member")
	refused(t, canMiss(vs, "zk1"), "zk2 does not vote")
	st, ok, err := turn(vs, s.MemberNames())
	if err != nil || !ok || !slices.Equal(st.Hosts, []string{"zk2"}) {
		t.Errorf("the first turn is of %v (%v), want the stopped zk2", st.Hosts, err)
	}
}

func TestRecognize(t *testing.T) {
	hosts := debianHosts(3)
	for i, b := range []*before{hosts["zk1"], hosts["zk2"], hosts["zk3"]} {
		b.cfg = strings.Replace(b.cfg, "10.0.0.2:", "two.example:", 1) + "maxClientCnxns=0\nforceSync=no\nteam.note=ours\nadmin.serverPort=9090\n"
		b.names = map[string][]string{"two.example": {"10.0.0.2"}}
		b.things = []bootstrap.Resource{bootstrap.Package{Name: library, Version: "3.8.0-11+deb12u2"}}
		b.procs[0].Args = []string{"-Xmx512m", "-Djute.maxbuffer=4194304", "-Dzookeeper.log.dir=/x"}
		_ = i
	}
	seen := map[string]bootstrap.Seen{}
	for host, is := range foreignSite(adoptSpec(3), hosts).Hosts {
		seen["192.0.2."+host[2:]] = is
	}
	delete(seen, "192.0.2.3")
	got, as, r := New().Recognize("main", bootstrap.Adopt{}, seen)
	if r.Failed() {
		t.Fatal(r.Err())
	}
	finding(t, r, `ensemble.config["forceSync"]`, "left out")
	want := &bootstrap.Spec{Name: "main", Hosts: map[string]bootstrap.HostSpec{"1": {Address: "10.0.0.1"}, "2": {Address: "10.0.0.2"}, "3": {Address: "10.0.0.3"}},
		Ensemble: &bootstrap.Ensemble{Members: map[string]bootstrap.Member{"1": {ID: 1}, "2": {ID: 2}, "3": {ID: 3}},
			Source: bootstrap.Source{Apt: &bootstrap.AptPackages{}}, AcceptKnownIssues: []string{"ZOOKEEPER-4785"},
			Heap: 512 * bootstrap.MiB, JVMFlags: []string{"-Djute.maxbuffer=4194304"}, Ports: bootstrap.Ports{Admin: 9090},
			DataDir: "/var/lib/zookeeper", DataLogDir: "/var/lib/zookeeper", Config: map[string]string{"maxClientCnxns": "0"}, Adopt: &bootstrap.Adopt{}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(bootstrap.Spec{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"1": "192.0.2.1", "2": "192.0.2.2"}, as); diff != "" {
		t.Error(diff)
	}
}

func TestRecognizeRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(map[string]*before)
		text   string
	}{
		"other members": {func(hosts map[string]*before) { hosts["zk2"].cfg += "server.4=10.0.0.4:2888:3888\n" }, "names other servers than that of zk1"},
		"one id twice":  {func(hosts map[string]*before) { hosts["zk2"].id = "1" }, "server 1 is zk1 already"},
		"not a member":  {func(hosts map[string]*before) { hosts["zk2"].id = "9" }, `want the id of this server, "9", among`},
		"groups":        {func(hosts map[string]*before) { hosts["zk1"].cfg += "group.1=1:2:3\n" }, "groups or weights"},
		"standalone":    {func(hosts map[string]*before) { hosts["zk1"].cfg = debianCfg }, "standalone"},
		"a name unresolved": {func(hosts map[string]*before) {
			hosts["zk1"].cfg = strings.Replace(hosts["zk1"].cfg, "10.0.0.2", "two.example", 1)
		}, "the name two.example is not known"},
		"loopback": {func(hosts map[string]*before) {
			hosts["zk1"].cfg = strings.Replace(hosts["zk1"].cfg, "10.0.0.1", "one.example", 1)
			hosts["zk1"].names = map[string][]string{"one.example": {"127.0.1.1"}}
		}, "which the others cannot reach"},
	} {
		t.Run(name, func(t *testing.T) {
			hosts := debianHosts(3)
			tt.change(hosts)
			got, _, r := New().Recognize("main", bootstrap.Adopt{}, foreignSite(adoptSpec(3), hosts).Hosts)
			if got != nil || !r.Failed() || !strings.Contains(r.Err().Error(), tt.text) {
				t.Errorf("%v, %v; want %q", got, r.Err(), tt.text)
			}
		})
	}
}
