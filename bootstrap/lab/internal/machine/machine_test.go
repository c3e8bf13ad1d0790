package machine

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOnlyLoopback(t *testing.T) {
	for resolv, want := range map[string]bool{
		"nameserver 127.0.0.53\noptions edns0\n":     true,
		"nameserver ::1\n":                           true,
		"nameserver 127.0.0.1\nnameserver 9.9.9.9":   false,
		"# nameserver 127.0.0.1\nnameserver 9.9.9.9": false,
		"search example.net\n":                       false,
	} {
		if got := onlyLoopback(resolv); got != want {
			t.Errorf("%q: %v, want %v", resolv, got, want)
		}
	}
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte("1\n2\n3\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Tail(file, 2); got != "2\n3" {
		t.Errorf("last two lines: %q", got)
	}
	if got := Tail(file, 9); got != "1\n2\n3" {
		t.Errorf("more lines than there are: %q", got)
	}
}
