package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
)

// The switches that a bootstrap.Kernel names.
const (
	kernelTHP  = "thp"
	kernelSwap = "swap"
)

// thpPath is documented at https://docs.kernel.org/admin-guide/mm/transhuge.html
const thpPath = "/sys/kernel/mm/transparent_hugepage/enabled"

func (m *machine) lookKernel(_ context.Context, g glance, s *sighting) {
	for _, name := range g.names {
		r, err := m.seeKernel(name)
		s.one(bootstrap.NewID(bootstrap.KindKernel, name), r, err)
	}
}

func (m *machine) seeKernel(name string) (bootstrap.Resource, error) {
	switch name {
	case kernelTHP:
		info, err := os.Stat(m.under(thpPath))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil // built without huge pages
		}
		if err != nil {
			return nil, err
		}
		mode, err := m.thp()
		if err != nil {
			return nil, err
		}
		return bootstrap.Kernel{Name: name, Value: string(mode),
			HostOwned: m.contained() || !m.writable(thpPath, info)}, nil
	case kernelSwap:
		on, err := m.swapOn()
		if err != nil {
			return nil, err
		}
		value := "off"
		if on {
			value = "on"
		}
		return bootstrap.Kernel{Name: name, Value: value, HostOwned: m.contained()}, nil
	}
	return nil, fmt.Errorf("unknown kernel switch %q, want %s or %s", name, kernelTHP, kernelSwap)
}

func (m *machine) thp() (sysctl.THP, error) {
	text, err := os.ReadFile(m.under(thpPath))
	if err != nil {
		return sysctl.THPLeave, err
	}
	return sysctl.ParseTHP(string(text))
}

// swapOn reads /proc/swaps: a heading, then a line for each area in use.
func (m *machine) swapOn() (bool, error) {
	lines := 0
	err := m.readLines("/proc/swaps", func(string) { lines++ })
	return lines > 1, err
}

// putKernel flips a switch until the next boot; what makes it last is a File or Unit.
func (m *machine) putKernel(ctx context.Context, want bootstrap.Kernel, note func(string)) error {
	seen, err := m.seeKernel(want.Name)
	if err != nil {
		return err
	}
	live, ok := seen.(bootstrap.Kernel)
	if !ok || live.HostOwned {
		note(want.Name + " is owned by the host outside of this container, or not in this kernel")
		return nil
	}
	if live.Value == want.Value {
		return nil
	}
	switch want.Name + "=" + want.Value {
	case "swap=off":
		note("turning swap off; what lies in it goes back to memory first")
		_, err := m.run(ctx, "swapoff", "--all")
		return err
	case "swap=on":
		_, err := m.run(ctx, "swapon", "--all")
		return err
	case "thp=always", "thp=madvise", "thp=never":
		return m.putTHP(sysctl.THP(want.Value), note)
	}
	return fmt.Errorf("kernel switch %s cannot be %q", want.Name, want.Value)
}

func (m *machine) putTHP(want sysctl.THP, note func(string)) error {
	err := m.writeKernel(thpPath, string(want))
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		note("thp is owned by the host outside of this container")
		return nil
	}
	return err
}
