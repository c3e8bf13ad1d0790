package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// commandTime bounds every program that Gather runs; all of them answer from
// local state.
const commandTime = 5 * time.Second

// host reads a machine. The fields are what a test replaces.
type host struct {
	root string                                                                 // of the file system; "/" but in tests
	run  func(ctx context.Context, name string, args ...string) (string, error) // returns stdout and stderr together
}

func thisHost() host { return host{root: "/", run: runCommand} }

// runCommand runs a program with the C locale, so that its output can be read.
func runCommand(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second // a grandchild that keeps the pipe open
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (h host) path(p string) string { return filepath.Join(h.root, p) }

func (h host) read(p string) (string, error) {
	b, err := os.ReadFile(h.path(p))
	return string(b), err
}

func (h host) exists(p string) bool {
	_, err := os.Lstat(h.path(p))
	return err == nil
}

// Gather reads the facts of the host it runs on. What cannot be read is named
// in Facts.Unknown; the only errors are a query that makes no sense and the end
// of ctx. It takes well under a second on a healthy host, plus q.Sample.
func Gather(ctx context.Context, q FactsQuery) (Facts, error) {
	return thisHost().gather(ctx, q)
}

func (h host) gather(ctx context.Context, q FactsQuery) (Facts, error) {
	for _, dir := range q.Dirs {
		if !filepath.IsAbs(dir) {
			return Facts{}, fmt.Errorf("facts: dirs: %q is not an absolute path", dir)
		}
	}
	f := Facts{UserID: os.Geteuid(), Arch: runtime.GOARCH}
	readers := []struct {
		fact string
		read func(context.Context) error
	}{
		{"hostname", func(context.Context) (err error) { f.Hostname, err = os.Hostname(); return }},
		{"os", func(context.Context) error { return h.readOS(&f.OS) }},
		{"kernel", func(context.Context) error { return h.trimmed("/proc/sys/kernel/osrelease", &f.Kernel) }},
		{"systemd", func(ctx context.Context) error { return h.readSystemd(ctx, &f.Systemd) }},
		{"virtualization", func(ctx context.Context) error { return h.readVirtualization(ctx, &f.Virtualization) }},
		{"cpu", func(ctx context.Context) error { return h.readCPU(ctx, q.Sample, &f.CPU) }},
		{"memory", func(context.Context) error { return h.readMemory(&f.Memory) }},
		{"pressure", func(context.Context) error { return h.readPressure(&f.Pressure) }},
		{"thp", func(context.Context) error { return h.choice("/sys/kernel/mm/transparent_hugepage/enabled", &f.THP) }},
		{"clocksource", func(context.Context) error {
			return h.trimmed("/sys/devices/system/clocksource/clocksource0/current_clocksource", &f.Clocksource)
		}},
		{"boot_id", func(context.Context) error { return h.trimmed("/proc/sys/kernel/random/boot_id", &f.BootID) }},
		{"machine_id", func(context.Context) error { return h.trimmed("/etc/machine-id", &f.MachineID) }},
		{"product_uuid", func(context.Context) error { return h.trimmed("/sys/class/dmi/id/product_uuid", &f.ProductUUID) }},
		{"uptime_s", func(context.Context) error { return h.readUptime(&f.Uptime) }},
		{"time", func(context.Context) error { return readTimeSync(&f.Time) }},
		{"addresses", func(context.Context) error { return readAddresses(&f.Addresses) }},
		{"listeners", func(context.Context) error { return h.readListeners(&f.Listeners) }},
		{"dirs", func(context.Context) error { return h.readDirs(q.Dirs, &f.Dirs) }},
		{"java", func(ctx context.Context) error { return h.readJava(ctx, &f.Java) }},
		{"resolution", func(ctx context.Context) error { return readResolution(ctx, q.Names, &f.Resolution) }},
		{"reverse", func(ctx context.Context) error { return readReverse(ctx, net.DefaultResolver, &f.Reverse) }},
		{"cloud_init", func(context.Context) error { return h.readCloudInit(&f.CloudInit) }},
		{"kernels", func(context.Context) error { return h.readKernels(&f.Kernels) }},
		{"reboot_required", func(context.Context) error { return h.readRebootRequired(&f.RebootRequired) }},
		{"package_lock", func(context.Context) error { return h.readPackageLock(&f.PackageLock) }},
		{"zookeepers", func(context.Context) error { return h.readZooKeepers(&f) }},
		{"processes", func(context.Context) error { f.Processes = h.readProcesses(q.PIDs); return nil }},
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, r := range readers { // side by side, because some run programs
		wg.Go(func() {
			if err := r.read(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if f.Unknown == nil {
					f.Unknown = map[string]string{}
				}
				f.Unknown[r.fact] = err.Error()
			}
		})
	}
	wg.Wait()
	return f, ctx.Err()
}

// trimmed reads a file that holds one word or line.
func (h host) trimmed(p string, to *string) error {
	text, err := h.read(p)
	*to = strings.TrimSpace(text)
	return err
}

// choice reads a file in which the current of several words stands in brackets.
func (h host) choice(p string, to *string) error {
	text, err := h.read(p)
	*to = parseChoice(text)
	return err
}

func (h host) readOS(to *OS) error {
	text, err := h.read("/etc/os-release")
	if errors.Is(err, fs.ErrNotExist) {
		text, err = h.read("/usr/lib/os-release") // os-release(5)
	}
	*to = parseOSRelease(text)
	return err
}

// readSystemd leaves version 0 where systemd is not in charge: sd_booted(3).
func (h host) readSystemd(ctx context.Context, to *Systemd) error {
	if !h.exists("/run/systemd/system") {
		to.State = "offline"
		return nil
	}
	out, err := h.run(ctx, "systemctl", "--version")
	if err != nil {
		return fmt.Errorf("systemctl --version: %w", err)
	}
	// "systemd 252 (252.31-1~deb12u1)"
	fields := strings.Fields(firstLine(out))
	if len(fields) < 2 || fields[0] != "systemd" {
		return fmt.Errorf("systemctl --version says %q", firstLine(out))
	}
	if to.Version, err = strconv.Atoi(strings.TrimRight(fields[1], "~rc.")); err != nil {
		return fmt.Errorf("systemctl --version says %q", firstLine(out))
	}
	// Exits 1 for every state but running, and says which.
	state, err := h.run(ctx, "systemctl", "is-system-running")
	if to.State = firstLine(state); to.State == "" {
		return fmt.Errorf("systemctl is-system-running: %w", err)
	}
	return nil
}

func (h host) readCPU(ctx context.Context, sample time.Duration, to *CPU) error {
	to.Count = runtime.NumCPU()
	var before cpuTimes // zero: the mean since boot
	if sample > 0 {
		var err error
		if before, err = h.cpuTimes(); err != nil {
			return err
		}
		timer := time.NewTimer(sample)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	now, err := h.cpuTimes()
	if err != nil {
		return err
	}
	if steal, ok := now.stealSince(before); ok {
		to.Steal = &steal
	}
	return nil
}

func (h host) cpuTimes() (cpuTimes, error) {
	text, err := h.read("/proc/stat")
	if err != nil {
		return cpuTimes{}, err
	}
	t, err := parseCPUTimes(text)
	if err != nil {
		return cpuTimes{}, fmt.Errorf("/proc/stat: %w", err)
	}
	return t, nil
}

func (h host) readMemory(to *Memory) error {
	text, err := h.read("/proc/meminfo")
	if err != nil {
		return err
	}
	if *to, err = parseMeminfo(text); err != nil {
		return fmt.Errorf("/proc/meminfo: %w", err)
	}
	return nil
}

// readPressure leaves nil what the kernel does not offer: before 4.20, or
// where psi=1 is not on its command line and the default is off.
func (h host) readPressure(to *Pressure) error {
	var errs []error
	for _, p := range []struct {
		name string
		to   **PSI
	}{{"cpu", &to.CPU}, {"io", &to.IO}, {"memory", &to.Memory}} {
		text, err := h.read("/proc/pressure/" + p.name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		psi, err := parsePSI(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("/proc/pressure/%s: %w", p.name, err))
			continue
		}
		*p.to = &psi
	}
	return errors.Join(errs...)
}

func (h host) readUptime(to *float64) error {
	text, err := h.read("/proc/uptime")
	if err != nil {
		return err
	}
	seconds, _, _ := strings.Cut(text, " ")
	*to, err = strconv.ParseFloat(seconds, 64)
	return err
}

// readTimeSync asks the kernel and not a daemon, because all of them (chrony,
// ntpd, systemd-timesyncd) tell the kernel. With modes 0 it needs no privilege,
// but container managers often forbid the call.
func readTimeSync(to *TimeSync) error {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return fmt.Errorf("adjtimex: %w", err)
	}
	unit := time.Microsecond
	if t.Status&unix.STA_NANO != 0 {
		unit = time.Nanosecond
	}
	to.Synced = t.Status&unix.STA_UNSYNC == 0
	to.OffsetMS = milliseconds(time.Duration(t.Offset) * unit)
	to.MaxErrMS = milliseconds(time.Duration(t.Maxerror) * time.Microsecond)
	return nil
}

func readAddresses(to *[]Address) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
		for _, a := range addrs {
			*to = append(*to, Address{Interface: i.Name, Prefix: a.String(), MTU: i.MTU})
		}
	}
	slices.SortFunc(*to, func(a, b Address) int {
		if c := strings.Compare(a.Interface, b.Interface); c != 0 {
			return c
		}
		return strings.Compare(a.Prefix, b.Prefix)
	})
	return nil
}
