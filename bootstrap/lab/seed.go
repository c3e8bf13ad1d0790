package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
	"github.com/zkboot/zkboot/bootstrap/lab/vm"
	"github.com/zkboot/zkboot/cloudinit"
)

// seedFiles are the files of a host's NoCloud seed: what cloudinit makes of the account, the
// pinned host key and what the roles want at first boot, and the lab's own part, which is that of
// a platform and lies in vendor-data.
func seedFiles(rec *record, host string, desired []bootstrap.Desired, clientKey []byte, key cloudinit.HostKey, resolv string) ([]cloudinit.SeedFile, error) {
	network, err := networkConfig(rec, host, nameServers(resolv))
	if err != nil {
		return nil, err
	}
	doc, report := cloudinit.Render(cloudinit.Options{
		Host:          host,
		InstanceID:    domainName(rec.Name, host),
		Login:         cloudinit.Login{User: login, Keys: []string{strings.TrimSpace(string(clientKey))}},
		HostKeys:      []cloudinit.HostKey{key},
		Installed:     vm.Packages(),
		Desired:       desired,
		NetworkConfig: network,
	})
	if err := report.Err(); err != nil {
		return nil, fmt.Errorf("user-data: %w", err)
	}
	files := doc.Seed()
	if isApp(host) {
		files = append(files, cloudinit.SeedFile{Name: "vendor-data", Content: []byte(serviceHook)})
	}
	return files, nil
}

// serviceHook turns the service of an application host on. cloud-init runs it at every boot,
// before anybody can log in
// (https://cloudinit.readthedocs.io/en/22.4.2/topics/format.html#cloud-boothook).
var serviceHook = `#cloud-boothook
#!/bin/sh
# Written by zkboot lab: the service of an application host.
set -eu
rm -f /etc/nginx/sites-enabled/default # it would take port 80
cat >/etc/nginx/conf.d/zkboot-lab.conf <<'CONF'
` + serviceConf + `CONF
systemctl --quiet enable nginx.service
systemctl --no-block start nginx.service
`

// networkV2 is https://cloudinit.readthedocs.io/en/22.4.2/topics/network-config-format-v2.html
type networkV2 struct {
	Version   int                 `json:"version"`
	Ethernets map[string]ethernet `json:"ethernets"`
}

type ethernet struct {
	Match       map[string]string   `json:"match"`
	Addresses   []string            `json:"addresses"`
	Routes      []map[string]string `json:"routes"`
	NameServers map[string][]string `json:"nameservers,omitempty"`
}

// networkConfig gives the one network card its fixed address. It is JSON, which YAML contains:
// unquoted, an address of digits alone such as 52:54:00:12:34:56 is a number to YAML 1.1.
func networkConfig(rec *record, host string, servers []string) ([]byte, error) {
	e := ethernet{
		Match:     map[string]string{"macaddress": macAddress(rec.Name, host)},
		Addresses: []string{netip.PrefixFrom(rec.address(host), rec.Subnet.Bits()).String()},
		Routes:    []map[string]string{{"to": "0.0.0.0/0", "via": rec.gateway().String()}},
	}
	if len(servers) > 0 {
		e.NameServers = map[string][]string{"addresses": servers}
	}
	text, err := json.MarshalIndent(networkV2{Version: 2, Ethernets: map[string]ethernet{"lab": e}}, "", "  ")
	return append(text, '\n'), err
}

// nameServers are those of a resolv.conf.
func nameServers(resolv string) []string {
	var out []string
	for line := range strings.Lines(resolv) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			out = append(out, f[1])
		}
	}
	return out
}

// writeSeed makes the ISO image in which cloud-init finds a NoCloud seed, by its label
// (https://cloudinit.readthedocs.io/en/22.4.2/topics/datasources/nocloud.html).
func writeSeed(ctx context.Context, iso string, files []cloudinit.SeedFile) error {
	dir, err := os.MkdirTemp(filepath.Dir(iso), "seed-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Content, 0o600); err != nil {
			return err
		}
	}
	if _, err := machine.Run(ctx, nil, "genisoimage", "-quiet", "-output", iso, "-volid", "CIDATA", "-joliet", "-rock", dir); err != nil {
		return err
	}
	return os.Chmod(iso, 0o600) // a private host key lies in it
}
