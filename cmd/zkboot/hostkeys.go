package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/skeema/knownhosts"
	"github.com/spf13/cobra"
	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/ssh"
)

func (a *app) hostkeysCommand() *cobra.Command {
	var file string
	var pin bool
	cmd := &cobra.Command{
		Use:   "hostkeys [HOST...]",
		Short: "Show the host keys that hosts offer and those on record",
		Long: `hostkeys asks hosts for their keys, without logging in, and compares them with what is on
record: host_key in the spec, then known_hosts_file, then accept_new_file. Compare what is
new with the provider's console before you trust it.

--pin makes the keys that are offered now the ones on record in accept_new_file, as after a
rebuilt host. It exits with 1 when a host shows another key than the one on record.`,
		RunE: func(cmd *cobra.Command, hosts []string) error { return a.hostkeys(cmd.Context(), file, hosts, pin) },
	}
	fileFlag(cmd, &file)
	cmd.Flags().BoolVar(&pin, "pin", false, "record what is offered now in accept_new_file")
	return cmd
}

// hostkeys goes on after a host with an error: the others are of interest all the same.
func (a *app) hostkeys(ctx context.Context, file string, hosts []string, pin bool) error {
	s, err := a.newSpecSession(outputText, file)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	if hosts, err = chooseHosts(s.spec, hosts); err != nil {
		return err
	}
	code := codeOK
	for _, k := range s.scan(ctx, hosts) {
		k.write(a)
		if pin && k.err == nil {
			k.err = k.pin(a)
		}
		if k.err != nil {
			fmt.Fprintf(a.stderr, "zkboot: %v\n", k.err)
		}
		if k.err != nil || k.differs() && !pin {
			code = codeFailed
		}
	}
	if code != codeOK {
		return said(code)
	}
	return nil
}

// chooseHosts checks the names given, or takes all hosts.
func chooseHosts(s *bootstrap.Spec, names []string) ([]string, error) {
	if len(names) == 0 {
		return s.HostNames(), nil
	}
	for _, n := range names {
		if _, ok := s.Hosts[n]; !ok {
			return nil, fmt.Errorf("no host %q in the spec, only %s", n, strings.Join(s.HostNames(), ", "))
		}
	}
	return names, nil
}

// hostKeys are the keys of one host: those it offers and those on record.
type hostKeys struct {
	host    string
	target  ssh.Target
	offered []xssh.PublicKey
	source  string // who has the word about this host: "host_key", a file, or "" when unknown
	trusted []xssh.PublicKey
	err     error
}

// scan asks all hosts at once.
func (s *session) scan(ctx context.Context, hosts []string) []*hostKeys {
	out := make([]*hostKeys, len(hosts))
	keys := ssh.NewKeyring((&secrets{session: s}).passphrase) // for jump hosts
	var g errgroup.Group
	g.SetLimit(8)
	for i, host := range hosts {
		g.Go(func() error {
			k := &hostKeys{host: host, target: ssh.TargetOf(s.spec, host)}
			if k.err = k.record(); k.err == nil {
				k.offered, k.err = ssh.ScanHostKeys(ctx, k.target, ssh.Options{Keys: keys})
			}
			out[i] = k
			return nil
		})
	}
	_ = g.Wait() // each host carries its own error
	return out
}

// port of the host; a Port in ~/.ssh/config is not known here.
func (k *hostKeys) port() int { return cmp.Or(k.target.Port, 22) }

// record finds out what is on record, in the order in which package ssh asks.
func (k *hostKeys) record() error {
	pins, err := ssh.ParsePins(k.target.HostKey)
	if err != nil {
		return fmt.Errorf("%s: host_key: %w", k.host, err)
	}
	if len(pins) > 0 {
		k.source, k.trusted = "host_key", pins
		return nil
	}
	for _, file := range k.knownHosts() {
		db, err := knownhosts.NewDB(file)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", k.host, file, err)
		}
		for _, key := range db.HostKeys(net.JoinHostPort(k.target.Address, strconv.Itoa(k.port()))) {
			k.source, k.trusted = file, append(k.trusted, key.PublicKey)
		}
	}
	if len(k.trusted) > 0 || k.target.AcceptNew == "" {
		return nil
	}
	recorded, err := ssh.ReadPins(k.target.AcceptNew)
	if err != nil {
		return fmt.Errorf("%s: accept_new_file: %w", k.host, err)
	}
	for _, p := range recorded {
		if p.Addr == ssh.PinAddr(k.target.Address, k.port()) {
			k.source, k.trusted = k.target.AcceptNew, append(k.trusted, p.Key)
		}
	}
	return nil
}

// knownHosts are the files that ssh(1) would look into.
func (k *hostKeys) knownHosts() []string {
	switch {
	case k.target.KnownHostsFile != "":
		return []string{k.target.KnownHostsFile}
	case k.target.ConfigFile == "none":
		return nil
	}
	return slices.DeleteFunc([]string{expandHome("~/.ssh/known_hosts"), "/etc/ssh/ssh_known_hosts"}, func(file string) bool {
		_, err := os.Stat(file)
		return errors.Is(err, fs.ErrNotExist)
	})
}

func (k *hostKeys) trusts(key xssh.PublicKey) bool {
	return slices.ContainsFunc(k.trusted, func(t xssh.PublicKey) bool { return fingerprint(t) == fingerprint(key) })
}

// differs reports whether none of the keys on record is offered.
func (k *hostKeys) differs() bool {
	return len(k.trusted) > 0 && len(k.offered) > 0 && !slices.ContainsFunc(k.offered, k.trusts)
}

func (k *hostKeys) write(a *app) {
	fmt.Fprintf(a.stdout, "%s  %s\n", k.host, net.JoinHostPort(k.target.Address, strconv.Itoa(k.port())))
	for _, key := range k.offered {
		state := "not on record"
		if k.trusts(key) {
			state = "on record in " + k.source
		}
		fmt.Fprintf(a.stdout, "  offered   %s  %s\n", fingerprint(key), state)
		if len(k.trusted) == 0 {
			fmt.Fprintf(a.stdout, "            host_key: %s", xssh.MarshalAuthorizedKey(key))
		}
	}
	for _, key := range k.trusted {
		if !slices.ContainsFunc(k.offered, func(o xssh.PublicKey) bool { return fingerprint(o) == fingerprint(key) }) {
			fmt.Fprintf(a.stdout, "  expected  %s  on record in %s, not offered\n", fingerprint(key), k.source)
		}
	}
}

// pin makes the keys that are offered the ones in our record file.
func (k *hostKeys) pin(a *app) error {
	file := k.target.AcceptNew
	if file == "" {
		return fmt.Errorf("%s: there is no file to record host keys in: set ssh.accept_new_file, or put the key in as hosts[%q].host_key", k.host, k.host)
	}
	if err := ssh.WritePins(file, ssh.PinAddr(k.target.Address, k.port()), k.offered...); err != nil {
		return fmt.Errorf("%s: recording the host key: %w", k.host, err)
	}
	fmt.Fprintf(a.stdout, "  recorded in %s\n", file)
	if k.source != "" && k.source != file {
		return fmt.Errorf("%s: %s comes before %s: change the key there too", k.host, k.source, file)
	}
	return nil
}

func fingerprint(k xssh.PublicKey) string { return k.Type() + " " + xssh.FingerprintSHA256(k) }
