package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
	"github.com/zkboot/zkboot/verify"
)

// labProbe is how long the proof of a lab loads a disk: whoever waits for an environment has
// other things to prove than the disk of the machine that it stands on.
const labProbe = 3 * time.Second

// applyLab brings what the lab's spec says onto its hosts and proves it, as apply and verify
// do.
func (a *app) applyLab(ctx context.Context, l *lab.Lab) error {
	if err := a.writeHosts(l); err != nil {
		return err
	}
	file := filepath.Join(l.Dir, defaultFile)
	if err := a.change(ctx, outputText, file, true, bootstrap.Intent{Verb: bootstrap.VerbConverge}); err != nil {
		return err
	}
	if err := a.verify(ctx, file, "text", verify.Options{Duration: labProbe}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "\nnext: eval \"$(zkboot lab env --name %s)\"\n", l.Name)
	return err
}

func (a *app) labEnvCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print where a lab is, for a shell to evaluate",
		Long: `env prints assignments for a shell, such as that of a CI job:

  eval "$(zkboot lab env)"

  ZKBOOT_CONNECT   what ZooKeeper clients connect to, where the lab has members
  ZKBOOT_ZK1 ...   the address of each host
  ZKBOOT_LAB       the name of the lab
  ZKBOOT_LAB_DIR   the directory with zkboot.yaml, id_ed25519 and known_hosts

Where it fails it prints no assignment at all.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := lab.Open(name)
			if err != nil {
				return err
			}
			s, report, err := loadSpec(filepath.Join(l.Dir, defaultFile))
			if err != nil {
				return err
			}
			if s == nil {
				return report.Err()
			}
			return writeEnv(a.stdout, l, s)
		},
	}
	labName(cmd, &name)
	return cmd
}

// writeEnv writes an export for each variable of labEnvCommand, quoted for any POSIX shell.
// Ports and members are those of the spec: a lab's own may have been edited.
func writeEnv(w io.Writer, l *lab.Lab, s *bootstrap.Spec) error {
	var b strings.Builder
	export := func(name, value string) {
		fmt.Fprintf(&b, "export ZKBOOT_%s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	export("LAB", l.Name)
	export("LAB_DIR", l.Dir)
	if s.Ensemble != nil {
		export("CONNECT", connectString(s))
	}
	for _, h := range l.Hosts {
		export(strings.ToUpper(h.Name), h.Address.String()) // zk1 or app1: letters and digits
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// connectString lists all members, in the order of their names.
func connectString(s *bootstrap.Spec) string {
	port := strconv.Itoa(s.Ensemble.Ports.WithDefaults().Client)
	var servers []string
	for _, name := range s.MemberNames() {
		servers = append(servers, net.JoinHostPort(s.Hosts[name].Address, port))
	}
	return strings.Join(servers, ",")
}
