package lab

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// emulators returns the processes that run domains which match. libvirt names each on QEMU's
// command line, so that a machine is found whether or not a libvirtd answers.
func emulators(match func(domain string) bool) []int {
	var pids []int
	for _, pid := range machine.Processes() {
		if name, ok := emulated(pid); ok && match(name) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// emulated returns the domain that a process runs.
func emulated(pid int) (domain string, ok bool) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // empty for a zombie
	if err != nil {
		return "", false
	}
	return parseEmulator(string(line))
}

// parseEmulator reads the command line that libvirt starts QEMU with:
// qemu-system-x86_64 -name guest=NAME,debug-threads=on ...
func parseEmulator(line string) (domain string, ok bool) {
	argv := strings.Split(line, "\x00")
	if len(argv) < 3 || argv[1] != "-name" {
		return "", false
	}
	if rest, ok := strings.CutPrefix(argv[2], "guest="); ok {
		domain, _, ok = strings.Cut(rest, ",")
		return domain, ok
	}
	return "", false
}

// killEmulators kills them and waits until they are gone.
func killEmulators(ctx context.Context, match func(domain string) bool) error {
	for _, pid := range emulators(match) {
		if err := machine.KillIf(pid, func() bool { name, ok := emulated(pid); return ok && match(name) }); err != nil {
			return err
		}
	}
	return machine.Wait(ctx, "virtual machines to end", func() (bool, error) { return len(emulators(match)) == 0, nil })
}
