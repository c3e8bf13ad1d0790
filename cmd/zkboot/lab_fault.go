package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap/lab"
)

// mendLimit bounds a mend that comes after an interrupt, which a host that boots takes longest for.
const mendLimit = 2 * time.Minute

// faultFlags are what `lab fault` is told besides host and kind.
type faultFlags struct {
	name    string // of the lab
	unit    string
	peers   []string
	delay   time.Duration
	count   int
	dir     string
	prepare bool
	last    time.Duration // --for
}

const faultHelp = `fault makes something go wrong on a host. What lasts stays when this command ends, until
` + "`zkboot lab mend HOST`" + `, or for the time of --for.

  kill           SIGKILL to the main process of the unit; systemd may start it again
  pause          SIGSTOP to it
  partition      no packet from or to the peers, or anyone: SSH too
  partition-in   no packet from them to the host
  partition-out  no packet from the host to them
  slow-disk      each fsync of the unit takes longer by --delay
  eio            each fdatasync of the unit fails, or the first --count
  fill-disk      no room where the transaction log is, or in --dir
  reboot         in order
  power-cut      off at once, until it is mended or ` + "`zkboot lab up`" + `

The first fill-disk of a host gives the directory a small disk of its own, which restarts the
host; --prepare does that alone.`

func (a *app) labFaultCommand() *cobra.Command {
	var f faultFlags
	cmd := &cobra.Command{
		Use:   "fault HOST KIND",
		Short: "Give a host of a lab a fault",
		Long:  faultHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("want HOST and KIND, one of %s", strings.Join(faultNames(), ", "))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			words := [][]string{labHosts(f.name), faultNames(), nil}
			return words[min(len(args), 2)], cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			fault, err := lab.ParseFault(args[1])
			if err != nil {
				return err
			}
			if fault == lab.FaultSlowDisk && !cmd.Flags().Changed("delay") {
				f.delay = 20 * time.Millisecond
			}
			if err := f.check(cmd, fault); err != nil {
				return err
			}
			return a.injectFault(cmd.Context(), args[0], fault, f)
		},
	}
	labName(cmd, &f.name)
	cmd.Flags().StringVar(&f.unit, "unit", "", "of kill, pause, slow-disk and eio: the systemd unit (default the member of the lab's spec)")
	cmd.Flags().StringSliceVar(&f.peers, "peer", nil, "of partitions: a host of the lab or an IPv4 address, again for more (default everyone)")
	cmd.Flags().DurationVar(&f.delay, "delay", 0, "of slow-disk: what a sync takes longer (default 20ms)")
	cmd.Flags().IntVar(&f.count, "count", 0, "of eio: how many syncs fail (default all)")
	cmd.Flags().StringVar(&f.dir, "dir", "", "of fill-disk: /var/lib/zookeeper-log or /var/lib/zookeeper (default the first)")
	cmd.Flags().BoolVar(&f.prepare, "prepare", false, "of fill-disk: only give the directory its disk, and fill nothing")
	cmd.Flags().DurationVar(&f.last, "for", 0, "mend the host after this time (default not)")
	return cmd
}

// check reports what is wrong before a lab is looked for; package lab judges the rest.
func (f faultFlags) check(cmd *cobra.Command, fault lab.Fault) error {
	var errs []error
	if cmd.Flags().Changed("for") && f.last <= 0 {
		errs = append(errs, fmt.Errorf("--for: %s: want more than nothing", f.last))
	}
	if f.last > 0 && !fault.Lasts() {
		errs = append(errs, fmt.Errorf("--for: %s does not last", fault))
	}
	if f.unit != "" && !fault.OfUnit() {
		errs = append(errs, fmt.Errorf("--unit: %s is not of a unit", fault))
	}
	if f.prepare && (fault != lab.FaultFillDisk || f.last > 0) {
		errs = append(errs, errors.New("--prepare: is of fill-disk, and without --for"))
	}
	return errors.Join(errs...)
}

func faultNames() []string {
	var names []string
	for _, f := range lab.Faults() {
		names = append(names, string(f))
	}
	return names
}

// labHosts are the hosts of a lab, for a shell to complete; none where there is no lab.
func labHosts(name string) []string {
	l, err := lab.Open(name)
	if err != nil {
		return nil
	}
	var names []string
	for _, h := range l.Hosts {
		names = append(names, h.Name)
	}
	return names
}

// injectFault injects, and with --for waits and mends: also when it is interrupted meanwhile.
func (a *app) injectFault(ctx context.Context, host string, fault lab.Fault, f faultFlags) error {
	l, err := lab.Open(f.name)
	if err != nil {
		return err
	}
	h, err := l.Host(host)
	if err != nil {
		return err
	}
	if f.prepare {
		if err := h.OwnDisk(ctx, f.dir); err != nil {
			return err
		}
		return a.say("%s: %s has a disk of its own", host, cmp.Or(f.dir, "/var/lib/zookeeper-log"))
	}
	in, err := f.injection(l, fault)
	if err != nil {
		return err
	}
	if err := h.Inject(ctx, in); err != nil {
		return err
	}
	switch {
	case !fault.Lasts():
		return a.say("%s: %s: done", host, fault)
	case f.last == 0:
		return a.say("%s: %s, until `zkboot lab mend %s --name %s`", host, fault, host, f.name)
	}
	if err := a.say("%s: %s, for %s", host, fault, f.last); err != nil {
		return err
	}
	timer := time.NewTimer(f.last)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	mending, cancel := context.WithTimeout(context.WithoutCancel(ctx), mendLimit)
	defer cancel()
	return a.mendHost(mending, h)
}

// injection is what package lab is asked for.
func (f faultFlags) injection(l *lab.Lab, fault lab.Fault) (lab.Injection, error) {
	in := lab.Injection{Fault: fault, Unit: f.unit, Delay: f.delay, Count: f.count, Dir: f.dir}
	for _, peer := range f.peers {
		addr, err := netip.ParseAddr(peer)
		if err != nil {
			h, err := l.Host(peer)
			if err != nil {
				return in, fmt.Errorf("--peer: %w", err)
			}
			addr = h.Address
		}
		in.Peers = append(in.Peers, addr)
	}
	if fault.OfUnit() && in.Unit == "" {
		unit, err := memberUnit(l)
		if err != nil {
			return in, fmt.Errorf("--unit: %w", err)
		}
		in.Unit = unit
	}
	return in, nil
}

// memberUnit names the unit that the lab's spec gives to its members.
func memberUnit(l *lab.Lab) (string, error) {
	s, report, err := loadSpec(filepath.Join(l.Dir, defaultFile))
	if err != nil {
		return "", err
	}
	if s == nil {
		return "", report.Err()
	}
	return "zookeeper-" + s.Name + ".service", nil
}

func (a *app) labMendCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "mend [HOST...]",
		Short: "Undo every fault of hosts of a lab, of all without HOST",
		ValidArgsFunction: func(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return labHosts(name), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(name)
			if err != nil {
				return err
			}
			hosts := l.Hosts
			if len(args) > 0 {
				hosts = nil
			}
			for _, arg := range args {
				h, err := l.Host(arg)
				if err != nil {
					return err
				}
				hosts = append(hosts, h)
			}
			var errs []error
			for _, h := range hosts {
				errs = append(errs, a.mendHost(cmd.Context(), h))
			}
			return errors.Join(errs...)
		},
	}
	labName(cmd, &name)
	return cmd
}

func (a *app) mendHost(ctx context.Context, h *lab.Host) error {
	if err := h.Mend(ctx); err != nil {
		return err
	}
	return a.say("%s: mended", h.Name)
}

func (a *app) labRecreateCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "recreate HOST",
		Short: "Make a host of a lab anew: blank disks, another host key, the same name and address",
		Args:  cobra.ExactArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return labHosts(name), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(name)
			if err != nil {
				return err
			}
			h, err := l.Host(args[0])
			if err != nil {
				return err
			}
			old := h.HostKey
			if err := h.Recreate(cmd.Context()); err != nil {
				return err
			}
			if err := a.say("%s: made anew, host key %s", h.Name, h.HostKey); err != nil {
				return err
			}
			return a.warnOfPinnedKey(filepath.Join(l.Dir, defaultFile), h, old)
		},
	}
	labName(cmd, &name)
	return cmd
}

// warnOfPinnedKey tells of a key in a spec that the lab keeps because somebody has changed it.
func (a *app) warnOfPinnedKey(file string, h *lab.Host, old string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if strings.Contains(string(text), old) {
		_, err = fmt.Fprintf(a.stderr, "%s pins the old host_key of %s and was kept: put the new one in\n", file, h.Name)
	}
	return err
}

// say writes one line of a result.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format+"\n", args...)
	return err
}
