package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap/lab"
)

// What the command line says becomes what package lab is asked for.
func TestLabFaultInjection(t *testing.T) {
	zk2, app1 := netip.MustParseAddr("10.99.0.12"), netip.MustParseAddr("10.99.0.101")
	l := &lab.Lab{Name: "ci", Dir: t.TempDir(), Hosts: []*lab.Host{{Name: "zk2", Address: zk2}, {Name: "app1", Address: app1}}}
	spec := "name: renamed\nhosts:\n  zk2: {address: 10.99.0.12}\nensemble:\n  members: {zk2: {id: 2}}\n  source: {apt: {}}\n"
	if err := os.WriteFile(filepath.Join(l.Dir, defaultFile), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	noSpec := &lab.Lab{Name: "ci", Dir: t.TempDir(), Hosts: l.Hosts}
	for _, tt := range []struct {
		name  string
		lab   *lab.Lab
		fault lab.Fault
		flags faultFlags
		want  lab.Injection
		err   string
	}{
		{"the member of the spec, whatever the lab is called", l, lab.FaultKill, faultFlags{},
			lab.Injection{Fault: lab.FaultKill, Unit: "zookeeper-renamed.service"}, ""},
		{"a unit of one's own needs no spec", noSpec, lab.FaultPause, faultFlags{unit: "nginx.service"},
			lab.Injection{Fault: lab.FaultPause, Unit: "nginx.service"}, ""},
		{"no spec", noSpec, lab.FaultPause, faultFlags{}, lab.Injection{}, "--unit: "},
		{"peers by name and by address", noSpec, lab.FaultPartitionIn, faultFlags{peers: []string{"app1", "10.99.0.1"}},
			lab.Injection{Fault: lab.FaultPartitionIn, Peers: []netip.Addr{app1, netip.MustParseAddr("10.99.0.1")}}, ""},
		{"a peer that is nobody", noSpec, lab.FaultPartition, faultFlags{peers: []string{"zk9"}}, lab.Injection{}, `--peer: lab ci has no host "zk9", only [zk2 app1]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.flags.injection(tt.lab, tt.fault)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v: want %q in it", err, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// A spec that pins the key of a host that is no more is kept, and somebody is told.
func TestWarnOfPinnedKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), defaultFile)
	h := &lab.Host{Name: "zk2", HostKey: "ssh-ed25519 NEW"}
	for text, want := range map[string]string{
		"hosts: {zk2: {host_key: ssh-ed25519 OLD}}\n": file + " pins the old host_key of zk2 and was kept: put the new one in\n",
		"hosts: {zk2: {host_key: ssh-ed25519 NEW}}\n": "",
		"hosts: {zk2: {address: 10.99.0.12}}\n":       "",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		a := &app{stderr: &said}
		if err := a.warnOfPinnedKey(file, h, "ssh-ed25519 OLD"); err != nil || said.String() != want {
			t.Errorf("%q: said %q, %v; want %q", text, &said, err, want)
		}
	}
}
