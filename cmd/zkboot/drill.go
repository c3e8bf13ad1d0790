package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/drill"
	"github.com/zkboot/zkboot/bootstrap/lab"
)

func (a *app) drillCommand() *cobra.Command {
	var file, mode, fault string
	var approved bool
	o := drill.Options{}
	cmd := &cobra.Command{
		Use:   "drill --fault FAULT",
		Short: "Do something bad to a member under load, and prove that nothing was lost",
		Long: `drill writes to an ensemble that stands and reads through every member while it does
something bad to one of them. Then it tells the longest write stall, how many acknowledged
writes were lost, whether two leaders took writes, whether what was read could have come from
one register (linearizability), and whether all members hold the same data in the end.

On hosts of a lab all faults can be had. On any others only those that systemd makes good by
itself, and after asking: none, kill-leader, kill-follower, restart-leader.

` + faultList() + `
It exits with 0 when the verdict is pass, with 3 when it is fail, and with 1 when it could not
be run. Its znodes, /zkboot-drill-*, are removed at the end, or by the next drill.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(mode); err != nil {
				return err
			}
			var err error
			if o.Fault, err = drill.Find(fault); err != nil {
				return fmt.Errorf("--fault: %w", err)
			}
			return a.drill(cmd.Context(), file, mode, approved, o)
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	approveFlag(cmd, &approved)
	cmd.Flags().StringVar(&fault, "fault", "", "what to do, see above")
	_ = cmd.MarkFlagRequired("fault") // fails only for a flag that does not exist
	cmd.Flags().DurationVar(&o.Duration, "duration", 30*time.Second, "of the writing: a quarter before the fault, half of it while one that lasts stands")
	cmd.Flags().IntVar(&o.Rate, "rate", drill.DefaultRate, "writes a second")
	_ = cmd.RegisterFlagCompletionFunc("fault", cobra.FixedCompletions(drillFaults(), cobra.ShellCompDirectiveNoFileComp)) // likewise
	return cmd
}

func drillFaults() []string {
	var names []string
	for _, f := range drill.Faults() {
		names = append(names, f.Name)
	}
	return names
}

// faultList is the table of faults for the help.
func faultList() string {
	text := ""
	for _, f := range drill.Faults() {
		text += fmt.Sprintf("  %-22s%s\n", f.Name, f.Does)
	}
	return text
}

// drill asks where that is called for, runs the drill and prints what it found.
func (a *app) drill(ctx context.Context, file, mode string, approved bool, o drill.Options) error {
	s, err := a.newSpecSession(outputText, file)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	o.Spec, o.Who = s.spec, who()
	if err := o.Validate(); err != nil {
		return err
	}
	l, err := labOf(file)
	if err != nil {
		return err
	}
	if err := s.mayDrill(ctx, l, approved, o.Fault); err != nil {
		return err
	}
	o.Open = s.opener()
	o.Say = func(text string) { s.engine.Emit(bootstrap.Event{Kind: bootstrap.EventNote, Step: text}) }
	o.Hand = drill.OnHosts(s.spec)
	if l != nil {
		o.Hand = drill.OnLab(l, s.spec)
	}
	result, err := drill.Run(ctx, o)
	if errors.Is(err, bootstrap.ErrLocked) {
		return &exitError{code: codeLocked, err: err}
	}
	if err != nil {
		return err
	}
	write := result.WriteText
	if mode == outputJSON {
		write = result.WriteJSON
	}
	if err := s.print(write); err != nil {
		return err
	}
	if result.Verdict != drill.Pass {
		return said(codeUnfit)
	}
	return nil
}

// mayDrill refuses on hosts that are not of a lab what cannot be made good there, and asks
// before anything else: others may depend on them.
func (s *session) mayDrill(ctx context.Context, l *lab.Lab, approved bool, f drill.Fault) error {
	switch {
	case l != nil:
		return nil
	case !f.Safe():
		return fmt.Errorf("%w: %s is for labs alone (%s); on these hosts: none, kill-leader, kill-follower, restart-leader; or `zkboot lab up`, and drill there",
			bootstrap.ErrRefused, f.Name, f.Does)
	case approved:
		return nil
	}
	if err := s.app.mayAsk(false); err != nil {
		return err
	}
	defer s.out.hold()()
	yes, err := s.app.confirm(ctx, fmt.Sprintf("drill %s on %s? %s", f.Name, s.spec.Name, f.Does))
	if err == nil && !yes {
		err = errors.New("not approved, nothing was done")
	}
	return err
}

// opener reaches hosts apart from those that the engine holds open.
func (s *session) opener() drill.Opener {
	return func(ctx context.Context, host string) (bootstrap.Host, error) {
		return s.engine.Open(ctx, s.spec, host)
	}
}

// labOf finds the lab whose spec the file is: the one that has its directory. It is nil for
// any other file.
func labOf(file string) (*lab.Lab, error) {
	all, err := lab.List()
	if err != nil {
		return nil, err
	}
	dir, err := canonical(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	for _, sum := range all {
		if sum.Dir == "" {
			continue // an Up that ended early
		}
		if at, err := canonical(sum.Dir); err == nil && at == dir {
			return lab.Open(sum.Name)
		}
	}
	return nil, nil
}

func canonical(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}
