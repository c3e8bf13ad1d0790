package sysctl

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEffective(t *testing.T) {
	tests := []struct {
		name  string
		files []File
		want  Origin // of vm.dirty_bytes
	}{
		{"the later name wins, whatever the directory", []File{
			{"/etc/sysctl.d/10-a.conf", []byte("vm.dirty_bytes = 1")},
			{"/usr/lib/sysctl.d/50-b.conf", []byte("\nvm/dirty_bytes=2")},
		}, Origin{Path: "/usr/lib/sysctl.d/50-b.conf", Line: 2, Key: "vm.dirty_bytes", Value: "2"}},
		{"the stronger directory hides a file of the same name", []File{
			{"/usr/lib/sysctl.d/50-b.conf", []byte("vm.dirty_bytes=2")},
			{"/run/sysctl.d/50-b.conf", []byte("vm.dirty_bytes=3")},
			{"/usr/local/lib/sysctl.d/50-b.conf", []byte("vm.dirty_bytes=4")},
		}, Origin{Path: "/run/sysctl.d/50-b.conf", Line: 1, Key: "vm.dirty_bytes", Value: "3"}},
		{"a link to /dev/null hides too", []File{
			{"/usr/lib/sysctl.d/50-b.conf", []byte("vm.dirty_bytes=2")},
			{"/etc/sysctl.d/50-b.conf", nil},
		}, Origin{}},
		{"other names and places are not read", []File{
			{"/etc/sysctl.conf", []byte("vm.dirty_bytes=2")},
			{"/etc/sysctl.d/x.conf.bak", []byte("vm.dirty_bytes=2")},
			{"/etc/sysctl.d/sub/x.conf", []byte("vm.dirty_bytes=2")},
		}, Origin{}},
		{"the same value again leaves the first line in charge", []File{
			{"/etc/sysctl.d/10-a.conf", []byte("vm.dirty_bytes = 1")},
			{"/etc/sysctl.d/20-b.conf", []byte("vm.dirty_bytes = 1")},
		}, Origin{Path: "/etc/sysctl.d/10-a.conf", Line: 1, Key: "vm.dirty_bytes", Value: "1"}},
		{"a faulty line does not spoil the next", []File{
			{"/etc/sysctl.d/10-a.conf", []byte("rubbish\nvm.dirty_bytes = 1")},
		}, Origin{Path: "/etc/sysctl.d/10-a.conf", Line: 2, Key: "vm.dirty_bytes", Value: "1"}},
		{"a pattern sets what no line names", []File{
			{"/etc/sysctl.d/10-a.conf", []byte("vm.dirty_[!x]* = 8\nvm.*_bytes = 9\nvm* = 10")},
		}, Origin{Path: "/etc/sysctl.d/10-a.conf", Line: 2, Key: "vm.*_bytes", Value: "9"}},
		{"a named key is safe from a later pattern", []File{
			{"/etc/sysctl.d/10-a.conf", []byte("vm.dirty_bytes = 1")},
			{"/etc/sysctl.d/99-z.conf", []byte("vm.* = 9")},
		}, Origin{Path: "/etc/sysctl.d/10-a.conf", Line: 1, Key: "vm.dirty_bytes", Value: "1"}},
		{"a dash alone unsets", []File{
			{"/etc/sysctl.d/10-a.conf", []byte("vm.dirty_bytes = 1\nvm.* = 9")},
			{"/etc/sysctl.d/99-z.conf", []byte("-vm.dirty_bytes")},
		}, Origin{Path: "/etc/sysctl.d/99-z.conf", Line: 1, Key: "vm.dirty_bytes", Unset: true}},
		{"a later ratio clears the bytes", []File{
			{"/etc/sysctl.d/10-a.conf", []byte("vm.dirty_bytes = 1")},
			{"/etc/sysctl.d/99-z.conf", []byte("vm.dirty_ratio = 20")},
		}, Origin{Path: "/etc/sysctl.d/99-z.conf", Line: 1, Key: "vm.dirty_ratio", Value: "0"}},
		{"an earlier ratio does not", []File{
			{"/etc/sysctl.d/10-a.conf", []byte("vm.dirty_ratio = 20\nvm.dirty_bytes = 1")},
		}, Origin{Path: "/etc/sysctl.d/10-a.conf", Line: 2, Key: "vm.dirty_bytes", Value: "1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Effective(tt.files, "vm.dirty_bytes")["vm.dirty_bytes"]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOverrides(t *testing.T) {
	ours := File{"/etc/sysctl.d/90-zookeeper.conf", []byte("vm.swappiness = 1\nnet.core.somaxconn = 4096\nvm.dirty_bytes = 9")}
	files := []File{
		{"/etc/sysctl.d/90-zookeeper.conf", []byte("an older version = of ours\nvm.swappiness = 5")},
		{"/etc/sysctl.d/10-early.conf", []byte("net.core.somaxconn = 128\nkernel.panic = 1")},
		{"/etc/sysctl.d/99-sysctl.conf", []byte("vm.swappiness = 60\n-vm.dirty_bytes\nkernel.panic = 2")},
	}
	want := map[string]Origin{
		"vm.swappiness":  {Path: "/etc/sysctl.d/99-sysctl.conf", Line: 1, Key: "vm.swappiness", Value: "60"},
		"vm.dirty_bytes": {Path: "/etc/sysctl.d/99-sysctl.conf", Line: 2, Key: "vm.dirty_bytes", Unset: true},
	}
	if diff := cmp.Diff(want, Overrides(ours, files)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOverridesNamesTheFileThatHidesOurs(t *testing.T) {
	ours := File{"/usr/lib/sysctl.d/90-zookeeper.conf", []byte("vm.swappiness = 1")}
	want := map[string]Origin{
		"vm.swappiness": {Path: "/etc/sysctl.d/90-zookeeper.conf", Key: "vm.swappiness", Unset: true},
	}
	if diff := cmp.Diff(want, Overrides(ours, []File{{"/etc/sysctl.d/90-zookeeper.conf", nil}})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
