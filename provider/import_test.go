package provider

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

var _ recaller = zookeeper.Role{}

func TestParseSeed(t *testing.T) {
	for id, want := range map[string]seed{
		"zk1.example.net":          {host: "zk1.example.net"},
		"debian@203.0.113.11":      {user: "debian", host: "203.0.113.11"},
		"debian@203.0.113.11:2222": {user: "debian", host: "203.0.113.11", port: 2222},
		"debian@[fd00::1]:22/main": {user: "debian", host: "fd00::1", port: 22, name: "main"},
		"[fd00::1]":                {host: "fd00::1"},
		"203.0.113.11/other":       {host: "203.0.113.11", name: "other"},
		"root@10.0.0.1?adopt":      {user: "root", host: "10.0.0.1", adopts: true},
		"10.0.0.1:22/main?unit=zk.service&config=/opt/zk/zoo.cfg": {host: "10.0.0.1", port: 22, name: "main", adopts: true,
			places: bootstrap.Adopt{Config: "/opt/zk/zoo.cfg", Unit: "zk.service"}},
		"domain\\user@somewhere@zk1:23": {user: "domain\\user@somewhere", host: "zk1", port: 23},
	} {
		if got, err := parseSeed(id); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", id, got, err)
		}
	}
	for _, id := range []string{"", "@zk1", "zk1:0", "zk1:ssh", "zk1:70000", "zk1/", "two words", "user@", "zk1?", "zk1?file=x", "?adopt", "zk1?unit=%zz"} {
		if got, err := parseSeed(id); err == nil || !strings.Contains(err.Error(), "found "+strconv.Quote(id)) {
			t.Errorf("%q: got %+v, %v", id, got, err)
		}
	}
}

// byID is the spec of the fleet with hosts named by server ids, as a role recalls it.
func (f *fleet) byID() *bootstrap.Spec {
	s := f.spec()
	out := *s
	out.Hardware.Profile = "" // no host keeps it
	out.Hosts, out.Ensemble = map[string]bootstrap.HostSpec{}, &bootstrap.Ensemble{Source: s.Ensemble.Source, Members: map[string]bootstrap.Member{}}
	for name, m := range s.Ensemble.Members {
		out.Hosts[strconv.Itoa(m.ID)], out.Ensemble.Members[strconv.Itoa(m.ID)] = s.Hosts[name], m
	}
	return &out
}

// recalled imports from a seed, with a provider block that has a user.
func recalled(t *testing.T, f *fleet, id string) (*bootstrap.Spec, diag.Diagnostics, error) {
	t.Helper()
	f.role.whole = f.byID
	p := f.provider()
	m := importable{managed{kind: ensemble(), provider: p, site: &site{provider: p, known: true, ssh: bootstrap.SSH{User: "debian"}}}}
	from, err := parseSeed(id)
	if err != nil {
		t.Fatal(err)
	}
	eng := m.engine(t.Context(), standing)
	t.Cleanup(func() { _ = eng.Close() })
	var diags diag.Diagnostics
	s, _, err := m.recall(t.Context(), eng, from, &diags)
	return s, diags, err
}

// The seed's own address for SSH, and a user and a port that the provider block does not
// have, are all that is said of the way to the hosts.
func TestRecalledHosts(t *testing.T) {
	host := func(address string, over bootstrap.SSH) bootstrap.HostSpec {
		return bootstrap.HostSpec{Address: address, SSH: over}
	}
	for name, c := range map[string]struct {
		id     string
		change func(*fleet)
		want   map[string]bootstrap.HostSpec
		warn   string
	}{
		"as the provider block says": {"debian@zk2", func(*fleet) {}, map[string]bootstrap.HostSpec{"zk1": host("10.0.0.1", bootstrap.SSH{}),
			"zk2": host("10.0.0.2", bootstrap.SSH{Address: "zk2"}), "zk3": host("10.0.0.3", bootstrap.SSH{})}, ""},
		"by its private address": {"10.0.0.2:22", func(*fleet) {}, map[string]bootstrap.HostSpec{"zk1": host("10.0.0.1", bootstrap.SSH{}),
			"zk2": host("10.0.0.2", bootstrap.SSH{}), "zk3": host("10.0.0.3", bootstrap.SSH{})}, ""},
		"another user and port": {"root@10.0.0.2:2222", func(*fleet) {}, map[string]bootstrap.HostSpec{"zk1": host("10.0.0.1", bootstrap.SSH{User: "root", Port: 2222}),
			"zk2": host("10.0.0.2", bootstrap.SSH{User: "root", Port: 2222}), "zk3": host("10.0.0.3", bootstrap.SSH{User: "root", Port: 2222})}, ""},
		"one does not answer": {"10.0.0.2", func(f *fleet) { f.setDown("zk3") }, map[string]bootstrap.HostSpec{"zk1": host("10.0.0.1", bootstrap.SSH{}),
			"zk2": host("10.0.0.2", bootstrap.SSH{}), "zk3": host("10.0.0.3", bootstrap.SSH{})}, "zk3: its own name is not known"},
		"names that are not unique": {"10.0.0.2", func(f *fleet) {
			f.machines["zk1"].Facts.Hostname, f.machines["zk3"].Facts.Hostname = "debian1", "debian1"
		}, map[string]bootstrap.HostSpec{"zk1": host("10.0.0.1", bootstrap.SSH{}),
			"zk2": host("10.0.0.2", bootstrap.SSH{}), "zk3": host("10.0.0.3", bootstrap.SSH{})}, ""},
		"names of their own": {"10.0.0.2", func(f *fleet) { f.machines["zk1"].Facts.Hostname = "alpha1.example.net" },
			map[string]bootstrap.HostSpec{"alpha1": host("10.0.0.1", bootstrap.SSH{}), "zk2": host("10.0.0.2", bootstrap.SSH{}), "zk3": host("10.0.0.3", bootstrap.SSH{})}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet("zk1", "zk2", "zk3")
			if err := f.stand(t).Close(); err != nil {
				t.Fatal(err)
			}
			c.change(f)
			got, diags, err := recalled(t, f, c.id)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Hosts); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for name, m := range got.Ensemble.Members {
				if address := "10.0.0." + strconv.Itoa(m.ID); got.Hosts[name].Address != address {
					t.Errorf("server %d is %s at %s, want %s", m.ID, name, got.Hosts[name].Address, address)
				}
			}
			var said strings.Builder
			for _, d := range diags {
				said.WriteString(d.Summary() + "\n")
			}
			if strings.TrimSpace(said.String()) != c.warn {
				t.Errorf("warnings %q, want %q", said.String(), c.warn)
			}
		})
	}
}

func TestOnlyOneEnsembleCanBeMeant(t *testing.T) {
	for name, c := range map[string]struct {
		asked string
		there []string
		want  string // part of the error when it starts with !
	}{
		"the only one":     {"", []string{"main"}, "main"},
		"asked for":        {"b", []string{"a", "b"}, "b"},
		"several":          {"", []string{"a", "b"}, "!several ensembles: a, b"},
		"not there":        {"c", []string{"a", "b"}, `!want an ensemble "c", found a, b`},
		"none":             {"", nil, "!found none there"},
		"asked, but empty": {"main", nil, "!found none there"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := only(c.asked, c.there)
			if want, bad := strings.CutPrefix(c.want, "!"); bad != (err != nil) || bad && !strings.Contains(err.Error(), want) || !bad && got != want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// Whatever a spec says becomes attributes, and these the same spec again.
func TestAttributesOfASpecMakeItAgain(t *testing.T) {
	for name, src := range map[string]string{"everything": everything, "little": `
name: main
hosts: {zk1: {address: 10.0.0.1}}
ensemble: {members: {zk1: {id: 1}}, source: {apt: {}}}`} {
		t.Run(name, func(t *testing.T) {
			want, report := bootstrap.Load("zkboot.yaml", []byte(src))
			if err := report.Err(); err != nil {
				t.Fatal(err)
			}
			want.SSH = bootstrap.SSH{}
			all, err := ensemble().attributesOf(want)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := valueOf(ensembleSchema(t.Context()).Type().TerraformType(t.Context()), all)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ensemble().specOf(raw, bootstrap.SSH{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(bootstrap.Spec{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-spec +again):\n%s", diff)
			}
			if name == "little" {
				for _, silent := range []string{"hardware", "placement", "tuning", "ports", "config"} {
					if _, said := all[silent]; said {
						t.Errorf("%s is said although nobody did: %v", silent, all[silent])
					}
				}
			}
		})
	}
	if _, err := valueOf(ensembleSchema(t.Context()).Type().TerraformType(t.Context()), map[string]any{"ports": map[string]any{"clint": 1}}); err == nil ||
		!strings.Contains(err.Error(), `ports: no attribute "clint"`) {
		t.Errorf("got %v", err)
	}
}

// An ensemble that somebody else set up is named by the import, and says what it adopts.
func TestRecognizedHosts(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	if err := f.stand(t).Close(); err != nil {
		t.Fatal(err)
	}
	got, diags, err := recalled(t, f, "debian@zk2/other?unit=zk.service")
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "other" || got.Ensemble.Adopt == nil || got.Ensemble.Adopt.Unit != "zk.service" || got.Hosts["zk2"].SSH.Address != "zk2" {
		t.Errorf("got %+v, adopt %+v", got, got.Ensemble.Adopt)
	}
	if len(diags) != 1 || diags.HasError() || !strings.Contains(diags[0].Summary()+diags[0].Detail(), "its heap is not known") {
		t.Errorf("diagnostics %v, want the warning of the role", diags)
	}
	if _, _, err := recalled(t, newFleet("zk1", "zk2", "zk3"), "debian@zk2?adopt"); err == nil || !strings.Contains(err.Error(), "want a member of main") {
		t.Errorf("a host with nothing on it: %v", err)
	}
}
