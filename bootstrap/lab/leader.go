package lab

import (
	_ "embed"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

//go:embed supervise.sh
var superviseScript []byte

// leader returns the process, seen from outside, that is PID 1 of the host: the one below
// the supervisor that is PID 1 in a namespace of its own, one deeper than the supervisor's.
func leader(script string) (int, bool) {
	pids := machine.Supervisors(script)
	if len(pids) == 0 {
		return 0, false
	}
	// One pass over /proc: /proc/PID/task/TID/children would be shorter and is absent from
	// kernels without CONFIG_PROC_CHILDREN.
	children := map[int][]procStatus{}
	for _, pid := range machine.Processes() {
		if st, ok := readStatus(pid); ok {
			children[st.parent] = append(children[st.parent], st)
		}
	}
	for _, shell := range children[pids[0]] {
		for _, nspawn := range children[shell.pid] {
			for _, p := range children[nspawn.pid] {
				if len(p.nspid) == len(shell.nspid)+1 && p.nspid[len(p.nspid)-1] == 1 {
					return p.pid, true
				}
			}
		}
	}
	return 0, false
}

// procStatus is what /proc/PID/status says of a process; nspid holds its process id in each
// namespace, outermost first (proc_pid_status(5)).
type procStatus struct {
	pid, parent int
	nspid       []int
}

// readStatus is false for a process that has ended meanwhile.
func readStatus(pid int) (procStatus, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return procStatus{}, false
	}
	return parseStatus(pid, string(data))
}

func parseStatus(pid int, text string) (procStatus, bool) {
	st := procStatus{pid: pid}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "PPid":
			st.parent, _ = strconv.Atoi(strings.TrimSpace(value))
		case "NSpid":
			for _, f := range strings.Fields(value) {
				n, err := strconv.Atoi(f)
				if err != nil {
					return procStatus{}, false
				}
				st.nspid = append(st.nspid, n)
			}
		}
	}
	return st, st.parent > 0 && len(st.nspid) > 0
}
