package hostkey

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
)

func specOf(keys map[string]string) *bootstrap.Spec {
	s := &bootstrap.Spec{Name: "host", Hosts: map[string]bootstrap.HostSpec{}}
	for host, key := range keys {
		s.Hosts[host] = bootstrap.HostSpec{Address: "10.0.0." + host[2:], HostKey: key}
	}
	return s
}

func TestWhatIsPinnedIsReplaced(t *testing.T) {
	want, report := Role{}.Compile(specOf(map[string]string{
		"zk1": "ssh-ed25519 AAAA root@zk1\n", "zk2": "ssh-ed25519 AAAA\n\nssh-ed25519 BBBB two\n"}), bootstrap.Site{})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	got := map[string][]bootstrap.Resource{}
	for host, d := range want {
		got[host] = d.Resources
	}
	const path = "/etc/ssh/ssh_host_ed25519_key"
	if diff := cmp.Diff(map[string][]bootstrap.Resource{
		"zk1": {bootstrap.HostKey{Path: path, Replaces: []string{"ssh-ed25519 AAAA"}}},
		"zk2": {bootstrap.HostKey{Path: path, Replaces: []string{"ssh-ed25519 AAAA", "ssh-ed25519 BBBB"}}},
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeReplacedIsRefused(t *testing.T) {
	for key, want := range map[string]string{
		"":                                  `hosts["zk1"].host_key: want the public key that is to be replaced, found none`,
		"ssh-rsa AAAA":                      `hosts["zk1"].host_key: want a key of type ssh-ed25519, found one of type ssh-rsa: others are not replaced`,
		"ssh-ed25519 AAAA\nssh-rsa AAAA me": `hosts["zk1"].host_key: want a key of type ssh-ed25519, found one of type ssh-rsa: others are not replaced`,
		"ssh-ed25519 AAAA":                  "",
	} {
		got := ""
		if err := (Role{}).Validate(specOf(map[string]string{"zk1": key})).Err(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}

// The engine replaces the key once. What comes after leaves it alone: the second apply, and
// the destroy.
func TestARunReplacesOnce(t *testing.T) {
	const old = "ssh-ed25519 AAAA"
	m := bootstraptest.New(bootstrap.Facts{}, bootstrap.HostKey{Path: Key.Name(), Public: old})
	s := specOf(map[string]string{"zk1": old})
	public := func() string { return m.Thing(Key).(bootstrap.HostKey).Public }
	run := func(verb bootstrap.Verb, want ...string) {
		t.Helper()
		e := &bootstrap.Engine{Roles: []bootstrap.Role{Role{}}, Open: bootstraptest.Site(map[string]*bootstraptest.Machine{"zk1": m})}
		defer e.Close()
		p, report := e.Plan(t.Context(), s, bootstrap.Intent{Verb: verb})
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		before := len(m.Applied())
		if err := e.Apply(t.Context(), p).Err(); err != nil {
			t.Fatal(err)
		}
		var did []string
		for _, st := range m.Applied()[before:] {
			did = append(did, st.String())
		}
		if diff := cmp.Diff(want, did); diff != "" {
			t.Errorf("%s (-want +got):\n%s", verb, diff)
		}
	}
	run(bootstrap.VerbConverge, "update host-key /etc/ssh/ssh_host_ed25519_key")
	first := public()
	if first == old {
		t.Error("the key is the old one")
	}
	run(bootstrap.VerbConverge)
	run(bootstrap.VerbDestroy, "release host-key /etc/ssh/ssh_host_ed25519_key")
	if public() != first {
		t.Error("a key was changed twice, or taken away")
	}
}
