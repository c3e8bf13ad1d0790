//go:build lab

package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/hostkey"
	"github.com/zkboot/zkboot/bootstrap/lab"
)

// rotationHCL is the order of things with cloud-init: key pair, machine (here the lab's host,
// which the test gives the key as user-data would), rotation, ensemble.
const rotationHCL = `
terraform {
  required_providers {
    zkboot = { source = "registry.terraform.io/zkboot/zkboot" }
  }
}
variable "lab_dir" { type = string }
locals { lab = yamldecode(file("${var.lab_dir}/zkboot.yaml")) }
provider "zkboot" {
  ssh = {
    user           = local.lab.ssh.user
    identity_files = [for f in local.lab.ssh.identity_files : "${var.lab_dir}/${f}"]
    config_file    = "none"
  }
}
resource "zkboot_host_key" "zk1" {}
resource "zkboot_host_key_rotation" "zk1" {
  address  = local.lab.hosts.zk1.address
  host_key = zkboot_host_key.zk1.public_key
}
resource "zkboot_ensemble" "main" {
  name                = local.lab.name
  hardware            = { profile = "lab" }
  hosts               = { zk1 = { address = local.lab.hosts.zk1.address, host_key = zkboot_host_key_rotation.zk1.public_key } }
  members             = { zk1 = { id = 1 } }
  source              = { apt = {} }
  accept_known_issues = ["ZOOKEEPER-4785"]
  heap                = "256MiB"
}
`

// rotationDay is the life of one host whose key lay in user-data.
type rotationDay struct {
	workspace
	host labHost
	dir  string // of the lab
	log  string // Terraform's, with everything
}

// A host that was booted with a key from user-data has another one after the first apply,
// which is pinned from then on. Whoever has the old one is not let in.
func TestHostKeyOfUserDataIsReplacedOnALab(t *testing.T) {
	name, dir := fmt.Sprintf("rot%d", os.Getpid()), filepath.Join(t.TempDir(), "lab")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, name, dir); err != nil {
			t.Error(err)
		}
	})
	l, err := lab.Up(t.Context(), lab.Options{Name: name, ZooKeeper: 1, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	built := newWorkspace(t, "provider")
	d := &rotationDay{host: hostOf(t, l, "zk1"), dir: dir, log: filepath.Join(t.TempDir(), "terraform.log"),
		workspace: workspace{dir: t.TempDir(), terraform: built.terraform, config: built.config}}
	if err := os.WriteFile(filepath.Join(d.workspace.dir, "main.tf"), []byte(rotationHCL), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TF_LOG", "trace")
	t.Setenv("TF_LOG_PATH", d.log)
	at := "-var=lab_dir=" + dir
	d.want(t, 0, nil, "init")
	d.want(t, 0, []string{"1 added"}, "apply", "-auto-approve", at, "-target=zkboot_host_key.zk1")
	d.boot(t)
	old := d.public(t)

	d.want(t, 0, nil, "plan", at, "-out=rotate.plan")
	d.want(t, 0, []string{"2 added"}, "apply", "-auto-approve", "rotate.plan")
	rotated := d.public(t)
	if rotated == old || d.output(t, "public_key") != rotated {
		t.Fatalf("the host has %s, the state %s, user-data had %s", rotated, d.output(t, "public_key"), old)
	}
	d.lets(t, rotated, true)
	d.lets(t, old, false)
	d.want(t, 0, []string{"No changes."}, "plan", "-detailed-exitcode", at)
	d.private(t)

	d.cutOff(t, at)
	d.standsIn(t, at, old)

	d.want(t, 0, []string{"3 destroyed"}, "destroy", "-auto-approve", at)
	d.host.sh(t, "test ! -e /etc/zkboot")
	d.private(t)
}

// boot gives the host the private key that the state has, as cloud-init does with ssh_keys.
// https://cloudinit.readthedocs.io/en/22.4.2/topics/modules.html#ssh
func (d *rotationDay) boot(t *testing.T) {
	t.Helper()
	root, err := d.host.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	path := strings.TrimPrefix(hostkey.Key.Name(), "/")
	for name, content := range map[string]string{path: d.attribute(t, "zkboot_host_key", "private_key"), path + ".pub": d.attribute(t, "zkboot_host_key", "public_key") + "\n"} {
		if err := root.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.host.sh(t, "systemctl restart ssh.service")
}

// attribute is one of the only resource of a type, as the state has it.
func (d *rotationDay) attribute(t *testing.T, typ, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.workspace.dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		Resources []struct {
			Type      string
			Instances []struct{ Attributes map[string]any }
		}
	}
	if err := json.Unmarshal(b, &state); err != nil {
		t.Fatal(err)
	}
	for _, r := range state.Resources {
		if r.Type == typ && len(r.Instances) == 1 {
			text, _ := r.Instances[0].Attributes[name].(string)
			return text
		}
	}
	t.Fatalf("the state has no %s", typ)
	return ""
}

func (d *rotationDay) output(t *testing.T, name string) string {
	t.Helper()
	return d.attribute(t, "zkboot_host_key_rotation", name)
}

// public is the public half of the key on the host.
func (d *rotationDay) public(t *testing.T) string {
	t.Helper()
	return bootstrap.PublicKey(d.host.sh(t, "ssh-keygen -y -f "+hostkey.Key.Name()))
}

// lets logs in with the OpenSSH client and one key pinned.
func (d *rotationDay) lets(t *testing.T, pin string, want bool) {
	t.Helper()
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte(d.host.Address.String()+" "+pin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile="+known, "-o", "GlobalKnownHostsFile=none", "-o", "HostKeyAlgorithms=ssh-ed25519",
		"-i", filepath.Join(d.dir, "id_ed25519"), "debian@"+d.host.Address.String(), "echo in").CombinedOutput()
	if in := err == nil && strings.Contains(string(out), "in\n"); in != want {
		t.Errorf("pinned to %s: in is %v, want %v: %v\n%s", pin, in, want, err, out)
	}
	if !want && !strings.Contains(string(out), "Host key verification failed") {
		t.Errorf("pinned to %s it fails for another reason:\n%s", pin, out)
	}
}

// cutOff loses what an apply has learnt after it replaced the key: the next one says what to
// do, and the import that it names brings everything back.
func (d *rotationDay) cutOff(t *testing.T, at string) {
	t.Helper()
	now := d.public(t)
	d.want(t, 0, nil, "state", "rm", "zkboot_host_key_rotation.zk1")
	_, blob, _ := strings.Cut(now, " ") // messages are wrapped at blanks
	d.want(t, 1, []string{"another host key", "terraform import ADDRESS_OF_THE_RESOURCE", blob}, "apply", "-auto-approve", at, "-target=zkboot_host_key_rotation.zk1")
	if got := d.public(t); got != now {
		t.Errorf("the key was replaced all the same: %s, then %s", now, got)
	}
	d.want(t, 0, []string{"Import successful"}, "import", at, "zkboot_host_key_rotation.zk1", now)
	d.want(t, 0, []string{"0 added, 1 changed, 0 destroyed"}, "apply", "-auto-approve", at)
	d.want(t, 0, []string{"No changes."}, "plan", "-detailed-exitcode", at)
	if got := d.public(t); got != now {
		t.Errorf("the import has replaced the key: %s, then %s", now, got)
	}
}

// standsIn gives the host the key of user-data again, as somebody who has it would, or an
// installation anew: a plan says so, and logs in nowhere; an apply that is told to replaces the key again.
func (d *rotationDay) standsIn(t *testing.T, at, old string) {
	t.Helper()
	logins := func() string {
		return d.host.sh(t, "journalctl --no-pager --output=cat _COMM=sshd | grep -c '^Accepted ' || true")
	}
	d.boot(t)
	before := logins()
	if before == "0" {
		t.Error("this proves nothing: the journal knows of no login at all")
	}
	d.want(t, 0, []string{"the key from user-data is back", "No changes."}, "plan", "-detailed-exitcode", at, "-target=zkboot_host_key_rotation.zk1")
	if after := logins(); after != before {
		t.Errorf("a host with the key of user-data was logged in at: %s logins, then %s", before, after)
	}
	d.want(t, 0, nil, "apply", "-auto-approve", "-replace=zkboot_host_key_rotation.zk1", at)
	if again := d.public(t); again == old || again != d.output(t, "public_key") {
		t.Errorf("the host has %s, the state %s", again, d.output(t, "public_key"))
	}
	d.lets(t, old, false)
	d.want(t, 0, []string{"No changes."}, "plan", "-detailed-exitcode", at)
}

// private expects that no private key is anywhere but in the state of zkboot_host_key, and in
// the plans and backups that are made of it, and that of the host nowhere at all.
func (d *rotationDay) private(t *testing.T) {
	t.Helper()
	texts := map[string]string{"what is on the host of zkboot": d.host.sh(t, "cat /etc/zkboot/manifest.d/* 2>/dev/null || true")}
	for _, pattern := range []string{d.log, filepath.Join(d.workspace.dir, "terraform.tfstate*")} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.Base(file)] = string(b)
		}
	}
	plan, code := d.run(t, "show", "-json", "rotate.plan")
	if code != 0 {
		t.Fatalf("terraform show: %s", plan)
	}
	texts["the plan"] = plan
	ours := strings.Split(strings.TrimSpace(d.host.sh(t, "cat "+hostkey.Key.Name())), "\n")
	for where, text := range texts {
		for _, body := range ours[1 : len(ours)-1] {
			// The first line of any ed25519 key is the header of the format.
			if body != ours[1] && strings.Contains(text, body) {
				t.Errorf("%s has the private key of the host", where)
			}
		}
		for rest := text; strings.Contains(rest, "BEGIN OPENSSH PRIVATE KEY"); {
			_, rest, _ = strings.Cut(rest, "BEGIN OPENSSH PRIVATE KEY")
			if strings.HasSuffix(where, ".log") || where == "what is on the host of zkboot" {
				t.Errorf("%s has a private key", where)
			}
		}
	}
}
