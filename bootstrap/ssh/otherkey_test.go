package ssh

import (
	"errors"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zkboot/zkboot/bootstrap"
)

// Callers learn which key a host has shown instead of the pinned one. That of a jump host is
// not the host's.
func TestTheKeyThatAHostShowsInstead(t *testing.T) {
	h := newHost(t).up()
	shown := bootstrap.PublicKey(string(xssh.MarshalAuthorizedKey(h.hostKeys[0].PublicKey())))
	for name, c := range map[string]struct {
		set   func(hop, target *Target)
		other bool
		shown string
	}{
		"another key":             {func(_, x *Target) { x.HostKey = pinText(newSigner(t, "ed25519")) }, true, shown},
		"none of that kind":       {func(_, x *Target) { x.HostKey = pinText(newSigner(t, "ecdsa")) }, true, ""},
		"the jump host has other": {func(hop, _ *Target) { hop.HostKey = pinText(newSigner(t, "ed25519")) }, false, ""},
		"nobody listens":          {func(_, x *Target) { x.Port = 1 }, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			target, hop := h.target(), newHost(t).up().target()
			hop.Name, target.Jump = "bastion", &hop
			c.set(&hop, &target)
			_, err := Dial(t.Context(), target, Options{})
			if err == nil {
				t.Fatal("it connects")
			}
			var other *bootstrap.OtherHostKeyError
			if is := errors.As(finding(target.Name, err), &other); is != c.other || is && other.Shown != c.shown {
				t.Errorf("other key: %v, %+v; want %v, %q", is, other, c.other, c.shown)
			}
		})
	}
}
