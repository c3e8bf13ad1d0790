package watcher

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/watcher/config"
)

var apiService = config.Service{Registry: "main", Path: "/services/api", Format: config.Plain}

func modified(t *testing.T, s *Store) time.Time {
	t.Helper()
	info, err := os.Stat(s.file)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

func TestStoreGivesBackWhatItWasGiven(t *testing.T) {
	s := openStore(t, nil)
	one := stored{Service: apiService, Revision: 1 << 60, Read: time.Now().Round(0), Instances: []Instance{
		{ID: "10.0.0.1:80", Host: "10.0.0.1", Port: 80, Weight: 0, Zone: "z", Labels: map[string]string{"a\"\n": "</script>"}},
		{ID: "[::1]:80", Host: "::1", Port: 65535, Weight: 256, Name: "n", Draining: true}}}
	two := stored{Service: apiService, Revision: 3, Instances: set("x y")}
	for name, put := range map[string]stored{"api": one, "db": two, "gone": two, "emptied": two} {
		if !s.put(name, put) {
			t.Errorf("nothing to write after %s", name)
		}
	}
	s.put("emptied", stored{Service: apiService, Revision: 9})
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	one.Read = one.Read.Add(time.Hour)
	if s.put("api", one) {
		t.Error("something to write after the same set was read again")
	}
	two.Instances = set("x")
	s.put("db", two)
	s.keep([]string{"api", "db", "emptied"})
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}

	again := openStore(t, s)
	if again.notice != "" {
		t.Error(again.notice)
	}
	for name, want := range map[string]stored{"api": one, "db": two} {
		if got, ok := again.get(name, apiService); !ok || cmp.Diff(want, got) != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, ok, cmp.Diff(want, got))
		}
	}
	for _, name := range []string{"gone", "emptied"} {
		if got, ok := again.get(name, apiService); ok {
			t.Errorf("%s: %+v, want nothing", name, got)
		}
	}
	info, err := os.Stat(s.file)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v; want mode 0640", info.Mode(), err)
	}
}

// A set from another place says nothing about this one.
func TestStoreForgetsASetThatWasReadElsewhere(t *testing.T) {
	s := openStore(t, nil)
	s.put("api", stored{Service: apiService, Revision: 3, Instances: set("a")})
	for name, at := range map[string]config.Service{
		"registry": {Registry: "other", Path: "/services/api", Format: config.Plain},
		"path":     {Registry: "main", Path: "/services/api2", Format: config.Plain},
		"format":   {Registry: "main", Path: "/services/api", Format: config.Nerve},
	} {
		if got, ok := s.get("api", at); ok {
			t.Errorf("another %s: got %+v", name, got)
		}
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	elsewhere := config.Service{Registry: "main", Path: "/services/api2", Format: config.Plain}
	if !s.put("api", stored{Service: elsewhere, Revision: 3, Instances: set("a")}) {
		t.Error("nothing to write, although the set was read elsewhere")
	}
}

func TestABrokenStoreIsSetAside(t *testing.T) {
	const good = `{"format":1,"services":{"api":{"service":{"registry":"main","path":"/services/api","format":"plain"},"revision":1,"instances":[%s]}}}`
	instance := func(text string) string { return strings.Replace(good, "%s", text, 1) }
	tests := []struct{ name, text, notice string }{
		{"empty file", "", "unexpected end of JSON input"},
		{"half a file", instance("")[:60], "unexpected end of JSON input"},
		{"not ours", "defaults\n  mode http\n", "invalid character"},
		{"of a later zkwatch", `{"format":2,"services":{}}`, "its format is 2, and this zkwatch reads 1"},
		{"other JSON", `[1]`, "cannot unmarshal array"},
		{"an empty set", instance(""), `service "api": it has no instances`},
		{"no name", instance(`{"host":"h","port":1}`), `service "api": instance 0 has no name or no host`},
		{"no host", instance(`{"id":"a","port":1}`), "instance 0 has no name or no host"},
		{"no such port", instance(`{"id":"a","host":"h","port":65536}`), `instance "a" has port 65536`},
		{"no such weight", instance(`{"id":"a","host":"h","port":1,"weight":257}`), `instance "a" has weight 257`},
		{"twice the same", instance(`{"id":"a","host":"h","port":1},{"id":"a","host":"h","port":2}`), `instance "a" is out of order`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "sets.json")
			if err := os.WriteFile(file, []byte(tt.text), 0o640); err != nil {
				t.Fatal(err)
			}
			s, err := OpenStore(dir)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(s.notice, tt.notice) || len(s.sets) != 0 {
				t.Errorf("notice %q and %d sets, want %q and none", s.notice, len(s.sets), tt.notice)
			}
			if aside, err := os.ReadFile(file + ".broken"); err != nil || string(aside) != tt.text {
				t.Errorf("set aside %q, %v", aside, err)
			}
			s.put("api", stored{Service: apiService, Instances: set("a")})
			if err := s.flush(); err != nil {
				t.Error(err)
			}
			if again := openStore(t, s); again.notice != "" || len(again.sets) != 1 {
				t.Errorf("after it was written anew: %q, %d sets", again.notice, len(again.sets))
			}
		})
	}
}

// A hookWriter calls a function once, when the first is written.
type hookWriter struct {
	bytes.Buffer
	hook func()
}

func (w *hookWriter) Write(p []byte) (int, error) {
	if w.hook != nil {
		w.hook()
		w.hook = nil
	}
	return w.Buffer.Write(p)
}

// The store is not locked while it is written, so that the loop never waits for a disk.
func TestWhatIsStoredDuringAWriteIsWrittenTheNextTime(t *testing.T) {
	old, latest := stored{Service: apiService, Revision: 1, Instances: set("a")}, stored{Service: apiService, Revision: 2, Instances: set("b")}
	for _, tt := range []struct {
		name string
		hook func(s *Store)
		want map[string]stored // after both
	}{
		{"changed", func(s *Store) { s.put("api", latest) }, map[string]stored{"api": latest, "db": old}},
		{"new", func(s *Store) { s.put("web", latest) }, map[string]stored{"api": old, "db": old, "web": latest}},
		{"forgotten", func(s *Store) { s.keep([]string{"db"}) }, map[string]stored{"db": old}},
		{"emptied", func(s *Store) { s.put("api", stored{Service: apiService}) }, map[string]stored{"db": old}},
		{"all forgotten", func(s *Store) { s.keep(nil) }, map[string]stored{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := openStore(t, nil)
			s.put("api", old)
			s.put("db", old)
			first := &hookWriter{hook: func() { tt.hook(s) }}
			if err := s.encode(first, s.take()); err != nil {
				t.Fatal(err)
			}
			if err := newStore("").parse(first.Bytes()); err != nil {
				t.Errorf("what was written meanwhile cannot be read: %v\n%s", err, first.Bytes())
			}
			if err := s.flush(); err != nil {
				t.Fatal(err)
			}
			if again := openStore(t, s); cmp.Diff(tt.want, again.sets) != "" {
				t.Errorf("(-want +read):\n%s", cmp.Diff(tt.want, again.sets))
			}
		})
	}
}

func TestWhatAKilledWriteLeftIsRemoved(t *testing.T) {
	s := openStore(t, nil)
	half := filepath.Join(s.dir(), ".sets.json123")
	if err := os.WriteFile(half, []byte("{"), 0o640); err != nil {
		t.Fatal(err)
	}
	openStore(t, s)
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", half, err)
	}
}

func TestAStoreWithoutADirectoryIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(filepath.Join(file, "below")); err == nil || !strings.Contains(err.Error(), "the directory for the sets that are served") {
		t.Errorf("error %v", err)
	}
}

func FuzzStore(f *testing.F) {
	f.Add([]byte(`{"format":1,"services":{"api":{"service":{"registry":"main"},"revision":1,"instances":[{"id":"a","host":"h","port":1,"weight":1}]}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := newStore("")
		if s.parse(text) != nil {
			return
		}
		for name, one := range s.sets {
			one.Revision++
			if !s.put(name, one) {
				t.Fatalf("%q is not to be written with another revision", name)
			}
		}
		names := s.take()
		if len(s.sets) == 0 && names == nil {
			return
		}
		var written bytes.Buffer
		if err := s.encode(&written, names); err != nil {
			t.Fatal(err)
		}
		again := newStore("")
		if err := again.parse(written.Bytes()); err != nil || !cmp.Equal(s.sets, again.sets) {
			t.Fatalf("%v (-put +read):\n%s", err, cmp.Diff(s.sets, again.sets))
		}
	})
}
