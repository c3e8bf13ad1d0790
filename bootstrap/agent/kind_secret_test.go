package agent

import (
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestSecretIsMadeOnce(t *testing.T) {
	s := newSandbox(t)
	want := bootstrap.Secret{Path: "/etc/zk/super", Bytes: 32, Mode: 0o600, Owner: "me", Group: "us"}
	s.settle(want)
	first := s.get(want.Path)
	if len(first) != 65 {
		t.Errorf("the file has %d bytes, want 64 digits and a newline", len(first))
	}
	want.Mode = 0o640
	s.settle(want)
	wantEqual(t, s.get(want.Path), first)
	other := newSandbox(t)
	other.settle(want)
	if other.get(want.Path) == first {
		t.Error("two machines have one secret")
	}
}

func TestSecretThatIsCutShortIsMadeAnew(t *testing.T) {
	s := newSandbox(t)
	want := bootstrap.Secret{Path: "/etc/zk/super", Bytes: 32, Mode: 0o600, Owner: "me", Group: "us"}
	for _, broken := range []string{"", "00ff", "not hex at all"} {
		s.put(want.Path, broken)
		if d := want.Drift(s.see(want.ID())); len(d) == 0 {
			t.Errorf("%q passes for a secret", broken)
		}
		s.settle(want)
	}
}

func TestSecretOfTooFewBytesIsRefused(t *testing.T) {
	s := newSandbox(t)
	wantError(t, s.do(creates(bootstrap.Secret{Path: "/etc/s", Bytes: 8, Owner: "me", Group: "us"})), "secret of 8 bytes, want 16 to 1024")
	s.absent("/etc/s")
}
