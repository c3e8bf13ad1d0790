package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/crypto/ssh"
)

func TestHostKeyPair(t *testing.T) {
	var m, other hostKeyModel
	for _, k := range []*hostKeyModel{&m, &other} {
		if err := k.make(); err != nil {
			t.Fatal(err)
		}
	}
	if m.PrivateKey.Equal(other.PrivateKey) || m.PublicKey.Equal(other.PublicKey) {
		t.Error("two key pairs are one")
	}
	pair, err := hostKeyOf(m.PrivateKey.ValueString())
	if err != nil || pair.Public != m.PublicKey.ValueString() || pair.Type != "ed25519" {
		t.Errorf("the private half has the public half %q, want %s (%v)", pair.Public, m.PublicKey, err)
	}
	key, err := publicKey(m.PublicKey.ValueString())
	if err != nil || ssh.FingerprintSHA256(key) != m.Fingerprint.ValueString() {
		t.Errorf("fingerprint %s of %s (%v)", m.Fingerprint, m.PublicKey, err)
	}
	m.Addresses = []types.String{types.StringValue("203.0.113.11"), types.StringValue("zk1.example.net:2222")}
	if d := m.pin(); d.HasError() {
		t.Fatal(d)
	}
	if want := "203.0.113.11,[zk1.example.net]:2222 " + m.PublicKey.ValueString(); m.KnownHosts.ValueString() != want {
		t.Errorf("known_hosts %s, want %s", m.KnownHosts, want)
	}
	m.Addresses = nil
	if m.pin(); !m.KnownHosts.IsNull() {
		t.Errorf("known_hosts without addresses: %s", m.KnownHosts)
	}
}

func TestSSHAddress(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.11": "203.0.113.11:22", "zk1": "zk1:22", "zk1:2222": "zk1:2222", "fd00::1": "[fd00::1]:22", "[fd00::1]": "[fd00::1]:22", "[fd00::1]:23": "[fd00::1]:23",
	} {
		if got, err := sshAddress(text); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "*", "*.example.net", "a,b", "zk1:0", "zk1:ssh", "!zk1", "two words"} {
		if got, err := sshAddress(text); err == nil || !strings.Contains(err.Error(), "want an IP address or a host name") {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}
