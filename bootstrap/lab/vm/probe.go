package vm

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// The domain types of libvirt that [Probe] tells apart.
const (
	typeKVM  = "kvm"
	typeQEMU = "qemu"
)

// probeLimit is how long a kernel under KVM may take to its first process: it takes one or
// two seconds.
const probeLimit = 30 * time.Second

// initLine is what a kernel says when its first process starts.
// https://github.com/torvalds/linux/blob/v6.1/init/main.c#L1436
const initLine = "Run /init as init process"

// verdict is the answer of a probe. It holds until the machine boots again or the image has
// another kernel.
type verdict struct {
	BootID     string `json:"boot_id"`
	Kernel     string `json:"kernel"` // path, which holds the hash of the image's recipe
	DomainType string `json:"domain_type"`
	Why        string `json:"why,omitempty"`
}

// Probe says how virtual machines of img run on this machine: "kvm", or "qemu" (emulated,
// 10 to 20 times slower). A machine may have /dev/kvm and yet not run a stock kernel under it,
// so the image's kernel is booted there as far as its first process. The answer is kept until
// the machine boots again.
func Probe(ctx context.Context, img Image, log *slog.Logger) (domainType string, err error) {
	if there, err := machine.Exists("/dev/kvm"); err != nil {
		return "", err
	} else if !there {
		return typeQEMU, nil
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	v := verdict{BootID: strings.TrimSpace(string(id)), Kernel: img.Kernel}
	file := filepath.Join(cacheDir, "probe.json")
	if was, err := recall(file); err != nil {
		return "", err
	} else if was.BootID == v.BootID && was.Kernel == v.Kernel && was.DomainType != "" {
		return was.DomainType, nil
	}
	if err := missing("qemu-system-x86_64"); err != nil {
		return "", err
	}
	v.DomainType, v.Why, err = bootUnderKVM(ctx, img)
	if err != nil {
		return "", err
	}
	log.Info("booted the image's kernel under /dev/kvm", "domain_type", v.DomainType, "why", cmp.Or(v.Why, "it runs"))
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", err
	}
	return v.DomainType, renameio.WriteFile(file, append(data, '\n'), 0o644)
}

// recall reads the last verdict; one that cannot be read is no verdict.
func recall(file string) (verdict, error) {
	var v verdict
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	} else if err != nil {
		return v, err
	}
	if json.Unmarshal(data, &v) != nil {
		return verdict{}, nil
	}
	return v, nil
}

// bootUnderKVM boots the kernel without a disk. That it finds no root does not matter; QEMU is
// ended as soon as the first process runs.
func bootUnderKVM(ctx context.Context, img Image) (domainType, why string, err error) {
	limited, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	// The processor is the one that libvirt's host-passthrough gives.
	cmd := exec.CommandContext(limited, "qemu-system-x86_64", "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "256",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", img.Kernel, "-initrd", img.Initrd, "-append", "console=ttyS0 loglevel=7 panic=-1 break=top")
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return "", "", err
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		in.Close()
		ended <- err
	}()
	runs, last := firstProcess(out)
	cancel()
	_, _ = io.Copy(io.Discard, out) // so that nothing waits for a reader
	err = <-ended
	switch {
	case runs:
		return typeKVM, "", nil
	case ctx.Err() != nil:
		return "", "", context.Cause(ctx)
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		return typeQEMU, fmt.Sprintf("no process within %s; its last words: %s", probeLimit, last), nil
	}
	return typeQEMU, fmt.Sprintf("QEMU ended (%v): %s", err, last), nil
}

// firstProcess reads a console until the kernel starts its first process; else it returns the
// last line that says anything.
func firstProcess(console io.Reader) (runs bool, last string) {
	lines := bufio.NewScanner(console)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.Contains(line, initLine) {
			return true, line
		}
		last = cmp.Or(line, last)
	}
	return false, last
}
