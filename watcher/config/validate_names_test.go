package config_test

import (
	"fmt"
	"strings"
	"testing"
)

// Names become files of the spool, proxies of HAProxy and words of the API. None of them may
// leave its place or mean something else there.
func TestValidateNames(t *testing.T) {
	const (
		registries = "registries: {"
		services   = "services: {"
		routes     = "routes: {"
		registers  = "register: {"
	)
	// With a second registry somebody has to say where the board is.
	file := small + "board: {registry: main}\n"
	places := []struct{ section, begins, entry string }{
		{"registries", registries, `{zookeeper: {servers: ["127.0.0.1:2182"]}}`},
		{"services", services, `{registry: main, path: /other}`},
		{"routes", routes, `{service: inventory, bind: "127.0.0.1:3999"}`},
		{"register", registers, `{service: inventory, address: 10.0.0.1, port: 8099, check: {tcp: "127.0.0.1:8099"}}`},
	}
	try := func(section, begins, name, entry string, want ...string) {
		t.Helper()
		check(t, file, []edit{{section + " " + name, begins, fmt.Sprintf("%s%s: %s, ", begins, name, entry), want}})
	}
	for _, tt := range []struct {
		name string // as it stands in the file
		path string // as findings write it
	}{
		{`""`, `""`}, {".", `"."`}, {"..", `".."`}, {".hidden", `".hidden"`}, {".stopped", `".stopped"`},
		{"/", `"/"`}, {"/etc", `"/etc"`}, {"../up", `"../up"`}, {"a/b", `"a/b"`}, {"a/", `"a/"`}, {`"a\\b"`, `"a\\b"`},
		{`"a\0b"`, `"a\x00b"`}, {`"a\nb"`, `"a\nb"`}, {`"a b"`, `"a b"`}, {`"a:b"`, `"a:b"`}, {`"*"`, `"*"`}, {`"a%2fb"`, `"a%2fb"`},
		{"-x", `"-x"`}, {"--undo", `"--undo"`}, {"_x", `"_x"`}, {"ALL", `"ALL"`}, {"a~", `"a~"`}, {"ä", `"ä"`}, {"ａ", `"ａ"`},
	} {
		for _, p := range places {
			try(p.section, p.begins, tt.name, p.entry, fmt.Sprintf(`%s[%s]: want a name of 1 to 63 lower-case letters`, p.section, tt.path))
		}
	}
	for _, p := range places {
		try(p.section, p.begins, "a..b", p.entry)
		try(p.section, p.begins, "stopped", p.entry)
	}
	// Of words that mean something each is taken only where it does.
	for _, p := range places {
		for word, taken := range map[string]string{"all": `register: in the spool "all" means every registration`, "none": `registries: says that there is no board`} {
			section, text, _ := strings.Cut(taken, ": ")
			if section != p.section {
				try(p.section, p.begins, word, p.entry)
				continue
			}
			try(p.section, p.begins, word, p.entry, fmt.Sprintf("%s[%q]: %s", section, word, text))
		}
	}
}

// A registration may be called sets.json: its mark must not be the store.
func TestTheSpoolIsForMarksAlone(t *testing.T) {
	with := func(text string) string { return "host: app1\n" + text }
	spool := func(found string) []string {
		return []string{"drain.spool: want a directory of its own, since every file in it drains a registration, found that of " + found}
	}
	check(t, small, []edit{
		{"the state directory", "host: app1", with("drain: {spool: /var/lib/zkwatch}"), spool("state_dir")},
		{"one that is moved there", "host: app1", with("drain: {spool: /srv/x}\nstate_dir: /srv/x"), spool("state_dir")},
		{"HAProxy's file", "host: app1", with("drain: {spool: /var/lib/zkwatch/haproxy}"), spool("haproxy.file")},
		{"HAProxy's sockets", "host: app1", with("drain: {spool: /run/zkwatch-haproxy}"), append(spool("haproxy.socket"), spool("haproxy.master")...)},
		{"our socket", "host: app1", with("drain: {spool: /run/zkwatch}"), spool("status.socket")},
		{"a directory below", "host: app1", with("drain: {spool: /var/lib/zkwatch/spool}"), nil},
		{"a directory above", "host: app1", with("drain: {spool: /var/lib}"), nil},
	})
}
