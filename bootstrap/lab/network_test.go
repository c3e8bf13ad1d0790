package lab

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

func TestBridgeNamesFitAndDiffer(t *testing.T) {
	for lab, want := range map[string]string{
		"main":                 "zkb-main",
		"elevenchars":          "zkb-elevenchars",
		"twelve-chars":         "zkb-twel-8dd1fe",
		"twelve-charz":         "zkb-twel-835c2b",
		"aaaaaaaaaaaaaaaaaaaa": "zkb-aaaa-42492d",
	} {
		got := bridgeName(lab)
		if got != want || len(got) > 15 {
			t.Errorf("bridgeName(%q) = %q (%d bytes), want %q", lab, got, len(got), want)
		}
	}
}

func TestChooseSubnet(t *testing.T) {
	p := netip.MustParsePrefix
	first, err := machine.ChooseSubnet(subnets, "main", nil)
	if err != nil {
		t.Fatal(err)
	}
	next, err := machine.ChooseSubnet(subnets, "main", []netip.Prefix{first})
	if err != nil {
		t.Fatal(err)
	}
	if first != p("10.231.13.0/24") || next != p("10.231.14.0/24") {
		t.Errorf("got %s, then %s beside it; want 10.231.13.0/24 and 10.231.14.0/24", first, next)
	}
	if got, err := machine.ChooseSubnet(subnets, "main", []netip.Prefix{p("0.0.0.0/0")}); err != nil || got != first {
		t.Errorf("beside a default route: %s, %v; want %s", got, err, first)
	}
	if _, err := machine.ChooseSubnet(subnets, "main", []netip.Prefix{p("10.0.0.0/8")}); err == nil || !strings.Contains(err.Error(), "no free /24 in 10.231.0.0/16") {
		t.Errorf("all taken: %v", err)
	}
}

// Whatever is taken, a chosen subnet overlaps none of it; and there is one while any is free.
func TestChooseSubnetNeverOverlaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		third := rapid.SliceOfN(rapid.IntRange(0, 255), 0, 300).Draw(t, "third")
		bits := rapid.IntRange(20, 32).Draw(t, "bits")
		var taken []netip.Prefix
		used := map[int]bool{}
		for _, n := range third {
			prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 231, byte(n), 9}), bits).Masked()
			taken = append(taken, prefix)
			for i := range 256 {
				if prefix.Overlaps(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 231, byte(i), 0}), 24)) {
					used[i] = true
				}
			}
		}
		got, err := machine.ChooseSubnet(subnets, rapid.StringMatching(`[a-z]{1,20}`).Draw(t, "lab"), taken)
		if (err == nil) != (len(used) < 256) {
			t.Fatalf("%d of 256 used, error %v", len(used), err)
		}
		for _, p := range taken {
			if err == nil && p.Overlaps(got) {
				t.Fatalf("chose %s, taken %s", got, p)
			}
		}
	})
}

func TestRules(t *testing.T) {
	golden(t, "rules.nft", []byte(rules("a-b", netip.MustParsePrefix("10.231.7.0/24"))))
	two := []netip.Addr{netip.MustParseAddr("10.231.7.12"), netip.MustParseAddr("10.231.7.13")}
	golden(t, "isolate-all.nft", []byte(isolation(partition{in: true, out: true})))
	golden(t, "isolate-peers.nft", []byte(isolation(partition{peers: two, in: true, out: true})))
	golden(t, "partition-in.nft", []byte(isolation(partition{in: true})))
	golden(t, "partition-out-peers.nft", []byte(isolation(partition{peers: two, out: true})))
}

// The first lab turns forwarding on, the last one puts it back; a machine that forwarded
// before keeps forwarding.
func TestForwardingIsPutBack(t *testing.T) {
	for _, was := range []string{"0\n", "1\n"} {
		s := testStore(t)
		if err := os.MkdirAll(s.root, 0o755); err != nil {
			t.Fatal(err)
		}
		set := func(v string) {
			if err := os.WriteFile(s.forward, []byte(v), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		is := func(when, want string) {
			if got, err := os.ReadFile(s.forward); err != nil || string(got) != want {
				t.Errorf("from %q, %s: %q, %v; want %q", was, when, got, err, want)
			}
		}
		set(was)
		for range 2 { // two labs
			if err := s.enableForwarding(t.Context()); err != nil {
				t.Fatal(err)
			}
			is("with labs", "1\n")
		}
		if err := s.restoreForwarding(); err != nil {
			t.Fatal(err)
		}
		is("after the last", was)
		set("1\n")
		if err := s.restoreForwarding(); err != nil { // somebody else's setting by now
			t.Fatal(err)
		}
		is("later", "1\n")
	}
}
