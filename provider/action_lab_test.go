//go:build lab

package provider

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab"
)

// actions are what is invoked by hand beside the example lab.
const actions = `
action "zkboot_rolling_restart" "lab" {
  config {` + theEnsemble + `}
}

action "zkboot_verify" "lab" {
  config {
    duration = "1s"` + theEnsemble + `}
}
`

const theEnsemble = `
    name                = zkboot_ensemble.lab.name
    hosts               = zkboot_ensemble.lab.hosts
    members             = zkboot_ensemble.lab.members
    hardware            = zkboot_ensemble.lab.hardware
    source              = zkboot_ensemble.lab.source
    accept_known_issues = zkboot_ensemble.lab.accept_known_issues
    heap                = zkboot_ensemble.lab.heap
  `

// newActionWorkspace is newWorkspace with a Terraform that knows actions.
func newActionWorkspace(t *testing.T, example string) workspace {
	t.Helper()
	w := newWorkspace(t, example)
	if w.terraform = os.Getenv("ZKBOOT_TERRAFORM_114"); w.terraform == "" {
		t.Fatal("ZKBOOT_TERRAFORM_114 is not set: actions need Terraform 1.14, and scripts/acceptance.sh says where it is")
	}
	return w
}

// The examples of the documentation, each by itself.
func TestExamplesOfActionsAreValid(t *testing.T) {
	for _, action := range []string{"zkboot_rolling_restart", "zkboot_verify"} {
		t.Run(action, func(t *testing.T) {
			w := newActionWorkspace(t, filepath.Join("actions", action))
			w.want(t, 0, nil, "init")
			w.want(t, 0, []string{"The configuration is valid"}, "validate")
		})
	}
}

// Actions under a real Terraform, on real hosts.
func TestActionsOnALab(t *testing.T) {
	name, dir := fmt.Sprintf("act%d", os.Getpid()), filepath.Join(t.TempDir(), "lab")
	w := newActionWorkspace(t, "lab")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, name, dir); err != nil {
			t.Error(err)
		}
	})
	l, err := lab.Up(t.Context(), lab.Options{Name: name, ZooKeeper: 3, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "actions.tf"), []byte(actions), 0o600); err != nil {
		t.Fatal(err)
	}
	at := "-var=lab_dir=" + dir
	w.want(t, 0, nil, "init")
	w.want(t, 0, []string{"1 added"}, "apply", "-auto-approve", at)

	restartsInTurn(t, w, l, at)
	w.want(t, 0, []string{"No changes."}, "plan", "-detailed-exitcode", at)
	w.want(t, 0, []string{"zk2: probe"}, "apply", "-auto-approve", "-invoke=action.zkboot_verify.lab", at)

	hostOf(t, l, "zk2").sh(t, "systemctl stop "+unitOf(l))
	before := processes(t, l)
	w.want(t, 1, []string{"expected nothing left to apply", "on zk2", "apply first, then restart"}, "apply", "-auto-approve", "-invoke=action.zkboot_rolling_restart.lab", at)
	if after := processes(t, l); !slices.Equal(before, after) {
		t.Errorf("servers were %v and are %v after a restart that was refused", before, after)
	}
	w.want(t, 1, []string{"Error: ", "zk2"}, "apply", "-auto-approve", "-invoke=action.zkboot_verify.lab", at)
}

// restartsInTurn expects a new process on every host, that of the leader last.
func restartsInTurn(t *testing.T, w workspace, l *lab.Lab, at string) {
	t.Helper()
	before := processes(t, l)
	leader := slices.IndexFunc(before, func(p process) bool {
		h := hostOf(t, l, p.host)
		said, err := h.Exec(t.Context(), "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/2181; echo srvr >&3; cat <&3", h.Address))
		return err == nil && strings.Contains(said, "Mode: leader")
	})
	t.Log(w.want(t, 0, []string{"zk1: restarting " + unitOf(l), "zk2: restarting " + unitOf(l), "zk3: restarting " + unitOf(l)},
		"apply", "-auto-approve", "-invoke=action.zkboot_rolling_restart.lab", at))
	after := processes(t, l)
	for i, was := range before {
		if is := after[i]; is.pid == was.pid || is.started <= was.started {
			t.Errorf("%s: process %d of %d us, then %d of %d us, want a new one", was.host, was.pid, was.started, is.pid, is.started)
		}
	}
	last := slices.MaxFunc(after, func(a, b process) int { return a.started - b.started })
	if leader < 0 || last.host != before[leader].host {
		t.Errorf("%s was restarted last, want the leader: %v", last.host, before)
	}
}

// process is a server as systemd knows it; started is in microseconds, on the clock that all
// hosts of a lab share.
type process struct {
	host         string
	pid, started int
}

func processes(t *testing.T, l *lab.Lab) []process {
	t.Helper()
	var out []process
	for _, h := range l.Hosts {
		is := process{host: h.Name}
		said := hostOf(t, l, h.Name).sh(t, "systemctl show -P MainPID -P ExecMainStartTimestampMonotonic "+unitOf(l))
		if _, err := fmt.Sscan(said, &is.pid, &is.started); err != nil {
			t.Fatalf("%s: %q: %v", h.Name, said, err)
		}
		out = append(out, is)
	}
	return out
}
