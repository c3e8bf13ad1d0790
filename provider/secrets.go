package provider

import (
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"golang.org/x/crypto/ssh"
)

// Secrets are what the provider block lends to connections. They are no part of a Spec: from
// there they could get into a plan, a state or a log.
type Secrets struct {
	PrivateKey   string // PEM
	Passphrase   string // of every private key that has one; "": ZKBOOT_SSH_PASSPHRASE
	SudoPassword string // "": ZKBOOT_SUDO_PASSWORD
}

// secretsOf reads the secrets of the provider block. Its error shows nothing of them.
func secretsOf(raw tftypes.Value) (Secrets, error) {
	var attributes map[string]tftypes.Value
	if err := raw.As(&attributes); err != nil {
		return Secrets{}, err
	}
	block, err := tree(attributes["secrets"])
	if err != nil {
		return Secrets{}, err
	}
	all, _ := block.(map[string]any)
	text := func(name string) string { v, _ := all[name].(string); return v }
	out := Secrets{PrivateKey: text("private_key"), Passphrase: text("passphrase"), SudoPassword: text("sudo_password")}
	if out.PrivateKey != "" {
		var locked *ssh.PassphraseMissingError
		if _, err := ssh.ParsePrivateKey([]byte(out.PrivateKey)); err != nil && !errors.As(err, &locked) {
			return Secrets{}, fmt.Errorf("private_key: want a private key in PEM: %w", err)
		}
	}
	return out, nil
}
