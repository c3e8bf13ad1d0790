package lab

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/zkboot/zkboot/bootstrap"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

func TestSpec(t *testing.T) {
	for _, tt := range []struct {
		name, driver string
		zk, apps     int
	}{{"three", "", 3, 0}, {"three-and-apps", "", 3, 2}, {"many-apps", "", 0, 11}, {"virtual", DriverQEMU, 1, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			rec := mainRecord()
			rec.ZooKeeper, rec.Apps, rec.Driver = tt.zk, tt.apps, tt.driver
			got, err := renderSpec(rec)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name+".yaml", got)
			s, report := bootstrap.Load("zkboot.yaml", got)
			if err := report.Err(); err != nil {
				t.Fatalf("the engine does not load it: %v", err)
			}
			if len(s.Hosts) != tt.zk+tt.apps {
				t.Errorf("hosts %v", s.Hosts)
			}
		})
	}
}

// labWithFiles is a lab as Up has it before it writes its files.
func labWithFiles(t *testing.T) (store, *record, *Lab) {
	t.Helper()
	s, rec := testStore(t), mainRecord()
	rec.Dir, rec.MadeDir = filepath.Join(t.TempDir(), "d"), true
	if err := os.MkdirAll(s.labDir("main"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ensureClientKey("main"); err != nil {
		t.Fatal(err)
	}
	_, hostKey, err := newKeyPair("root@zk1")
	if err != nil {
		t.Fatal(err)
	}
	return s, rec, &Lab{Name: "main", Dir: rec.Dir, Hosts: []*Host{{Name: "zk1", Address: rec.address("zk1"), HostKey: string(bytes.TrimSpace(hostKey))}}}
}

func write(t *testing.T, s store, rec *record, l *Lab) (log string, err error) {
	t.Helper()
	var b bytes.Buffer
	err = s.writeFiles(rec, l, slog.New(slog.NewTextHandler(&b, nil)))
	return b.String(), err
}

func TestFilesComeAndGo(t *testing.T) {
	s, rec, l := labWithFiles(t)
	for range 2 { // the second changes nothing
		if _, err := write(t, s, rec, l); err != nil {
			t.Fatal(err)
		}
	}
	key, err := os.ReadFile(filepath.Join(rec.Dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(rec.Dir, keyFile)); err != nil || info.Mode() != 0o600 {
		t.Errorf("%s: %v, %v: want 0600", keyFile, info.Mode(), err)
	}
	if _, err := ssh.ParsePrivateKey(key); err != nil {
		t.Error(err)
	}
	known, err := os.ReadFile(filepath.Join(rec.Dir, knownFile))
	if err != nil || !strings.HasPrefix(string(known), "10.231.7.11 ssh-ed25519 AAAA") {
		t.Errorf("%s: %q, %v", knownFile, known, err)
	}
	// Another process loads the record: it must know the files too.
	again, err := s.load("main")
	if err != nil {
		t.Fatal(err)
	}
	if err := removeFiles(again); err != nil {
		t.Fatal(err)
	}
	if ok, err := machine.Exists(rec.Dir); ok || err != nil {
		t.Errorf("%s is still there (%v)", rec.Dir, err)
	}
	if err := removeFiles(again); err != nil {
		t.Errorf("second time: %v", err)
	}
}

func TestChangedSpecIsKept(t *testing.T) {
	s, rec, l := labWithFiles(t)
	if _, err := write(t, s, rec, l); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(rec.Dir, specFile)
	if err := os.WriteFile(mine, []byte("name: mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := write(t, s, rec, l)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log, "kept a spec") || !strings.Contains(log, mine) {
		t.Errorf("log %q does not say that %s was kept", log, mine)
	}
	if err := removeFiles(rec); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(mine); err != nil || string(data) != "name: mine\n" {
		t.Errorf("%s: %q, %v", mine, data, err)
	}
}

func TestUnchangedSpecFollowsTheLab(t *testing.T) {
	s, rec, l := labWithFiles(t)
	if _, err := write(t, s, rec, l); err != nil {
		t.Fatal(err)
	}
	rec.Apps++
	if _, err := write(t, s, rec, l); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(rec.Dir, specFile))
	if err != nil || !strings.Contains(string(data), "app3:") {
		t.Errorf("%q, %v: want app3 in it", data, err)
	}
}

func TestForeignKeyIsNeverTouched(t *testing.T) {
	s, rec, l := labWithFiles(t)
	if err := os.MkdirAll(rec.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(rec.Dir, keyFile)
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := write(t, s, rec, l); err == nil || !strings.Contains(err.Error(), precious+" exists and is not this lab's") {
		t.Errorf("up: %v", err)
	}
	if err := removeFiles(rec); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(precious); err != nil || string(data) != "precious" {
		t.Errorf("%s: %q, %v", precious, data, err)
	}
}
