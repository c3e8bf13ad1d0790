package agent

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// serverClasses are the entry points of a ZooKeeper server; what follows one on the command
// line is the path of its zoo.cfg.
func serverClasses() []string {
	return []string{"org.apache.zookeeper.server.quorum.QuorumPeerMain", "org.apache.zookeeper.server.ZooKeeperServerMain"}
}

// serverProcesses finds the servers that run with a zoo.cfg, by the pids in /proc. A process
// that ends meanwhile is none.
func (m *machine) serverProcesses(config string) []bootstrap.ServerProcess {
	entries, err := os.ReadDir(m.under("/proc"))
	if err != nil {
		return nil
	}
	var out []bootstrap.ServerProcess
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir := m.under("/proc/" + e.Name())
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !bytes.Contains(cmdline, []byte("org.apache.zookeeper.server.")) {
			continue
		}
		args, file := serverArgs(cmdline)
		if !m.sameConfig(file, config) {
			continue
		}
		p := bootstrap.ServerProcess{PID: pid, Args: args}
		if group, err := os.ReadFile(filepath.Join(dir, "cgroup")); err == nil {
			p.Unit = unitOf(string(group))
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b bootstrap.ServerProcess) int { return a.PID - b.PID })
	return out
}

// serverArgs takes the command line of a JVM apart: its own arguments, without secrets, and
// the zoo.cfg; file is "" where it is no server.
func serverArgs(cmdline []byte) (args []string, file string) {
	argv := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
	i := slices.IndexFunc(argv, func(a string) bool { return slices.Contains(serverClasses(), a) })
	if i < 1 || i+1 >= len(argv) {
		return nil, ""
	}
	for _, a := range argv[1:i] {
		args = append(args, redact(a))
	}
	return args, argv[i+1]
}

// sameConfig reports whether two paths lead to one file: Debian's /etc/zookeeper/conf is a
// link to another directory.
func (m *machine) sameConfig(a, b string) bool {
	if !path.IsAbs(a) {
		return false
	}
	if path.Clean(a) == path.Clean(b) {
		return true
	}
	x, errX := m.lstat(a)
	y, errY := m.lstat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// lstat looks at what p names, on the way of parent.
func (m *machine) lstat(p string) (fs.FileInfo, error) {
	dir, base, err := m.parent(path.Clean(p))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Lstat(base)
}

// unitOf reads the innermost unit out of /proc/PID/cgroup, "" where there is none.
func unitOf(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		_, at, ok := strings.Cut(strings.TrimSpace(line), "::")
		if !ok { // a hierarchy of version 1
			_, at, ok = strings.Cut(line, ":name=systemd:")
		}
		if !ok {
			continue
		}
		for dir := strings.TrimSpace(at); dir != "/" && dir != "." && dir != ""; dir = path.Dir(dir) {
			if base := path.Base(dir); strings.HasSuffix(base, ".service") || strings.HasSuffix(base, ".scope") {
				return base
			}
		}
	}
	return ""
}

// readID reads myid. Debian's package has a link of root's in its place, to a file beside
// zoo.cfg, which is followed as parent follows those on the way.
func (m *machine) readID(p string) (string, error) {
	if path.IsAbs(p) {
		target, err := m.followed(path.Clean(p))
		if err != nil {
			return "", err
		}
		p = target
	}
	return m.readAbs(p)
}

// followed returns where a symbolic link of root's leads, or p itself where there is none.
// One step is enough: what follows is read as any other file, which may not be a link.
func (m *machine) followed(p string) (string, error) {
	dir, base, err := m.parent(p)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	info, err := dir.Lstat(base)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return p, err
	}
	if uid := ownerID(info); uid != 0 && uid != os.Geteuid() {
		return p, nil // not followed: the error of whoever reads it says what it is
	}
	target, err := dir.Readlink(base)
	if err != nil {
		return "", err
	}
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(p), target)
	}
	return path.Clean(target), nil
}

// resolveServers looks up the names in the server lines of a static zoo.cfg. A name that is
// not known is missing from the result, which says enough.
func resolveServers(ctx context.Context, properties map[string]string) (map[string][]string, error) {
	names := map[string][]string{}
	var errs []error
	for key, line := range properties {
		if !strings.HasPrefix(key, "server.") {
			continue
		}
		for part := range strings.SplitSeq(line, "|") {
			host, _, _ := strings.Cut(part, ":")
			if _, done := names[host]; done || host == "" || strings.HasPrefix(part, "[") || net.ParseIP(host) != nil {
				continue
			}
			addrs, err := net.DefaultResolver.LookupHost(ctx, host)
			if err != nil {
				var unknown *net.DNSError
				if !errors.As(err, &unknown) || !unknown.IsNotFound {
					errs = append(errs, err)
				}
				continue
			}
			slices.Sort(addrs)
			names[host] = slices.Compact(addrs)
		}
	}
	if len(names) == 0 {
		names = nil
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return names, errors.Join(errs...)
}
