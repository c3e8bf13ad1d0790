package drill

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/zkboot/zkboot/bootstrap"
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

// testSpec is an ensemble of n members zk1..zkn.
func testSpec(n int) *bootstrap.Spec {
	s := &bootstrap.Spec{Name: "main", Hosts: map[string]bootstrap.HostSpec{}, Ensemble: &bootstrap.Ensemble{Members: map[string]bootstrap.Member{}}}
	for i := range n {
		name := fmt.Sprintf("zk%d", i+1)
		s.Hosts[name] = bootstrap.HostSpec{Address: fmt.Sprintf("10.0.0.%d", i+1)}
		s.Ensemble.Members[name] = bootstrap.Member{ID: i + 1}
	}
	return s
}
