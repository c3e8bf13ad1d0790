package zookeeper

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

func TestCompileRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scene func() *scene
		path  bootstrap.Path
		host  string
		parts []string
	}{
		{"data of a server that zkboot did not make", func() *scene {
			sc := healthyScene(testSpec(3))
			sc.servers["zk2"].cluster = ""
			return sc
		}, `ensemble.members["zk2"]`, "zk2", []string{"/var/lib/zookeeper/main holds the data of a server that zkboot did not make", "no /var/lib/zookeeper/main/zkboot.json"}},
		{"a version-2 without any zoo.cfg", func() *scene {
			sc := emptyScene(testSpec(3))
			sc.servers["zk1"].things = []bootstrap.Resource{bootstrap.Dir{Path: "/var/lib/zookeeper/main/version-2"}}
			return sc
		}, `ensemble.members["zk1"]`, "zk1", []string{"did not make"}},
		{"data of another ensemble", func() *scene { return marked(t, mark{1, "other", "c0ffee", 2}) },
			`ensemble.members["zk2"]`, "zk2", []string{`server 2 of ensemble "other"`, `the spec wants server 2 of "main"`}},
		{"data of another cluster of that name", func() *scene { return marked(t, mark{1, "main", "decaf", 2}) },
			`ensemble.members["zk2"]`, "zk2", []string{"cluster decaf", "cluster c0ffee"}},
		{"data of another server id", func() *scene { return marked(t, mark{1, "main", "c0ffee", 3}) },
			`ensemble.members["zk2"]`, "zk2", []string{"server 3 of", "wants server 2"}},
		{"a marker of the future", func() *scene { return marked(t, mark{2, "main", "c0ffee", 2}) },
			`ensemble.members["zk2"]`, "zk2", []string{"format 2"}},
		{"another myid", func() *scene {
			sc := healthyScene(testSpec(3))
			z := sc.servers["zk2"].server()
			z.MyID = "7"
			a := sc.servers["zk2"]
			a.absent, a.things = true, []bootstrap.Resource{z}
			return sc
		}, `ensemble.members["zk2"].id`, "zk2", []string{"myid says server 7, the spec says server 2"}},
		{"port 2181 of somebody else", func() *scene {
			sc := emptyScene(testSpec(3))
			sc.servers["zk3"].facts.Listeners = []verify.Listener{{Address: "0.0.0.0", Port: 2181, Process: &verify.Process{PID: 812, Name: "java", Unit: "zookeeper.service"}}}
			return sc
		}, "ensemble.ports.client", "zk3", []string{"port 2181 (client) is taken by java (pid 812, unit zookeeper.service) on 0.0.0.0"}},
		{"a member moves to another address", func() *scene {
			sc := healthyScene(testSpec(3)).settled()
			sc.spec.Hosts["zk3"] = bootstrap.HostSpec{Address: "10.0.0.33"}
			sc.spec.Hosts["old"] = bootstrap.HostSpec{Address: "10.0.0.3"}
			return sc
		}, "ensemble.members", "", []string{"live has server.3=10.0.0.3:2888", "the spec has server.3=10.0.0.33:2888"}},
		{"a host gets another server id", func() *scene {
			sc := healthyScene(testSpec(3)).settled()
			sc.spec.Ensemble.Members["zk3"] = bootstrap.Member{ID: 9}
			return sc
		}, "ensemble.members", "", []string{"10.0.0.3 has server 3, the spec wants server 9 there"}},
		{"a host that the spec no longer knows", func() *scene {
			sc := healthyScene(testSpec(3)).settled()
			delete(sc.spec.Hosts, "zk3")
			delete(sc.spec.Ensemble.Members, "zk3")
			return sc
		}, "hosts", "", []string{"server.3=10.0.0.3", "a host that the spec does not know"}},
		{"a known issue", func() *scene {
			sc := emptyScene(testSpec(3))
			sc.spec.Ensemble.AcceptKnownIssues = nil
			return sc
		}, "ensemble.source.apt", "", []string{"ZooKeeper 3.8.0 (zk1, zk2, zk3) has ZOOKEEPER-4785"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := tt.scene()
			_, r := New().Compile(sc.spec, sc.site())
			i := slices.IndexFunc(r.Findings, func(f bootstrap.Finding) bool {
				return f.Path == tt.path && f.Host == tt.host && strings.Contains(f.Text, tt.parts[0])
			})
			if i < 0 {
				t.Fatalf("no finding at %s on %q with %q; found %v", tt.path, tt.host, tt.parts[0], r.Findings)
			}
			f := r.Findings[i]
			if f.Severity != bootstrap.SeverityError || !errors.Is(f, bootstrap.ErrRefused) || f.Hint == "" {
				t.Errorf("%+v is no refusal with a way out", f)
			}
			for _, part := range tt.parts {
				if !strings.Contains(f.Text, part) {
					t.Errorf("%q does not say %q", f.Text, part)
				}
			}
		})
	}
}

// marked is a healthy site whose zk2 carries another marker.
func marked(t *testing.T, is mark) *scene {
	t.Helper()
	sc := healthyScene(testSpec(3))
	a := sc.servers["zk2"]
	a.cluster = ""
	a.things = []bootstrap.Resource{bootstrap.File{Path: a.marker, Content: is.String()}}
	return sc
}

func TestCompileAcceptsWhatIsOurs(t *testing.T) {
	sc := healthyScene(testSpec(3))
	for _, a := range sc.servers {
		a.facts.Listeners = []verify.Listener{
			{Address: a.addr, Port: 2181, Process: &verify.Process{PID: 1, Name: "java", Unit: a.unit}},
			{Address: "192.0.2.1", Port: 3888, Process: &verify.Process{PID: 2, Name: "other"}}, // another address of the host
		}
	}
	want := compile(t, sc.spec, sc.site())
	if got := want["zk1"].Cluster; got != "c0ffee" {
		t.Errorf("cluster id %s, want the one that the members carry", got)
	}
}

func TestClusterIDs(t *testing.T) {
	sc := healthyScene(testSpec(3))
	sc.servers["zk3"].cluster = "decaf"
	_, r := New().Compile(sc.spec, sc.site())
	f := finding(t, r, "ensemble", "zk1 belongs to cluster c0ffee and zk3 to cluster decaf")
	if !errors.Is(f, bootstrap.ErrRefused) {
		t.Errorf("%v does not wrap ErrRefused", f)
	}
	a, b := emptyScene(testSpec(3)), emptyScene(testSpec(3))
	h := b.spec.Hosts["zk3"]
	h.Address = "10.0.0.9"
	b.spec.Hosts["zk3"] = h
	one, _ := New().Compile(a.spec, a.site())
	two, _ := New().Compile(b.spec, b.site())
	if one["zk1"].Cluster == two["zk1"].Cluster || one["zk1"].Cluster != one["zk2"].Cluster {
		t.Errorf("cluster ids %s, %s and %s: want one an ensemble", one["zk1"].Cluster, one["zk2"].Cluster, two["zk1"].Cluster)
	}
}

func TestUnknownDistribution(t *testing.T) {
	sc := emptyScene(testSpec(1))
	sc.servers["zk1"].facts.OS = verify.OS{ID: "fedora", VersionID: "41", Codename: ""}
	sc.servers["zk1"].things = []bootstrap.Resource{bootstrap.Package{Name: library, Version: "3.8.6-1"}}
	_, r := New().Compile(sc.spec, sc.site())
	finding(t, r, `hosts["zk1"]`, `runs "fedora 41"; zkboot knows Debian 12 and 13`)
}

// TestDataIsJudgedWithoutAConfig: where there is no zoo.cfg, only directories tell.
func TestDataIsJudgedWithoutAConfig(t *testing.T) {
	s := testSpec(1)
	m := members(s)[0]
	owner := string(bootstrap.OwnerOf(s.Name, roleName))
	dirs := []bootstrap.Resource{bootstrap.Dir{Path: versionDir(m.data)}, bootstrap.Dir{Path: versionDir(m.dataLog)}}
	own := bootstrap.File{Path: m.marker, Content: mark{1, "main", "c0ffee", 1}.String()}
	made := func(before bootstrap.Resource, config string) map[string]bootstrap.Manifest {
		man := bootstrap.Manifest{Entries: []bootstrap.Entry{{ID: bootstrap.NewID(bootstrap.KindFile, m.zooCfg), Hash: config}}}
		for _, d := range dirs {
			man.Entries = append(man.Entries, bootstrap.Entry{ID: d.ID(), Before: bootstrap.Thing{Resource: before}})
		}
		return map[string]bootstrap.Manifest{owner: man}
	}
	for _, tt := range []struct {
		name      string
		things    []bootstrap.Resource
		manifests map[string]bootstrap.Manifest
		want      bootstrap.DataState
	}{
		{"nothing there", nil, nil, bootstrap.DataEmpty},
		{"directories of a stranger", dirs, nil, bootstrap.DataUnknown},
		{"kept by a destroy", append(dirs, own), nil, bootstrap.DataPresent},
		{"made by a run that was cut short", append(dirs, own), made(nil, ""), bootstrap.DataEmpty},
		{"there before us, then cut short", dirs, made(dirs[0], ""), bootstrap.DataUnknown},
		{"the configuration was lost later", append(dirs, own), made(nil, "5eed"), bootstrap.DataPresent},
	} {
		state := bootstrap.NewState(tt.things...)
		state.Manifests = tt.manifests
		if got := m.dataOn(state); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
