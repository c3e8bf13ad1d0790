package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	xssh "golang.org/x/crypto/ssh"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/sidecar"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
	"github.com/zkboot/zkboot/cloudinit"
)

// bootFlags are the flags of `render user-data`.
type bootFlags struct {
	factsFile     string
	dir           string
	authorized    []string
	hostKeys      []string
	networkConfig string
	options       cloudinit.Options
}

func (a *app) renderUserDataCommand() *cobra.Command {
	var file string
	var f bootFlags
	cmd := &cobra.Command{
		Use:   "user-data HOST",
		Short: "Print what cloud-init needs to prepare a host at its first boot",
		Long: `render user-data prints a #cloud-config document with what the first apply would otherwise
bring: packages, accounts, data disks, kernel settings and limits, in the same places and with
the same content. With -o it writes the files of a NoCloud seed. What is left to apply, and
the size of each part, is told on stderr.

The account to log in with is ssh.user; without --authorized-keys its keys are the .pub files
beside ssh.identity_files. A key given with --host-key lies in user-data as text: read
docs/guides/cloud-init.md first.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.newSpecSession(outputText, file)
			if err != nil {
				return err
			}
			defer s.close(cmd.Context())
			doc, err := s.userData(args[0], f)
			if err != nil {
				return err
			}
			if f.dir != "" {
				return writeSeed(f.dir, doc)
			}
			return s.print(func(w io.Writer) error { _, err := w.Write(doc.UserData); return err })
		},
	}
	fileFlag(cmd, &file)
	flags := cmd.Flags()
	flags.StringVarP(&f.dir, "output-dir", "o", "", "write user-data, meta-data and network-config into this directory")
	flags.StringVar(&f.factsFile, "facts", "", "facts of the host, as JSON")
	flags.StringArrayVar(&f.authorized, "authorized-keys", nil, "a file of public keys that may log in (repeatable)")
	flags.StringArrayVar(&f.hostKeys, "host-key", nil, "a private SSH host key to pin; it lies in user-data as text (repeatable)")
	flags.StringArrayVar(&f.options.TimeServers, "time-server", nil, "a server to take the time from (repeatable)")
	flags.StringSliceVar(&f.options.Installed, "installed", nil, "packages that the image has, so that apt is not asked for them (repeatable)")
	flags.StringVar(&f.options.Mirror.Primary, "apt-mirror", "", "URL of the distribution's packages")
	flags.StringVar(&f.options.Mirror.Security, "apt-security-mirror", "", "URL of its security updates")
	flags.StringVar(&f.networkConfig, "network-config", "", "a file to put into the seed as network-config")
	flags.IntVar(&f.options.Limit, "limit", cloudinit.MaxBytes, "the most bytes of user-data that the cloud takes")
	return cmd
}

// userData renders the document and tells on stderr what it does and does not bring.
func (s *session) userData(host string, f bootFlags) (cloudinit.Document, error) {
	o, left, err := s.firstBoot(host, f)
	if err != nil {
		return cloudinit.Document{}, err
	}
	doc, report := cloudinit.Render(o)
	if report.Failed() {
		s.out.report(s.spec.Locate(report))
		return doc, s.end("failed", codeFailed)
	}
	for _, p := range doc.Parts {
		fmt.Fprintf(s.app.stderr, "%6d bytes  %s\n", p.Bytes, p.Name)
	}
	packed := ""
	if doc.Packed {
		packed = ", with files compressed"
	}
	fmt.Fprintf(s.app.stderr, "%6d bytes  in all, of %d%s\n", len(doc.UserData), o.Limit, packed)
	for _, l := range left {
		fmt.Fprintf(s.app.stderr, "left to apply: %s %s\n", l.ID, l.Why)
	}
	if doc.Secret {
		fmt.Fprintln(s.app.stderr, "warning: user-data holds a private host key; whoever can read it can stand in for the host until the key is replaced")
	}
	return doc, nil
}

// firstBoot collects the facts of the host's first boot and what its roles want there.
func (s *session) firstBoot(host string, f bootFlags) (cloudinit.Options, []cloudinit.Left, error) {
	o := f.options
	h, ok := s.spec.Hosts[host]
	if !ok {
		return o, nil, fmt.Errorf("%s is no host of the spec; hosts are: %s", host, strings.Join(s.spec.HostNames(), ", "))
	}
	o.Host, o.InstanceID = host, s.spec.Name+"-"+host
	var err error
	if o.Login, err = login(s.spec.SSH, h.SSH, f.authorized); err != nil {
		return o, nil, err
	}
	if o.HostKeys, err = privateKeys(f.hostKeys); err != nil {
		return o, nil, err
	}
	if err := s.checkPin(host, h.HostKey, o.HostKeys); err != nil {
		return o, nil, err
	}
	if f.networkConfig != "" {
		if o.NetworkConfig, err = os.ReadFile(f.networkConfig); err != nil {
			return o, nil, fmt.Errorf("--network-config: %w", err)
		}
	}
	facts, err := s.app.facts(f.factsFile)
	if err != nil {
		return o, nil, err
	}
	var left []cloudinit.Left
	o.Desired, left, err = s.atFirstBoot(host, facts)
	return o, left, err
}

// atFirstBoot is firstBootOf for a spec that somebody wrote, with findings at their lines.
func (s *session) atFirstBoot(host string, facts bootstrap.Facts) ([]bootstrap.Desired, []cloudinit.Left, error) {
	wanted, left, report, err := firstBootOf(s.spec, host, facts)
	if len(report.Findings) > 0 {
		s.out.report(s.spec.Locate(report))
	}
	if report.Failed() {
		return nil, nil, s.end("failed", codeFailed)
	}
	return wanted, left, err
}

// firstBootOf compiles every role for a host with nothing on it. The program of a sidecar is
// none of first boot's business, so that any stands in for it and a zkboot that carries none
// can render.
func firstBootOf(s *bootstrap.Spec, host string, facts bootstrap.Facts) (wanted []bootstrap.Desired, left []cloudinit.Left, report bootstrap.Report, err error) {
	now := bootstrap.Site{Hosts: map[string]bootstrap.Seen{host: {Facts: facts}}}
	for _, role := range []bootstrap.Role{zookeeper.New(), sidecar.New([]sidecar.Archive{{Arch: facts.Arch}})} {
		want, said := role.Compile(s, now)
		report.Findings = append(report.Findings, said.Findings...)
		if said.Failed() {
			return nil, nil, report, nil
		}
		d, ok := want[host]
		if !ok {
			continue
		}
		sealed, err := d.Seal()
		if err != nil {
			return nil, nil, report, fmt.Errorf("rendering user-data for %s: %w", host, err)
		}
		boot, apply := cloudinit.Take(sealed)
		wanted, left = append(wanted, boot), append(left, apply...)
	}
	return wanted, left, report, nil
}

// login is the account that zkboot will use, with the public halves of the keys it will use.
func login(site, host bootstrap.SSH, files []string) (cloudinit.Login, error) {
	l := cloudinit.Login{User: site.User}
	if host.User != "" {
		l.User = host.User
	}
	optional := len(files) == 0
	if optional {
		identities := site.IdentityFiles
		if len(host.IdentityFiles) > 0 {
			identities = host.IdentityFiles
		}
		for _, id := range identities {
			files = append(files, id+".pub")
		}
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return l, fmt.Errorf("--authorized-keys: %w", err)
		}
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !slices.Contains(l.Keys, line) {
				l.Keys = append(l.Keys, line)
			}
		}
	}
	if len(l.Keys) == 0 && l.User != "" {
		return l, fmt.Errorf("no public key to log in as %s: there is no .pub file beside ssh.identity_files; name one with --authorized-keys", l.User)
	}
	return l, nil
}

// privateKeys reads private host keys and makes their public halves.
func privateKeys(files []string) ([]cloudinit.HostKey, error) {
	var keys []cloudinit.HostKey
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("--host-key: %w", err)
		}
		signer, err := xssh.ParsePrivateKey(b)
		if err != nil {
			return nil, fmt.Errorf("--host-key %s: want a private key without a passphrase: %w", name, err)
		}
		public := strings.TrimSpace(string(xssh.MarshalAuthorizedKey(signer.PublicKey())))
		keys = append(keys, cloudinit.HostKey{Type: keyType(signer.PublicKey().Type()), Private: string(b), Public: public})
	}
	return keys, nil
}

// checkPin compares the key that the spec pins with those that the host will have: one that is
// not among them would shut zkboot itself out.
func (s *session) checkPin(host, pin string, keys []cloudinit.HostKey) error {
	fields := strings.Fields(pin)
	if len(fields) < 2 {
		return nil
	}
	want := fields[0] + " " + fields[1]
	if slices.ContainsFunc(keys, func(k cloudinit.HostKey) bool { return k.Public == want }) {
		return nil
	}
	at := bootstrap.Path("hosts").Key(host).Field("host_key")
	if len(keys) > 0 {
		return fmt.Errorf("%s pins %s, which no --host-key has: correct it, or give its private half", at, want)
	}
	fmt.Fprintf(s.app.stderr, "warning: %s pins a key, and a host that boots anew makes another: give its private half with --host-key, or pin the new one\n", at)
	return nil
}

// keyType is cloud-init's word for a kind of key; one that it has no word for stays as it is.
func keyType(algorithm string) string {
	switch {
	case strings.HasPrefix(algorithm, "ecdsa-sha2-nistp"):
		return "ecdsa"
	case algorithm == xssh.KeyAlgoRSA, algorithm == xssh.KeyAlgoED25519:
		return strings.TrimPrefix(algorithm, "ssh-")
	}
	return algorithm
}

// writeSeed writes the files of a NoCloud seed, which root and the operator alone may read.
func writeSeed(dir string, doc cloudinit.Document) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("-o: %w", err)
	}
	for _, f := range doc.Seed() {
		if err := renameio.WriteFile(filepath.Join(dir, f.Name), f.Content, 0o600); err != nil {
			return fmt.Errorf("-o: %w", err)
		}
	}
	return nil
}
