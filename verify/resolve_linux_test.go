package verify

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// zone is a resolver that knows what it is told; "slow" never answers.
type zone struct {
	forward map[string][]string
	reverse map[string][]string
}

func (z zone) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	names, ok := z.reverse[addr]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
	case names == nil:
		return nil, &net.DNSError{Err: "connection refused", Name: addr}
	}
	return names, ctx.Err()
}

func (z zone) LookupNetIP(ctx context.Context, _, name string) ([]netip.Addr, error) {
	if name == "slow" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var out []netip.Addr
	for _, a := range z.forward[name] {
		out = append(out, netip.MustParseAddr(a))
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return out, nil
}

func TestReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := zone{
			reverse: map[string][]string{"10.0.0.1": {"zk1.example.net.", "alias.", "alias."}, "10.0.0.2": {"slow."}, "10.0.0.4": nil},
			forward: map[string][]string{"zk1.example.net": {"10.0.0.9", "10.0.0.1"}},
		}
		var own []netip.Addr
		for _, a := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"} {
			own = append(own, netip.MustParseAddr(a))
		}
		ctx, cancel := context.WithTimeout(t.Context(), resolveTime)
		defer cancel()
		began := time.Now()
		got := reverse(ctx, z, own)
		if took := time.Since(began); took != resolveTime {
			t.Errorf("took %v, want the %v of the slow one", took, resolveTime)
		}
		want := []Reverse{
			{Address: "10.0.0.1", Names: []Resolution{{Name: "alias", Error: "lookup alias: no such host"}, {Name: "zk1.example.net", Addresses: []string{"10.0.0.1", "10.0.0.9"}}}},
			{Address: "10.0.0.2", Names: []Resolution{{Name: "slow", Error: "context deadline exceeded"}}},
			{Address: "10.0.0.3"},
			{Address: "10.0.0.4", Error: "lookup 10.0.0.4: connection refused"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestReverseLeavesLoopbackOut(t *testing.T) {
	var got []Reverse
	if err := readReverse(t.Context(), zone{}, &got); err != nil {
		t.Fatal(err)
	}
	for _, r := range got {
		if a := netip.MustParseAddr(r.Address); !a.IsGlobalUnicast() {
			t.Errorf("%s was looked up", a)
		}
	}
}

func TestSizesOfWhatAServerWrote(t *testing.T) {
	dir := t.TempDir()
	version := filepath.Join(dir, "version-2")
	if err := os.Mkdir(version, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, bytes := range map[string]int{"log.1": 40_960, "log.100": 8192, "snapshot.0": 4096, "snapshot.ff": 12_288, "currentEpoch": 1 << 20} {
		if err := os.WriteFile(filepath.Join(version, name), make([]byte, bytes), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Padding reserves nothing and must not count.
	if err := os.Truncate(filepath.Join(version, "log.100"), padBytes); err != nil {
		t.Fatal(err)
	}
	f, err := Gather(t.Context(), FactsQuery{Dirs: []string{dir, filepath.Join(dir, "planned")}})
	if err != nil {
		t.Fatal(err)
	}
	d, planned := f.Dirs[0], f.Dirs[1]
	if d.LogBytes < 40_960 || d.LogBytes >= padBytes || d.SnapshotBytes < 12_288 || d.SnapshotBytes >= 1<<20 || d.SizesUnknown != "" {
		t.Errorf("log %d, snapshot %d, %q; want about 40960 and 12288", d.LogBytes, d.SnapshotBytes, d.SizesUnknown)
	}
	if planned.LogBytes != 0 || planned.SnapshotBytes != 0 || planned.SizesUnknown != "" {
		t.Errorf("a directory that is not there: %+v", planned)
	}
	if err := os.RemoveAll(version); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(version, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err = Gather(t.Context(), FactsQuery{Dirs: []string{dir}})
	if err != nil || f.Dirs[0].SizesUnknown == "" || f.Dirs[0].UnknownCause != "" {
		t.Errorf("a version-2 that is a file: %+v, %v; want the sizes alone unknown", f.Dirs[0], err)
	}
}
