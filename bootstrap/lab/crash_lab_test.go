//go:build lab

package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// killWhen starts a helper and kills it, without any chance to clean up, once seen is true.
func killWhen(t *testing.T, helper string, env []string, seen func() bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), helperEnv+"="+helper), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err := machine.Wait(t.Context(), "the moment to kill", func() (bool, error) {
		select {
		case err := <-ended:
			ended <- err
			return false, fmt.Errorf("the helper ended first: %v: %s", err, &stderr)
		default:
			return seen(), nil
		}
	})
	if err == nil {
		err = cmd.Process.Kill()
	}
	<-ended
	if err != nil {
		t.Fatal(err)
	}
}

func TestUpThatWasKilled(t *testing.T) {
	s := system()
	there := func(path string) bool { ok, _ := machine.Exists(path); return ok }
	for i, moment := range []struct {
		name string
		seen func(lab string) bool
	}{
		{"before the record", func(lab string) bool { return there(s.labDir(lab)) }},
		{"after the record", func(lab string) bool { return there(s.recordFile(lab)) }},
		{"after the first host directory", func(lab string) bool { return there(s.hostDir(lab, "zk1")) }},
		{"while hosts boot", func(lab string) bool { return len(machine.Supervisors(s.script(lab, "zk2"))) > 0 }},
	} {
		t.Run(moment.name, func(t *testing.T) {
			mustUpBase(t)
			name, dir := testLab(t, fmt.Sprintf("k%d", i))
			env := []string{"LAB_NAME=" + name, "LAB_DIR=" + dir}
			killWhen(t, "up", env, func() bool { return moment.seen(name) })
			if err := Down(t.Context(), name, ""); err != nil {
				t.Fatal(err)
			}
			if left := traces(t, name, dir); len(left) > 0 {
				t.Fatalf("left behind: %q", left)
			}
			killWhen(t, "up", env, func() bool { return moment.seen(name) })
			if l := mustUp(t, name, dir, 3, 0); len(l.Hosts) != 3 {
				t.Errorf("resumed with hosts %v", l.Hosts)
			}
		})
	}
}

// mustUpBase makes the tree before a test that is about something else.
func mustUpBase(t *testing.T) {
	t.Helper()
	r, err := newRecipe()
	if err != nil {
		t.Fatal(err)
	}
	key, err := r.key()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Name: "x", ZooKeeper: 1, Dir: "x"}
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	if _, err := system().ensureBase(t.Context(), key, o.Log); err != nil {
		t.Fatal(err)
	}
}

func TestBuilderThatWasKilledLeavesNoProcessAndNoMount(t *testing.T) {
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	killWhen(t, "isolated", []string{"LAB_DIR=" + dir}, func() bool { ok, _ := machine.Exists(filepath.Join(dir, "mounted")); return ok })
	if err := machine.Wait(t.Context(), "the builder's processes to end", func() (bool, error) {
		for _, pid := range machine.Processes() {
			if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.Contains(string(line), tree) {
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		t.Error(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), tree) {
		t.Errorf("%s is mounted (%v)", tree, err)
	}
}
