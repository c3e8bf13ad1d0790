package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/moby/sys/mountinfo"

	"github.com/zkboot/zkboot/bootstrap"
)

// mountUnit is the name that systemd demands for a mount; see systemd.mount(5).
func mountUnit(p string) string { return unit.UnitNamePathEscape(p) + ".mount" }

func (m *machine) lookMounts(_ context.Context, g glance, s *sighting) {
	mounts, err := m.mounts()
	for _, name := range g.names {
		id := bootstrap.NewID(bootstrap.KindMount, name)
		if err != nil {
			s.fail(id, err)
			continue
		}
		r, err := m.seeMount(name, mounts)
		s.one(id, r, err)
	}
}

// seeMount returns what is mounted now, provided that it comes back at boot by a unit of
// ours or by fstab: half of it is not there.
func (m *machine) seeMount(name string, mounts []*mountinfo.Info) (bootstrap.Resource, error) {
	var live *mountinfo.Info
	for _, mnt := range mounts {
		if mnt.Mountpoint == name {
			live = mnt // the last one lies on top
		}
	}
	if live == nil {
		return nil, nil
	}
	content, err := m.unitFile(mountUnit(name))
	if err != nil {
		return nil, err
	}
	inTable, err := m.inFstab(name)
	if err != nil || content == nil && !inTable {
		return nil, err
	}
	ours := mountSettings(string(content))
	seen := bootstrap.Mount{Path: name, Device: live.Source, FSType: live.FSType}
	if what := ours["What"]; what != "" && m.sameDevice(what, live.Source) {
		seen.Device = what // as it was asked for: /dev/disk/by-id/... and /dev/vdb are one
	}
	seen.Options = append(strings.Split(live.Options, ","), strings.Split(live.VFSOptions, ",")...)
	for _, o := range strings.Split(ours["Options"], ",") {
		if !kernelOption(o) {
			seen.Options = append(seen.Options, o)
		}
	}
	slices.Sort(seen.Options)
	seen.Options = slices.DeleteFunc(slices.Compact(seen.Options), func(o string) bool { return o == "" })
	return seen, nil
}

// kernelOption reports whether the kernel shows an option; the others are for mount(8)
// and systemd, and are known from the unit alone.
func kernelOption(o string) bool {
	return !slices.Contains([]string{"defaults", "nofail", "auto", "noauto", "_netdev"}, o) && !strings.HasPrefix(o, "x-")
}

func mountSettings(content string) map[string]string {
	settings := map[string]string{}
	for line := range strings.Lines(content) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			settings[k] = v
		}
	}
	return settings
}

func (m *machine) sameDevice(a, b string) bool {
	ra, errA := filepath.EvalSymlinks(m.under(a))
	rb, errB := filepath.EvalSymlinks(m.under(b))
	return a == b || errA == nil && errB == nil && ra == rb
}

func (m *machine) inFstab(name string) (bool, error) {
	found := false
	err := m.readLines("/etc/fstab", func(line string) {
		f := strings.Fields(line)
		found = found || len(f) >= 2 && !strings.HasPrefix(f[0], "#") && f[1] == name
	})
	return found, err
}

func (m *machine) putMount(ctx context.Context, want bootstrap.Mount, note func(string)) error {
	if err := checkMount(want); err != nil {
		return err
	}
	live, err := m.liveMount(want.Path)
	if err != nil {
		return err
	}
	if live == nil {
		err = m.prepareMount(ctx, want, note)
	} else if !m.sameDevice(want.Device, live.Source) || want.FSType != live.FSType {
		err = fmt.Errorf("%s has %s of %s mounted, want %s of %s; unmount it by hand",
			want.Path, live.FSType, live.Source, want.FSType, want.Device)
	}
	if err != nil {
		return err
	}
	name := mountUnit(want.Path)
	if err := m.write(unitPath(name), []byte(want.UnitText()),
		rights{mode: 0o644, owner: strconv.Itoa(os.Geteuid()), group: strconv.Itoa(os.Getegid())}); err != nil {
		return err
	}
	verb := "start"
	if live != nil {
		verb = "reload" // remounts with the new options
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", "--", name}, {verb, "--", name}} {
		if err := m.systemctl(ctx, args...); err != nil {
			return m.unitFailure(ctx, name, err)
		}
	}
	return nil
}

func (m *machine) liveMount(name string) (*mountinfo.Info, error) {
	mounts, err := m.mounts()
	if err != nil {
		return nil, err
	}
	var live *mountinfo.Info
	for _, mnt := range mounts {
		if mnt.Mountpoint == name {
			live = mnt
		}
	}
	return live, nil
}

func checkMount(want bootstrap.Mount) error {
	if !filepath.IsAbs(want.Device) {
		return fmt.Errorf("device %q is not an absolute path such as /dev/vdb", want.Device)
	}
	if want.FSType != "ext4" && want.FSType != "xfs" {
		return fmt.Errorf("file system %q, want ext4 or xfs", want.FSType)
	}
	// % is a specifier in units.
	if bad := want.Device + want.Path + strings.Join(want.Options, ""); strings.ContainsAny(bad, " \t\n%\\\"'") {
		return fmt.Errorf("device, path or options of mount %s hold a blank, a quote, a backslash or %%", want.Path)
	}
	return nil
}

// prepareMount makes a file system on a device that carries nothing at all, and refuses
// to hide files below the mount point.
func (m *machine) prepareMount(ctx context.Context, want bootstrap.Mount, note func(string)) error {
	entries, err := os.ReadDir(m.under(want.Path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty; mounting %s would hide what is in it", want.Path, want.Device)
	}
	out, err := m.run(ctx, "wipefs", "--no-act", "--noheadings", "--output=TYPE", "--", want.Device)
	if err != nil {
		return err
	}
	switch signatures := slices.Compact(strings.Fields(out)); {
	case slices.Equal(signatures, []string{want.FSType}):
		return nil // made before a crash, or brought along: its files are kept
	case len(signatures) > 0:
		return fmt.Errorf("device %s carries %s and is not formatted; if nothing on it is needed run wipefs --all %s",
			want.Device, strings.Join(signatures, ", "), want.Device)
	}
	note("making " + want.FSType + " on " + want.Device)
	_, err = m.finish(ctx, "mkfs."+want.FSType, "-q", want.Device)
	return err
}

// deleteMount unmounts what a unit of ours mounts; the device keeps its files.
func (m *machine) deleteMount(ctx context.Context, p string) error {
	name := mountUnit(p)
	content, err := m.unitFile(name)
	if err != nil || content == nil {
		return err
	}
	if err := m.systemctl(ctx, "stop", "--", name); err != nil {
		return m.unitFailure(ctx, name, err)
	}
	if err := m.systemctl(ctx, "disable", "--", name); err != nil {
		return err
	}
	if err := m.deleteFile(unitPath(name)); err != nil {
		return err
	}
	return m.systemctl(ctx, "daemon-reload")
}
