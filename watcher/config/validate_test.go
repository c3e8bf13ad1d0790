package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/watcher/config"
)

// edit is one change to a valid file and everything that Load must then say, each as
// "path: part of the text".
type edit struct {
	name, old, new string
	want           []string
}

const (
	route    = `routes["inventory"]`
	register = `register["inventory-1"]`
	zk       = `registries["main"].zookeeper`
)

func check(t *testing.T, file string, edits []edit) {
	t.Helper()
	for _, e := range edits {
		t.Run(e.name, func(t *testing.T) {
			if strings.Count(file, e.old) < 1 {
				t.Fatalf("the file has no %q", e.old)
			}
			src := strings.Replace(file, e.old, e.new, 1)
			c, err := config.Load("zkwatch.yaml", []byte(src))
			wantFindings(t, src, err, e.want)
			if (c == nil) != (err != nil) {
				t.Errorf("configuration %v with error %v", c, err)
			}
		})
	}
}

// wantFindings wants exactly the given findings, each with its place in the file where
// that says anything of the kind.
func wantFindings(t *testing.T, src string, err error, want []string) {
	t.Helper()
	var found config.Findings
	if err != nil && !errors.As(err, &found) {
		t.Fatalf("not findings: %v", err)
	}
	left := append([]string(nil), want...)
	for _, f := range found {
		known := false
		for i, w := range left {
			if at, text, _ := strings.Cut(w, ": "); f.Path == at && strings.Contains(f.Text, text) {
				left = append(left[:i], left[i+1:]...)
				known = true
				break
			}
		}
		if !known {
			t.Errorf("unexpected: %v", f)
		}
		top, _, _ := strings.Cut(f.Path, ".")
		top, _, _ = strings.Cut(top, "[")
		if said := strings.Contains(src, top+":"); f.File != "zkwatch.yaml" || f.Line < 1 && said || f.Line > strings.Count(src, "\n")+1 {
			t.Errorf("without a place: %v", f)
		}
	}
	for _, w := range left {
		t.Errorf("missing: %s", w)
	}
}

func TestLoadRefusesWhatCannotBeRead(t *testing.T) {
	check(t, small, []edit{
		{"unknown keys, all of them", "host: app1", "host: app1\nadress: 10.0.0.1\nguard: {treshold: 50%}", []string{`adress: did you mean "address"?`, `guard.treshold: did you mean "threshold"?`}},
		{"double key", "host: app1", "host: app1\nhost: app2", []string{`host: already set in line 1`}},
		{"wrong types, and no finding about what stands in their place", "tiers: {order: [a]}", "tiers: [a], maxconn: many, check: {inter: 2}, breaker: {eject: 120%}",
			[]string{route + `.tiers: want a mapping`, route + `.maxconn: want a whole number`, route + `.check.inter: "2" is not a duration`, route + `.breaker.eject: "120%" is not a share`}},
		{"a service that is no mapping", "services: {inventory: {registry: main, path: /services/inventory/instances}}", "services: {inventory: main}", []string{`services["inventory"]: want a mapping`}},
		{"zero where it would mean the default", "host: app1", "host: app1\naudit: 0s\nguard: {min: 0}\nhaproxy: {slots_min: 0, foreign: \"\"}",
			[]string{`audit: leave it out for the default, which is 45s`, `guard.min: default, which is 2`, `haproxy.slots_min: default, which is 4`, `haproxy.foreign: default, which is repair`}},
		{"zero in entries", "tiers: {order: [a]}", "check: {rise: 0}, tiers: {order: [a], min: 0}", []string{route + `.check.rise: default, which is 2`, route + `.tiers.min: default, which is 1`}},
	})
}

func TestValidateHostAndSettings(t *testing.T) {
	check(t, small, []edit{
		{"no host", "host: app1", "audit: 1m", []string{`host: want the name of this host`}},
		{"bad host", "host: app1", "host: app/1", []string{`host: want the name of this host, found "app/1"`}},
		{"address is a name", "host: app1", "host: app1\naddress: app1", []string{`address: want the IP address`}},
		{"address is none", "host: app1", "host: app1\naddress: 0.0.0.0", []string{`address: 0.0.0.0 is not the address of a host`}},
		{"address of one link only", "host: app1", "host: app1\naddress: fe80::1%eth0", []string{`address: want the IP address`}},
		{"zone", "host: app1", "host: app1\nzone: eu/1", []string{`zone: want a zone`}},
		{"state directory", "host: app1", "host: app1\nstate_dir: var/lib/x", []string{`state_dir: clean absolute path`}},
		{"state directory that climbs", "host: app1", "host: app1\nstate_dir: /var/../etc", []string{`state_dir: clean absolute path`}},
		{"guard", "host: app1", "host: app1\nguard: {min: 20000, hold: 48h}", []string{`guard.min: from 1 to 10000`, `guard.hold: from 1s to 24h0m0s, found 48h0m0s`}},
		{"negative times", "host: app1", "host: app1\naudit: -1s\nguard: {hold: -5m}\nsettle: {quiet: -1ms}", []string{`audit: found -1s`, `guard.hold: found -5m0s`, `settle.quiet: found -1ms`}},
		{"settle", "host: app1", "host: app1\nsettle: {quiet: 2s, max: 1s}", []string{`settle.quiet: want at most max, which is 1s`}},
		{"status for the world", "host: app1", "host: app1\nstatus: {listen: \"0.0.0.0:9180\"}", []string{`status.listen: want a loopback address`}},
		{"status for the world, in short", "host: app1", "host: app1\nstatus: {listen: \"*:9180\"}", []string{`status.listen: want a loopback address`}},
		{"no status listener", "host: app1", "host: app1\nstatus: {listen: none}", nil},
		{"long socket", "host: app1", "host: app1\nstatus: {socket: /run/" + strings.Repeat("x", 100) + "}", []string{`status.socket: at most 95 bytes`}},
		{"board", "host: app1", "host: app1\nboard: {registry: mian, path: /, every: 1ms}", []string{`board.registry: no registry "mian"`, `board.path: want an absolute path`, `board.every: from 1s to 1h0m0s`}},
		{"no board", "host: app1", "host: app1\nboard: {registry: none}", nil},
		{"board among instances", "host: app1", "host: app1\nboard: {path: /services/inventory/instances}", []string{`services["inventory"].path: overlaps with /services/inventory/instances`}},
		{"board above instances", "host: app1", "host: app1\nboard: {path: /services}", []string{`services["inventory"].path: overlaps with /services`}},
		{"board beside instances", "host: app1", "host: app1\nboard: {path: /services/inventory/inst}", nil},
		{"drain", "host: app1", "host: app1\ndrain: {spool: /, on_term: leave, grace: 2m, timeout: 1m}", []string{`drain.spool: clean absolute path`, `drain.on_term: want keep or drain, found "leave"`, `drain.grace: want at most timeout`}},
	})
}

func TestValidateRegistriesAndServices(t *testing.T) {
	const main = "{zookeeper: {servers: [127.0.0.1:2181]}}"
	check(t, small, []edit{
		{"no servers", "servers: [127.0.0.1:2181]", "servers: []", []string{zk + `.servers: want at least one`}},
		{"no kind of registry", main, "{}", []string{`registries["main"]: want zookeeper`}},
		{"bad servers", "[127.0.0.1:2181]", `[zk1, "zk1:0", "zk1:02181", ":2181", "zk 1:2181", "a:1", "a:1"]`, []string{zk + `.servers[0]: want host:port`, zk + `.servers[1]: port from 1 to 65535, found "0"`,
			zk + `.servers[2]: found "02181"`, zk + `.servers[3]: want a host name`, zk + `.servers[4]: want a host name`, zk + `.servers[6]: a:1 is already server 5`}},
		{"session", "[127.0.0.1:2181]", "[127.0.0.1:2181], session: 10ms", []string{zk + `.session: from 1s to 10m0s, found 10ms`}},
		{"auth file", "[127.0.0.1:2181]", "[127.0.0.1:2181], auth_file: user:secret", []string{zk + `.auth_file: clean absolute path`}},
		{"registry called none", "registries: {", "registries: {none: " + main + ", ", []string{`registries["none"]: "none" is no name`, `board.registry: there are several registries: want one of main, none`}},
		{"bad names", "services: {", "services: {Up: {registry: main, path: /a}, -x: {registry: main, path: /b}, " + strings.Repeat("a", 64) + ": {registry: main, path: /c}, \"a\\nb\": {registry: main, path: /d}, ",
			[]string{`services["Up"]: want a name`, `services["-x"]: want a name`, `services["` + strings.Repeat("a", 64) + `"]: want a name`, `services["a\nb"]: want a name`}},
		{"good names", "services: {", "services: {a.b_c-9: {registry: main, path: /a}, " + strings.Repeat("a", 63) + ": {registry: main, path: /b}, ", nil},
		{"unknown registry", "registry: main", "registry: mian", []string{`services["inventory"].registry: no registry "mian"`}},
		{"format", "registry: main", "registry: main, format: serverset", []string{`services["inventory"].format: want plain or nerve`}},
	})
	for _, p := range []string{"''", "services", "/", "/a/", "//a", "/a//b", "/a/./b", "/a/../b", "/..", `"/a\u0000"`, `"/a\nb"`, `"/a\u0085"`, `"/a\ue000"`, `"/a\ufff0"`, "/zookeeper", "/zookeeper/quota", "/" + strings.Repeat("a", 1024)} {
		check(t, small, []edit{{"path " + p, "/services/inventory/instances", p, []string{`services["inventory"].path: want a`}}})
	}
	for _, p := range []string{"/a", "/a b/ü", "/..a/b..", "/zookeepers"} {
		check(t, small, []edit{{"path " + p, "/services/inventory/instances", p, nil}})
	}
}

func TestValidateHAProxy(t *testing.T) {
	with := func(text string) string { return "host: app1\nhaproxy: {" + text + "}" }
	check(t, small, []edit{
		{"routes without a proxy", "host: app1", with("disabled: true"), []string{`routes: routes need HAProxy`}},
		{"paths", "host: app1", with(`binary: haproxy, file: "/x y", socket: "/run/a'b", master: "/run/a,b"`), []string{`haproxy.binary: clean absolute`, `haproxy.file: clean absolute`, `haproxy.socket: clean absolute`, `haproxy.master: clean absolute`}},
		{"own file read twice", "host: app1", with("file: /etc/a.cfg, before: [/etc/b.cfg, /etc/a.cfg]"), []string{`haproxy.before[1]: /etc/a.cfg is zkwatch's own file`}},
		{"one socket for two", "host: app1", with("socket: /run/a, master: /run/a"), []string{`haproxy.master: want a socket of its own`}},
		{"group", "host: app1", with("socket_group: \"a b\""), []string{`haproxy.socket_group: want the name of a group`}},
		{"numbers", "host: app1", with("slots_min: -1, old_workers: 1000, hard_stop_after: 1.5ms, reload_interval: 2h"), []string{`haproxy.slots_min: from 1 to 1000`, `haproxy.old_workers: from 1 to 100`, `haproxy.hard_stop_after: whole milliseconds`, `haproxy.reload_interval: found 2h`}},
		{"foreign", "host: app1", with("foreign: ignore"), []string{`haproxy.foreign: want repair or report`}},
		{"stats", "host: app1", with("stats: stats"), []string{`haproxy.stats: want an address to listen on`}},
	})
}

func TestValidateBinds(t *testing.T) {
	for _, b := range []string{"3000", ":3000", "localhost:3000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:+80", "127.0.0.1:0x50", "127.0.0.1:80-90", "127.0.0.1:80,:81",
		"unix@/run/x", "[fe80::1%eth0]:80", "224.0.0.1:80", "127.0.0.1:80 ssl", "fd@3", "127.0.0.1:3000\nglobal", "${HOST}:80"} {
		check(t, small, []edit{{b, "bind: 127.0.0.1:3000", fmt.Sprintf("bind: %q", b), []string{route + `.bind: want a`}}})
	}
	for _, tt := range []struct {
		a, b    string
		overlap bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.1:81", false},
		{"127.0.0.1:80", "127.0.0.2:80", false},
		{"127.0.0.1:80", "*:80", true},
		{"127.0.0.1:80", "0.0.0.0:80", true},
		{"[::1]:80", "*:80", false},
		{"[::1]:80", "[::]:80", true},
		{"127.0.0.1:80", "[::]:80", true},
		{"*:80", "[::]:80", true},
		{"*:80", "0.0.0.0:80", true},
		{"127.0.0.1:80", "[::ffff:127.0.0.1]:80", true},
		{"*:9180", "*:80", true}, // with the status listener
	} {
		for _, pair := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
			var want []string
			switch {
			case pair[0] == "*:9180":
				want = []string{route + `.bind: overlaps with 127.0.0.1:9180 of status.listen`}
			case pair[1] == "*:9180":
				want = []string{`routes["other"].bind: overlaps with 127.0.0.1:9180 of status.listen`}
			case tt.overlap:
				want = []string{`routes["other"].bind: overlaps with ` + pair[0] + ` of route inventory`}
			}
			check(t, small, []edit{{pair[0] + " and " + pair[1], "{inventory: {service: inventory, bind: 127.0.0.1:3000",
				fmt.Sprintf("{other: {service: inventory, bind: %q}, inventory: {service: inventory, bind: %q", pair[1], pair[0]), want}})
		}
	}
}
