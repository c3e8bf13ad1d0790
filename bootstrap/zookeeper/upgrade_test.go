package zookeeper

import (
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestAdvance(t *testing.T) {
	for _, tt := range []struct{ from, to, want string }{
		{"3.8.0", "3.8.0", ""},
		{"3.8.0", "3.8.6", ""},
		{"3.8.0", "3.9.6", ""},
		{"3.8.6", "3.9.5", ""},
		{"3.9.6", "3.10.1", ""},
		{"3.8.0", "3.10.0", "a minor release is left out"},
		{"3.8.6", "4.0.0", "different major releases"},
		{"3.9.6", "3.9.5", "nothing says that ZooKeeper 3.9.5 reads what 3.9.6 has written"},
		{"3.9.6", "3.8.6", "nothing says that ZooKeeper 3.8.6 reads what 3.9.6 has written"},
		{"4.0.0", "3.9.6", "nothing says"},
	} {
		from, err := ParseVersion(tt.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := ParseVersion(tt.to)
		if err != nil {
			t.Fatal(err)
		}
		why, hint := advance(from, to)
		if (why == "") != (tt.want == "") || !strings.Contains(why, tt.want) || (why == "") != (hint == "") {
			t.Errorf("%s -> %s: %q (%q), want %q", tt.from, tt.to, why, hint, tt.want)
		}
	}
}

// rolled is an ensemble on the packages of Debian, of which apt offers what is said.
func rolled(have, candidate string) *scene {
	sc := healthyScene(testSpec(3))
	sc.spec.Ensemble.Source = bootstrap.Source{Apt: &bootstrap.AptPackages{}}
	sc.spec.Ensemble.AcceptKnownIssues = []string{"ZOOKEEPER-4785"}
	for _, a := range sc.servers {
		a.things = append(a.things, bootstrap.Package{Name: library, Version: have, Hold: true}, bootstrap.Candidate{Name: library, Version: candidate})
	}
	return sc
}

// change replaces a thing on a host.
func (a *actor) change(r bootstrap.Resource) {
	for i, have := range a.things {
		if have.ID() == r.ID() {
			a.things[i] = r
		}
	}
}

func TestUpgradable(t *testing.T) {
	const have = "3.8.0-11+deb12u1"
	for _, tt := range []struct {
		name  string
		scene func() *scene
		want  []string // nil: it may begin
	}{
		{"a later revision", func() *scene { return rolled(have, "3.8.0-11+deb12u2") }, nil},
		{"a later minor release", func() *scene { return rolled(have, "3.9.5-1") }, nil},
		{"nothing newer", func() *scene { return rolled(have, have) }, nil},
		{"nothing newer, and apt of one host knows nothing", func() *scene {
			sc := rolled(have, have)
			sc.servers["zk2"].change(bootstrap.Candidate{Name: library})
			return sc
		}, nil},
		{"a member is down", func() *scene { return rolled(have, "3.8.0-11+deb12u2").stop("zk2") }, []string{"zk2", "expected a serving member"}},
		{"hosts are offered different versions", func() *scene {
			sc := rolled(have, "3.8.0-11+deb12u2")
			sc.servers["zk3"].change(bootstrap.Candidate{Name: library, Version: have})
			return sc
		}, []string{"zk3", "zk1 3.8.0-11+deb12u2, zk2 3.8.0-11+deb12u2, zk3 3.8.0-11+deb12u1"}},
		{"one host is offered nothing", func() *scene {
			sc := rolled(have, "3.8.0-11+deb12u2")
			sc.servers["zk1"].change(bootstrap.Candidate{Name: library})
			return sc
		}, []string{"zk1 none"}},
		{"an older revision", func() *scene { return rolled("3.8.0-11+deb12u2", have) }, []string{"expected apt to offer libzookeeper-java 3.8.0-11+deb12u2 or a newer one"}},
		{"a version with a fault that is refused", func() *scene { return rolled(have, "3.9.3-1") }, []string{"ZOOKEEPER-4925"}},
		{"a minor release is left out", func() *scene { return rolled(have, "3.10.0-1") }, []string{"apt offers 3.10.0"}},
		{"a key that came later", func() *scene {
			sc := rolled(have, "3.8.1-1")
			sc.spec.Ensemble.Config = map[string]string{"fips-mode": "true"}
			return sc
		}, []string{"fips-mode came with ZooKeeper 3.8.2"}},
		{"the spec pins the server", func() *scene {
			sc := rolled(have, "3.9.3-1")
			sc.spec.Ensemble.Source.Apt.Version = have
			return sc
		}, nil},
		{"Java, of which a host is offered another", func() *scene {
			sc := rolled(have, have)
			for host, a := range sc.servers {
				c := bootstrap.Candidate{Name: "openjdk-17-jre-headless", Version: "17.0.13"}
				if host == "zk2" {
					c.Version = "17.0.14"
				}
				a.things = append(a.things, bootstrap.Package{Name: c.Name, Version: "17.0.13", Hold: true}, c)
			}
			return sc
		}, []string{"one version of openjdk-17-jre-headless"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := tt.scene()
			_, ok, err := New().Next(sc.spec, sc.site(), bootstrap.Intent{Verb: bootstrap.VerbUpgrade})
			if ok {
				t.Error("an upgrade needs no site step")
			}
			if tt.want == nil {
				if err != nil {
					t.Errorf("got %v, want it to begin", err)
				}
				return
			}
			refused(t, err, tt.want...)
		})
	}
}

// A plan of any kind is refused when the version of the spec must not follow the one that a
// member has.
func TestVersionSteps(t *testing.T) {
	archive := func(version string) bootstrap.Source {
		return bootstrap.Source{Tarball: &bootstrap.Tarball{URL: "https://example.net/z.tar.gz", Version: version, SHA512: strings.Repeat("ab", 64)}}
	}
	owned := func(sc *scene) *scene { // the package is ours
		for _, a := range sc.servers {
			a.owns = append(a.owns, bootstrap.NewID(bootstrap.KindPackage, library))
		}
		return sc
	}
	for _, tt := range []struct {
		name  string
		scene func() *scene // whose servers say 3.8.0 while they serve
		src   bootstrap.Source
		want  string
	}{
		{"from a package to an archive of the next minor release", func() *scene { return rolled("3.8.0-11", "3.8.0-11") }, archive("3.9.6"), ""},
		{"one minor release too far", func() *scene { return rolled("3.8.0-11", "3.8.0-11") }, archive("3.10.0"), "zk1 zk2 zk3"},
		{"back", func() *scene { return rolled("3.8.0-11", "3.8.0-11") }, archive("3.7.2"), "zk1 zk2 zk3"},
		{"a stopped member is known by its package", func() *scene { return owned(rolled("3.8.0-11", "3.8.0-11").stop("zk2")) }, archive("3.7.2"), "zk1 zk2 zk3"},
		{"a stopped member whose package is not ours is not", func() *scene { return rolled("3.8.0-11", "3.8.0-11").stop("zk2") }, archive("3.7.2"), "zk1 zk3"},
		{"nobody serves and nobody knows", func() *scene { return rolled("3.8.0-11", "3.8.0-11").stop("zk1", "zk2", "zk3") }, archive("3.7.2"), ""},
		{"nothing was ever done", func() *scene { return emptyScene(testSpec(3)) }, archive("3.9.6"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := tt.scene()
			sc.spec.Ensemble.Source = tt.src
			var hosts []string
			for _, f := range versionSteps(sc.spec, sc.site()).Findings {
				refused(t, f, "expected a version that may follow the 3.8.0 that is there")
				hosts = append(hosts, f.Host)
			}
			if got := strings.Join(hosts, " "); got != tt.want {
				t.Errorf("refused for %q, want %q", got, tt.want)
			}
		})
	}
}

// Digests that are made in different ways say nothing about the data.
func TestDigestsOfDifferentMethodsAreNotCompared(t *testing.T) {
	vs := healthyScene(testSpec(3)).views()
	if _, ok := commonDigest(vs); !ok {
		t.Fatal("there is no common digest to begin with")
	}
	vs[1].method, vs[1].digests = 3, map[uint64]int64{0x100000080: 1}
	if _, ok := commonDigest(vs); ok {
		t.Error("digests of two methods were taken for comparable")
	}
	if err := sameData(vs); err != nil {
		t.Errorf("the same zxid and number of znodes: %v", err)
	}
	vs[1].nodes++
	if err := sameData(vs); err == nil {
		t.Error("other numbers of znodes were taken for the same data")
	}
}

// What 3.9 turns on by itself is written out as 3.8 has it, whatever the version: the line is
// there before the upgrade.
func TestFIPSModeIsWrittenOut(t *testing.T) {
	s := testSpec(3)
	if got := settings(s).Get("fips-mode"); got != "false" {
		t.Errorf("found %q, want false", got)
	}
	s.Ensemble.Config = map[string]string{"fips-mode": "true"}
	if got := settings(s).Get("fips-mode"); got != "true" {
		t.Errorf("found %q, want what the spec says", got)
	}
	v, _ := ParseVersion("3.8.0")
	if r := tooNew(s, v); !r.Failed() || !strings.Contains(r.Err().Error(), "fips-mode came with ZooKeeper 3.8.2; this is 3.8.0") {
		t.Errorf("of a spec that sets it for 3.8.0: %v", r.Err())
	}
}
