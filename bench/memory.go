package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// watchMost samples a figure all along until the returned function is called, which tells
// the largest one.
func watchMost(sample func() float64) (stop func() float64) {
	done, result := make(chan struct{}), make(chan float64)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var most float64
		for {
			most = max(most, sample())
			select {
			case <-done:
				result <- most
				return
			case <-tick.C:
			}
		}
	}()
	return func() float64 {
		close(done)
		return <-result
	}
}

// peakOf is the largest resident memory that one of the processes has had, in MB.
//
// It is VmHWM (proc_pid_status(5)), which the kernel keeps, so that a sampler misses only
// what a process adds in its last milliseconds. ru_maxrss of getrusage(2) will not do: Go's
// children begin in their parent's memory (CLONE_VM), and Linux counts that peak as the
// child's when it executes its program (fs/exec.c, exec_mmap).
func peakOf(pids ...int) float64 {
	var most float64
	for _, pid := range pids {
		most = max(most, residentPeak(pid))
	}
	return most
}

// residentPeak is VmHWM of a process in MB, 0 when it has ended.
func residentPeak(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		var kib float64
		if n, _ := fmt.Sscanf(string(line), "VmHWM: %f kB", &kib); n == 1 {
			return kib * 1024 / 1e6
		}
	}
	return 0
}

// running returns the processes that run the program at an absolute path.
func running(program string) []int {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil
	}
	var pids []int
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != program {
			continue // it has ended, or is none
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// connected counts the TCP connections over IPv4 that stand from here to one of the ports,
// as the kernel sees them (proc_net(5), tcp): the end that is dialled learns of a close only
// later.
func connected(ports map[int]bool) float64 {
	b, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0
	}
	n := 0.0
	for line := range bytes.Lines(b) {
		words := strings.Fields(string(line))
		const remote, state, established = 2, 3, "01"
		if len(words) <= state || words[state] != established {
			continue
		}
		_, hex, _ := strings.Cut(words[remote], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil && ports[int(port)] {
			n++
		}
	}
	return n
}
