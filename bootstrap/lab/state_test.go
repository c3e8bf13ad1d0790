package lab

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func testStore(t *testing.T) store {
	t.Helper()
	dir := t.TempDir()
	return store{root: filepath.Join(dir, "lib"), cache: filepath.Join(dir, "cache"), forward: filepath.Join(dir, "ip_forward")}
}

func mainRecord() *record {
	return &record{
		Version: recordVersion, Name: "main", Dir: "/d", ZooKeeper: 3, Apps: 2,
		Subnet: netip.MustParsePrefix("10.231.7.0/24"), Base: "0123456789ab",
	}
}

func TestRecordRoundTrip(t *testing.T) {
	s, rec := testStore(t), mainRecord()
	rec.note(specFile, []byte("x"))
	if _, err := s.load("main"); !errors.Is(err, ErrNoLab) || !strings.Contains(err.Error(), "main") {
		t.Errorf("before: %v, want ErrNoLab with the name", err)
	}
	if err := os.MkdirAll(s.labDir("main"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.save(rec); err != nil {
		t.Fatal(err)
	}
	got, err := s.load("main")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rec, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("(-saved +loaded):\n%s", diff)
	}
}

func TestRecordThatCannotBeRead(t *testing.T) {
	for name, tt := range map[string]struct{ data, want string }{
		"cut off":            {`{"version": 1`, "lab.json: unexpected end"},
		"of another program": {`{"version": 2}`, "lab.json: version 2, this program writes 1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := testStore(t)
			if err := os.MkdirAll(s.labDir("main"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.recordFile("main"), []byte(tt.data), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := s.load("main"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAddressesFollowNames(t *testing.T) {
	rec := mainRecord()
	rec.ZooKeeper = 10
	names := rec.hostNames()
	if want := []string{"zk1", "zk2", "zk3", "zk4", "zk5", "zk6", "zk7", "zk8", "zk9", "zk10", "app1", "app2"}; !slices.Equal(names, want) {
		t.Errorf("hosts %v, want %v", names, want)
	}
	for host, want := range map[string]string{"zk1": "10.231.7.11", "zk10": "10.231.7.20", "zk90": "10.231.7.100", "app1": "10.231.7.101", "app150": "10.231.7.250"} {
		if got := rec.address(host); got.String() != want {
			t.Errorf("%s at %s, want %s", host, got, want)
		}
	}
	if got := rec.gateway().String(); got != "10.231.7.1" {
		t.Errorf("gateway %s", got)
	}
}

// A lab that stands keeps its addresses and its tree; it grows and never shrinks.
func TestClaim(t *testing.T) {
	s, ctx := testStore(t), t.Context()
	if err := os.MkdirAll(s.labDir("main"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.save(mainRecord()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		o      Options
		zk     int
		refuse string
	}{
		{"the same again", Options{Name: "main", Dir: "/d", ZooKeeper: 3, Apps: 2}, 3, ""},
		{"another directory", Options{Name: "main", Dir: "/e", ZooKeeper: 3, Apps: 2}, 0, "lab main stands with directory /d, not /e"},
		{"fewer members", Options{Name: "main", Dir: "/d", ZooKeeper: 1, Apps: 2}, 0, "has 3 zookeeper and 2 app hosts, asked for 1 and 2"},
		{"fewer apps", Options{Name: "main", Dir: "/d", ZooKeeper: 3, Apps: 1}, 0, "has 3 zookeeper and 2 app hosts, asked for 3 and 1"},
		{"another driver", Options{Name: "main", Dir: "/d", ZooKeeper: 3, Apps: 2, Driver: DriverQEMU}, 0, "lab main stands with driver nspawn, not qemu"},
		{"its driver by name", Options{Name: "main", Dir: "/d", ZooKeeper: 3, Apps: 2, Driver: DriverNspawn}, 3, ""},
		{"more members", Options{Name: "main", Dir: "/d", ZooKeeper: 5, Apps: 2}, 5, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec, err := s.claim(ctx, tt.o)
			if tt.refuse != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refuse) {
					t.Fatalf("got %v, want %q", err, tt.refuse)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if rec.ZooKeeper != tt.zk || rec.Subnet != mainRecord().Subnet || rec.Base != mainRecord().Base {
				t.Errorf("claimed %+v", rec)
			}
			if saved, err := s.load("main"); err != nil || saved.ZooKeeper != tt.zk {
				t.Errorf("saved %+v, %v", saved, err)
			}
		})
	}
}
