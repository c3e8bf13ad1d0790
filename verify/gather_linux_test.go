package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// fakeHost is a root directory made of files, and the programs it was told of.
// Every other program is an error of the test.
func fakeHost(t *testing.T, files map[string]string, programs map[string]string) host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return host{root: root, run: func(_ context.Context, name string, args ...string) (string, error) {
		command := strings.Join(append([]string{name}, args...), " ")
		out, ok := programs[command]
		if !ok {
			t.Errorf("ran %q, which it was not told of", command)
			return "", fmt.Errorf("%s: %w", command, fs.ErrNotExist)
		}
		if out == "!" {
			return "", exec.ErrNotFound
		}
		if out == "none\n" {
			return out, &exec.ExitError{}
		}
		return out, nil
	}}
}

func TestGather(t *testing.T) {
	h := fakeHost(t, map[string]string{
		"/etc/os-release":                             "ID=debian\nVERSION_ID=\"12\"\n",
		"/etc/machine-id":                             "0123456789abcdef\n",
		"/proc/sys/kernel/osrelease":                  "6.1.0-18-amd64\n",
		"/proc/stat":                                  procStat,
		"/proc/meminfo":                               procMeminfo,
		"/proc/pressure/io":                           procPSI,
		"/proc/net/tcp":                               procTCP,
		"/proc/uptime":                                "123.45 400.00\n",
		"/proc/812/comm":                              "java\n",
		"/proc/812/cmdline":                           "java\x00-Dsecret=hunter2\x00org.apache.zookeeper.server.quorum.QuorumPeerMain\x00zoo.cfg\x00",
		"/proc/812/cgroup":                            "0::/system.slice/zk-main.service\n",
		"/proc/812/limits":                            procLimits,
		"/proc/812/status":                            "Name:\tjava\nVmSwap:\t     128 kB\n",
		"/proc/812/fd/.keep":                          "",
		"/proc/900/cmdline":                           "grep\x00QuorumPeerMain\x00",
		"/run/systemd/system/.keep":                   "",
		"/run/cloud-init/result.json":                 `{"v1": {"errors": []}}`,
		"/usr/lib/jvm/java-17-openjdk-amd64/bin/java": "",
		"/usr/lib/jvm/java-17-openjdk-amd64/release":  "JAVA_VERSION=\"17.0.13\"\n",
		"/var/lib/dpkg/info/zookeeperd.list":          "",
		"/boot/vmlinuz-6.1.0-18-amd64":                "",
		"/boot/vmlinuz-6.1.0-21-amd64":                "",
		"/boot/config-6.1.0-21-amd64":                 "",
		"/run/reboot-required":                        "*** System restart required ***\n",
		"/run/reboot-required.pkgs":                   "linux-image-amd64\nlibc6\nlibc6\n",
	}, map[string]string{
		"systemctl --version":             "systemd 252 (252.31-1~deb12u1)\n+PAM\n",
		"systemctl is-system-running":     "degraded\n",
		"systemd-detect-virt --vm":        "kvm\n",
		"systemd-detect-virt --container": "none\n",
	})
	if err := os.Symlink("socket:[21501]", h.path("/proc/812/fd/46")); err != nil {
		t.Fatal(err)
	}
	f, err := h.gather(t.Context(), FactsQuery{PIDs: []int{812, 4711}})
	if err != nil {
		t.Fatal(err)
	}
	member := Process{812, "java", "zk-main.service"}
	for _, tt := range []struct {
		fact      string
		got, want any
	}{
		{"os", f.OS, OS{ID: "debian", VersionID: "12"}},
		{"kernel", f.Kernel, "6.1.0-18-amd64"},
		{"systemd", f.Systemd, Systemd{252, "degraded"}},
		{"virtualization", f.Virtualization, Virtualization{VM: "kvm", Container: "none"}},
		{"steal since boot", *f.CPU.Steal, 2.0},
		{"memory", f.Memory.SwapUsed, uint64(24284 << 10)},
		{"pressure", f.Pressure.IO.Full.Avg60, 1.25},
		{"machine id", f.MachineID, "0123456789abcdef"},
		{"uptime", f.Uptime, 123.45},
		{"listeners", f.Listeners, []Listener{{"127.0.0.1", 2181, &member}}},
		{"java", f.Java, &Java{"/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "17.0.13", 17}},
		{"cloud-init", f.CloudInit, "done"},
		{"kernels", f.Kernels, []string{"6.1.0-18-amd64", "6.1.0-21-amd64"}},
		{"reboot", f.RebootRequired, []string{"libc6", "linux-image-amd64"}},
		{"ZooKeepers", f.ZooKeepers, []Process{member}},
		{"ZooKeeper packages", f.ZooKeeperPkgs, []string{"zookeeperd"}},
		{"limits", f.Processes[0], ProcessLimits{Process: member, OpenFiles: 65536, Tasks: 7823, SwapBytes: 128 << 10}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.fact, diff)
		}
	}
	if f.Processes[1].Error == "" {
		t.Error("a process that does not exist has no error")
	}
	for _, fact := range []string{"pressure", "thp", "clocksource", "boot_id"} {
		if !strings.Contains(f.Unknown[fact], "no such file") {
			t.Errorf("unknown %s is %q, want the reason", fact, f.Unknown[fact])
		}
	}
	if text := fmt.Sprintf("%+v", f); strings.Contains(text, "hunter2") {
		t.Error("the facts hold a secret from a command line")
	}
}

func TestGatherRefusesRelativeDirs(t *testing.T) {
	_, err := Gather(t.Context(), FactsQuery{Dirs: []string{"/ok", "log"}})
	if err == nil || err.Error() != `facts: dirs: "log" is not an absolute path` {
		t.Errorf("error %v", err)
	}
}

func TestGatherOnThisMachine(t *testing.T) {
	dir := t.TempDir()
	f, err := Gather(t.Context(), FactsQuery{Dirs: []string{filepath.Join(dir, "a", "b")}, PIDs: []int{os.Getpid()}})
	if err != nil {
		t.Fatal(err)
	}
	if d := f.Dirs[0]; d.Existing != dir || d.FSType == "" || d.FreeBytes == 0 || d.UnknownCause != "" {
		t.Errorf("dir: %+v", d)
	}
	if f.Kernel == "" || f.CPU.Count == 0 || f.Memory.Total == 0 || f.Processes[0].OpenFiles == 0 {
		t.Errorf("facts: %+v", f)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Gather(ctx, FactsQuery{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestVirtualizationWithoutSystemd(t *testing.T) {
	absent := map[string]string{"systemd-detect-virt --vm": "!", "systemd-detect-virt --container": "!"}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  Virtualization
	}{
		{"OpenVZ", map[string]string{"/proc/vz/x": "", "/proc/user_beancounters": procBeans, "/proc/sys/fs/fsync-enable": "2\n"},
			Virtualization{"none", "openvz", []Beancounter{{"numproc", 3}, {"privvmpages", 17}}, ptr(2)}},
		{"the outer host of OpenVZ", map[string]string{"/proc/vz/x": "", "/proc/bc/x": ""}, Virtualization{VM: "none", Container: "none"}},
		{"docker on KVM", map[string]string{"/.dockerenv": "", "/sys/class/dmi/id/product_name": "KVM\n"}, Virtualization{VM: "kvm", Container: "docker"}},
		{"LXC", map[string]string{"/proc/1/environ": "TERM=linux\x00container=lxc\x00"}, Virtualization{VM: "none", Container: "lxc"}},
		{"nspawn", map[string]string{"/run/systemd/container": "systemd-nspawn\n"}, Virtualization{VM: "none", Container: "systemd-nspawn"}},
		{"an unknown hypervisor", map[string]string{"/proc/cpuinfo": "flags\t: fpu hypervisor lahf_lm\n"}, Virtualization{VM: "vm-other", Container: "none"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got Virtualization
			if err := fakeHost(t, tt.files, absent).readVirtualization(t.Context(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDiskBelowAMount(t *testing.T) {
	h := fakeHost(t, map[string]string{
		"/sys/devices/vda/dev": "", "/sys/devices/vda/vda1/partition": "1",
		"/sys/devices/dm-0/slaves/.none": "", "/sys/devices/dm-1/dev": "",
		"/sys/devices/vda/queue/write_cache": "write back\n", "/sys/devices/vda/queue/scheduler": "none [mq-deadline]\n",
		"/sys/devices/vda/queue/rotational": "1\n",
		"/sys/class/block/.keep":            "", "/sys/dev/block/.keep": "",
	}, nil)
	if err := os.Remove(h.path("/sys/devices/dm-0/slaves/.none")); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"/sys/dev/block/254:1": "../../devices/vda/vda1", "/sys/dev/block/253:0": "../../devices/dm-0",
		"/sys/class/block/vda": "../../devices/vda", "/sys/class/block/vda1": "../../devices/vda/vda1",
		"/sys/devices/dm-0/slaves/vda1": "../../vda/vda1",
	} {
		if err := os.Symlink(to, h.path(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		m    mountinfo.Info
		want string
	}{
		{"partition", mountinfo.Info{Major: 254, Minor: 1}, "vda"},
		{"logical volume on a partition", mountinfo.Info{Major: 253}, "vda"},
		{"btrfs", mountinfo.Info{Minor: 40, Source: "/dev/vda1"}, "vda"},
		{"overlay", mountinfo.Info{Minor: 41, Source: "overlay"}, ""},
		{"device without entry", mountinfo.Info{Major: 8, Minor: 1}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d Dir
			h.readDevice(&tt.m, &d)
			if d.Device != tt.want {
				t.Errorf("device %q, want %q", d.Device, tt.want)
			}
			if tt.want != "" && (d.WriteCache != "write back" || d.Scheduler != "mq-deadline" || !*d.Rotational) {
				t.Errorf("queue: %+v", d)
			}
		})
	}
}

const procMounts = `22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
30 22 0:26 / /run rw,nosuid - tmpfs tmpfs rw,size=400k
40 22 254:17 / /zk rw,noatime shared:9 - ext4 /dev/vdb1 rw,barrier=0
41 22 254:33 / /zk rw,noatime shared:10 - xfs /dev/vdc1 rw,attr2
`

func TestMountOf(t *testing.T) {
	mounts, err := mountinfo.GetMountsFromReader(strings.NewReader(procMounts), nil)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{
		"/": "/dev/vda1", "/var/lib": "/dev/vda1", "/zkother": "/dev/vda1",
		"/zk": "/dev/vdc1", "/zk/log": "/dev/vdc1", // the later mount covers the earlier
	} {
		if m := mountOf(p, mounts); m == nil || m.Source != want {
			t.Errorf("%s lies on %+v, want %s", p, m, want)
		}
	}
	if diff := cmp.Diff([]string{"barrier=0", "noatime", "rw"}, options(mounts[2])); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func FuzzMounts(f *testing.F) {
	f.Add(procMounts, "/zk/log")
	f.Fuzz(func(t *testing.T, text, dir string) {
		mounts, err := mountinfo.GetMountsFromReader(strings.NewReader(text), nil)
		if err != nil {
			return
		}
		m := mountOf(dir, mounts)
		if m == nil {
			return
		}
		if m.Mountpoint != "/" && dir != m.Mountpoint && !strings.HasPrefix(dir, m.Mountpoint+"/") {
			t.Errorf("%q does not hold %q", m.Mountpoint, dir)
		}
		options(m)
	})
}

func TestPackageLock(t *testing.T) {
	h := fakeHost(t, map[string]string{"/var/lib/dpkg/lock-frontend": ""}, nil)
	var holder *Process
	if err := h.readPackageLock(&holder); err != nil || holder != nil {
		t.Fatalf("free lock: held by %v, %v", holder, err)
	}
	f, err := os.OpenFile(h.path("/var/lib/dpkg/lock-frontend"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// A lock of the open file, because a process never blocks itself. Such
	// locks have no process id, like those of another PID namespace.
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	if err := h.readPackageLock(&holder); err != nil || holder == nil || holder.String() != unseen {
		t.Errorf("held lock: %v, %v; want %q", holder, err, unseen)
	}
}

func TestJavaAndCloudInit(t *testing.T) {
	const home = "/usr/lib/jvm/java-21/"
	for _, tt := range []struct {
		name    string
		release string
		says    string
		want    *Java
		err     string
	}{
		{"release file", "JAVA_VERSION=\"21.0.1\"\n", "", &Java{home + "bin/java", "21.0.1", 21}, ""},
		{"unreadable release file", "nothing\n", "openjdk version \"21.0.2\"\n", &Java{home + "bin/java", "21.0.2", 21}, ""},
		{"broken program", "nothing\n", "!", nil, home + "bin/java -version: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := fakeHost(t, map[string]string{home + "bin/java": "", home + "release": tt.release}, nil)
			h.run = func(_ context.Context, name string, args ...string) (string, error) {
				if tt.says == "" || name != h.path(home+"bin/java") || !slices.Equal(args, []string{"-version"}) {
					t.Errorf("ran %s %q", name, args)
				}
				if tt.says == "!" {
					return "", exec.ErrNotFound
				}
				return tt.says, nil
			}
			var got *Java
			err := h.readJava(t.Context(), &got)
			if diff := cmp.Diff(tt.want, got); diff != "" || !strings.HasPrefix(errorText(err), tt.err) || (tt.err == "") != (err == nil) {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	for file, want := range map[string]string{
		"/etc/cloud/cloud-init.disabled": "disabled", "/run/cloud-init/status.json": "running", "/etc/hosts": "",
	} {
		var got string
		if err := fakeHost(t, map[string]string{file: ""}, nil).readCloudInit(&got); err != nil || got != want {
			t.Errorf("with %s cloud-init is %q, %v; want %q", file, got, err, want)
		}
	}
}

func TestStealSample(t *testing.T) {
	h := fakeHost(t, map[string]string{"/proc/stat": procStat}, nil)
	var c CPU
	if err := h.readCPU(t.Context(), time.Millisecond, &c); err != nil || c.Steal != nil {
		t.Errorf("between two equal readings steal is %v, %v; want none", c.Steal, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.readCPU(ctx, time.Hour, &c); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}
