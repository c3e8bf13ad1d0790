package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/sidecar"
	"github.com/zkboot/zkboot/bootstrap/ssh"
	"github.com/zkboot/zkboot/provider"
)

// firstBoot is the patience with a host that may just have been made, where the spec names
// none.
const firstBoot = 2 * time.Minute

// lockPatience is for the longest step that another resource of the run may be at: apt on a
// slow mirror.
const lockPatience = 5 * time.Minute

// overSSH reaches hosts over SSH. Each operation has a keyring of its own, so that a key
// file that was replaced between two of them is read again.
func overSSH(getenv func(string) string) func(provider.Contact) func(context.Context, *bootstrap.Spec, string) (bootstrap.Host, error) {
	return func(c provider.Contact) func(context.Context, *bootstrap.Spec, string) (bootstrap.Host, error) {
		keys := ssh.NewKeyring(func(context.Context, string) (string, error) {
			return either(c.Secrets.Passphrase, getenv, "ZKBOOT_SSH_PASSPHRASE", "the key needs a passphrase: set secrets.passphrase of the provider")
		})
		var bad error
		if c.Secrets.PrivateKey != "" {
			bad = keys.Hold("secrets.private_key of the provider", []byte(c.Secrets.PrivateKey))
		}
		sudo := func(context.Context, string) (string, error) {
			return either(c.Secrets.SudoPassword, getenv, "ZKBOOT_SUDO_PASSWORD", "sudo asks for a password: set secrets.sudo_password of the provider")
		}
		return func(ctx context.Context, s *bootstrap.Spec, host string) (bootstrap.Host, error) {
			if bad != nil {
				return nil, bad
			}
			patience := cmp.Or(c.Patience, time.Duration(s.Hosts[host].SSH.Patience), time.Duration(s.SSH.Patience), firstBoot)
			return ssh.Opener(ssh.OpenOptions{Patience: patience, Keys: keys, SudoPassword: sudo, Progress: c.Progress,
				Embedded: sidecar.Opener(sidecar.Embedded())})(ctx, s, host)
		}
	}
}

// either answers for a person: Terraform gives a provider no terminal to ask on.
func either(given string, getenv func(string) string, variable, what string) (string, error) {
	if v := cmp.Or(given, getenv(variable)); v != "" {
		return v, nil
	}
	return "", errors.New(what + " or " + variable)
}
