package agent

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

func TestLookSeesWhatManifestsOwn(t *testing.T) {
	f := newFakeThings(pkg("owned"), pkg("asked"), pkg("other"))
	h := newTestHost(t, t.TempDir(), f)
	m := bootstrap.Manifest{Format: 1, Owner: owner, Entries: []bootstrap.Entry{{ID: "dir:/owned"}, {ID: "package:owned"}}}
	if err := h.store.save(m); err != nil {
		t.Fatal(err)
	}
	procs := filepath.Join(h.root, "sys/fs/cgroup/system.slice/z.service/cgroup.procs")
	if err := os.MkdirAll(filepath.Dir(procs), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(procs, []byte("42\n43\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	facts, state, err := h.Look(t.Context(), "package:asked", "dir:/asked", "unit:z.service", "unit:off.service", "package:asked")
	if err != nil {
		t.Fatal(err)
	}
	want := bootstrap.NewState(pkg("owned"), pkg("asked"))
	want.Manifests = map[string]bootstrap.Manifest{string(owner): m}
	if !reflect.DeepEqual(state.Things, want.Things) || state.Fingerprint() != want.Fingerprint() {
		t.Errorf("want %+v, got %+v", want, state)
	}
	if want := []verify.Dir{{Path: "/asked"}, {Path: "/owned"}}; !reflect.DeepEqual(facts.Dirs, want) {
		t.Errorf("want the directories %v, got %v", want, facts.Dirs)
	}
	if len(facts.Processes) != 1 || facts.Processes[0].PID != 42 {
		t.Errorf("want the process of z.service, got %v", facts.Processes)
	}
}

func TestRevealOnlyWhatAManifestOwns(t *testing.T) {
	h := newTestHost(t, t.TempDir(), newFakeThings())
	for name, content := range map[string]string{"owned": "s3cret\n", "foreign": "hash", "large": strings.Repeat("x", secretLimit+1)} {
		if err := os.WriteFile(filepath.Join(h.root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("foreign", filepath.Join(h.root, "link")); err != nil {
		t.Fatal(err)
	}
	m := bootstrap.Manifest{Owner: owner, Entries: []bootstrap.Entry{{ID: "file:/foreign"}, {ID: "secret:/large"}, {ID: "secret:/link"}, {ID: "secret:/owned"}}}
	if err := h.store.save(m); err != nil {
		t.Fatal(err)
	}
	if s, err := h.Reveal(t.Context(), "/owned"); err != nil || s != "s3cret" {
		t.Errorf("want s3cret, got %q, %v", s, err)
	}
	if _, err := h.Reveal(t.Context(), "/foreign"); !errors.Is(err, bootstrap.ErrRefused) {
		t.Errorf("a file that is no secret: want ErrRefused, got %v", err)
	}
	for path, want := range map[string]string{"/link": "too many levels of symbolic links", "/large": "regular file of at most"} {
		if s, err := h.Reveal(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, got %q, %v", path, want, s, err)
		}
	}
}

// The host and the things together, on files: what is wanted comes, is remembered, may
// be revealed, and goes without a trace.
func TestRealFilesComeAndGo(t *testing.T) {
	s := newSandbox(t)
	h := newTestHost(t, s.root, nil)
	h.things = s.machine
	if err := os.MkdirAll(filepath.Join(s.root, "etc/app"), 0o755); err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(s.root, "etc/app/theirs.conf")
	if err := os.WriteFile(theirs, []byte("theirs\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	l := start(t, h, ConnectOptions{})
	locked(t, l)

	logs := bootstrap.Dir{Path: "/var/log/app", Mode: 0o750, Owner: "me", Group: "us", Contents: true}
	secret := bootstrap.Secret{Path: "/etc/app/secret", Bytes: 32, Mode: 0o600, Owner: "me", Group: "us"}
	filled := ownFile("/etc/app/app.cfg", "digest=super:@D@\n")
	filled.Fill = []bootstrap.Fill{{Marker: "@D@", Secret: secret.Path, As: bootstrap.FillSuperDigest}}
	d := bootstrap.Desired{Resources: []bootstrap.Resource{logs, secret, filled, ownFile("/etc/app/theirs.conf", "ours\n")}, Cluster: "c"}
	in := bootstrap.Intent{Verb: bootstrap.VerbConverge}
	if err := l.Change(t.Context(), plan(t, l, owner, d, in)...); err != nil {
		t.Fatal(err)
	}
	if rest := plan(t, l, owner, d, in); len(rest) > 0 {
		t.Fatalf("it does not converge: %v", rest)
	}
	shown, err := l.Reveal(t.Context(), secret.Path)
	if err != nil || len(shown) != 64 {
		t.Errorf("want 32 bytes in hex, got %d characters, %v", len(shown), err)
	}
	manifest, err := os.ReadFile(h.store.path(owner))
	if err != nil || strings.Contains(string(manifest), shown) {
		t.Errorf("the manifest tells the secret (%v)", err)
	}
	s.put("/var/log/app/app.log", "written by a program of ours")

	if err := l.Change(t.Context(), plan(t, l, owner, bootstrap.Desired{Cluster: "c"}, in)...); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(theirs); err != nil || string(b) != "theirs\n" {
		t.Errorf("want their file back, got %q, %v", b, err)
	}
	for _, gone := range []string{"/etc/app/secret", "/etc/app/app.cfg", "/var/log/app", "/etc/zkboot"} {
		s.absent(gone)
	}
}
