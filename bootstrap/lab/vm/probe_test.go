package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFirstProcess(t *testing.T) {
	for _, tt := range []struct {
		name, console string
		runs          bool
		last          string
	}{
		{"a kernel that runs", "[    0.000000] Linux version 6.1.0\r\n[    1.204514] Run /init as init process\r\n", true, "[    1.204514] Run /init as init process"},
		{"one that stops on its way", "[    0.000000] Linux version 6.1.0\r\n[    0.3] smpboot: CPU0\r\n\r\n", false, "[    0.3] smpboot: CPU0"},
		{"QEMU that cannot set up the processor", "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\n", false, "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69"},
		{"nothing", "", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if runs, last := firstProcess(strings.NewReader(tt.console)); runs != tt.runs || last != tt.last {
				t.Errorf("got %v, %q; want %v, %q", runs, last, tt.runs, tt.last)
			}
		})
	}
}

func TestRecall(t *testing.T) {
	for name, tt := range map[string]struct {
		file string
		want verdict
	}{
		"no probe yet":     {"", verdict{}},
		"a verdict":        {`{"boot_id":"b","kernel":"/k","domain_type":"kvm"}`, verdict{BootID: "b", Kernel: "/k", DomainType: "kvm"}},
		"one that was cut": {`{"boot_id":"b","kern`, verdict{}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "probe.json")
			if tt.file != "" {
				if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := recall(file); err != nil || got != tt.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}
