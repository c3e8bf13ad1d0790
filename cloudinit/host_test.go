package cloudinit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/agent"
)

// boot does to a directory what cloud-init does to a host: it writes the files and adds the
// accounts. Whoever runs the test stands for root.
func boot(t *testing.T, root string, doc readBack, mounted ...bootstrap.Mount) {
	t.Helper()
	write := func(path, content string, mode os.FileMode) {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
	for _, f := range doc.Files {
		mode, err := strconv.ParseUint(f.Permissions, 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		write(f.Path, f.Content, os.FileMode(mode))
	}
	passwd := fmt.Sprintf("root:x:%d:%d:root:/root:/bin/bash\n", os.Getuid(), os.Getgid())
	group := fmt.Sprintf("root:x:%d:\n", os.Getgid())
	for i, u := range doc.Users {
		if u, ok := u.(map[string]any); ok && u["system"] == true {
			passwd += fmt.Sprintf("%s:x:%d:%d::%s:%s\n", u["name"], 9000+i, 9000+i, u["homedir"], u["shell"])
			group += fmt.Sprintf("%s:x:%d:\n", u["name"], 9000+i)
		}
	}
	write("/etc/passwd", passwd, 0o644)
	write("/etc/group", group, 0o644)
	table := "20 1 8:1 / / rw - ext4 /dev/vda1 rw\n"
	for _, m := range mounted {
		table += fmt.Sprintf("21 20 8:2 / %s rw,%s - %s %s rw\n", m.Path, strings.Join(m.Options, ","), m.FSType, m.Device)
	}
	write("/proc/self/mountinfo", table, 0o644)
}

// What first boot has brought is right in the eyes of the agent: apply takes charge of it and
// changes nothing. Packages and the live kernel are not in a directory; they stand aside.
func TestApplyFindsWhatFirstBootBrought(t *testing.T) {
	guide := guideSpecs(t)
	for name, c := range map[string]struct{ spec, host string }{"member with a disk": {"main", "zk3"}, "member": {"main", "zk1"}, "sidecar": {"shop", "app1"}} {
		t.Run(name, func(t *testing.T) {
			desired, _ := wanted(t, guide[c.spec], c.host)
			adopted(t, desired...)
		})
	}
	t.Run("a source of packages", func(t *testing.T) { adopted(t, everything()) })
}

func adopted(t *testing.T, desired ...bootstrap.Desired) {
	t.Helper()
	want := bootstrap.Desired{}
	var ids []bootstrap.ID
	var mounts []bootstrap.Mount
	for _, d := range desired {
		for _, r := range d.Resources {
			switch v := r.(type) {
			case bootstrap.Mount:
				mounts = append(mounts, v)
			case bootstrap.User:
				v.Groups = nil // of a package
				r = v
			case bootstrap.File:
				if v.Path == "/etc/binary" { // JSON would change it, so that the agent does not show it
					continue
				}
			case bootstrap.Package, bootstrap.Sysctl, bootstrap.Kernel, bootstrap.Unit:
				continue
			}
			want.Resources, ids = append(want.Resources, r), append(ids, r.ID())
		}
	}
	root := t.TempDir()
	boot(t, root, read(t, render(t, facts("zk1", desired...)).UserData), mounts...)
	_, have, err := agent.Local(agent.Options{Root: root}).Look(t.Context(), ids...)
	if err != nil {
		t.Fatal(err)
	}
	steps := bootstrap.Diff("main.zookeeper", want, have, bootstrap.Intent{})
	if len(steps) != len(want.Resources) || len(steps) == 0 {
		t.Errorf("%d steps for %d things", len(steps), len(want.Resources))
	}
	for _, s := range steps {
		if s.Action != bootstrap.ActionAdopt {
			t.Errorf("%s: %v", s, s.Want.Drift(s.Was.Resource))
		}
	}
}

// The script formats a device that carries nothing, and no other.
func TestDataDisks(t *testing.T) {
	const done = "enable --now -- "
	for _, c := range []struct {
		name  string
		disk  string // what wipefs says; "!" when it cannot read the device
		files bool   // there are some below the mount point
		over  bool   // something is mounted there
		want  []string
		fails string
	}{
		{name: "blank", disk: "", want: []string{"mkfs.ext4 -q /dev/vdb", done}},
		{name: "made before", disk: "ext4", want: []string{done}},
		{name: "another file system", disk: "xfs", fails: "/dev/vdb carries xfs and is not formatted"},
		{name: "a partition table", disk: "dos\ngpt", fails: "and is not formatted"},
		{name: "unreadable", disk: "!", fails: "Input/output error"},
		{name: "files that it would hide", files: true, fails: "is not empty; mounting /dev/vdb would hide what is in it"},
		{name: "mounted already", files: true, over: true, want: []string{done}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, bin, log := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "log")
			if c.files {
				if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			// What is below the script's feet: programs that say what they were told.
			program := func(name, text string) {
				if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			program("wipefs", "case $DISK in !) echo Input/output error >&2; exit 1;; ?*) echo \"$DISK\";; esac")
			program("mountpoint", "test -n \"$OVER\"")
			program("mkfs.ext4", "echo mkfs.ext4 \"$@\" >> \"$LOG\"")
			program("systemctl", "test \"$1\" = daemon-reload || echo \"$@\" >> \"$LOG\"")
			m := bootstrap.Mount{Path: dir, Device: "/dev/vdb", FSType: "ext4"}
			script := "export PATH=" + quote(bin) + ":\"$PATH\"\n" + wants{mounts: []bootstrap.Mount{m}}.script()
			cmd := exec.Command("/bin/sh", "-c", script)
			over := ""
			if c.over {
				over = "yes"
			}
			cmd.Env = append(os.Environ(), "DISK="+c.disk, "LOG="+log, "OVER="+over)
			out, err := cmd.CombinedOutput()
			said, _ := os.ReadFile(log) // absent when nothing was done
			got := strings.Split(strings.TrimSuffix(string(said), "\n"), "\n")
			want := slices.Clone(c.want)
			if len(want) == 0 {
				want = []string{""}
			} else {
				want[len(want)-1] += mountUnit(dir)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("done (-want +got):\n%s", diff)
			}
			if (err != nil) != (c.fails != "") || !strings.Contains(string(out), c.fails) {
				t.Errorf("ended with %v, said %q, want %q", err, out, c.fails)
			}
		})
	}
}
