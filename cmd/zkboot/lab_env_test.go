package main

import (
	"bytes"
	"errors"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
	"github.com/zkboot/zkboot/verify"
)

// What env prints is evaluated by a real shell, in which no value may do anything else.
func TestLabEnvInAShell(t *testing.T) {
	members := &bootstrap.Ensemble{Members: map[string]bootstrap.Member{"zk1": {ID: 1}, "zk2": {ID: 2}}}
	hosts := []*lab.Host{
		{Name: "zk1", Address: netip.MustParseAddr("10.99.0.11")},
		{Name: "zk2", Address: netip.MustParseAddr("10.99.0.12")},
		{Name: "app1", Address: netip.MustParseAddr("10.99.0.101")},
	}
	addresses := map[string]bootstrap.HostSpec{"zk1": {Address: "10.99.0.11"}, "zk2": {Address: "10.99.0.12"}, "app1": {Address: "10.99.0.101"}}
	for _, tt := range []struct {
		name     string
		dir      string
		ensemble *bootstrap.Ensemble
		print    string
		want     string
	}{
		{"connect string", "/lab", members, "$ZKBOOT_CONNECT", "10.99.0.11:2181,10.99.0.12:2181"},
		{"connect string with a port of its own", "/lab",
			&bootstrap.Ensemble{Members: map[string]bootstrap.Member{"zk2": {ID: 2}}, Ports: bootstrap.Ports{Client: 12181}},
			"$ZKBOOT_CONNECT", "10.99.0.12:12181"},
		{"addresses", "/lab", members, "$ZKBOOT_ZK1 $ZKBOOT_ZK2 $ZKBOOT_APP1", "10.99.0.11 10.99.0.12 10.99.0.101"},
		{"lab", "/lab", members, "$ZKBOOT_LAB in $ZKBOOT_LAB_DIR", "ci in /lab"},
		{"a directory that a shell would take for more", "/it's a $(echo lab); `x` \"y\"", members,
			"$ZKBOOT_LAB_DIR", "/it's a $(echo lab); `x` \"y\""},
		{"no members", "/lab", nil, "${ZKBOOT_CONNECT-none} $ZKBOOT_APP1", "none 10.99.0.101"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			l := &lab.Lab{Name: "ci", Dir: tt.dir, Hosts: hosts}
			if err := writeEnv(&out, l, &bootstrap.Spec{Hosts: addresses, Ensemble: tt.ensemble}); err != nil {
				t.Fatal(err)
			}
			shell := exec.CommandContext(t.Context(), "sh", "-euc", `eval "$1"; eval "printf %s \"$2\""`, "sh", out.String(), tt.print)
			shell.Env = []string{"PATH=/usr/bin:/bin"}
			got, err := shell.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s\n%s", err, got, &out)
			}
			if string(got) != tt.want {
				t.Errorf("the shell has %q, want %q, from\n%s", got, tt.want, &out)
			}
			for line := range strings.Lines(out.String()) {
				if !strings.HasPrefix(line, "export ZKBOOT_") {
					t.Errorf("what is evaluated holds more than exports: %q", line)
				}
			}
		})
	}
}

// up --apply is apply and verify: it ends as they do, and says where to go on only when both
// are through.
func TestLabIsAppliedAndVerified(t *testing.T) {
	const next = `next: eval "$(zkboot lab env --name ci)"`
	w := newWorld(t, "zk1", "app1")
	ci := &lab.Lab{Name: "ci", Dir: w.dir}
	up := func() int {
		w.stdout.Reset()
		w.stderr.Reset()
		err := w.app().applyLab(t.Context(), ci)
		var exit *exitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		} else if err != nil {
			return exit.code
		}
		return codeOK
	}

	w.machines["app1"].Probes = func(verify.Query) (verify.Result, error) { return disk(5000), nil }
	if code := up(); code != codeUnfit {
		t.Errorf("with a slow disk: exit %d, want %d\n%s%s", code, codeUnfit, &w.stdout, &w.stderr)
	}
	w.untouched()
	if strings.Contains(w.stdout.String(), next) {
		t.Errorf("a lab that is not there is praised:\n%s", &w.stdout)
	}

	w.machines["app1"].Probes = func(verify.Query) (verify.Result, error) { return disk(1), nil }
	for _, outcome := range []string{"main: applied", "nothing to do"} {
		if code := up(); code != codeOK {
			t.Fatalf("exit %d, want 0\n%s%s", code, &w.stdout, &w.stderr)
		}
		w.says(&w.stdout, outcome, "disk.fsync.p99", "verdict: pass", next)
	}
}
