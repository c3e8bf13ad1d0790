package provider

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/zkboot/zkboot/cloudinit"
)

// hostKeyOf reads a private host key and makes its public half.
func hostKeyOf(pem string) (cloudinit.HostKey, error) {
	signer, err := ssh.ParsePrivateKey([]byte(pem))
	if err != nil {
		return cloudinit.HostKey{}, fmt.Errorf("want a private key in PEM without a passphrase: %w", err)
	}
	public := signer.PublicKey()
	return cloudinit.HostKey{Type: cloudInitWord(public.Type()), Private: pem, Public: line(public)}, nil
}

// line is a public key as it stands in /etc/ssh/ssh_host_ed25519_key.pub, without a comment.
func line(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// cloudInitWord is cloud-init's word for a kind of key; one that it has no word for stays.
// https://cloudinit.readthedocs.io/en/22.4.2/topics/modules.html#ssh
func cloudInitWord(algorithm string) string {
	if strings.HasPrefix(algorithm, "ecdsa-sha2-nistp") {
		return "ecdsa"
	}
	return strings.TrimPrefix(algorithm, "ssh-")
}
