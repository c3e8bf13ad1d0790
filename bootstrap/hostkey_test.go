package bootstrap_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
)

const hostKeyPath = "/etc/ssh/ssh_host_ed25519_key"

func TestHostKeyDrift(t *testing.T) {
	want := bootstrap.HostKey{Path: hostKeyPath, Replaces: []string{"ssh-ed25519 AAAA", "ssh-ed25519 BBBB"}}
	replaced := func(was string) bootstrap.Difference {
		return bootstrap.Difference{Field: "public", Was: was, Want: "of a pair that is made on the host"}
	}
	unannounced := bootstrap.Difference{Field: "unannounced", Was: "true", Want: "false"}
	for name, c := range map[string]struct {
		seen bootstrap.Resource
		want []bootstrap.Difference
	}{
		"absent":                     {nil, []bootstrap.Difference{{Was: "absent", Want: "present"}}},
		"one that others know":       {bootstrap.HostKey{Path: hostKeyPath, Public: "ssh-ed25519 AAAA"}, []bootstrap.Difference{replaced("ssh-ed25519 AAAA")}},
		"the other one":              {bootstrap.HostKey{Path: hostKeyPath, Public: "ssh-ed25519 BBBB"}, []bootstrap.Difference{replaced("ssh-ed25519 BBBB")}},
		"one of its own":             {bootstrap.HostKey{Path: hostKeyPath, Public: "ssh-ed25519 CCCC"}, nil},
		"of its own, not yet told":   {bootstrap.HostKey{Path: hostKeyPath, Public: "ssh-ed25519 CCCC", Unannounced: true}, []bootstrap.Difference{unannounced}},
		"one that others know, half": {bootstrap.HostKey{Path: hostKeyPath, Public: "ssh-ed25519 AAAA", Unannounced: true}, []bootstrap.Difference{replaced("ssh-ed25519 AAAA"), unannounced}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, []bootstrap.Difference(want.Drift(c.seen))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A host without a host key lets nobody in: it is never deleted, whoever owned it.
func TestHostKeyIsReleasedNotDeleted(t *testing.T) {
	const owner = bootstrap.Owner("host.hostkey")
	key := bootstrap.HostKey{Path: hostKeyPath, Public: "ssh-ed25519 CCCC"}
	have := bootstrap.NewState(key)
	have.Manifests = map[string]bootstrap.Manifest{string(owner): {Owner: owner, Entries: []bootstrap.Entry{{ID: key.ID(), Hash: "x"}}}}
	for _, wipe := range []bool{false, true} {
		steps := bootstrap.Diff(owner, bootstrap.Desired{}, have, bootstrap.Intent{Verb: bootstrap.VerbDestroy, Wipe: wipe})
		if len(steps) != 1 || steps[0].String() != "release host-key "+hostKeyPath {
			t.Errorf("wipe %v: %v, want the key released", wipe, steps)
		}
	}
}

func TestHostKeyTravels(t *testing.T) {
	for _, r := range []bootstrap.Resource{
		bootstrap.HostKey{Path: hostKeyPath, Replaces: []string{"ssh-ed25519 AAAA"}},
		bootstrap.HostKey{Path: hostKeyPath, Public: "ssh-ed25519 CCCC", Unannounced: true},
	} {
		b, err := json.Marshal(bootstrap.Thing{Resource: r})
		if err != nil {
			t.Fatal(err)
		}
		var got bootstrap.Thing
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got.Resource); diff != "" {
			t.Errorf("%s (-want +got):\n%s", b, diff)
		}
	}
}

func TestPublicKey(t *testing.T) {
	for line, want := range map[string]string{
		"ssh-ed25519 AAAA":              "ssh-ed25519 AAAA",
		"ssh-ed25519 AAAA root@zk1\n":   "ssh-ed25519 AAAA",
		"  ssh-ed25519\tAAAA  a b c \n": "ssh-ed25519 AAAA",
		"ssh-ed25519":                   "ssh-ed25519",
		"":                              "",
	} {
		if got := bootstrap.PublicKey(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
