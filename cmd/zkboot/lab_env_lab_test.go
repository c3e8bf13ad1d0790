//go:build lab

package main

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab"
)

// What a CI job does: one command for an environment, one line for where it is.
func TestEnvironmentInOneCommand(t *testing.T) {
	const name = "citest"
	program, dir := filepath.Join(t.TempDir(), "zkboot"), filepath.Join(t.TempDir(), "lab")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if err := lab.Down(context.Background(), name, ""); err != nil {
			t.Error(err)
		}
	})
	c := contract{program: program, dir: dir}
	up := func(words ...string) {
		t.Helper()
		start := time.Now()
		code, stdout, stderr := c.run(t, "lab", "up", "--apply", "--name", name, "--zookeeper", "1", "--apps", "1", "--dir", dir)
		t.Logf("lab up --apply took %s", time.Since(start).Round(time.Second/10))
		if code != codeOK {
			t.Fatalf("exit %d\nstdout:\n%s\nstderr:\n%s", code, stdout, stderr)
		}
		for _, w := range append(words, "zkboot lab env --name "+name) {
			if !strings.Contains(stdout, w) {
				t.Errorf("no %q in\n%s", w, stdout)
			}
		}
	}
	up("applied")
	up("nothing to do") // a job that is run again on its machine

	shell := exec.CommandContext(t.Context(), "sh", "-euc",
		`eval "$("$1" lab env --name "$2")"; printf %s "$ZKBOOT_LAB $ZKBOOT_LAB_DIR $ZKBOOT_CONNECT $ZKBOOT_ZK1:2181 $ZKBOOT_APP1"`, "sh", program, name)
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := strings.Fields(string(out))
	l, err := lab.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 5 || got[0] != name || got[1] != dir || got[2] != got[3] || got[4] != l.Hosts[1].Address.String() {
		t.Fatalf("the shell has %q for lab %s in %s", got, name, dir)
	}
	if answer := ask(t, got[2], "srvr"); !strings.Contains(answer, "Mode: standalone") && !strings.Contains(answer, "Mode: leader") {
		t.Errorf("%s is not what clients connect to: %q", got[2], answer)
	}
}

// ask sends a four-letter word and returns the answer.
func ask(t *testing.T, addr, word string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(word)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(conn); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
