package cloudinit

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/sidecar"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
	"github.com/zkboot/zkboot/verify"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares text with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the tests with -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

const (
	publicKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9vJ3nUFAKEFAKEFAKEFAKEFAKEFAKEFAKEFAKEFAKE ops@example"
	privateKey = "-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IGEga2V5\n-----END OPENSSH PRIVATE KEY-----\n"
)

// facts are those of a host with everything that can be said.
func facts(host string, wanted ...bootstrap.Desired) Options {
	return Options{
		Host: host, InstanceID: "main-" + host,
		Login:       Login{User: "debian", Keys: []string{publicKey}},
		HostKeys:    []HostKey{{Type: "ed25519", Private: privateKey, Public: "ssh-ed25519 AAAAC3Nz"}},
		TimeServers: []string{"ntp1.example.net", "192.0.2.123"},
		Mirror:      Mirror{Primary: "https://mirror.example.net/debian"},
		Desired:     wanted,
	}
}

// wish is a Desired of one role.
func wish(from bootstrap.Path, rs ...bootstrap.Resource) bootstrap.Desired {
	d := bootstrap.Desired{From: map[bootstrap.ID]bootstrap.Path{}}
	for _, r := range rs {
		d.Resources = append(d.Resources, r)
		d.From[r.ID()] = from
	}
	return d
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// guideSpecs are the examples of docs/guides/zkboot-yaml.md by their names.
func guideSpecs(t *testing.T) map[string]*bootstrap.Spec {
	t.Helper()
	page, err := os.ReadFile("../docs/guides/zkboot-yaml.md")
	if err != nil {
		t.Fatal(err)
	}
	specs := map[string]*bootstrap.Spec{}
	for _, m := range yamlBlock.FindAllSubmatch(page, -1) {
		s, report := bootstrap.Load("zkboot-yaml.md", m[1])
		if report.Failed() {
			t.Fatal(report.Err())
		}
		specs[s.Name] = s
	}
	return specs
}

// wanted compiles every role for a host with nothing on it and takes what first boot brings.
func wanted(t *testing.T, s *bootstrap.Spec, host string) (boot []bootstrap.Desired, left []Left) {
	t.Helper()
	seen := bootstrap.Seen{Facts: bootstrap.Facts{Arch: "amd64", OS: verify.OS{ID: "debian", VersionID: "12", Codename: "bookworm"}}}
	now := bootstrap.Site{Hosts: map[string]bootstrap.Seen{host: seen}}
	for _, role := range []bootstrap.Role{zookeeper.New(), sidecar.New([]sidecar.Archive{{Arch: "amd64"}})} {
		want, report := role.Compile(s, now)
		if report.Failed() {
			t.Fatal(report.Err())
		}
		d, ok := want[host]
		if !ok {
			continue
		}
		sealed, err := d.Seal()
		if err != nil {
			t.Fatal(err)
		}
		b, l := Take(sealed)
		boot, left = append(boot, b), append(left, l...)
	}
	return boot, left
}

func render(t *testing.T, o Options) Document {
	t.Helper()
	d, report := Render(o)
	if report.Failed() {
		t.Fatal(report.Err())
	}
	return d
}

// readBack is what cloud-init finds in a document, as far as tests ask.
type readBack struct {
	Hostname string `yaml:"hostname"`
	Users    []any  `yaml:"users"`
	Files    []struct {
		Path, Permissions, Owner, Encoding, Content string
	} `yaml:"write_files"`
	HostKeys map[string]string `yaml:"ssh_keys"`
	NTP      struct {
		Servers []string `yaml:"servers"`
	} `yaml:"ntp"`
	Packages []any    `yaml:"packages"`
	Run      []string `yaml:"runcmd"`
}

func read(t *testing.T, doc []byte) readBack {
	t.Helper()
	var r readBack
	if err := yaml.Unmarshal(doc, &r); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	for i, f := range r.Files {
		if f.Encoding == "" {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(f.Content)
		if err != nil {
			t.Fatalf("%s: %v", f.Path, err)
		}
		if strings.HasPrefix(f.Encoding, "gz") {
			z, err := gzip.NewReader(bytes.NewReader(raw))
			if err != nil {
				t.Fatalf("%s: %v", f.Path, err)
			}
			if raw, err = io.ReadAll(z); err != nil {
				t.Fatalf("%s: %v", f.Path, err)
			}
		}
		r.Files[i].Content = string(raw)
	}
	return r
}
