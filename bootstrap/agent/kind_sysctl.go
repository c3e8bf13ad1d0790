package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
)

func (m *machine) lookSysctls(_ context.Context, g glance, s *sighting) {
	files := m.sysctlFiles()
	var ours []sysctl.File
	for _, f := range files {
		if _, ok := g.owned[bootstrap.NewID(bootstrap.KindFile, f.Path)]; ok {
			ours = append(ours, f)
		}
	}
	inside := m.contained()
	for _, key := range g.names {
		r, err := m.seeSysctl(key, inside)
		if err == nil && r != nil {
			r.OverriddenBy = overriddenBy(key, ours, files)
			s.add(*r)
			continue
		}
		if err != nil {
			s.fail(bootstrap.NewID(bootstrap.KindSysctl, key), err)
		}
	}
}

// seeSysctl returns nil for a key that this kernel or namespace does not have.
func (m *machine) seeSysctl(key string, inside bool) (*bootstrap.Sysctl, error) {
	p := sysctl.ProcPath(key)
	info, err := os.Stat(m.under(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a setting", p)
	}
	seen := &bootstrap.Sysctl{Setting: sysctl.Setting{Key: key}}
	seen.HostOwned = !m.writable(p, info) || inside && !namespaced(key)
	value, err := os.ReadFile(m.under(p))
	switch {
	case errors.Is(err, fs.ErrPermission):
		seen.HostOwned = true
	case err != nil:
		return nil, err
	}
	seen.Setting.Value = sysctl.Normalize(string(value))
	return seen, nil
}

// namespaced reports whether a container has its own copy of a key. Where /proc/sys is
// writable in a container, any other key would change the outer host.
// https://docs.kernel.org/admin-guide/sysctl/net.html and namespaces(7)
func namespaced(key string) bool {
	key = sysctl.Canonical(key)
	for _, prefix := range []string{"net.", "fs.mqueue.", "kernel.shm", "kernel.msg", "user."} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return slices.Contains([]string{"kernel.sem", "kernel.hostname", "kernel.domainname"}, key)
}

// contained reports whether the machine is a container, by the marks that
// systemd-detect-virt looks for. https://systemd.io/CONTAINER_INTERFACE/
func (m *machine) contained() bool {
	for _, mark := range []string{"/run/systemd/container", "/run/.containerenv", "/.dockerenv"} {
		if _, err := os.Lstat(m.under(mark)); err == nil {
			return true
		}
	}
	if _, err := os.Lstat(m.under("/proc/vz")); err == nil {
		_, err := os.Lstat(m.under("/proc/bc")) // only the outer host of OpenVZ has it
		return errors.Is(err, fs.ErrNotExist)
	}
	env, err := os.ReadFile(m.under("/proc/1/environ"))
	return err == nil && strings.HasPrefix("\x00"+string(env), "\x00container=") ||
		err == nil && strings.Contains(string(env), "\x00container=")
}

// sysctlFiles reads what systemd-sysctl reads at boot.
func (m *machine) sysctlFiles() []sysctl.File {
	var files []sysctl.File
	for _, dir := range sysctl.Dirs() {
		entries, err := os.ReadDir(m.under(dir))
		if err != nil {
			continue
		}
		for _, e := range entries {
			p := path.Join(dir, e.Name())
			if target, err := os.Readlink(m.under(p)); err == nil && target == os.DevNull {
				files = append(files, sysctl.File{Path: p}) // masks its namesakes
				continue
			}
			if data, err := os.ReadFile(m.under(p)); err == nil {
				files = append(files, sysctl.File{Path: p, Data: data})
			}
		}
	}
	return files
}

// overriddenBy names the file that takes a key back at boot which one of our drop-ins
// sets. Other drop-ins of ours are no such file: owners on one host agree.
func overriddenBy(key string, ours, files []sysctl.File) string {
	key = sysctl.Canonical(key)
	for _, f := range ours {
		o, ok := sysctl.Overrides(f, files)[key]
		if !ok || slices.ContainsFunc(ours, func(f sysctl.File) bool { return f.Path == o.Path }) {
			continue
		}
		assigned, _ := sysctl.ParseSysctlD(f) // faulty lines set nothing
		i := slices.IndexFunc(assigned, func(a sysctl.Assignment) bool { return a.Key == key })
		want := sysctl.Setting{Key: key, Value: assigned[i].Value}
		if o.Unset || !want.Satisfied(o.Value) {
			return o.Path
		}
	}
	return ""
}

// putSysctl writes the live value and reads it back: the kernel rounds and clamps.
func (m *machine) putSysctl(want bootstrap.Sysctl, note func(string)) error {
	s := want.Setting
	p := sysctl.ProcPath(s.Key)
	live, err := os.ReadFile(m.under(p))
	if errors.Is(err, fs.ErrNotExist) {
		note(s.Key + " does not exist in this kernel or namespace")
		return nil
	}
	if err != nil {
		return err
	}
	if s.Satisfied(string(live)) {
		return nil
	}
	key, target := m.putBackZero(s.Key, s.Target(string(live)))
	err = m.writeKernel(sysctl.ProcPath(key), target)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		note(s.Key + " is owned by the host outside of this container")
		return nil
	}
	if err != nil {
		return fmt.Errorf("setting %s to %q: %w", key, target, err)
	}
	now, err := os.ReadFile(m.under(p))
	if err != nil {
		return err
	}
	if !s.Satisfied(string(now)) && key == s.Key {
		return fmt.Errorf("%s: the kernel took %q and has %q", s.Key, target, sysctl.Normalize(string(now)))
	}
	return nil
}

// putBackZero turns a 0 for vm.dirty_bytes and its kin, which the kernel refuses, into
// the value of its twin, which is what 0 means: the ratio counts. The twin gets what the
// next boot would give it, or the kernel's default.
// https://docs.kernel.org/admin-guide/sysctl/vm.html#dirty-bytes
func (m *machine) putBackZero(key, value string) (string, string) {
	twin := sysctl.Twin(key)
	if value != "0" || twin == "" {
		return key, value
	}
	if o, ok := sysctl.Effective(m.sysctlFiles(), twin)[twin]; ok && !o.Unset && o.Value != "0" {
		return twin, o.Value
	}
	switch twin {
	case "vm.dirty_ratio":
		return twin, "20"
	case "vm.dirty_background_ratio":
		return twin, "10"
	}
	return key, value
}

// writeKernel hands one value to a file below /proc or /sys, in one write and without
// making the file.
func (m *machine) writeKernel(p, value string) error {
	f, err := os.OpenFile(m.under(p), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value + "\n")
	return errors.Join(err, f.Close())
}
