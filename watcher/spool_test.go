package watcher

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseMark(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want mark
	}{
		"an empty file":                    {"", mark{}},
		"a reason, as the first hacheck":   {"kernel update\n", mark{Reason: "kernel update"}},
		"the json of Yelp's":               {`{"reason": "hi", "expiration": 12345, "creation": 12344}`, mark{Reason: "hi", Until: time.Unix(12345, 0)}},
		"with fractions, as python has":    {`{"reason": "hi", "expiration": 12345.5, "creation": 1.25}`, mark{Reason: "hi", Until: time.Unix(12345, 5e8)}},
		"without an end":                   {`{"reason": "", "expiration": null, "creation": 1.25}`, mark{}},
		"half of a json":                   {`{"reason": "h`, mark{Reason: `{"reason": "h`}},
		"a wrong type drains, without end": {`{"reason": 7, "expiration": "soon"}`, mark{Reason: `{"reason": 7, "expiration": "soon"}`}},
		"an end before all time":           {`{"expiration": -1}`, mark{}},
		"an end after all time":            {`{"expiration": 1e300}`, mark{}},
		"a list":                           {`[1]`, mark{Reason: "[1]"}},
		"more than one line":               {"one\ntwo", mark{Reason: "one ..."}},
		"what could move a cursor":         {"a\x1b[2Jb\xff", mark{Reason: "a [2Jb?"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, parseMark([]byte(tt.text))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzMark(f *testing.F) {
	for _, s := range []string{"", "reason", `{"reason":"hi","expiration":12345.5,"creation":1}`, `{"expiration":1e400}`, "\xff\n\x00", `{"reason":"a\nb"}`, strings.Repeat("x", 5000)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := parseMark(b)
		if !utf8.ValidString(m.Reason) || strings.ContainsFunc(m.Reason, func(r rune) bool { return !unicode.IsPrint(r) }) || utf8.RuneCountInString(m.Reason) > 204 {
			t.Fatalf("reason %q is not one short printable line", m.Reason)
		}
		text, err := m.text(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		again := parseMark(text)
		// The end goes through a float of seconds, as in hacheck: a microsecond may get lost.
		if math.Abs(float64(again.Until.Sub(m.Until))) > 1e5 || again.Until.IsZero() != m.Until.IsZero() {
			t.Fatalf("end %v became %v", m.Until, again.Until)
		}
		if again.Reason != m.Reason && utf8.RuneCountInString(m.Reason) <= 200 {
			t.Fatalf("reason %q became %q", m.Reason, again.Reason)
		}
	})
}

func TestSpool(t *testing.T) {
	dir := t.TempDir()
	s := spool{dir: filepath.Join(dir, "spool")}
	now := time.Now()
	got, err := s.read(now)
	if err != nil || len(got.drain)+len(got.stopped) != 0 {
		t.Fatalf("a directory that is not there: got %v, %v", got, err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		must(os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644))
	}
	must(s.put("shop-1", false, mark{Reason: "by hand"}))
	must(s.put("shop-2", true, mark{Reason: "deregistered"}))
	write("shop-3", "")
	write("shop-4", `{"expiration": 12345}`)
	write(".shop-5.swp", "an editor's")
	must(os.Mkdir(filepath.Join(s.dir, "shop-6"), 0o755))
	must(syscall.Mkfifo(filepath.Join(s.dir, "shop-7"), 0o644))
	must(os.Symlink("/etc/hostname", filepath.Join(s.dir, "shop-8")))
	write("shop-9", strings.Repeat("x", 1<<20))
	write("all", "everything")
	got, err = s.read(now)
	must(err)
	reasons := map[string]string{}
	for name, m := range got.drain {
		reasons[name] = m.Reason
	}
	want := map[string]string{"shop-1": "by hand", "shop-3": "", "shop-7": "not a regular file", "shop-9": strings.Repeat("x", 200) + " ...", "all": "everything",
		"shop-8": "a mark that cannot be read: open " + s.dir + "/shop-8: too many levels of symbolic links"}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]bool{"shop-2": true}, got.stopped); diff != "" {
		t.Errorf("stopped (-want +got):\n%s", diff)
	}
	for _, name := range []string{"shop-1", "shop-3", "shop-7", "shop-8", "shop-9", "all", "never there"} {
		must(s.remove(name, false))
	}
	must(s.remove("shop-2", true))
	if got, err = s.read(now); err != nil || len(got.drain)+len(got.stopped) != 0 {
		t.Errorf("after all were removed: got %v, %v", got, err)
	}
	must(os.RemoveAll(s.dir))
	must(os.WriteFile(s.dir, nil, 0o644))
	if _, err = s.read(now); err == nil || !strings.Contains(err.Error(), "reading the spool directory") {
		t.Errorf("a file where the directory should be: got %v, want an error, since nothing is known", err)
	}
}
