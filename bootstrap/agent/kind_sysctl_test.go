package agent

import (
	"os"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
)

func swappinessOf(value string) bootstrap.Sysctl {
	return bootstrap.Sysctl{Setting: sysctl.Setting{Key: "vm.swappiness", Value: value}}
}

func TestSysctlIsSetAndReadBack(t *testing.T) {
	s := newSandbox(t)
	s.put("/proc/sys/vm/swappiness", "60\n")
	wantEqual(t, s.see("sysctl:vm.swappiness"), bootstrap.Resource(swappinessOf("60")))
	s.settle(swappinessOf("1"))
	wantEqual(t, s.get("/proc/sys/vm/swappiness"), "1\n")
}

func TestSysctlRaisesOnly(t *testing.T) {
	s := newSandbox(t)
	s.put("/proc/sys/net/core/somaxconn", "65535\n")
	s.settle(bootstrap.Sysctl{Setting: sysctl.Setting{Key: "net.core.somaxconn", Value: "4096", Rule: sysctl.AtLeast}})
	wantEqual(t, s.get("/proc/sys/net/core/somaxconn"), "65535\n")
}

func TestSysctlOfTheHost(t *testing.T) {
	tests := map[string]struct {
		file  string // in the machine
		mode  os.FileMode
		key   string
		mark  string // of a container
		owned bool
	}{
		"machine":                  {"/proc/sys/vm/swappiness", 0o644, "vm.swappiness", "", false},
		"read-only key":            {"/proc/sys/vm/swappiness", 0o444, "vm.swappiness", "", true},
		"container, host's key":    {"/proc/sys/vm/swappiness", 0o644, "vm.swappiness", "/run/systemd/container", true},
		"container, own key":       {"/proc/sys/net/core/somaxconn", 0o644, "net.core.somaxconn", "/run/systemd/container", false},
		"container, read-only key": {"/proc/sys/net/core/rmem_max", 0o444, "net.core.rmem_max", "/.dockerenv", true},
		"OpenVZ":                   {"/proc/sys/vm/swappiness", 0o644, "vm.swappiness", "/proc/vz/version", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.put(tt.file, "5\n")
			if err := os.Chmod(s.under(tt.file), tt.mode); err != nil {
				t.Fatal(err)
			}
			if tt.mark != "" {
				s.put(tt.mark, "")
			}
			got := s.see(bootstrap.NewID(bootstrap.KindSysctl, tt.key)).(bootstrap.Sysctl)
			wantEqual(t, got.HostOwned, tt.owned)
			wantEqual(t, got.Setting.Value, "5")
		})
	}
}

func TestContainerNamedByItsInit(t *testing.T) {
	for env, want := range map[string]bool{"container=lxc\x00": true, "A=b\x00container=podman\x00": true, "xcontainer=lxc\x00": false, "": false} {
		s := newSandbox(t)
		s.put("/proc/1/environ", env)
		wantEqual(t, s.contained(), want)
	}
}

func TestSysctlThatTheKernelDoesNotHave(t *testing.T) {
	s := newSandbox(t)
	if got := s.see("sysctl:kernel.numa_balancing"); got != nil {
		t.Errorf("saw %+v", got)
	}
	s.must(creates(bootstrap.Sysctl{Setting: sysctl.Setting{Key: "kernel.numa_balancing", Value: "0"}}))
	wantEqual(t, s.notes, []string{"kernel.numa_balancing does not exist in this kernel or namespace"})
	s.absent("/proc/sys/kernel/numa_balancing")
}

func TestSysctlNamesTheFileThatTakesItBack(t *testing.T) {
	const ours = "/etc/sysctl.d/90-zkboot.conf"
	tests := map[string]struct {
		file, content string
		want          string
	}{
		"alone":           {"/etc/sysctl.d/10-x.conf", "vm.swappiness=10\n", ""},
		"later":           {"/etc/sysctl.d/99-x.conf", "vm.swappiness=10\n", "/etc/sysctl.d/99-x.conf"},
		"later, the same": {"/etc/sysctl.d/99-x.conf", "vm.swappiness = 1\n", ""},
		"later, a glob":   {"/etc/sysctl.d/99-x.conf", "vm.swap*=10\n", ""}, // a name beats a pattern
		"later, ignored":  {"/etc/sysctl.d/99-x.txt", "vm.swappiness=10\n", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.put("/proc/sys/vm/swappiness", "1\n")
			s.put(ours, "vm.swappiness = 1\n")
			s.put(tt.file, tt.content)
			got := s.see("sysctl:vm.swappiness", bootstrap.Entry{ID: bootstrap.NewID(bootstrap.KindFile, ours)}).(bootstrap.Sysctl)
			wantEqual(t, got.OverriddenBy, tt.want)
		})
	}
}

// The kernel refuses 0 for vm.dirty_bytes, which it shows while vm.dirty_ratio counts.
func TestSysctlPutsBackAZeroThroughItsTwin(t *testing.T) {
	for name, tt := range map[string]struct{ file, want string }{
		"kernel default": {"", "20\n"},
		"of a file":      {"vm.dirty_ratio = 15\n", "15\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.put("/proc/sys/vm/dirty_bytes", "536870912\n")
			s.put("/proc/sys/vm/dirty_ratio", "0\n")
			s.put("/etc/sysctl.d/50-x.conf", tt.file)
			s.must(creates(bootstrap.Sysctl{Setting: sysctl.Setting{Key: "vm.dirty_bytes", Value: "0"}}))
			wantEqual(t, s.get("/proc/sys/vm/dirty_ratio"), tt.want)
			wantEqual(t, s.get("/proc/sys/vm/dirty_bytes"), "536870912\n") // the kernel's to clear
		})
	}
}

func TestKernelSwitches(t *testing.T) {
	s := newSandbox(t, call{argv: "swapoff --all"}, call{argv: "swapon --all"})
	s.put(thpPath, "always [madvise] never\n")
	s.put("/proc/swaps", "Filename Type Size Used Priority\n/dev/vda2 partition 1048572 0 -2\n")
	wantEqual(t, s.see("kernel:thp"), bootstrap.Resource(bootstrap.Kernel{Name: "thp", Value: "madvise"}))
	wantEqual(t, s.see("kernel:swap"), bootstrap.Resource(bootstrap.Kernel{Name: "swap", Value: "on"}))
	s.must(creates(bootstrap.Kernel{Name: "swap", Value: "off"}))
	s.put("/proc/swaps", "Filename Type Size Used Priority\n")
	wantEqual(t, s.see("kernel:swap"), bootstrap.Resource(bootstrap.Kernel{Name: "swap", Value: "off"}))
	s.must(creates(bootstrap.Kernel{Name: "swap", Value: "off"}))
	s.must(creates(bootstrap.Kernel{Name: "swap", Value: "on"}))
	s.must(creates(bootstrap.Kernel{Name: "thp", Value: "never"}))
	wantEqual(t, s.get(thpPath), "never\n")
}

func TestKernelErrors(t *testing.T) {
	s := newSandbox(t)
	wantEqual(t, s.unread("kernel:ksm"), `unknown kernel switch "ksm", want thp or swap`)
	s.put(thpPath, "always [madvise] never\n")
	wantError(t, s.do(creates(bootstrap.Kernel{Name: "thp", Value: "sometimes"})), `kernel switch thp cannot be "sometimes"`)
}

func TestKernelOfTheHostIsLeftAlone(t *testing.T) {
	s := newSandbox(t)
	s.put("/run/systemd/container", "systemd-nspawn")
	s.put(thpPath, "[always] madvise never\n")
	wantEqual(t, s.see("kernel:thp"), bootstrap.Resource(bootstrap.Kernel{Name: "thp", Value: "always", HostOwned: true}))
	s.must(creates(bootstrap.Kernel{Name: "thp", Value: "never"}))
	wantEqual(t, s.get(thpPath), "[always] madvise never\n")
}
