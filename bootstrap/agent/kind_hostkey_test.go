package agent

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

const (
	hostKeyPath = "/etc/ssh/ssh_host_ed25519_key"
	hostKeyID   = bootstrap.ID("host-key:" + hostKeyPath)
)

// sshServer runs the real ssh-keygen and notes what systemctl is told. It breaks, before or
// after a program has run, at the n-th of these points; below 0 it never does.
type sshServer struct {
	left   int
	told   []string
	broken string // the point
}

func (p *sshServer) run(ctx context.Context, argv ...string) (string, error) {
	if err := p.at("before " + programName(argv)); err != nil {
		return "", err
	}
	var out string
	switch argv[0] {
	case "ssh-keygen":
		var err error
		if out, err = runProgram(ctx, argv...); err != nil {
			return out, err
		}
	case "systemctl":
		p.told = append(p.told, strings.Join(argv[1:], " "))
	case "journalctl":
		return "", nil
	default:
		return "", errors.New("unexpected program " + argv[0])
	}
	return out, p.at("after " + programName(argv))
}

func (p *sshServer) at(point string) error {
	p.left--
	if p.left == -1 {
		p.broken = point
		return errCrash
	}
	return nil
}

// newSSHSandbox is a sandbox with a host key that others know, and its public half.
func newSSHSandbox(t *testing.T) (*sandbox, *sshServer, string) {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Fatalf("this test needs ssh-keygen, of openssh-client: %v", err)
	}
	s, server := newSandbox(t), &sshServer{left: -1}
	s.run = server.run
	if err := os.MkdirAll(s.under("/etc/ssh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := runProgram(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "root@image", "-f", s.under(hostKeyPath)); err != nil {
		t.Fatal(err)
	}
	return s, server, bootstrap.PublicKey(s.get(hostKeyPath + ".pub"))
}

func (s *sandbox) mode(p string) os.FileMode {
	s.t.Helper()
	info, err := os.Lstat(s.under(p))
	if err != nil {
		s.t.Fatal(err)
	}
	return info.Mode()
}

func TestHostKeyThatOthersKnowIsReplacedOnce(t *testing.T) {
	s, server, old := newSSHSandbox(t)
	private := s.get(hostKeyPath)
	wantEqual(t, s.see(hostKeyID), bootstrap.Resource(bootstrap.HostKey{Path: hostKeyPath, Public: old}))
	s.settle(bootstrap.HostKey{Path: hostKeyPath, Replaces: []string{"ssh-ed25519 AAAA", old}})

	now, _ := s.see(hostKeyID).(bootstrap.HostKey)
	if now.Public == old || !strings.HasPrefix(now.Public, "ssh-ed25519 ") || s.get(hostKeyPath) == private {
		t.Errorf("the key is %q, it was %q; want a new ed25519 one", now.Public, old)
	}
	wantEqual(t, s.get(hostKeyPath+".pub"), now.Public+"\n")
	wantEqual(t, server.told, []string{"try-reload-or-restart -- ssh.service"})
	wantEqual(t, []os.FileMode{s.mode(hostKeyPath), s.mode(hostKeyPath + ".pub")}, []os.FileMode{0o600, 0o644})
	wantEqual(t, s.files("/etc/ssh"), []string{"ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"})
	for _, note := range s.notes {
		if strings.Contains(note, "PRIVATE") {
			t.Errorf("a note has a private key: %q", note)
		}
	}
}

func TestHostKeyIsSeenByItsPrivateHalf(t *testing.T) {
	for name, tt := range map[string]struct {
		pub  string // content of the .pub file, "" for none
		want bool   // unannounced
	}{
		"with a comment":        {"KEY root@zk1\n", false},
		"no .pub file":          {"", true},
		"of another key":        {"ssh-ed25519 AAAA\n", true},
		"not a public key":      {"hello\n", true},
		"with a line behind it": {"KEY\nssh-ed25519 AAAA\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, public := newSSHSandbox(t)
			s.put(hostKeyPath+".pub", strings.ReplaceAll(tt.pub, "KEY", public))
			if tt.pub == "" {
				s.must(removes(bootstrap.File{Path: hostKeyPath + ".pub"}))
			}
			wantEqual(t, s.see(hostKeyID), bootstrap.Resource(bootstrap.HostKey{Path: hostKeyPath, Public: public, Unannounced: tt.want}))
		})
	}
}

func TestHostKeyOfNobodyElseStays(t *testing.T) {
	s, server, public := newSSHSandbox(t)
	private := s.get(hostKeyPath)
	want := bootstrap.HostKey{Path: hostKeyPath, Replaces: []string{"ssh-ed25519 AAAA"}}
	s.settle(want)
	if len(server.told) > 0 {
		t.Errorf("told systemctl %q about a key that stays", server.told)
	}
	s.put(hostKeyPath+".pub", "ssh-ed25519 AAAA\n") // cut off before the server was told
	s.settle(want)
	wantEqual(t, server.told, []string{"try-reload-or-restart -- ssh.service"})
	wantEqual(t, []string{s.get(hostKeyPath), s.get(hostKeyPath + ".pub")}, []string{private, public + "\n"})
}

func TestHostKeyThatIsAbsentIsMade(t *testing.T) {
	s, _, _ := newSSHSandbox(t)
	for _, p := range []string{hostKeyPath, hostKeyPath + ".pub"} {
		s.must(removes(bootstrap.File{Path: p}))
	}
	wantEqual(t, s.see(hostKeyID), nil)
	s.settle(bootstrap.HostKey{Path: hostKeyPath, Replaces: []string{"ssh-ed25519 AAAA"}})
}

func TestHostKeyThatCannotBeReadIsLeftAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*sandbox)
		why   string
	}{
		"not a key":       {func(s *sandbox) { s.put(hostKeyPath, "hello\n") }, "the private key " + hostKeyPath + " cannot be read: ssh-keygen"},
		"a symbolic link": {func(s *sandbox) { s.link(hostKeyPath, "/etc/passwd") }, "is a symbolic link, want a regular file"},
		"a passphrase": {func(s *sandbox) {
			if _, err := runProgram(s.t.Context(), "ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", s.under(hostKeyPath)); err != nil {
				s.t.Fatal(err)
			}
		}, "incorrect passphrase"},
	} {
		t.Run(name, func(t *testing.T) {
			s, server, old := newSSHSandbox(t)
			tt.spoil(s)
			if why := s.unread(hostKeyID); !strings.Contains(why, tt.why) {
				t.Errorf("unread for %q, want %q", why, tt.why)
			}
			wantError(t, s.do(creates(bootstrap.HostKey{Path: hostKeyPath, Replaces: []string{old}})), tt.why)
			if len(server.told) > 0 {
				t.Errorf("told systemctl %q", server.told)
			}
		})
	}
}

func (s *sandbox) link(p, target string) {
	s.t.Helper()
	s.must(removes(bootstrap.File{Path: p}))
	if err := os.Symlink(target, s.under(p)); err != nil {
		s.t.Fatal(err)
	}
}

func TestHostKeyOutsideOfItsFolderIsRefused(t *testing.T) {
	s := newSandbox(t)
	for id, want := range map[bootstrap.ID]string{
		"host-key:/home/me/key":      `"/home/me/key" is not a file of /etc/ssh`,
		"host-key:/etc/ssh/../x":     `"/etc/ssh/../x" is not a file of /etc/ssh`,
		"host-key:/etc/ssh/-f":       `"/etc/ssh/-f" is not a file of /etc/ssh`,
		"host-key:/etc/ssh/keys/one": `"/etc/ssh/keys/one" is not a file of /etc/ssh`,
	} {
		wantEqual(t, s.unread(id), want)
	}
}

func TestMissingKeygenNamesItsPackage(t *testing.T) {
	s, _, _ := newSSHSandbox(t)
	s.run = func(context.Context, ...string) (string, error) {
		return "", &exec.Error{Name: "ssh-keygen", Err: exec.ErrNotFound}
	}
	if why := s.unread(hostKeyID); !strings.Contains(why, "install openssh-client on the host") {
		t.Errorf("unread for %q", why)
	}
}

// However the agent ends, there is a whole key at the path, the old one or a new one, and the
// next run brings the change to its end: the server is told, nothing is left lying about, and
// no second key is made.
func TestACrashLeavesOneHostKeyOrTheOther(t *testing.T) {
	var points []string
	for n := 0; ; n++ {
		point := crashWithHostKey(t, func(c *crasher, _ *sshServer) { c.left = n })
		if point == "" {
			break
		}
		points = append(points, point)
	}
	for n := 0; ; n++ {
		point := crashWithHostKey(t, func(_ *crasher, p *sshServer) { p.left = n })
		if point == "" {
			break
		}
		points = append(points, point)
	}
	for _, want := range []string{"after writing the manifest", "before ssh-keygen ed25519", "after ssh-keygen ed25519",
		"before systemctl try-reload-or-restart", "after systemctl try-reload-or-restart"} {
		if !slices.Contains(points, want) {
			t.Errorf("no crash %s: %q", want, points)
		}
	}
}

// crashWithHostKey replaces a host key with one crash and says where that came, "" when it did
// not come at all.
func crashWithHostKey(t *testing.T, arm func(*crasher, *sshServer)) string {
	t.Helper()
	s, server, old := newSSHSandbox(t)
	want := bootstrap.Desired{Resources: []bootstrap.Resource{bootstrap.HostKey{Path: hostKeyPath, Replaces: []string{old}}}}
	c := &crasher{left: -1}
	h := s.host(t)
	c.wire(h, newFakeThings())
	steps := plan(t, h, owner, want, converge)
	arm(c, server)
	err := h.Change(t.Context(), steps...)
	point := c.point + server.broken
	if point == "" {
		return ""
	}
	wantError(t, err, "crash")
	h.Close()
	server.left = -1
	between := publicHalfOf(t, s)

	h = s.host(t)
	if err := h.Change(t.Context(), plan(t, h, owner, want, converge)...); err != nil {
		t.Fatalf("%s: the next run: %v", point, err)
	}
	after := publicHalfOf(t, s)
	if after == old || between != old && after != between {
		t.Errorf("%s: the keys are %s, %s, %s; want one change", point, old, between, after)
	}
	if len(server.told) == 0 || s.get(hostKeyPath+".pub") != after+"\n" {
		t.Errorf("%s: systemctl was told %q, the .pub file has %q, want %q", point, server.told, s.get(hostKeyPath+".pub"), after)
	}
	wantEqual(t, s.files("/etc/ssh"), []string{"ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"})
	if rest := plan(t, h, owner, want, converge); len(rest) > 0 {
		t.Errorf("%s: does not converge: %v", point, rest)
	}
	return point
}

var converge = bootstrap.Intent{Verb: bootstrap.VerbConverge}

// Who gives the key up leaves it where it is, and takes no more than its manifest away.
func TestHostKeyOutlivesItsOwner(t *testing.T) {
	for name, before := range map[string]bool{"replaced": true, "made": false} {
		t.Run(name, func(t *testing.T) {
			s, _, old := newSSHSandbox(t)
			if !before {
				s.must(removes(bootstrap.File{Path: hostKeyPath}))
			}
			h := s.host(t)
			for _, want := range [][]bootstrap.Resource{{bootstrap.HostKey{Path: hostKeyPath, Replaces: []string{old}}}, nil} {
				if err := h.Change(t.Context(), plan(t, h, owner, bootstrap.Desired{Resources: want}, converge)...); err != nil {
					t.Fatal(err)
				}
				if publicHalfOf(t, s) == old {
					t.Error("the old key is there")
				}
			}
			// An operator that knows no better than to delete it.
			if err := h.Change(t.Context(), plan(t, h, owner, bootstrap.Desired{Resources: []bootstrap.Resource{bootstrap.HostKey{Path: hostKeyPath}}}, converge)...); err != nil {
				t.Fatal(err)
			}
			gone := removes(s.see(hostKeyID))
			gone.Owner = owner
			if err := h.Change(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			publicHalfOf(t, s)
			h.Close()
			if names := s.files("/etc"); slices.Contains(names, "zkboot") {
				t.Errorf("/etc has %v, want no zkboot", names)
			}
		})
	}
}

// host is the Host of the sandbox, with its lock.
func (s *sandbox) host(t *testing.T) *Host {
	t.Helper()
	h := newTestHost(t, s.root, newFakeThings())
	h.things = s.machine
	locked(t, h)
	return h
}

func publicHalfOf(t *testing.T, s *sandbox) string {
	t.Helper()
	out, err := runProgram(t.Context(), "ssh-keygen", "-y", "-P", "", "-f", filepath.Join(s.root, hostKeyPath))
	if err != nil {
		t.Fatalf("there is no whole key: %v", err)
	}
	return bootstrap.PublicKey(out)
}
