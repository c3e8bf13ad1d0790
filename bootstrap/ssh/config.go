package ssh

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"
	xssh "golang.org/x/crypto/ssh"
)

// route is a Target with every question answered: what to dial, as whom, with
// which keys, trusting which host keys.
type route struct {
	name           string
	addr           string // host:port to connect to
	keyAddr        string // host:port under which the host key is looked up
	user           string
	identities     []identity
	identitiesOnly bool
	agent          agentSocket
	pins           []xssh.PublicKey
	knownHosts     []string
	record         string
	jump           *route
	target         Target
}

// identity is a private key file; a missing one is an error only if the caller
// asked for it by name.
type identity struct {
	path     string
	required bool
}

type agentSocket struct {
	path     string // empty: none
	required bool
}

// clientConfig answers lookups for one alias in an ssh client configuration.
// The zero value answers nothing.
type clientConfig struct {
	file  string
	alias string
	cfg   *ssh_config.Config
}

func readClientConfig(file, alias string) (clientConfig, error) {
	c := clientConfig{alias: alias}
	if file == "none" {
		return c, nil
	}
	optional := file == ""
	if optional {
		file = "~/.ssh/config"
	}
	path, err := expandHome(file)
	if err != nil {
		return c, err
	}
	src, err := os.ReadFile(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("reading ssh configuration: %w", err)
	}
	c.file = path
	if c.cfg, err = ssh_config.DecodeBytes(src); err != nil {
		return c, fmt.Errorf("reading %s: %w", path, err)
	}
	return c, nil
}

func (c clientConfig) all(key string) ([]string, error) {
	if c.cfg == nil {
		return nil, nil
	}
	v, err := c.cfg.GetAll(c.alias, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", c.file, key, err)
	}
	return v, nil
}

func (c clientConfig) get(key string) (string, error) {
	v, err := c.all(key)
	if err != nil || len(v) == 0 {
		return "", err
	}
	return strings.Trim(v[0], `"`), nil
}

// settings are the scalar keys that resolve asks for, read in one go so that
// the code below is free of error plumbing.
type settings struct {
	hostName, port, user, jump, command, alias, identitiesOnly, identityAgent, knownHosts string
	identityFiles                                                                         []string
}

func (c clientConfig) settings() (s settings, err error) {
	for _, q := range []struct {
		key  string
		into *string
	}{
		{"HostName", &s.hostName}, {"Port", &s.port}, {"User", &s.user},
		{"ProxyJump", &s.jump}, {"ProxyCommand", &s.command}, {"HostKeyAlias", &s.alias},
		{"IdentitiesOnly", &s.identitiesOnly}, {"IdentityAgent", &s.identityAgent},
		{"UserKnownHostsFile", &s.knownHosts},
	} {
		if *q.into, err = c.get(q.key); err != nil {
			return s, err
		}
	}
	s.identityFiles, err = c.all("IdentityFile")
	return s, err
}

// resolve answers every question that t leaves open. asJump is set for the
// jump host itself, which may not have one of its own.
func resolve(t Target, asJump bool) (*route, error) {
	alias := cmp.Or(t.Address, t.Name)
	if alias == "" {
		return nil, errors.New("target has neither an address nor a name")
	}
	cfg, err := readClientConfig(t.ConfigFile, alias)
	if err != nil {
		return nil, err
	}
	s, err := cfg.settings()
	if err != nil {
		return nil, err
	}
	r := &route{name: cmp.Or(t.Name, t.Address), record: t.AcceptNew, target: t}
	r.target.Timeouts = t.Timeouts.withDefaults()
	host := strings.NewReplacer("%h", alias, "%%", "%").Replace(cmp.Or(s.hostName, alias))
	port := cmp.Or(portString(t.Port), s.port, "22")
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return nil, fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	r.addr = net.JoinHostPort(strings.Trim(host, "[]"), port)
	r.keyAddr = r.addr
	if s.alias != "" { // ssh_config(5): the alias is looked up without the port
		r.keyAddr = net.JoinHostPort(s.alias, "22")
	}
	if r.user, err = loginUser(t.User, s.user); err != nil {
		return nil, err
	}
	x := expander{alias: alias, host: host, port: port, user: r.user}
	if err := r.resolveKeys(t, s, x); err != nil {
		return nil, err
	}
	if err := r.resolveHostKeys(t, s, x); err != nil {
		return nil, err
	}
	return r, r.resolveJump(t, s, asJump, alias)
}

func loginUser(explicit, configured string) (string, error) {
	if u := cmp.Or(explicit, configured); u != "" {
		return u, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("no user given and the local one is unknown: %w", err)
	}
	return u.Username, nil
}

// defaultIdentities are the names that ssh(1) of OpenSSH 9 tries, less the
// hardware-bound kinds, whose private half no file holds.
func defaultIdentities() []string {
	return []string{"~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519"}
}

func (r *route) resolveKeys(t Target, s settings, x expander) error {
	files, required := t.IdentityFiles, true
	if len(files) == 0 {
		files, required = s.identityFiles, false
	}
	if len(files) == 0 {
		files = defaultIdentities()
	}
	for _, f := range files {
		path, err := x.path(f)
		if err != nil {
			return fmt.Errorf("identity file: %w", err)
		}
		r.identities = append(r.identities, identity{path, required})
	}
	r.identitiesOnly = strings.EqualFold(s.identitiesOnly, "yes")

	sock := cmp.Or(t.AgentSocket, s.identityAgent, "SSH_AUTH_SOCK")
	switch {
	case sock == "none":
		return nil
	case sock == "SSH_AUTH_SOCK": // ssh_config(5) spells the environment so
		r.agent = agentSocket{path: os.Getenv("SSH_AUTH_SOCK")}
		return nil
	case strings.HasPrefix(sock, "$"):
		r.agent = agentSocket{path: os.ExpandEnv(sock), required: true}
		return nil
	}
	path, err := x.path(sock)
	r.agent = agentSocket{path: path, required: true}
	return err
}

func (r *route) resolveHostKeys(t Target, s settings, x expander) error {
	var err error
	if r.pins, err = ParsePins(t.HostKey); err != nil {
		return fmt.Errorf("host_key: %w", err)
	}
	if t.KnownHostsFile != "" {
		path, err := expandHome(t.KnownHostsFile)
		if err != nil {
			return err
		}
		if _, err := os.Stat(path); err != nil { // a typo must not weaken the check
			return fmt.Errorf("known_hosts_file: %w", err)
		}
		r.knownHosts = []string{path}
		return nil
	}
	if t.ConfigFile == "none" {
		return nil
	}
	files := []string{"~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"}
	if s.knownHosts != "" {
		files = strings.Fields(s.knownHosts)
	}
	for _, f := range files {
		path, err := x.path(f)
		if err != nil {
			return fmt.Errorf("UserKnownHostsFile: %w", err)
		}
		if _, err := os.Stat(path); err == nil {
			r.knownHosts = append(r.knownHosts, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (r *route) resolveJump(t Target, s settings, asJump bool, alias string) error {
	jump := t.Jump
	if asJump {
		if jump != nil {
			return errors.New("a jump host cannot have a jump host: only one hop is supported")
		}
		return nil // `Host *` with ProxyJump matches the jump host too; ssh breaks the loop the same way
	}
	if jump == nil {
		if s.jump != "" && s.jump != "none" {
			var err error
			if jump, err = parseJump(s.jump); err != nil {
				return err
			}
			if jump.Address == alias {
				return nil
			}
			jump.ConfigFile, jump.AgentSocket = t.ConfigFile, t.AgentSocket
			jump.KnownHostsFile, jump.AcceptNew = t.KnownHostsFile, t.AcceptNew
			jump.Timeouts = t.Timeouts
		} else if s.command != "" && s.command != "none" {
			return errors.New("the ssh configuration asks for ProxyCommand, which is not supported: use ProxyJump, or set jump")
		}
	}
	if jump == nil {
		return nil
	}
	var err error
	if r.jump, err = resolve(*jump, true); err != nil {
		return fmt.Errorf("jump host %s: %w", cmp.Or(jump.Name, jump.Address), err)
	}
	return nil
}

// parseJump reads [user@]host[:port], the ProxyJump of ssh_config(5).
func parseJump(s string) (*Target, error) {
	if strings.Contains(s, ",") {
		return nil, fmt.Errorf("ProxyJump %s: only one hop is supported", s)
	}
	t := &Target{}
	s = strings.TrimPrefix(s, "ssh://")
	if i := strings.LastIndex(s, "@"); i >= 0 {
		t.User, s = s[:i], s[i+1:]
	}
	if host, port, err := net.SplitHostPort(s); err == nil {
		if t.Port, err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("ProxyJump %s: port is not a number", s)
		}
		s = host
	}
	t.Address = strings.Trim(s, "[]")
	if t.Address == "" {
		return nil, errors.New("ProxyJump names no host")
	}
	return t, nil
}

// expander knows the tokens of ssh_config(5) that occur in file names.
type expander struct{ alias, host, port, user string }

func (x expander) path(p string) (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	p = strings.Trim(p, `"`)
	local := cmp.Or(os.Getenv("USER"), os.Getenv("LOGNAME"))
	return expandHome(strings.NewReplacer("%%", "%", "%d", home, "%h", x.host, "%n", x.alias,
		"%p", x.port, "%r", x.user, "%u", local).Replace(p))
}

func expandHome(p string) (string, error) {
	if p != "~" && !strings.HasPrefix(p, "~/") {
		return p, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, p[1:]), nil
}

func portString(p int) string {
	if p == 0 {
		return ""
	}
	return strconv.Itoa(p)
}
