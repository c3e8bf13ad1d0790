//go:build lab

package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap/lab"
)

// badSite is what a user has whose days are bad: a lab, and a configuration of it that changes.
type badSite struct {
	*lab.Lab
	hostKey string // of zk3; empty: what known_hosts says
	tick    int    // milliseconds
}

// configure writes the configuration into a workspace.
func (s badSite) configure(t *testing.T, w *workspace) {
	t.Helper()
	var hosts, members strings.Builder
	for i, h := range s.Hosts {
		key := ""
		if h.Name == "zk3" && s.hostKey != "" {
			key = fmt.Sprintf(", host_key = %q", s.hostKey)
		}
		fmt.Fprintf(&hosts, "    %s = { address = %q%s }\n", h.Name, h.Address, key)
		fmt.Fprintf(&members, "    %s = { id = %d }\n", h.Name, i+1)
	}
	config := fmt.Sprintf(`
terraform {
  required_providers {
    zkboot = { source = %q }
  }
}
provider "zkboot" {
  ssh = { user = "debian", identity_files = [%q], known_hosts_file = %q, config_file = "none", patience = "20s" }
}
resource "zkboot_ensemble" "lab" {
  name     = %q
  hardware = { profile = "lab" }
  hosts = {
%s  }
  members = {
%s  }
  source              = { apt = {} }
  accept_known_issues = ["ZOOKEEPER-4785"]
  heap                = "256MiB"
  config              = { tickTime = "%d" }
}
`, Address, filepath.Join(s.Dir, "id_ed25519"), filepath.Join(s.Dir, "known_hosts"), s.Name, hosts.String(), members.String(), s.tick)
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ticks reports whether the host's zoo.cfg has that tickTime.
func (s badSite) ticks(t *testing.T, h *lab.Host, tick int) bool {
	t.Helper()
	_, err := h.Exec(t.Context(), "grep", "-qx", fmt.Sprintf("tickTime=%d", tick), "/etc/zookeeper/"+s.Name+"/zoo.cfg")
	return err == nil
}

// everywhere expects that tickTime on every host.
func (s badSite) everywhere(t *testing.T, tick int) {
	t.Helper()
	for _, h := range s.Hosts {
		if !s.ticks(t, h, tick) {
			t.Errorf("%s: zoo.cfg does not say tickTime=%d", h.Name, tick)
		}
	}
}

// Bad days of the provider that machines in memory cannot show, in the order in which one
// leads to the next, on real hosts. What was written before them is there after them.
func TestBadDaysOnALab(t *testing.T) {
	name, dir := fmt.Sprintf("b%d", os.Getpid()), filepath.Join(t.TempDir(), "lab")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, name, dir); err != nil {
			t.Error(err)
		}
	})
	l, err := lab.Up(t.Context(), lab.Options{Name: name, ZooKeeper: 3, Apps: 0, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, "provider")
	if err := os.Remove(filepath.Join(w.dir, "provider.tf")); err != nil {
		t.Fatal(err)
	}
	s := badSite{Lab: l, tick: 2000}
	s.configure(t, &w)
	w.want(t, 0, nil, "init")
	for _, day := range []struct {
		name string
		run  func(*testing.T, *badSite, *workspace)
	}{
		{"a host shows another key", wrongHostKey}, {"the provider is killed while it creates", killedCreate},
		{"the provider is killed while it updates", killedUpdate}, {"the state file is lost", lostState},
	} {
		if !t.Run(day.name, func(t *testing.T) { day.run(t, &s, &w) }) {
			return // each starts from where the one before has ended
		}
	}
}

// nobodysKey is a public key that no host of a lab has.
const nobodysKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

func wrongHostKey(t *testing.T, s *badSite, w *workspace) {
	s.hostKey = nobodysKey
	s.configure(t, w)
	w.want(t, 1, []string{"Error: zk3: ", "host key is not the one on record"}, "apply", "-auto-approve")
	for _, h := range s.Hosts {
		hostOf(t, s.Lab, h.Name).sh(t, "test ! -e /etc/zookeeper/"+s.Name)
	}
	s.hostKey = ""
	s.configure(t, w)
}

// killed runs an apply, and kills the provider with SIGKILL as soon as the moment has come.
func killed(t *testing.T, w *workspace, moment func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, w.terraform, "apply", "-auto-approve", "-no-color")
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.dir, &out, &out
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+w.config, "TF_IN_AUTOMATION=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for dead := false; ; {
		select {
		case err := <-ended:
			if !dead {
				t.Fatalf("this proves nothing: the apply had ended before its provider was killed: %v\n%s", err, out.String())
			}
			// Which of the two depends on what of the connection goes first.
			told := strings.Contains(out.String(), "Plugin did not respond") || strings.Contains(out.String(), "ApplyResourceChange request was cancelled")
			if got := cmd.ProcessState.ExitCode(); got != 1 || !told {
				t.Fatalf("after the kill: exit code %d, want 1 and that the plugin is gone\n%s", got, out.String())
			}
			return
		case <-tick.C:
			if !dead && moment() {
				dead = killPlugin(t, cmd.Process.Pid)
			}
		}
	}
}

// killPlugin kills the provider that runs under that Terraform; false when there is none.
func killPlugin(t *testing.T, terraform int) bool {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	dead := false
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		} else if err != nil {
			t.Fatal(err)
		}
		// "pid (name) state ppid ...": https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if fields[1] != strconv.Itoa(terraform) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		dead = true
	}
	return dead
}

// killedCreate kills when the first host has its unit. Terraform has heard of nothing then,
// and yet the next apply goes on from what is there.
func killedCreate(t *testing.T, s *badSite, w *workspace) {
	killed(t, w, func() bool {
		_, err := s.Hosts[0].Exec(t.Context(), "test", "-e", "/etc/zookeeper/"+s.Name+"/zoo.cfg")
		return err == nil
	})
	w.want(t, 0, []string{"1 added"}, "apply", "-auto-approve")
	w.want(t, 0, []string{"No changes."}, "plan", "-detailed-exitcode")
	s.everywhere(t, 2000)
	s.kept(t, true)
}

// killedUpdate kills when the first of three hosts has its new configuration.
func killedUpdate(t *testing.T, s *badSite, w *workspace) {
	s.tick = 2500
	s.configure(t, w)
	changed := func() (n int) {
		for _, h := range s.Hosts {
			if s.ticks(t, h, s.tick) {
				n++
			}
		}
		return n
	}
	killed(t, w, func() bool { return changed() > 0 })
	if n := changed(); n == 3 {
		t.Log("all hosts had their configuration when the provider died")
	}
	w.want(t, 0, []string{"0 added, 1 changed, 0 destroyed"}, "apply", "-auto-approve")
	w.want(t, 0, []string{"No changes."}, "plan", "-detailed-exitcode")
	s.everywhere(t, 2500)
	s.kept(t, false)
}

func lostState(t *testing.T, s *badSite, w *workspace) {
	lost, err := filepath.Glob(filepath.Join(w.dir, "terraform.tfstate*"))
	if err != nil || len(lost) == 0 {
		t.Fatalf("this proves nothing: there is no state to lose: %v", err)
	}
	for _, file := range lost {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	w.want(t, 0, []string{"Import successful"}, "import", "zkboot_ensemble.lab", s.Hosts[1].Address.String())
	said := w.want(t, 2, []string{"0 to add, 1 to change, 0 to destroy"}, "plan", "-detailed-exitcode")
	if strings.Contains(said, `"file:`) || strings.Contains(said, `"unit:`) {
		t.Errorf("the import changes things of hosts:\n%s", said)
	}
	w.want(t, 0, []string{"1 changed"}, "apply", "-auto-approve")
	w.want(t, 0, []string{"No changes."}, "plan", "-detailed-exitcode")
	s.kept(t, false)
}

// kept expects the znode that was written first to be there still.
func (s badSite) kept(t *testing.T, write bool) {
	t.Helper()
	const path, data = "/kept", "through all bad days"
	var servers []string
	for _, h := range s.Hosts {
		servers = append(servers, h.Address.String()+":2181")
	}
	conn, _, err := zk.Connect(servers, 10*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if write {
		_, err = conn.Create(path, []byte(data), 0, zk.WorldACL(zk.PermAll))
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, _, err := conn.Get(path); err != nil || string(got) != data {
		t.Errorf("%s is %q, %v, want %q", path, got, err, data)
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
