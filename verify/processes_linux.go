package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pids returns the running processes in ascending order.
func (h host) pids() ([]int, error) {
	entries, err := os.ReadDir(h.path("/proc"))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// process names a process, as far as it is still there.
func (h host) process(pid int) Process {
	p := Process{PID: pid}
	dir := fmt.Sprintf("/proc/%d/", pid)
	_ = h.trimmed(dir+"comm", &p.Name)
	if text, err := h.read(dir + "cgroup"); err == nil {
		p.Unit = parseUnit(text)
	}
	return p
}

func (h host) readListeners(to *[]Listener) error {
	var sockets []socket
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := h.read(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return err
		}
		found, err := parseTCP(text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		sockets = append(sockets, found...)
	}
	owners := h.socketOwners(sockets)
	for _, s := range sockets {
		l := Listener{Address: s.addr.Addr().String(), Port: int(s.addr.Port())}
		if pid, ok := owners[s.inode]; ok {
			p := h.process(pid)
			l.Process = &p
		}
		*to = append(*to, l)
	}
	slices.SortFunc(*to, func(a, b Listener) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Address, b.Address))
	})
	return nil
}

// socketOwners maps the inodes of sockets to the process that holds them open.
// Without root it sees the user's own processes only.
func (h host) socketOwners(sockets []socket) map[uint64]int {
	wanted := make(map[string]uint64, len(sockets))
	for _, s := range sockets {
		wanted[fmt.Sprintf("socket:[%d]", s.inode)] = s.inode
	}
	owners := make(map[uint64]int, len(sockets))
	pids, err := h.pids()
	if err != nil {
		return owners
	}
	for _, pid := range pids {
		dir := h.path(fmt.Sprintf("/proc/%d/fd", pid))
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // ended, or not ours to look at
		}
		for _, fd := range fds {
			target, err := os.Readlink(filepath.Join(dir, fd.Name()))
			if err != nil {
				continue
			}
			if inode, ok := wanted[target]; ok {
				if _, taken := owners[inode]; !taken { // the lowest pid is the parent
					owners[inode] = pid
				}
			}
		}
	}
	return owners
}

// serverClasses are the main classes of a ZooKeeper server process.
var serverClasses = [...]string{
	"org.apache.zookeeper.server.quorum.QuorumPeerMain",
	"org.apache.zookeeper.server.ZooKeeperServerMain",
}

// readZooKeepers looks at command lines and keeps none: they may hold secrets.
func (h host) readZooKeepers(f *Facts) error {
	// The packages that ship an init script; libzookeeper-java is only a library.
	for _, pkg := range []string{"zookeeper", "zookeeperd"} {
		if h.exists("/var/lib/dpkg/info/" + pkg + ".list") {
			f.ZooKeeperPkgs = append(f.ZooKeeperPkgs, pkg)
		}
	}
	pids, err := h.pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		text, err := h.read(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue // ended since
		}
		args := strings.Split(text, "\x00")
		if slices.ContainsFunc(serverClasses[:], func(c string) bool { return slices.Contains(args, c) }) {
			f.ZooKeepers = append(f.ZooKeepers, h.process(pid))
		}
	}
	return nil
}

func (h host) readProcesses(pids []int) []ProcessLimits {
	var out []ProcessLimits
	for _, pid := range pids {
		p := ProcessLimits{Process: h.process(pid)}
		if err := h.readLimits(&p); err != nil {
			p.Error = err.Error()
		}
		out = append(out, p)
	}
	return out
}

func (h host) readLimits(p *ProcessLimits) error {
	text, err := h.read(fmt.Sprintf("/proc/%d/limits", p.PID))
	if err != nil {
		return err
	}
	if p.OpenFiles, err = parseLimit(text, "Max open files"); err != nil {
		return err
	}
	if p.Tasks, err = parseLimit(text, "Max processes"); err != nil {
		return err
	}
	status, err := h.read(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return err
	}
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "VmSwap:"); ok {
			p.SwapBytes, err = parseKilobytes(value)
		}
	}
	return err
}

// readPackageLock finds who holds dpkg's front-end lock, by asking the kernel
// rather than by trying to take it.
func (h host) readPackageLock(to **Process) error {
	f, err := os.Open(h.path("/var/lib/dpkg/lock-frontend"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no dpkg, or never used
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return fmt.Errorf("lock of %s: %w", "/var/lib/dpkg/lock-frontend", err)
	}
	if lock.Type != unix.F_UNLCK {
		p := h.process(int(lock.Pid))
		*to = &p
	}
	return nil
}

// javaHomes are looked at when PATH has no java, as in a minimal environment.
const javaHomes = "/usr/lib/jvm/*/bin/java"

// readJava prefers the release file beside the runtime to running it: that
// takes a tenth of a second, or seconds on a busy host.
func (h host) readJava(ctx context.Context, to **Java) error {
	candidates, _ := filepath.Glob(h.path(javaHomes)) // the pattern is valid
	if found, err := exec.LookPath("java"); err == nil && h.root == "/" {
		candidates = append([]string{found}, candidates...)
	}
	for _, c := range append([]string{h.path("/usr/bin/java")}, candidates...) {
		real, err := filepath.EvalSymlinks(c)
		if err != nil {
			continue
		}
		j := Java{Path: h.inside(real)}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(real), "..", "release"))
		if err == nil {
			j.Version, j.Major, err = parseJavaVersion(string(text))
		}
		if err != nil {
			out, runErr := h.run(ctx, real, "-version")
			if runErr != nil {
				return fmt.Errorf("%s -version: %w: %s", j.Path, runErr, firstLine(out))
			}
			if j.Version, j.Major, err = parseJavaVersion(out); err != nil {
				return fmt.Errorf("%s -version: %w", j.Path, err)
			}
		}
		*to = &j
		return nil
	}
	return nil
}

// readCloudInit reads the files that cloud-init status reads, because the
// program itself takes half a second of Python.
func (h host) readCloudInit(to *string) error {
	switch {
	case h.exists("/etc/cloud/cloud-init.disabled") || h.exists("/run/cloud-init/disabled"):
		*to = "disabled"
	case h.exists("/run/cloud-init/result.json"):
		text, err := h.read("/run/cloud-init/result.json")
		if err != nil {
			return err
		}
		*to, err = parseCloudInitResult(text)
		return err
	case h.exists("/run/cloud-init"):
		*to = "running"
	}
	return nil
}
