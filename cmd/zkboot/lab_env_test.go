package main

import (
	"bytes"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
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
