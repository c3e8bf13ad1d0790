package watchertest

import "syscall"

// tied ends a process with its starter, also when a test run is killed at its time limit
// and no cleanup runs (prctl(2), PR_SET_PDEATHSIG).
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
