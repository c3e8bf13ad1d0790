package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// cgroupRoot is where every distribution mounts cgroups: v2 itself, or a directory for each
// v1 hierarchy and, when hybrid, v2 under "unified" (systemd's CGROUP_DELEGATION page).
// supervise.sh joins <hierarchy>/zkboot-lab/<lab>/<host>.
const cgroupRoot = "/sys/fs/cgroup"

// setFrozen stops or continues every process of a host and waits until the kernel says so.
// The freezer of cgroup v1 and the one of v2 differ in file and words, and v2 reports the
// result in another file than it takes the order in
// (https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html,
// https://docs.kernel.org/admin-guide/cgroup-v2.html, cgroup.freeze).
func setFrozen(ctx context.Context, lab, host string, frozen bool) error {
	v1 := filepath.Join(cgroupRoot, "freezer/zkboot-lab", lab, host, "freezer.state")
	v2 := filepath.Join(cgroupRoot, "zkboot-lab", lab, host, "cgroup.freeze")
	file, word, seen, want := v1, "THAWED", v1, "THAWED"
	if frozen {
		word, want = "FROZEN", "FROZEN"
	}
	if ok, err := machine.Exists(v1); err != nil {
		return err
	} else if !ok {
		file, word, seen, want = v2, "0", filepath.Join(filepath.Dir(v2), "cgroup.events"), "frozen 0"
		if frozen {
			word, want = "1", "frozen 1"
		}
	}
	if err := os.WriteFile(file, []byte(word), 0); err != nil {
		return err
	}
	return machine.Wait(ctx, fmt.Sprintf("host %s to be %s", host, want), func() (bool, error) {
		data, err := os.ReadFile(seen)
		return slices.Contains(strings.Split(strings.TrimSpace(string(data)), "\n"), want), err
	})
}

// thaw is setFrozen(false) for a host that may have no cgroup.
func thaw(ctx context.Context, lab, host string) error {
	if err := setFrozen(ctx, lab, host, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeCgroups deletes the lab's groups in every hierarchy, and the parent of all labs
// when it was the last. The kernel empties a group a moment after its processes died; while one
// is busy, kill ends whatever has begun to run in it.
func removeCgroups(ctx context.Context, lab string, kill func() error) error {
	var parents []string
	for _, pattern := range []string{"zkboot-lab", "*/zkboot-lab"} {
		found, err := filepath.Glob(filepath.Join(cgroupRoot, pattern))
		if err != nil {
			return err
		}
		parents = append(parents, found...)
	}
	for _, parent := range parents {
		if err := machine.Wait(ctx, "cgroup "+filepath.Join(parent, lab)+" to empty", func() (bool, error) {
			empty, err := removeGroupTree(filepath.Join(parent, lab))
			if err == nil && !empty {
				err = kill()
			}
			return empty, err
		}); err != nil {
			return err
		}
		if err := unix.Rmdir(parent); err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "rmdir", Path: parent, Err: err}
		}
	}
	return nil
}

// removeGroupTree removes the groups that systemd inside the host made, too; os.RemoveAll
// cannot, for it tries to delete the kernel's files in them. Deepest first; false means that
// one is still busy.
func removeGroupTree(top string) (bool, error) {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return false, err
	}
	for _, dir := range slices.Backward(dirs) {
		switch err := unix.Rmdir(dir); {
		case errors.Is(err, unix.EBUSY):
			return false, nil
		case err != nil && !errors.Is(err, unix.ENOENT):
			return false, &os.PathError{Op: "rmdir", Path: dir, Err: err}
		}
	}
	return true, nil
}
