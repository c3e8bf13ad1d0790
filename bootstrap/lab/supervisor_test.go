package lab

import (
	"bufio"
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
	ours := pretend(t, append(supervisorPrefix(script), "main", "zk1"))
	pretend(t, append(supervisorPrefix(script+"2"), "main", "zk1")) // another host
	pretend(t, []string{"vi", script})
	pretend(t, []string{"grep", strings.Join(supervisorPrefix(script), " ")})

	if got := supervisors(script); !slices.Equal(got, []int{ours}) {
		t.Fatalf("supervisors %v, want only %d", got, ours)
	}
	if err := killSupervisors(t.Context(), script); err != nil {
		t.Fatal(err)
	}
	if got := supervisors(script); len(got) != 0 { // not yet reaped: a zombie does not count
		t.Errorf("left: %v", got)
	}
	if err := killSupervisors(t.Context(), script); err != nil {
		t.Errorf("second time: %v", err)
	}
}

func TestKillIfSparesWhatIsNotOurs(t *testing.T) {
	pid := pretend(t, []string{"bystander"})
	if err := killIf(pid, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	if _, ok := readStatus(pid); !ok {
		t.Error("killed")
	}
}

func TestParseStatus(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		parent     int
		nspid      []int
		ok         bool
	}{
		{"host's PID 1", "Name:\tsystemd\nPPid:\t22705\nNSpid:\t22707\t16\t1\n", 22705, []int{22707, 16, 1}, true},
		{"kernel thread", "Name:\tkthreadd\nPPid:\t0\nNSpid:\t2\n", 0, []int{2}, false},
		{"before Linux 4.1", "Name:\tsh\nPPid:\t7\n", 7, nil, false},
		{"not a number", "PPid:\t7\nNSpid:\tx\n", 7, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st, ok := parseStatus(22707, tt.text)
			if ok != tt.ok || ok && (st.pid != 22707 || st.parent != tt.parent || !slices.Equal(st.nspid, tt.nspid)) {
				t.Errorf("got %+v, %v", st, ok)
			}
		})
	}
}
