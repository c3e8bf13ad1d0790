package verify

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// readKernels reads the names of /boot. A container has none.
func (h host) readKernels(to *[]string) error {
	entries, err := os.ReadDir(h.path("/boot"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if release, ok := strings.CutPrefix(e.Name(), "vmlinuz-"); ok {
			*to = append(*to, release)
		}
	}
	return err
}

// readRebootRequired reads the note that packages leave, and their names beside it.
// https://www.debian.org/doc/debian-policy/ch-opersys.html#signaling-that-a-reboot-is-required
func (h host) readRebootRequired(to *[]string) error {
	if !h.exists("/run/reboot-required") {
		return nil
	}
	names, err := h.read("/run/reboot-required.pkgs")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	*to = slices.Compact(slices.Sorted(slices.Values(strings.Fields(names))))
	if *to == nil {
		*to = []string{}
	}
	return err
}
