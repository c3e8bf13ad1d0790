package ssh

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "/run/agent")
	must(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	config := func(text string) { must(t, os.WriteFile(filepath.Join(home, ".ssh", "config"), []byte(text), 0o600)) }
	ssh := filepath.Join(home, ".ssh")
	defaults := []string{ssh + "/id_rsa", ssh + "/id_ecdsa", ssh + "/id_ed25519"}
	for _, c := range []struct {
		name, config string
		target       Target
		want         string
	}{
		{"nothing configured", "", Target{Address: "192.0.2.1", User: "deploy"},
			fmt.Sprintf("deploy@192.0.2.1:22 key=192.0.2.1:22 agent=/run/agent ids=%v", defaults)},
		{"IPv6", "", Target{Address: "2001:db8::1", User: "deploy", IdentityFiles: []string{"~/k"}},
			"deploy@[2001:db8::1]:22 key=[2001:db8::1]:22 agent=/run/agent ids=[" + home + "/k]"},
		{"all from the file", `
Host zk*
	HostName %h.example.net
	Port 2222
	User ops
	IdentityFile ~/.ssh/%r_%n
	IdentityFile "%d/other"
	IdentitiesOnly yes
	IdentityAgent none
	ProxyJump hopper@bastion:2200
Host bastion
	HostName 203.0.113.9
	User ignored
`, Target{Name: "zk1"},
			"ops@zk1.example.net:2222 key=zk1.example.net:2222 agent= ids=[" + ssh + "/ops_zk1 " + home + "/other] only" +
				" via hopper@203.0.113.9:2200"},
		{"explicit fields win", "Host *\nHostName elsewhere\nPort 2222\nUser ops\nIdentityFile ~/a\nIdentityAgent ~/sock\nProxyJump bastion\n",
			Target{Address: "192.0.2.1", Port: 22, User: "deploy", IdentityFiles: []string{"/k"}, AgentSocket: "/s", Jump: &Target{Address: "j", User: "u", ConfigFile: "none"}},
			"deploy@elsewhere:22 key=elsewhere:22 agent=/s ids=[/k] via u@j:22"},
		{"none ignores the file", "Host *\nUser ops\nPort 2222\n", Target{Address: "a", User: "deploy", ConfigFile: "none", AgentSocket: "none", IdentityFiles: []string{"/k"}},
			"deploy@a:22 key=a:22 agent= ids=[/k]"},
		{"alias for the host key", "Host *\nHostKeyAlias zk\nPort 2222\n", Target{Address: "a", User: "u", IdentityFiles: []string{"/k"}},
			"u@a:2222 key=zk:22 agent=/run/agent ids=[/k]"},
		{"jump host matched by its own rule", "Host *\nProxyJump bastion\nUser u\nIdentityFile /k\n", Target{Address: "bastion"},
			"u@bastion:22 key=bastion:22 agent=/run/agent ids=[/k]"},
		{"two hops", "Host *\nProxyJump a,b\n", Target{Address: "x"}, "error: ProxyJump a,b: only one hop is supported"},
		{"proxy command", "Host *\nProxyCommand nc %h %p\n", Target{Address: "x"}, "error: the ssh configuration asks for ProxyCommand"},
		{"proxy command, but a jump host given", "Host x\nProxyCommand nc\n", Target{Address: "x", User: "u", IdentityFiles: []string{"/k"}, Jump: &Target{Address: "j", User: "u"}},
			"u@x:22 key=x:22 agent=/run/agent ids=[/k] via u@j:22"},
		{"bad port", "Host *\nPort 99999\n", Target{Address: "x"}, "error: port \"99999\" is not a number from 1 to 65535"},
		{"condition that the parser lacks", "Match exec true\nUser u\n", Target{Address: "x"}, "error: reading " + ssh + "/config: "},
		{"named file is missing", "", Target{Address: "x", ConfigFile: "/nonexistent/config"}, "error: reading ssh configuration: open /nonexistent/config"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config(c.config)
			r, err := resolve(c.target, false)
			got := fmt.Sprintf("error: %v", err)
			if err == nil {
				got = show(r)
			}
			if got != c.want && !(err != nil && strings.HasPrefix(got, c.want)) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// show prints what a test is about: where, as whom, with which keys.
func show(r *route) string {
	var ids []string
	for _, id := range r.identities {
		ids = append(ids, id.path)
	}
	s := fmt.Sprintf("%s@%s key=%s agent=%s ids=%v", r.user, r.addr, r.keyAddr, r.agent.path, ids)
	if r.identitiesOnly {
		s += " only"
	}
	if r.jump != nil {
		s += fmt.Sprintf(" via %s@%s", r.jump.user, r.jump.addr)
	}
	return s
}

func TestDefaultKnownHostsAreReadNotWritten(t *testing.T) {
	h := newHost(t).up()
	home := t.TempDir()
	t.Setenv("HOME", home)
	must(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	known := filepath.Join(home, ".ssh", "known_hosts")
	target := h.target()
	target.ConfigFile, target.HostKey = "", ""

	_, err := Dial(t.Context(), target, Options{})
	wantError(t, err, ErrHostKeyUnknown)
	if _, err := os.Stat(known); !os.IsNotExist(err) {
		t.Errorf("%s was made: %v", known, err)
	}
	text := "[" + strings.Replace(h.addr, ":", "]:", 1) + " " + pinText(h.hostKeys[0])
	must(t, os.WriteFile(known, []byte(text), 0o600))
	h.dial(t, target, Options{})
	if got, err := os.ReadFile(known); err != nil || string(got) != text {
		t.Errorf("%s changed to %q: %v", known, got, err)
	}
}
