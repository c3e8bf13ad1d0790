package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

// bootSpec is what a lab of virtual machines writes, shortened.
const bootSpec = `name: main
ssh: {user: debian}
hardware: {profile: lab}
hosts:
  app1: {address: 10.231.7.101}
  zk1: {address: 10.231.7.11, mounts: {/var/lib/zookeeper-log: {device: /dev/disk/by-id/virtio-zkdata}}}
ensemble: {members: {zk1: {id: 1}}, source: {apt: {}}, accept_known_issues: [ZOOKEEPER-4785], heap: 256MiB}
registries: {main: {ensemble: true}}
services: {inventory: {registry: main, path: /services/inventory/instances}}
sidecars: {app1: {routes: {inventory: {service: inventory, bind: '127.0.0.1:3000'}}}}
`

// A machine of a lab boots with what its roles want, and with nothing that first boot cannot
// bring: the engine would refuse to render it.
func TestFirstBootOfALabHost(t *testing.T) {
	for host, want := range map[string][]bootstrap.ID{
		"zk1":  {"mount:/var/lib/zookeeper-log", "package:libzookeeper-java", "file:/etc/sysctl.d/90-zkboot-main.conf"},
		"app1": {"package:haproxy"},
	} {
		wanted, err := labFirstBoot([]byte(bootSpec), host)
		if err != nil {
			t.Fatal(err)
		}
		var ids []bootstrap.ID
		for _, d := range wanted {
			for _, r := range d.Resources {
				ids = append(ids, r.ID())
			}
		}
		for _, id := range want {
			if !slices.Contains(ids, id) {
				t.Errorf("%s boots without %s, with %q", host, id, ids)
			}
		}
		if i := slices.IndexFunc(ids, func(id bootstrap.ID) bool { return strings.HasPrefix(string(id), "secret:") }); i >= 0 {
			t.Errorf("%s boots with %s", host, ids[i])
		}
	}
	if _, err := labFirstBoot([]byte("hosts: 1\n"), "zk1"); err == nil || !strings.Contains(err.Error(), "hosts") {
		t.Errorf("a spec that does not load: %v, want an error that names the key", err)
	}
}
