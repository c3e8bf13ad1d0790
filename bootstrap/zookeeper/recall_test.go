package zookeeper

import (
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zkboot/zkboot/bootstrap"
)

// asSeen is a host that was made of the spec, as the agent would tell of it.
func asSeen(s *bootstrap.Spec, host string) bootstrap.Seen {
	m, _ := memberOn(s, host)
	facts := debian12()
	p, _ := platformOf(facts.OS.Codename)
	z := bootstrap.ZooKeeper{Config: m.zooCfg, MyID: strconv.Itoa(m.id) + "\n", Dynamic: Founding(s).String() + "version=100000000\n",
		Properties: map[string]string{}, Srvr: "Zookeeper version: 3.9.5-0123, built on 2025-09-01 10:00 UTC\nMode: follower\n"}
	for _, prop := range m.config() {
		z.Properties[prop.Key] = prop.Value
	}
	z.Properties["dynamicConfigFile"] += ".100000000"
	delete(z.Properties, "DigestAuthenticationProvider.superDigest")
	things := []bootstrap.Resource{z, bootstrap.Unit{Name: m.unit, Content: m.unitContent(p, "amd64", nil), Running: true}}
	if t := s.Ensemble.Source.Tarball; t != nil {
		things = append(things, bootstrap.Archive{Dest: m.home, URL: t.URL, SHA512: t.SHA512})
	} else {
		things = append(things, bootstrap.Package{Name: library, Version: "3.8.0-11+deb12u2"})
	}
	return bootstrap.Seen{Facts: facts, State: bootstrap.NewState(things...)}
}

// A spec comes back from any of its hosts as it was written, but for what no host keeps.
func TestRecallIsTheSpecThatWasApplied(t *testing.T) {
	for name, applied := range map[string]func() *bootstrap.Spec{
		"the usual": func() *bootstrap.Spec { return testSpec(3) },
		"settings": func() *bootstrap.Spec {
			s := testSpec(3)
			s.Ensemble.Config = map[string]string{"tickTime": "3000", "maxClientCnxns": "200", "minSessionTimeout": "7000"}
			s.Ensemble.Heap = 512 * bootstrap.MiB
			return s
		},
		"a session of its own": func() *bootstrap.Spec {
			s := testSpec(1)
			s.Ensemble.Config = map[string]string{"maxSessionTimeout": "30000"}
			return s
		},
		"places": func() *bootstrap.Spec {
			s := testSpec(3)
			s.Ensemble.Ports = bootstrap.Ports{Client: 2182, Quorum: 2889, Election: 3889, Admin: 8081}
			s.Ensemble.DataDir, s.Ensemble.DataLogDir = "/srv/zk", "/srv/zk-log"
			return s
		},
		"observer": func() *bootstrap.Spec {
			s := testSpec(4)
			s.Ensemble.Members["zk4"] = bootstrap.Member{ID: 4, Role: bootstrap.Observer}
			return s
		},
		"archive": func() *bootstrap.Spec {
			s := tarballSpec(3)
			s.Ensemble.Ports.Metrics = 7070
			return s
		},
		"IPv6": func() *bootstrap.Spec {
			s := testSpec(1)
			s.Hosts["zk1"] = bootstrap.HostSpec{Address: "fd00::1"}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := applied()
			want := *s
			want.Hosts, want.Ensemble = map[string]bootstrap.HostSpec{}, new(bootstrap.Ensemble)
			*want.Ensemble = *s.Ensemble
			want.Ensemble.Members = map[string]bootstrap.Member{}
			for host, m := range maps.All(s.Ensemble.Members) {
				id := strconv.Itoa(m.ID)
				want.Hosts[id], want.Ensemble.Members[id] = s.Hosts[host], m
			}
			for _, host := range s.MemberNames() {
				got, id, err := New().Recall(s.Name, asSeen(s, host))
				if err != nil {
					t.Fatal(err)
				}
				if self := strconv.Itoa(s.Ensemble.Members[host].ID); id != self {
					t.Errorf("%s: it is server %s, want %s", host, id, self)
				}
				if diff := cmp.Diff(&want, got, cmpopts.IgnoreUnexported(bootstrap.Spec{}), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s (-applied +recalled):\n%s", host, diff)
				}
			}
		})
	}
}

func TestRecallOfWhatIsNoMember(t *testing.T) {
	s := testSpec(3)
	seen := asSeen(s, "zk1")
	other := seen
	z := seen.State.Find(layoutOf(s).observed()).(bootstrap.ZooKeeper)
	z.MyID = "9"
	other.State = bootstrap.NewState(z)
	broken := seen
	z.Dynamic = "what"
	broken.State = bootstrap.NewState(z)
	for name, c := range map[string]struct {
		ensemble string
		seen     bootstrap.Seen
		want     string
	}{
		"another name":       {"other", seen, "want a member of other with its /etc/zookeeper/other/zoo.cfg, found none"},
		"nothing there":      {"main", bootstrap.Seen{}, "found none"},
		"an id of no server": {"main", other, "want server 9"},
		"a broken file":      {"main", broken, "reading the members of main: line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := New().Recall(c.ensemble, c.seen); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
