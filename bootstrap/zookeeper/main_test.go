package zookeeper

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares text with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
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

// testSpec is an ensemble of n members zk1..zkn with Debian's package, whose known issue
// is accepted.
func testSpec(n int) *bootstrap.Spec {
	s := &bootstrap.Spec{Name: "main", Hosts: map[string]bootstrap.HostSpec{}, Ensemble: &bootstrap.Ensemble{
		Members: map[string]bootstrap.Member{}, Source: bootstrap.Source{Apt: &bootstrap.AptPackages{}},
		AcceptKnownIssues: []string{"ZOOKEEPER-4785"},
	}}
	for i := range n {
		name := fmt.Sprintf("zk%d", i+1)
		s.Hosts[name] = bootstrap.HostSpec{Address: fmt.Sprintf("10.0.0.%d", i+1)}
		s.Ensemble.Members[name] = bootstrap.Member{ID: i + 1}
	}
	return s
}

// tarballSpec is testSpec with a release archive.
func tarballSpec(n int) *bootstrap.Spec {
	s := testSpec(n)
	s.Ensemble.AcceptKnownIssues = nil
	s.Ensemble.Source = bootstrap.Source{Tarball: &bootstrap.Tarball{
		URL: "https://downloads.apache.org/zookeeper/zookeeper-3.9.5/apache-zookeeper-3.9.5-bin.tar.gz", SHA512: strings.Repeat("ab", 64)}}
	return s
}

func debian12() bootstrap.Facts {
	return bootstrap.Facts{Arch: "amd64", OS: verify.OS{ID: "debian", VersionID: "12", Codename: "bookworm", Pretty: "Debian GNU/Linux 12 (bookworm)"}}
}

// finding returns the finding at a path whose text holds part, or fails.
func finding(t *testing.T, r bootstrap.Report, path bootstrap.Path, part string) bootstrap.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Path == path && strings.Contains(f.Text, part) {
			return f
		}
	}
	t.Fatalf("no finding at %s with %q; found %+v", path, part, r.Findings)
	return bootstrap.Finding{}
}
