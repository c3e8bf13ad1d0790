//go:build lab

package cloudinit

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// unpacked is where scripts/lab-deps.sh puts the files of the package.
const unpacked = "/var/cache/zkboot/cloud-init"

// realSchema asks the real cloud-init about a document.
func realSchema(t *testing.T, doc []byte) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "user-data")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", "-m", "cloudinit.cmd.main", "schema", "-c", file)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+unpacked+"/usr/lib/python3/dist-packages", "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Without python3-jsonschema cloud-init calls everything valid: it must refuse something first.
func TestSchemaRefusesADocumentThatIsWrong(t *testing.T) {
	doc := render(t, facts("zk1", everything())).UserData
	for name, edit := range map[string][2]string{
		"a word for a truth value": {"package_update: true", "package_update: perhaps"},
		"an unknown encoding":      {`encoding: "b64"`, `encoding: "rot13"`},
		"a mode that is a number":  {`permissions: "0644"`, `permissions: 0644`},
		"commands that are none":   {"runcmd:\n", "runcmd: 7\nx:\n"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := strings.Replace(string(doc), edit[0], edit[1], 1)
			if wrong == string(doc) {
				t.Fatalf("%q is not in the document any more", edit[0])
			}
			if out, err := realSchema(t, []byte(wrong)); err == nil || !strings.Contains(out, "Cloud config schema errors") {
				t.Errorf("cloud-init takes it: %v, %s", err, out)
			}
		})
	}
}

func TestSchemaTakesWhatWeRender(t *testing.T) {
	docs := map[string]Options{
		"nothing":    {Host: "bare"},
		"everything": facts("zk1", everything()),
		"root":       {Host: "a", Login: Login{User: "root", Keys: []string{publicKey}}},
	}
	for spec, s := range guideSpecs(t) {
		for _, host := range s.HostNames() {
			want, _ := wanted(t, s, host)
			docs[spec+" "+host] = facts(host, want...)
		}
	}
	docs["packed"] = facts("zk1", wish("x", bootstrap.File{Path: "/etc/big", Content: strings.Repeat("0123456789\n", 3000), Mode: 0o644, Owner: "root", Group: "root"}))
	for name, o := range docs {
		t.Run(name, func(t *testing.T) {
			if out, err := realSchema(t, render(t, o).UserData); err != nil || !strings.Contains(out, "Valid cloud-config") {
				t.Errorf("cloud-init says %v: %s", err, out)
			}
		})
	}
}

// realParser runs a line of Python on a document d as cloud-init's own parser reads it.
func realParser(t *testing.T, doc []byte, print string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "user-data")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	script := "import sys; from cloudinit import util, safeyaml\n" +
		"d = safeyaml.load(open(sys.argv[1], encoding='utf-8').read())\nsys.stdout.write(" + print + ")"
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", script, file)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+unpacked+"/usr/lib/python3/dist-packages", "PYTHONDONTWRITEBYTECODE=1", "PYTHONIOENCODING=utf-8")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// cloud-init's own parser and shell writer see what our tests see with another parser.
func TestRealParserReadsTheSame(t *testing.T) {
	odd := "no\n\tüber\u2028\u0085 'x' \"y\" \\ ${z} `w` #: - [ { & * ! | > % @\n\n"
	o := facts("zk1", everything(), wish("x", bootstrap.File{Path: "/etc/x", Content: odd, Mode: 0o644, Owner: "root", Group: "root"}))
	doc := render(t, o).UserData
	got := realParser(t, doc, `[f["content"] for f in d["write_files"] if f["path"] == "/etc/x"][0] + util.shellify(d["runcmd"])`)
	if want := odd + "#!/bin/sh\n" + read(t, doc).Run[0] + "\n"; got != want {
		t.Errorf("%q, want\n%q", got, want)
	}
}

// Names that YAML 1.1 takes for truth values, numbers and times are names.
func TestRealParserReadsNames(t *testing.T) {
	for _, host := range []string{"no", "y", "null", "12", "0644", "0x1f", "1e3", "1.5", "2026-01-01"} {
		if got := realParser(t, render(t, Options{Host: host}).UserData, `repr(d["hostname"])`); got != "'"+host+"'" {
			t.Errorf("%s is read as %s", host, got)
		}
	}
}
