package main

import (
	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
)

func (a *app) rollCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "roll",
		Short: "Do something to every member of the ensemble in turn",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.rollRestartCommand(), a.rollUpgradeCommand(), a.rollRebootCommand())
	return cmd
}

// rollFlags are what every roll takes.
type rollFlags struct {
	file, mode string
	approved   bool
}

// rollCommandOf is a command that rolls for an intent.
func (a *app) rollCommandOf(cmd *cobra.Command, intent func() bootstrap.Intent) *cobra.Command {
	var f rollFlags
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.mayAsk(f.approved); err != nil {
			return err
		}
		return a.change(cmd.Context(), f.mode, f.file, f.approved, intent())
	}
	fileFlag(cmd, &f.file)
	outputFlag(cmd, &f.mode)
	approveFlag(cmd, &f.approved)
	return cmd
}

func (a *app) rollRestartCommand() *cobra.Command {
	return a.rollCommandOf(&cobra.Command{
		Use:   "restart",
		Short: "Restart every member in turn, the leader last, though nothing has changed",
		Long: `restart gives every member a new process: one at a time, the leader last, each only while
the others have a quorum without it, and the next only when all are in sync again. It shows
its plan, asks, restarts and proves the result.

It refuses while there is anything to apply, while a member is down and while there is no
quorum. A run that was interrupted leaves nothing to be put right; as soon as all members
serve, the next one restarts all of them, those that had their turn too.`,
	}, func() bootstrap.Intent { return bootstrap.Intent{Verb: bootstrap.VerbRestart} })
}

func (a *app) rollUpgradeCommand() *cobra.Command {
	return a.rollCommandOf(&cobra.Command{
		Use:   "upgrade",
		Short: "Bring the members' packages to what apt offers, one member at a time",
		Long: `upgrade brings the packages that members run on, which zkboot holds against apt, to the
version that apt offers now: all hosts download first, then one member at a time is stopped,
upgraded and started, the leader last, each behind the gates of a restart. Run apt-get update
on the hosts before; upgrade does not.

It refuses where apt would give members different versions, an older one, or one with a fault
that the spec does not accept. Where nothing is newer it does nothing and exits with 0.

What the spec says is changed in the spec: a server from source.tarball, or a version in
source.apt.version, by another value there and an apply, which rolls as well.`,
	}, func() bootstrap.Intent { return bootstrap.Intent{Verb: bootstrap.VerbUpgrade} })
}

func (a *app) rollRebootCommand() *cobra.Command {
	var required bool
	cmd := a.rollCommandOf(&cobra.Command{
		Use:   "reboot",
		Short: "Reboot the host of every member in turn, the leader last",
		Long: `reboot boots the host of every member anew, such as for a new kernel: one at a time, the
leader last, each behind the gates of a restart. It waits until a host answers in another boot
than before, takes its lock again, and goes on when its member is in sync. Hosts without a
member are left alone.

It refuses while there is anything to apply and while a member is down. A run that was
interrupted leaves nothing to be put right; the next one reboots all hosts again, or with
--if-required those that are left.`,
	}, func() bootstrap.Intent { return bootstrap.Intent{Verb: bootstrap.VerbReboot, Required: required} })
	cmd.Flags().BoolVar(&required, "if-required", false, "reboot only hosts with /run/reboot-required or a newer kernel in /boot")
	return cmd
}

// pinned says what an upgrade leaves as it is because the spec decides on it.
func pinned(s *bootstrap.Spec, v bootstrap.Verb) bootstrap.Report {
	var r bootstrap.Report
	if v != bootstrap.VerbUpgrade || s.Ensemble == nil {
		return r
	}
	const way = "change that and run apply, which rolls as well"
	switch src := s.Ensemble.Source; {
	case src.Tarball != nil:
		r.Add(bootstrap.Finding{Severity: bootstrap.SeverityWarning, Path: "ensemble.source.tarball", Hint: way,
			Text: "the server stays what the spec says, an upgrade is of packages alone"})
	case src.Apt != nil && src.Apt.Version != "":
		r.Add(bootstrap.Finding{Severity: bootstrap.SeverityWarning, Path: "ensemble.source.apt.version", Hint: way,
			Text: "the server stays at " + src.Apt.Version + ", as the spec says"})
	}
	return s.Locate(r)
}
