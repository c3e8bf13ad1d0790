package haproxy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

func TestWhichInstancesCanBeServers(t *testing.T) {
	tests := []struct {
		host   string
		port   int
		weight int
		want   string // address, or what the refusal says
	}{
		{"10.0.0.1", 80, 1, "10.0.0.1:80"},
		{"2001:db8::1", 80, 0, "[2001:db8::1]:80"},
		{"::ffff:10.0.0.1", 80, 256, "10.0.0.1:80"},
		{"127.0.0.1", 8080, 1, "127.0.0.1:8080"},
		{"app1.example.net", 80, 1, "not an IP address"},
		{"", 80, 1, "not an IP address"},
		{"10.0.0.1\nset server", 80, 1, "not an IP address"},
		{"10.0.0.1;show info", 80, 1, "not an IP address"},
		{"10.0.0.1 disabled", 80, 1, "not an IP address"},
		{"fe80::1%eth0", 80, 1, "has a zone"},
		{"fe80::1%x;y\n", 80, 1, "has a zone"},
		{"0.0.0.0", 80, 1, "not an address of one host"},
		{"::", 80, 1, "not an address of one host"},
		{"224.0.0.1", 80, 1, "not an address of one host"},
		{"10.0.0.1", 0, 1, "port 0"},
		{"10.0.0.1", 70000, 1, "port 70000"},
		{"10.0.0.1", 80, -1, "weight -1"},
		{"10.0.0.1", 80, 257, "weight 257"},
		{"127.0.0.1", 1, 1, "free slot"},
	}
	for _, test := range tests {
		a, err := address(watcher.Instance{Host: test.host, Port: test.port, Weight: test.weight})
		if err == nil && a.String() != test.want || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q port %d weight %d: %v, %v; want %q", test.host, test.port, test.weight, a, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("the refusal has more than one line: %q", err)
		}
	}
}

func TestOneServerForTwoInstancesOfOneAddress(t *testing.T) {
	twin := func(id string, weight int, draining bool) watcher.Instance {
		return watcher.Instance{ID: id, Host: "10.0.0.1", Port: 80, Weight: weight, Draining: draining}
	}
	tests := []struct {
		name      string
		instances []watcher.Instance
		weight    int
		draining  bool
	}{
		{"the later one counts", []watcher.Instance{twin("app_0000000001", 1, false), twin("app_0000000002", 9, false)}, 9, false},
		{"but not when it drains", []watcher.Instance{twin("app_0000000001", 1, false), twin("app_0000000002", 9, true)}, 1, false},
		{"nor an earlier one that drains", []watcher.Instance{twin("app_0000000001", 1, true), twin("app_0000000002", 9, false)}, 9, false},
		{"both drain", []watcher.Instance{twin("app_0000000001", 1, true), twin("app_0000000002", 9, true)}, 9, true},
	}
	for _, test := range tests {
		got, _ := members(test.instances, nil)
		if len(got) != 1 || got[0].weight != test.weight || got[0].draining != test.draining {
			t.Errorf("%s: %+v, want one of weight %d, draining %v", test.name, got, test.weight, test.draining)
		}
	}
}

// Zone tiers: which zones take traffic.
func TestTiers(t *testing.T) {
	tests := []struct {
		name  string
		tiers config.Tiers
		zone  string
		// Instances by letter: N near, F far, O of no zone; lower case is down, n! drains, n0 has weight 0.
		instances string
		want      string // which of them take traffic
	}{
		{"the own zone is enough", config.Tiers{Min: 1}, "near", "N F O", "N"},
		{"nobody in the own zone", config.Tiers{Min: 1}, "near", "F O", "F O"},
		{"the only near one is down", config.Tiers{Min: 1}, "near", "n F", "n F"},
		{"one near one is left, and two are wanted", config.Tiers{Min: 2}, "near", "N n F", "N n F"},
		{"a draining one is not usable and takes nothing", config.Tiers{Min: 1}, "near", "N! F", "F"},
		{"one of weight 0 is not usable", config.Tiers{Min: 1}, "near", "N0 F", "N0 F"},
		{"an order: only as far as needed", config.Tiers{Order: []string{"near", "far"}, Min: 1}, "", "n F O", "n F"},
		{"an order: all down, so all", config.Tiers{Order: []string{"near", "far"}, Min: 1}, "", "n f o", "n f o"},
		{"an order goes before the own zone", config.Tiers{Order: []string{"far"}, Min: 1}, "near", "N F", "F"},
		{"a host of no zone has no tiers", config.Tiers{Min: 1}, "", "N F O", "N F O"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			words := strings.Fields(test.instances)
			var ms []member
			down := map[netip.AddrPort]bool{}
			for i, w := range words {
				m := member{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80), weight: 1, draining: strings.HasSuffix(w, "!")}
				m.zone = map[string]string{"n": "near", "f": "far", "o": ""}[strings.ToLower(w[:1])]
				if strings.HasSuffix(w, "0") {
					m.weight = 0
				}
				down[m.addr] = w[:1] == strings.ToLower(w[:1])
				ms = append(ms, m)
			}
			var got []string
			for i, target := range targets(ms, &test.tiers, test.zone, func(a netip.AddrPort) bool { return down[a] }) {
				if !target.drain {
					got = append(got, words[i])
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("traffic to %q, want %q", strings.Join(got, " "), test.want)
			}
		})
	}
}
