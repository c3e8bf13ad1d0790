package vm

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStartRefuses(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	for name, tt := range map[string]struct{ dir, domainType, want string }{
		"an unknown type":      {t.TempDir(), "xen", `domain type "xen" is unknown, want "kvm" or "qemu"`},
		"a path of a long way": {long, typeQEMU, "choose a shorter directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Start(t.Context(), tt.dir, tt.domainType, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestStopWithoutStart(t *testing.T) {
	dir := t.TempDir()
	if err := Stop(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
}

// A libvirtd is known by its directory, whichever way leads there.
func TestOwnDaemonIsKnownByItsRealDirectory(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	straight, err := ownDaemon(dir)
	if err != nil {
		t.Fatal(err)
	}
	if around, err := ownDaemon(link); err != nil || around != straight {
		t.Errorf("through a link %+v, %v; want %+v", around, err, straight)
	}
}

// A socket without a libvirtd behind it is not an answer, and not waited for.
func TestAnswers(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	if err := answers(socket); err == nil {
		t.Error("no socket answers")
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			conn.Close()
		}
	}()
	if err := answers(socket); err == nil || !strings.Contains(err.Error(), socket) {
		t.Errorf("a listener that hangs up: %v", err)
	}
}
