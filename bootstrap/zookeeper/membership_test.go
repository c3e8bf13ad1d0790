package zookeeper

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/bootstrap"
)

// grown is a healthy ensemble of the first n of all hosts, whose last member leads; the spec
// has every host and, still, the same members.
func grown(n, all int) *scene {
	sc := healthyScene(testSpec(n)).settled()
	for i := n; i < all; i++ {
		host := fmt.Sprintf("zk%d", i+1)
		sc.spec.Hosts[host] = bootstrap.HostSpec{Address: fmt.Sprintf("10.0.0.%d", i+1)}
		sc.servers[host] = &actor{member: outsider(sc.spec, host), data: bootstrap.DataEmpty, absent: true, facts: debian12()}
	}
	return sc
}

// wants changes the members of the spec: "zk4" joins as a voter, "zk4 observer" as an observer,
// "-zk2" leaves. Ids are those of the names.
func (sc *scene) wants(changes ...string) *scene {
	for _, c := range changes {
		host, role, _ := strings.Cut(strings.TrimPrefix(c, "-"), " ")
		if strings.HasPrefix(c, "-") {
			delete(sc.spec.Ensemble.Members, host)
			sc.servers[host].member.planned = false
			continue
		}
		m := bootstrap.Member{ID: int(host[2] - '0'), Role: role}
		sc.spec.Ensemble.Members[host] = m
		a := sc.servers[host]
		a.member, _ = memberOn(sc.spec, host)
	}
	return sc
}

// lose says that a host's machine is gone for good.
func (sc *scene) lose(host string) *scene {
	h := sc.spec.Hosts[host]
	h.Lost = true
	sc.spec.Hosts[host] = h
	delete(sc.servers, host)
	return sc
}

func (sc *scene) moves(in bootstrap.Intent) ([]bootstrap.Move, error) {
	return New().Moves(sc.spec, sc.site(), in)
}

// words are a move in one line: what it is called, its site steps, and whose steps it has.
func words(m bootstrap.Move) string {
	line := ""
	for _, list := range [][]bootstrap.SiteStep{m.Before, m.Site, m.Then, m.After} {
		for _, st := range list {
			if st.Name != stepEveryone && st.Name != stepCanary {
				line += fmt.Sprintf("%s %s, ", st.Name, strings.Join(st.Hosts, "<-"))
			}
		}
	}
	return line + "steps of " + strings.Join(m.Hosts, " ")
}

func TestMoves(t *testing.T) {
	converge := bootstrap.Intent{Verb: bootstrap.VerbConverge}
	for _, tt := range []struct {
		name  string
		scene *scene
		in    bootstrap.Intent
		want  []string
	}{
		{"nothing was ever done", emptyScene(testSpec(3)), converge, nil},
		{"all is well", grown(3, 5), converge, nil},
		{"one to three", grown(1, 3).wants("zk2", "zk3"), converge, []string{
			"invite zk2, join zk2, steps of zk2", "invite zk3, join zk3, steps of zk3"}},
		{"three to five", grown(3, 5).wants("zk4", "zk5"), converge, []string{
			"invite zk4, join zk4, steps of zk4", "invite zk5, join zk5, steps of zk5"}},
		{"five to three, the leader last", grown(5, 5).wants("-zk5", "-zk1"), converge, []string{
			"rest holds zk1, leave zk1, steps of zk1", "rest holds zk5, leave zk5, steps of zk5"}},
		{"another host in the place of one", grown(3, 4).wants("-zk2", "zk4"), converge, []string{
			"rest holds zk2, invite zk4, swap zk4<-zk2, steps of zk4", "steps of zk2"}},
		{"another host in the place of a lost one", grown(3, 4).wants("-zk2", "zk4").lose("zk2"), converge, []string{
			"rest holds zk2, invite zk4, swap zk4<-zk2, steps of zk4"}},
		{"a lost one leaves before one that serves", grown(5, 5).wants("-zk1", "-zk2").lose("zk2"), converge, []string{
			"rest holds zk2, leave zk2, steps of ", "rest holds zk1, leave zk1, steps of zk1"}},
		{"an observer takes no voter's place", grown(5, 6).wants("-zk1", "-zk2", "zk6 observer"), converge, []string{
			"invite zk6, join zk6, steps of zk6",
			"rest holds zk1, leave zk1, steps of zk1", "rest holds zk2, leave zk2, steps of zk2"}},
		{"a voter becomes an observer, another takes its vote", grown(3, 4).wants("zk1 observer", "zk4"), converge, []string{
			"invite zk4, join zk4, steps of zk4", "rest holds zk1, demote zk1, steps of "}},
		{"an observer becomes a voter", observing(grown(3, 5).wants("zk4"), "zk4").wants("zk5"), converge, []string{
			"invite zk5, join zk5, steps of zk5", "leave zk4, join zk4, steps of "}},
		{"a member has lost its disk", bare(grown(3, 3), "zk1"), converge, []string{"others hold zk1, invite zk1, steps of zk1"}},
		{"two of three have, which converge refuses", bare(grown(3, 3), "zk1", "zk2"), converge, nil},
		{"one that leaves need not come back", bare(grown(5, 5).wants("-zk1", "-zk2"), "zk1"), converge, []string{
			"rest holds zk1, leave zk1, steps of zk1", "rest holds zk2, leave zk2, steps of zk2"}},
		{"replace", grown(3, 3), bootstrap.Intent{Verb: bootstrap.VerbReplace, Hosts: []string{"zk2"}}, []string{"others hold zk2, wipe zk2, steps of zk2"}},
		{"replace one that has not joined yet", grown(3, 5).wants("zk4", "zk5"), bootstrap.Intent{Verb: bootstrap.VerbReplace, Hosts: []string{"zk5"}}, []string{
			"invite zk4, join zk4, steps of zk4", "wipe zk5, join zk5, steps of zk5"}},
		{"destroy", grown(3, 5).wants("zk4", "zk5"), bootstrap.Intent{Verb: bootstrap.VerbDestroy}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			moves, err := tt.scene.moves(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range moves {
				got = append(got, words(m))
				if n := len(m.After); len(m.Site)+n > 0 && (n < 2 || m.After[n-2].Name != stepEveryone || m.After[n-1].Name != stepCanary) {
					t.Errorf("%s: ends with %v, want everyone and a canary", m.Title, m.After)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// observing makes a server of the live configuration an observer that serves.
func observing(sc *scene, host string) *scene {
	d := *sc.servers["zk1"].list
	srv := sc.servers[host].member.server()
	srv.Role = Observer
	d.Servers = append(slices.Clone(d.Servers), srv)
	for _, a := range sc.servers {
		if a.list != nil {
			a.list = &d
		}
	}
	a := sc.servers[host]
	a.absent, a.running, a.data, a.cluster, a.list, a.mode, a.state = false, true, bootstrap.DataPresent, "c0ffee", &d, modeObserver, "broadcast"
	return sc
}

// bare stops servers and takes their data.
func bare(sc *scene, hosts ...string) *scene {
	sc.stop(hosts...)
	for _, h := range hosts {
		sc.servers[h].data = bootstrap.DataEmpty
	}
	return sc
}

func TestReplaceRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scene *scene
		host  string
		want  []string
	}{
		{"no member", grown(3, 4), "zk4", []string{"zk4 is no member of the ensemble; members: zk1, zk2, zk3"}},
		{"a single member", grown(1, 1), "zk1", []string{"expected 1 voters of 1 besides zk1, found 0"}},
		{"another one is down", grown(3, 3).stop("zk1"), "zk2", []string{"expected 2 voters of 3 besides zk2, found 1 (zk3)", "zk1 does not vote"}},
		{"another one has lost its disk", bare(grown(3, 3), "zk1"), "zk2", []string{"expected 2 voters of 3 besides zk2"}},
		{"the leader is in doubt", doubtful(grown(3, 3), "zk3"), "zk2", []string{"zk3 counts zk_unrecoverable_error_count=2", "what zk2 would copy is in doubt"}},
		{"the leader, and one that may lead next is in doubt", doubtful(grown(3, 3), "zk1"), "zk3", []string{"zk1 counts zk_unrecoverable_error_count=2", "what zk3 would copy is in doubt"}},
		{"nothing was formed", emptyScene(testSpec(3)), "zk1", []string{"there is no live ensemble, so that zk1 could copy from nobody"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.scene.moves(bootstrap.Intent{Verb: bootstrap.VerbReplace, Hosts: []string{tt.host}})
			refused(t, err, tt.want...)
		})
	}
	// Both followers in doubt, as 3.8.0 leaves them when its leader dies: each copies from the leader in turn.
	if _, err := doubtful(doubtful(grown(3, 3), "zk1"), "zk2").moves(bootstrap.Intent{Verb: bootstrap.VerbReplace, Hosts: []string{"zk2"}}); err != nil {
		t.Errorf("two followers are in doubt, and neither can be replaced: %v", err)
	}
	// The member in doubt itself is what replace is for.
	if _, err := doubtful(grown(3, 3), "zk2").moves(bootstrap.Intent{Verb: bootstrap.VerbReplace, Hosts: []string{"zk2"}}); err != nil {
		t.Errorf("the member that counts errors cannot be replaced: %v", err)
	}
}

func doubtful(sc *scene, host string) *scene {
	sc.servers[host].mntr["zk_unrecoverable_error_count"] = "2"
	return sc
}

// A spec with five members of which three serve must never have the new ones started as if
// they belonged: with the list of five, two of them and one of the old would be a quorum that
// the other two know nothing of.
func TestTheNewAreNoQuorum(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scene *scene
		want  string // "" for none
	}{
		{"two of three are down", grown(3, 5).wants("zk4", "zk5").stop("zk2", "zk3"), "recover zk2 zk3"},
		{"all three are down", grown(3, 5).wants("zk4", "zk5").stop("zk1", "zk2", "zk3"), "recover zk1 zk2 zk3"},
		{"one of three is down", grown(3, 5).wants("zk4", "zk5").stop("zk1"), ""},
		{"the members of the spec are all new", grown(3, 6).wants("zk4", "zk5", "zk6", "-zk1", "-zk2", "-zk3"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st, ok, err := New().Next(tt.scene.spec, tt.scene.site(), bootstrap.Intent{Verb: bootstrap.VerbConverge})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if ok {
				got = st.Name + " " + strings.Join(st.Hosts, " ")
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	sc := bare(grown(3, 5).wants("zk4", "zk5"), "zk1", "zk2")
	if _, _, err := New().Next(sc.spec, sc.site(), bootstrap.Intent{Verb: bootstrap.VerbConverge}); !errors.Is(err, bootstrap.ErrRefused) {
		t.Errorf("two of three lost their data: %v, want a refusal", err)
	}
}

// TestMovesLeadToTheSpec plays the moves of any change on the live configuration: they end at
// the spec, each changes one server or puts one in the place of another, and at no time is
// there an ensemble that has fewer voters than before and after.
func TestMovesLeadToTheSpec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		odd := rapid.SampledFrom([]int{1, 3, 5})
		sc := grown(odd.Draw(t, "live voters"), 7)
		d := *sc.servers["zk1"].list
		before := sc.spec.MemberNames()
		n := odd.Draw(t, "wanted voters")
		want := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"zk1", "zk2", "zk3", "zk4", "zk5", "zk6", "zk7"}), n, n, rapid.ID).Draw(t, "wanted")
		for _, host := range before {
			if !slices.Contains(want, host) {
				sc.wants("-" + host)
				if len(before) > 2 && rapid.IntRange(0, 9).Draw(t, host+" is lost") == 0 {
					sc.lose(host)
				}
			}
		}
		for _, host := range want {
			sc.wants(host)
		}
		moves, err := sc.moves(bootstrap.Intent{Verb: bootstrap.VerbConverge})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range moves {
			for _, st := range slices.Concat(m.Site, m.Then) {
				switch st.Name {
				case stepJoin, stepSwap:
					joiner, ok := memberOn(sc.spec, st.Hosts[0])
					if !ok || slices.ContainsFunc(d.Servers, func(s Server) bool { return s.ID == joiner.id }) {
						t.Fatalf("%s of %v, who is in %v", st.Name, st.Hosts, d)
					}
					d.put1(joiner.server())
					if st.Name == stepSwap {
						d.drop(sc.spec, st.Hosts[1])
					}
				case stepLeave:
					d.drop(sc.spec, st.Hosts[0])
				}
				if got := len(d.Servers); got < min(len(before), n) || got > max(len(before), n) {
					t.Fatalf("%d voters on the way from %d to %d", got, len(before), n)
				}
			}
		}
		if diffs := Differences(d, Founding(sc.spec)); len(diffs) > 0 {
			t.Fatalf("the moves end at another configuration: %v", diffs)
		}
	})
}

func TestLive(t *testing.T) {
	old := Dynamic{Servers: Founding(testSpec(3)).Servers}
	newer := Dynamic{Servers: Founding(testSpec(5)).Servers}
	at := func(host string, d Dynamic, version, mode string) view {
		v := view{member: member{host: host, layout: layoutOf(testSpec(3))}, mode: mode}
		v.z = bootstrap.ZooKeeper{Dynamic: d.String(), Properties: map[string]string{"dynamicConfigFile": v.dynamic}}
		if version != "" {
			v.z.Properties["dynamicConfigFile"] += "." + version
		}
		return v
	}
	away := view{err: bootstrap.ErrUnreachable}
	for _, tt := range []struct {
		name string
		vs   []view
		want int // servers; 0 for none
	}{
		{"nobody has one", []view{{}, away}, 0},
		{"the founding one", []view{at("zk1", old, "", modeDown)}, 3},
		{"the newest, of members that are down", []view{at("zk1", old, "100000000", modeDown), at("zk2", newer, "10000000a", modeDown), away}, 5},
		{"versions are numbers, not texts", []view{at("zk1", newer, "90000000", modeDown), at("zk2", old, "100000000", modeDown)}, 3},
		{"the leader's, whatever a joiner was told", []view{at("zk1", newer, "200000000", modeDown), at("zk2", old, "100000000", modeLeader)}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, ok := live(tt.vs)
			if ok != (tt.want > 0) || len(d.Servers) != tt.want {
				t.Errorf("got %v, %t; want %d servers", d, ok, tt.want)
			}
		})
	}
}

// A host that was a member before has kept its data. What a server leaves that never saw a
// quorum looks like a part of it: without snapshot.0 the log behind it could not be read.
func TestAnInvitationLeavesDataAlone(t *testing.T) {
	for _, tt := range []struct {
		data bootstrap.DataState
		want int // deleted files
	}{{bootstrap.DataPresent, 0}, {bootstrap.DataPristine, 3}} {
		t.Run(string(tt.data), func(t *testing.T) {
			sc := grown(3, 4).wants("zk4")
			a := sc.servers["zk4"]
			a.absent, a.data = false, tt.data
			for _, f := range a.leftovers() {
				a.things = append(a.things, bootstrap.File{Path: f})
			}
			if err := invite(t.Context(), sc.spec, sc.hosts(), "zk4"); err != nil {
				t.Fatal(err)
			}
			deleted := 0
			for _, st := range a.steps {
				if st.Action == bootstrap.ActionDelete {
					deleted++
				}
			}
			if deleted != tt.want || len(a.steps) == 0 {
				t.Errorf("%d files are deleted by %v, want %d", deleted, a.steps, tt.want)
			}
			list := ""
			for _, st := range a.steps {
				if f, ok := st.Want.Resource.(bootstrap.File); ok && f.Path == a.dynamic {
					list = f.Content
				}
			}
			if want := "server.4=10.0.0.4:2888:3888:observer;10.0.0.4:2181\n"; strings.Count(list, "\n") != 4 || !strings.Contains(list, want) {
				t.Errorf("it is given\n%swant the three and itself as an observer", list)
			}
		})
	}
}
