package bootstrap_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares got with testdata/name, or rewrites it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

const valid = `name: main
ssh: {user: debian, identity_files: [id], known_hosts_file: known_hosts}
hosts:
  zk1: {address: 10.0.0.1}
  zk2: {address: 10.0.0.2}
  zk3: {address: 10.0.0.3}
ensemble:
  members: {zk1: {id: 1}, zk2: {id: 2}, zk3: {id: 3}}
  source: {apt: {}}
  heap: 256MiB
  config: {tickTime: 2000}
registries: {main: {ensemble: true}}
services:
  inventory: {registry: main, path: /services/inventory/instances}
sidecars:
  zk1:
    routes: {inventory: {service: inventory, bind: "127.0.0.1:3000", check: {http: "GET /health", inter: 2s}}}
    register: {inventory-1: {service: inventory, port: 8080, check: {http: "http://127.0.0.1:8080/health"}}}
`

func TestLoadReadsEverySection(t *testing.T) {
	s, r := bootstrap.Load("zkboot.yaml", []byte(valid))
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if got := s.MemberNames(); !cmp.Equal(got, []string{"zk1", "zk2", "zk3"}) {
		t.Errorf("members: %v", got)
	}
	if got := s.Ensemble.Heap; got != 256*bootstrap.MiB {
		t.Errorf("heap: %s", got)
	}
	if got := s.Sidecars["zk1"].Routes["inventory"].Check.Inter.String(); got != "2s" {
		t.Errorf("inter: %s", got)
	}
}

// Each edit of the valid spec must be reported at exactly these paths, no more and no less.
func TestLoadReportsEveryFaultWithItsPath(t *testing.T) {
	tests := []struct {
		name, old, new string
		want           []string // "path: part of the text"
	}{
		{"unknown key", "heap: 256MiB", "heep: 256MiB", []string{`ensemble.heep: did you mean "heap"?`}},
		{"unknown key at the top", "name: main", "name: main\nnmae: x", []string{`nmae: did you mean "name"?`}},
		{"double key", "  zk1: {address: 10.0.0.1}", "  zk1: {address: 10.0.0.1}\n  zk1: {address: 10.0.0.9}", []string{`hosts["zk1"]: already set in line 4`}},
		{"list instead of mapping", "hosts:\n", "hosts: []\nx:\n", []string{`hosts: want a mapping, found a list`, `x: unknown key`, `hosts: want at least one host`,
			`ensemble.members["zk1"]: no host "zk1"`, `ensemble.members["zk2"]: no host "zk2"`, `ensemble.members["zk3"]: no host "zk3"`, `sidecars["zk1"]: no host "zk1"`}},
		{"bad name", "name: main", "name: Main Street", []string{`name: want a name`}},
		{"bad address", "10.0.0.2", "10.0.0.256", []string{`hosts["zk2"].address: want an IP address`}},
		{"duplicate address", "10.0.0.2", "10.0.0.1", []string{`hosts["zk2"].address: already the address of host zk1`}},
		{"duplicate address in another notation", "10.0.0.2", "\"::ffff:10.0.0.1\"", []string{`hosts["zk2"].address: already the address of host zk1`}},
		{"wildcard address", "10.0.0.2", "0.0.0.0", []string{`hosts["zk2"].address: not the address of a host`}},
		{"bad host key", "{address: 10.0.0.2}", "{address: 10.0.0.2, host_key: ssh-ed25519}", []string{`hosts["zk2"].host_key: want a public key`}},
		{"bad duration", "inter: 2s", "inter: 2", []string{`sidecars["zk1"].routes["inventory"].check.inter: not a duration`}},
		{"bad size", "256MiB", "256MB", []string{`ensemble.heap: not a size`}},
		{"tiny heap", "256MiB", "64MiB", []string{`ensemble.heap: at least 128MiB`}},
		{"duplicate id", "zk2: {id: 2}", "zk2: {id: 1}", []string{`ensemble.members["zk2"].id: server id 1 is already that of zk1`}},
		{"id 0", "zk2: {id: 2}", "zk2: {id: 0}", []string{`ensemble.members["zk2"].id: from 1 to 254, found 0`}},
		{"id 255", "zk2: {id: 2}", "zk2: {id: 255}", []string{`ensemble.members["zk2"].id: from 1 to 254, found 255`}},
		{"id is no number", "zk2: {id: 2}", "zk2: {id: two}", []string{`ensemble.members["zk2"].id: want a whole number`, `ensemble.members["zk2"].id: from 1 to 254`}},
		{"even voters", ", zk3: {id: 3}}", "}", []string{`ensemble.members: odd number of voters, found 2`}},
		{"even voters by role", "zk3: {id: 3}", "zk3: {id: 3, role: observer}", []string{`ensemble.members: odd number of voters, found 2`}},
		{"unknown role", "zk3: {id: 3}", "zk3: {id: 3, role: leader}", []string{`ensemble.members["zk3"].role: want voter, observer, found "leader"`}},
		{"member without host", "zk3: {id: 3}", "zk4: {id: 3}", []string{`ensemble.members["zk4"]: no host "zk4"`}},
		{"two members on one host", "  zk2: {address: 10.0.0.2}\n  zk3: {address: 10.0.0.3}",
			"  zk2: {address: 10.0.0.2, ssh: {address: 203.0.113.1}}\n  zk3: {address: 10.0.0.3, ssh: {address: 203.0.113.1}}",
			[]string{`ensemble.members["zk3"]: members zk2 and zk3 are on one host`}},
		{"no source", "source: {apt: {}}", "source: {}", []string{`ensemble.source: either apt: {} or tarball`}},
		{"bad sha512", "source: {apt: {}}", `source: {tarball: {url: "https://example.net/z.tar.gz", sha512: abc}}`, []string{`ensemble.source.tarball.sha512: 128 hex digits`}},
		{"bad url", "source: {apt: {}}", `source: {tarball: {url: "ftp://example.net/z.tar.gz", sha512: ` + strings.Repeat("a", 128) + `}}`, []string{`ensemble.source.tarball.url: http, https or file`}},
		{"same port twice", "heap: 256MiB", "ports: {client: 2888}", []string{`ensemble.ports.quorum: already the client port`}},
		{"unknown registry", "registry: main", "registry: mian", []string{`services["inventory"].registry: no registry "mian"`}},
		{"unknown service", "{service: inventory, bind", "{service: inventroy, bind", []string{`sidecars["zk1"].routes["inventory"].service: no service "inventroy"`}},
		{"unknown profile", "name: main", "name: main\nhardware: {profile: floppy}", []string{`hardware.profile: unknown profile "floppy"`}},
		{"country missing", "name: main", "name: main\nplacement: {countries: [EEA]}",
			[]string{`hosts["zk1"].country: needs its country`, `hosts["zk2"].country: needs its country`, `hosts["zk3"].country: needs its country`}},
		{"country not allowed", "ssh: {", "placement: {countries: [EEA]}\nssh: {",
			[]string{`hosts["zk1"].country: needs its country`, `hosts["zk2"].country: needs its country`, `hosts["zk3"].country: needs its country`}},
		{"sysctl injection", "name: main", "name: main\ntuning: {sysctl: {vm.swappiness: \"1\\nkernel.panic=1\"}}", []string{`tuning.sysctl["vm.swappiness"]: want a value on one line`}},
		{"unit injection", "heap: 256MiB", "jvm_flags: [\"-Dx=1 -Dy\"]", []string{`ensemble.jvm_flags[0]: want one JVM flag`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(valid, tt.old) {
				t.Fatalf("the valid spec has no %q", tt.old)
			}
			_, r := bootstrap.Load("zkboot.yaml", []byte(strings.Replace(valid, tt.old, tt.new, 1)))
			checkFindings(t, r, tt.want)
		})
	}
}

// checkFindings wants exactly the given findings, each as "path: part of the text".
func checkFindings(t *testing.T, r bootstrap.Report, want []string) {
	t.Helper()
	left := append([]string(nil), want...)
	for _, f := range r.Findings {
		found := false
		for i, w := range left {
			path, text, _ := strings.Cut(w, ": ")
			if string(f.Path) == path && strings.Contains(f.Text, text) {
				left = append(left[:i], left[i+1:]...)
				found = true
				break
			}
		}
		if !found {
			t.Errorf("unexpected finding: %v", f)
		}
		if f.Pos.Line == 0 || f.Pos.Source == "" {
			t.Errorf("finding without a place in the file: %v", f)
		}
	}
	for _, w := range left {
		t.Errorf("missing finding: %s", w)
	}
}

func TestLoadShowsLineAndCaret(t *testing.T) {
	src := strings.NewReplacer("heap: 256MiB", "heep: 256MiB", "zk2: {id: 2}", "zk2: {id: 0}", "10.0.0.3", "10.0.0.1").Replace(valid)
	_, r := bootstrap.Load("zkboot.yaml", []byte(src))
	var out bytes.Buffer
	if err := r.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "load/three-faults.txt", out.Bytes())
}

func TestLoadRefusesWhatIsNoDocument(t *testing.T) {
	for _, tt := range []struct{ name, src, want string }{
		{"empty", "", "the file is empty"},
		{"comment only", "# nothing\n", "the file is empty"},
		{"two documents", "name: a\n---\nname: b\n", "want one YAML document"},
		{"broken", "name: [", "did not find expected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, r := bootstrap.Load("zkboot.yaml", []byte(tt.src))
			if err := r.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("want %q, got %v", tt.want, err)
			}
		})
	}
}

// Load must survive anything; whatever it accepts must validate again without its source.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(valid))
	f.Add([]byte("hosts: &a {b: *a}"))
	f.Add([]byte("? [a]\n: b"))
	f.Fuzz(func(t *testing.T, src []byte) {
		s, r := bootstrap.Load("f.yaml", src)
		if (s == nil) != r.Failed() {
			t.Fatalf("spec %v with report %v", s, r.Err())
		}
		if s != nil && s.Validate().Failed() {
			t.Fatalf("accepted, then refused: %v", s.Validate().Err())
		}
	})
}

func FuzzSize(f *testing.F) {
	f.Add("256MiB")
	f.Fuzz(func(t *testing.T, text string) {
		var a, b bootstrap.Size
		if a.UnmarshalText([]byte(text)) != nil {
			return
		}
		out, err := a.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.UnmarshalText(out); err != nil || a != b {
			t.Fatalf("%q -> %d -> %q -> %d, %v", text, a, out, b, err)
		}
	})
}
