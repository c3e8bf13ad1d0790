//go:build lab

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab"
)

// timer runs the units that render prints on zk4, which reaches the members as any machine
// of an operator does.
func (b *backups) timer(t *testing.T) {
	h := b.host(t, "zk4")
	root, err := h.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	const conf, out = "/etc/zkboot-backup", "/var/backups/zookeeper"
	b.exec(t, h, "mkdir", "-p", conf, out)
	for from, to := range map[string]string{b.program: "/usr/local/bin/zkboot", b.hosts: conf + "/main.yaml",
		filepath.Join(b.dir, "id_ed25519"): conf + "/id_ed25519", filepath.Join(b.dir, "known_hosts"): conf + "/known_hosts"} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := root.WriteFile(to[1:], content, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	units := map[string][]string{
		"zkboot-backup-main.service": {"backup-service", "-f", conf + "/main.yaml", "-o", out, "--keep", "2"},
		"zkboot-backup-main.timer":   {"backup-timer", "-f", conf + "/main.yaml", "--on-calendar", "*:*:0/2"},
	}
	for unit, args := range units {
		text := b.exec(t, h, append([]string{"/usr/local/bin/zkboot", "render"}, args...)...)
		// The minute by which a timer spreads its runs is too long for a test.
		text = strings.Replace(text, "RandomizedDelaySec=60", "RandomizedDelaySec=0\nAccuracySec=100ms", 1)
		if err := root.WriteFile("etc/systemd/system/"+unit, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if said := b.exec(t, h, "systemd-analyze", "verify", "/etc/systemd/system/zkboot-backup-main.timer", "/etc/systemd/system/zkboot-backup-main.service"); said != "" {
		t.Errorf("systemd-analyze verify: %s", said)
	}
	b.exec(t, h, "systemctl", "daemon-reload")
	b.exec(t, h, "systemctl", "enable", "--now", "zkboot-backup-main.timer")
	within(t, time.Minute, func() bool {
		journal := b.exec(t, h, "journalctl", "--no-pager", "-o", "cat", "-u", "zkboot-backup-main.service")
		if strings.Contains(journal, "Failed with result") {
			t.Fatal(journal)
		}
		return strings.Contains(journal, "removed main-")
	})
	b.exec(t, h, "systemctl", "disable", "--now", "zkboot-backup-main.timer")
	b.exec(t, h, "systemctl", "stop", "zkboot-backup-main.service")
	archives := strings.Fields(b.exec(t, h, "ls", out))
	if len(archives) != 2 {
		t.Errorf("archives %v, want the two newest", archives)
	}
	for _, name := range archives {
		b.exec(t, h, "/usr/local/bin/zkboot", "backup", "check", out+"/"+name)
	}
}

func (b *backups) exec(t *testing.T, h *lab.Host, argv ...string) string {
	t.Helper()
	out, err := h.Exec(t.Context(), argv...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return out
}
