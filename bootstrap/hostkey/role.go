// Package hostkey is the role of a host whose SSH host key others may know, because user-data
// brought it there: it has the pinned key replaced by one that is made on the host.
package hostkey

import (
	"context"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// Key is the key that the role replaces: the only one that user-data of zkboot brings.
var Key = bootstrap.NewID(bootstrap.KindHostKey, "/etc/ssh/ssh_host_ed25519_key")

// keyType is the type of Key, as it stands in a .pub file.
const keyType = "ssh-ed25519"

// Role has the keys that a spec pins (HostSpec.HostKey) replaced. A spec for it is of use
// once: after that the host has another key than the one pinned.
type Role struct{}

var _ bootstrap.Role = Role{}

// Name implements bootstrap.Role.
func (Role) Name() string { return "hostkey" }

// Validate implements bootstrap.Role: without a pin nobody could tell whose key it was that
// has been replaced.
func (Role) Validate(s *bootstrap.Spec) bootstrap.Report {
	var r bootstrap.Report
	for _, host := range s.HostNames() {
		p := bootstrap.Path("hosts").Key(host).Field("host_key")
		keys := pinned(s, host)
		if len(keys) == 0 {
			r.Errorf(p, "want the public key that is to be replaced, found none")
		}
		for _, key := range keys {
			if !strings.HasPrefix(key, keyType+" ") {
				kind, _, _ := strings.Cut(key, " ")
				r.Errorf(p, "want a key of type %s, found one of type %s: others are not replaced", keyType, kind)
			}
		}
	}
	return r
}

// Queries implements bootstrap.Role.
func (Role) Queries(*bootstrap.Spec, string) []bootstrap.ID { return []bootstrap.ID{Key} }

// Compile implements bootstrap.Role.
func (Role) Compile(s *bootstrap.Spec, _ bootstrap.Site) (map[string]bootstrap.Desired, bootstrap.Report) {
	out := map[string]bootstrap.Desired{}
	for _, host := range s.HostNames() {
		out[host] = bootstrap.Desired{
			Resources: []bootstrap.Resource{bootstrap.HostKey{Path: Key.Name(), Replaces: pinned(s, host)}},
			From:      map[bootstrap.ID]bootstrap.Path{Key: bootstrap.Path("hosts").Key(host).Field("host_key")},
		}
	}
	return out, bootstrap.Report{}
}

// Next implements bootstrap.Role: hosts have nothing to do with each other.
func (Role) Next(*bootstrap.Spec, bootstrap.Site, bootstrap.Intent) (bootstrap.SiteStep, bool, error) {
	return bootstrap.SiteStep{}, false, nil
}

// Do implements bootstrap.Role; there are no site steps.
func (Role) Do(context.Context, *bootstrap.Spec, bootstrap.Hosts, bootstrap.SiteStep) error {
	return nil
}

// Prove implements bootstrap.Role. What the SSH server shows proves itself to whoever
// connects with the new pin; nothing on the host could prove more.
func (Role) Prove(context.Context, *bootstrap.Spec, bootstrap.Site, bootstrap.Hosts) []verify.Check {
	return nil
}

// pinned are the keys that a spec pins for a host.
func pinned(s *bootstrap.Spec, host string) []string {
	var keys []string
	for line := range strings.Lines(s.Hosts[host].HostKey) {
		if key := bootstrap.PublicKey(line); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}
