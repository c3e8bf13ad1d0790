package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
)

// labUser is the account that lab hosts let in.
const labUser = "debian"

func (a *app) labCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Throw-away hosts on this machine, to try things on",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.labUpCommand(), a.labDownCommand(), a.labListCommand(), a.labSSHCommand(),
		a.labEnvCommand(), a.labFaultCommand(), a.labMendCommand(), a.labRecreateCommand(), a.labTrafficCommand(), a.labVMCommand())
	return cmd
}

func (a *app) labUpCommand() *cobra.Command {
	o := lab.Options{}
	var apply bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a lab, or complete the one of that name",
		Long: `up makes hosts and writes a zkboot.yaml for them. With --apply it goes on to apply and
verify that, so that one command makes a whole environment:

  sudo zkboot lab up --apply --zookeeper 1 && eval "$(zkboot lab env)"

Run it again after a failure: it goes on from what is there.

Hosts are containers, which share this machine's kernel. With --driver qemu they are virtual
machines through libvirt, with kernels and disks of their own; packages, accounts, disks and
settings come with their first boot, as with ` + "`zkboot render user-data`" + `. That takes seconds
for each under KVM, and minutes where this machine has to emulate them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Log, o.FirstBoot = a.labLog(), labFirstBoot
			l, err := lab.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			if apply {
				return a.applyLab(cmd.Context(), l)
			}
			return a.writeLab(l)
		},
	}
	labName(cmd, &o.Name)
	cmd.Flags().BoolVar(&apply, "apply", false, "apply the lab's zkboot.yaml too, and verify what stands")
	cmd.Flags().IntVar(&o.ZooKeeper, "zookeeper", 3, "hosts that become members")
	cmd.Flags().IntVar(&o.Apps, "apps", 0, "application hosts")
	cmd.Flags().StringVar(&o.Driver, "driver", lab.DriverNspawn, "what hosts are: "+lab.DriverNspawn+" or "+lab.DriverQEMU)
	cmd.Flags().StringVar(&o.Dir, "dir", ".", "where to write zkboot.yaml, the key and known_hosts")
	return cmd
}

// labFirstBoot says what a virtual machine of a lab brings with its first boot: what `render
// user-data` puts there for a host of that spec, whose image is Debian 12.
func labFirstBoot(spec []byte, host string) ([]bootstrap.Desired, error) {
	s, report := bootstrap.Load(defaultFile, spec)
	if report.Failed() {
		return nil, report.Err()
	}
	wanted, _, report, err := firstBootOf(s, host, debian12())
	if report.Failed() {
		return nil, report.Err()
	}
	return wanted, err
}

func labName(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", "lab", "of the lab")
}

// labLog shows what a lab is doing, without time stamps: it is for a person who waits.
func (a *app) labLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			if len(groups) == 0 && (attr.Key == slog.TimeKey || attr.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return attr
		},
	}))
}

func (a *app) writeLab(l *lab.Lab) error {
	if err := a.writeHosts(l); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "\nnext: zkboot apply -f %s\n", filepath.Join(l.Dir, defaultFile))
	return err
}

func (a *app) writeHosts(l *lab.Lab) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tADDRESS\tHOST KEY")
	for _, h := range l.Hosts {
		fmt.Fprintf(w, "%s\t%s\t%s\n", h.Name, h.Address, h.HostKey)
	}
	return w.Flush()
}

func (a *app) labDownCommand() *cobra.Command {
	var name, dir string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove a lab and everything it left on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := lab.Down(cmd.Context(), name, dir); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.stdout, "lab %s is gone\n", name)
			return err
		},
	}
	labName(cmd, &name)
	cmd.Flags().StringVar(&dir, "dir", "", "the lab's directory: another one is refused")
	return cmd
}

func (a *app) labListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show the labs of this machine",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := lab.List()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "LAB\tHOSTS\tRUNNING\tSUBNET\tDIRECTORY")
			for _, l := range all {
				fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", l.Name, l.Hosts, l.Running, l.Subnet, l.Dir)
			}
			return w.Flush()
		},
	}
}

func (a *app) labSSHCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "ssh HOST [-- COMMAND...]",
		Short: "Log in to a host of a lab with ssh(1)",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(name)
			if err != nil {
				return err
			}
			h, err := l.Host(args[0])
			if err != nil {
				return err
			}
			return a.login(cmd.Context(), l, h, args[1:])
		},
	}
	labName(cmd, &name)
	return cmd
}

// labTrafficCommand is for the demo and not shown: what it counts is worth nothing elsewhere.
func (a *app) labTrafficCommand() *cobra.Command {
	var name string
	var load lab.Load
	cmd := &cobra.Command{
		Use:    "traffic HOST URL",
		Short:  "Send GET requests from inside a host, and count those that fail",
		Args:   cobra.ExactArgs(2),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(name)
			if err != nil {
				return err
			}
			h, err := l.Host(args[0])
			if err != nil {
				return err
			}
			load.URL = args[1]
			r, err := h.Traffic(cmd.Context(), load)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(a.stdout, r); err != nil {
				return err
			}
			if r.Failed > 0 || r.Requests == 0 {
				return said(codeFailed)
			}
			return nil
		},
	}
	labName(cmd, &name)
	cmd.Flags().DurationVar(&load.For, "for", 10*time.Second, "how long")
	cmd.Flags().IntVar(&load.Rate, "rate", 200, "requests a second")
	return cmd
}

// login runs ssh(1) on our terminal and ends with its exit code.
func (a *app) login(ctx context.Context, l *lab.Lab, h *lab.Host, command []string) error {
	args := []string{
		"-i", filepath.Join(l.Dir, "id_ed25519"), "-o", "IdentitiesOnly=yes",
		"-o", "UserKnownHostsFile=" + filepath.Join(l.Dir, "known_hosts"), "-o", "StrictHostKeyChecking=yes",
		labUser + "@" + h.Address.String(),
	}
	cmd := exec.CommandContext(ctx, "ssh", append(args, command...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return said(exit.ExitCode())
	}
	return err
}
