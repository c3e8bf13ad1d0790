package machine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A builder that fails, and one that was killed, leave nothing that looks finished.
func TestCacheKeepsWhatIsWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	cache, broken := Cache(dir), errors.New("no mirror")
	builds := 0
	build := func(fail error) func(string) (string, error) {
		return func(work string) (string, error) {
			builds++
			made := filepath.Join(work, "tree")
			return made, errors.Join(os.Mkdir(made, 0o755), fail)
		}
	}
	if _, err := cache.Ensure(t.Context(), "base-1", build(broken)); !errors.Is(err, broken) {
		t.Fatalf("a failed build says %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, buildPrefix+"killed", "tree"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"base-1", "base-1", "base-2"} {
		path, err := cache.Ensure(t.Context(), name, build(nil))
		if err != nil || path != filepath.Join(dir, name) {
			t.Fatalf("%s: %s, %v", name, path, err)
		}
	}
	if builds != 3 {
		t.Errorf("%d builds, want one that failed and one for each of two names", builds)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"base-1", "base-2"}; !slices.Equal(names, want) {
		t.Errorf("the cache holds %v, want %v", names, want)
	}
}

func TestCacheWaitsForAnotherBuilder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	unlock, err := LockDir(t.Context(), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*Poll)
	defer cancel()
	unreached := func(string) (string, error) { return "", errors.New("built under the lock of another") }
	if _, err := Cache(dir).Ensure(ctx, "base-1", unreached); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another builds: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "base-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	unlock()
	if path, err := Cache(dir).Ensure(t.Context(), "base-1", unreached); err != nil || path != filepath.Join(dir, "base-1") {
		t.Errorf("after the other has built: %s, %v", path, err)
	}
}
