package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
)

// The labs of the bench. Only one stands while times are taken.
const (
	labZkboot    = "bench-zkboot"
	labApt       = "bench-apt"
	labTerraform = "bench-tf"
	labDrill     = "bench-drill"
)

// tidyLimit bounds how long taking a lab down may take.
const tidyLimit = 2 * time.Minute

// bench is one run with what it has standing.
type bench struct {
	options
	say func(format string, a ...any)

	formed   *standing // three hosts with an ensemble, once there is one
	packages []string  // that zkboot installs
	sent     []float64 // bytes of agent that the first, second.. connection to fresh hosts took
}

// standing is a lab with its directory.
type standing struct {
	*lab.Lab
	dir string
}

func (s *standing) file() string { return filepath.Join(s.dir, "zkboot.yaml") }

// fresh stands up three hosts that nobody has touched, see freshSite.
func (b *bench) fresh(ctx context.Context, name string) (*standing, error) {
	return b.freshSite(ctx, name, 0)
}

// freshSite stands up three hosts for members, and some for applications, that nobody has
// touched, and waits until they have booted to the end: what a boot still does would count
// against whoever is measured first.
func (b *bench) freshSite(ctx context.Context, name string, apps int) (*standing, error) {
	if err := b.down(ctx, name); err != nil { // an interrupted run may have left one
		return nil, err
	}
	dir, err := os.MkdirTemp("", name+"-")
	if err != nil {
		return nil, err
	}
	b.say("%d fresh hosts: lab %s", 3+apps, name)
	l, err := lab.Up(ctx, lab.Options{Name: name, ZooKeeper: 3, Apps: apps, Dir: dir})
	if err != nil {
		return nil, errors.Join(err, b.down(ctx, name), os.RemoveAll(dir))
	}
	s := &standing{Lab: l, dir: dir}
	err = s.each(ctx, func(ctx context.Context, h *lab.Host) error {
		out, err := h.Exec(ctx, "systemctl", "is-system-running", "--wait")
		if strings.TrimSpace(out) == "degraded" { // booted, with a unit that no container can run
			return nil
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, b.remove(ctx, s))
	}
	return s, nil
}

// each runs work on all hosts at once.
func (s *standing) each(ctx context.Context, work func(context.Context, *lab.Host) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range s.Hosts {
		g.Go(func() error { return work(ctx, h) })
	}
	return g.Wait()
}

// down takes a lab down also when ctx has ended.
func (b *bench) down(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyLimit)
	defer cancel()
	return lab.Down(ctx, name, "")
}

func (b *bench) remove(ctx context.Context, s *standing) error {
	return errors.Join(b.down(ctx, s.Name), os.RemoveAll(s.dir))
}

// tidy removes what still stands at the end.
func (b *bench) tidy(ctx context.Context) {
	if b.formed == nil {
		return
	}
	if err := b.remove(ctx, b.formed); err != nil {
		b.say("lab %s is still there: %v; remove it with: zkboot lab down --name %s", b.formed.Name, err, b.formed.Name)
	}
	b.formed = nil
}

// ensemble returns hosts with a formed ensemble, which quorum leaves behind.
func (b *bench) ensemble(ctx context.Context) (*standing, error) {
	if b.formed != nil {
		return b.formed, nil
	}
	s, err := b.fresh(ctx, labZkboot)
	if err != nil {
		return nil, err
	}
	b.formed = s
	_, err = b.zkboot(ctx, "apply", "--auto-approve", "-f", s.file())
	return s, err
}

// spec loads the spec of a lab, with the paths in it made absolute.
func (s *standing) spec() (*bootstrap.Spec, error) {
	src, err := os.ReadFile(s.file())
	if err != nil {
		return nil, err
	}
	spec, report := bootstrap.Load(s.file(), src)
	if spec == nil {
		return nil, report.Err()
	}
	for i, f := range spec.SSH.IdentityFiles {
		spec.SSH.IdentityFiles[i] = filepath.Join(s.dir, f)
	}
	spec.SSH.KnownHostsFile = filepath.Join(s.dir, spec.SSH.KnownHostsFile)
	return spec, nil
}

// ran is what one run of a program took.
type ran struct {
	wall   time.Duration
	cpu    time.Duration // of the program and those that it started
	peak   float64       // resident memory at its peak, MB
	stdout string
}

// zkboot runs the program under test, which must end with 0.
func (b *bench) zkboot(ctx context.Context, args ...string) (ran, error) {
	cmd := exec.CommandContext(ctx, b.program, args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return ran{}, err
	}
	peak := watchMost(func() float64 { return peakOf(cmd.Process.Pid) })
	err := cmd.Wait()
	r := ran{wall: time.Since(start), cpu: cpuOf(cmd), peak: peak(), stdout: stdout.String()}
	if err != nil {
		return r, fmt.Errorf("zkboot %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return r, nil
}

// cpuOf is what a program that has ended took: on a busy machine it says more than a time.
func cpuOf(cmd *exec.Cmd) time.Duration {
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// quorate fails unless the ensemble of s serves.
func (b *bench) quorate(ctx context.Context, s *standing) error {
	r, err := b.zkboot(ctx, "status", "-f", s.file(), "--output", "json")
	if err != nil {
		return err
	}
	var status struct {
		Quorum  bool       `json:"quorum"`
		Members []struct{} `json:"members"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &status); err != nil {
		return err
	}
	if !status.Quorum || len(status.Members) != 3 {
		return fmt.Errorf("lab %s: want three members with quorum after apply, found:\n%s", s.Name, r.stdout)
	}
	return nil
}
