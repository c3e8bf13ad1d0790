package machine

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// pretend starts a process with a command line of our choice.
func pretend(t *testing.T, argv []string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Args = argv
	cmd.Env = append(os.Environ(), helperEnv+"=sleep")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "killed") {
			t.Error(err)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("helper said %q, %v", line, err)
	}
	return cmd.Process.Pid
}

func TestSupervisorsAreKnownByTheirCommandLine(t *testing.T) {
	script := t.TempDir() + "/main/zk1/supervise"
	ours := pretend(t, append(SupervisorPrefix(script), "main", "zk1"))
	pretend(t, append(SupervisorPrefix(script+"2"), "main", "zk1")) // another host
	pretend(t, []string{"vi", script})
	pretend(t, []string{"grep", strings.Join(SupervisorPrefix(script), " ")})

	if got := Supervisors(script); !slices.Equal(got, []int{ours}) {
		t.Fatalf("supervisors %v, want only %d", got, ours)
	}
	if err := KillSupervisors(t.Context(), script); err != nil {
		t.Fatal(err)
	}
	if got := Supervisors(script); len(got) != 0 { // not yet reaped: a zombie does not count
		t.Errorf("left: %v", got)
	}
	if err := KillSupervisors(t.Context(), script); err != nil {
		t.Errorf("second time: %v", err)
	}
}

func TestKillIfSparesWhatIsNotOurs(t *testing.T) {
	pid := pretend(t, []string{"bystander"})
	if err := KillIf(pid, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err != nil || len(line) == 0 { // empty for a zombie
		t.Errorf("killed: its command line is %q, %v", line, err)
	}
}
