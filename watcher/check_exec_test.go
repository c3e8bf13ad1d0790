package watcher

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// script writes a program that a shell runs.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "probe")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExecCheck(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	t.Setenv("SECRET", "hunter2")
	tests := map[string]struct {
		argv []string
		want string // the whole error, "" for a pass
	}{
		"true":                              {argv: []string{"true"}},
		"false":                             {argv: []string{"false"}, want: "exec false: exit status 1"},
		"an argument is no shell":           {argv: []string{"/bin/echo", "$(reboot); `reboot`"}},
		"what it says is shown":             {argv: []string{script(t, "echo no database; echo more; exit 3")}, want: `exec probe: exit status 3: "no database ..."`},
		"so is what it says on stderr":      {argv: []string{script(t, "echo oh >&2; exit 1")}, want: `exec probe: exit status 1: "oh"`},
		"as one printable line":             {argv: []string{script(t, `printf 'a\033[31mb\tc'; exit 1`)}, want: `exec probe: exit status 1: "a [31mb c"`},
		"it can say a lot":                  {argv: []string{script(t, "head -c 5000000 /dev/zero | tr '\\0' y; exit 1")}, want: `exec probe: exit status 1: "` + strings.Repeat("y", 200) + ` ..."`},
		"a program that is not there":       {argv: []string{"/nonexistent/probe"}, want: "exec probe: no such file or directory"},
		"it gets no environment of zkwatch": {argv: []string{script(t, `test -z "$NOTIFY_SOCKET$SECRET" && test -n "$PATH"`)}},
		"a signal":                          {argv: []string{script(t, "kill -9 $$")}, want: "exec probe: signal: killed"},
		"it takes too long":                 {argv: []string{"sleep", "60"}, want: "exec sleep: no answer in time, killed"},
		"its child takes too long":          {argv: []string{script(t, "echo waiting; sleep 60")}, want: `exec probe: no answer in time, killed: "waiting"`},
		"it reads":                          {argv: []string{"cat"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check, err := newCheck(config.ServiceCheck{Exec: tt.argv})
			if err != nil {
				t.Fatal(err)
			}
			limit := 30 * time.Second
			if strings.Contains(tt.want, "in time") {
				limit = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			began := time.Now()
			got := ""
			if err := check(ctx); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// alive tells whether a process is there and not a zombie.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestExecCheckLeavesNothingBehind(t *testing.T) {
	for name, text := range map[string]string{
		"killed with what it started":                "sleep 61 & echo $! > $0.pid; wait",
		"passed, with a child that holds its output": "sleep 62 & echo $! > $0.pid; exit 0",
	} {
		t.Run(name, func(t *testing.T) {
			path := script(t, text)
			check, err := newCheck(config.ServiceCheck{Exec: []string{path}})
			if err != nil {
				t.Fatal(err)
			}
			// As long as it takes the script to write its child's number, and then it is cut.
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- check(ctx) }()
			pid := ""
			eventually(t, "the script says what it started", func() bool {
				b, _ := os.ReadFile(path + ".pid")
				pid = strings.TrimSpace(string(b))
				return pid != "" && strings.HasSuffix(string(b), "\n")
			})
			if strings.HasPrefix(name, "killed") {
				cancel()
			}
			err = <-done
			if wantErr := strings.HasPrefix(name, "killed"); (err != nil) != wantErr {
				t.Errorf("the check says %v", err)
			}
			eventually(t, "the child is gone", func() bool { return !alive(pid) })
		})
	}
}

func TestExecCheckWaitsForAProgramThatIsBeingWritten(t *testing.T) {
	path := script(t, "exit 0")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	check := execCheck([]string{path})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := check(ctx); !errors.Is(err, syscall.ETXTBSY) || !strings.HasPrefix(err.Error(), "exec probe: ") {
		t.Errorf("while it is open for writing: got %v, want text file busy", err)
	}
	f.Close()
	if err := check(t.Context()); err != nil {
		t.Errorf("after it was closed: %v", err)
	}
}

// eventually polls for a condition of the real world.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("in 20 s it did not come to this: %s", what)
}
