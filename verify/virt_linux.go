package verify

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// readVirtualization asks systemd-detect-virt twice, because by itself it only
// names the innermost layer: a container in a KVM guest is just a container.
func (h host) readVirtualization(ctx context.Context, to *Virtualization) error {
	var errs []error
	var err error
	if to.VM, err = h.detectVirt(ctx, "--vm"); err != nil {
		to.VM = h.guessVM()
	}
	if to.Container, err = h.detectVirt(ctx, "--container"); err != nil {
		to.Container = h.guessContainer()
	}
	if text, err := h.read("/proc/user_beancounters"); err == nil {
		if to.Beancounters, err = parseBeancounters(text); err != nil {
			errs = append(errs, fmt.Errorf("/proc/user_beancounters: %w", err))
		}
	}
	to.FsyncEnable = h.fsyncEnable()
	return errors.Join(errs...)
}

// fsyncEnable returns fs.fsync-enable, nil where the kernel is not Virtuozzo's.
func (h host) fsyncEnable() *int {
	text, err := h.read("/proc/sys/fs/fsync-enable")
	if err != nil {
		return nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return nil
	}
	return &n
}

// detectVirt returns an id of systemd-detect-virt(1), which exits 1 when it
// prints "none".
func (h host) detectVirt(ctx context.Context, kind string) (string, error) {
	out, err := h.run(ctx, "systemd-detect-virt", kind)
	id := strings.TrimSpace(out)
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && id == "none") {
		return "", fmt.Errorf("systemd-detect-virt %s: %w", kind, err)
	}
	return id, nil
}

// guessContainer follows the marks that systemd looks for itself, most telling
// first. https://systemd.io/CONTAINER_INTERFACE/
func (h host) guessContainer() string {
	if h.exists("/proc/vz") && !h.exists("/proc/bc") {
		return "openvz" // /proc/bc exists on the outer host only
	}
	if text, err := h.read("/run/systemd/container"); err == nil {
		return strings.TrimSpace(text)
	}
	if environ, err := h.read("/proc/1/environ"); err == nil {
		for v := range strings.SplitSeq(environ, "\x00") {
			if id, ok := strings.CutPrefix(v, "container="); ok && id != "" {
				return id
			}
		}
	}
	switch {
	case h.exists("/.dockerenv"):
		return "docker"
	case h.exists("/run/.containerenv"):
		return "podman"
	}
	return "none"
}

// guessVM tells a hypervisor by its DMI strings, and by the CPU flag that every
// well-behaved one sets.
func (h host) guessVM() string {
	for _, file := range []string{"product_name", "sys_vendor", "board_vendor", "bios_vendor"} {
		text, err := h.read("/sys/class/dmi/id/" + file)
		if err != nil {
			continue
		}
		for _, known := range []struct{ prefix, id string }{
			{"KVM", "kvm"}, {"OpenStack", "kvm"}, {"Amazon EC2", "amazon"}, {"Google", "google"},
			{"QEMU", "qemu"}, {"VMware", "vmware"}, {"Xen", "xen"}, {"innotek", "oracle"},
			{"VirtualBox", "oracle"}, {"Parallels", "parallels"}, {"Hetzner", "kvm"}, {"DigitalOcean", "kvm"},
		} {
			if strings.HasPrefix(text, known.prefix) {
				return known.id
			}
		}
	}
	if text, err := h.read("/proc/cpuinfo"); err == nil && strings.Contains(text, " hypervisor") {
		return "vm-other"
	}
	return "none"
}
