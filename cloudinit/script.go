package cloudinit

import (
	"path"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/zkboot/zkboot/bootstrap"
)

// mountFunction does what apply does. cloud-init's own fs_setup formats a device whose file
// system is of another type or label than wanted, data and all, also without overwrite: see
// mkfs in https://github.com/canonical/cloud-init/blob/22.4.2/cloudinit/config/cc_disk_setup.py
const mountFunction = `# DEVICE DIR TYPE UNIT: a device is formatted only when it carries no signature at all.
mount_disk() {
  if ! mountpoint -q "$2"; then
    test -z "$(ls -A "$2" 2>/dev/null)" || { echo "zkboot: $2 is not empty; mounting $1 would hide what is in it" >&2; return 1; }
    has=$(wipefs --no-act --noheadings --output=TYPE -- "$1")
    case $has in
      "$3") ;;
      "") mkfs."$3" -q "$1" ;;
      *) echo "zkboot: $1 carries $has and is not formatted" >&2; return 1 ;;
    esac
  fi
  systemctl enable --now -- "$4"
}
systemctl daemon-reload
`

// thpPath is documented at https://docs.kernel.org/admin-guide/mm/transhuge.html
const thpPath = "/sys/kernel/mm/transparent_hugepage/enabled"

// script is what runcmd carries out, after packages are installed. It ends at the first
// command that fails, which `cloud-init status` then shows; apply does what is missing.
func (w wants) script() string {
	if len(w.packages)+len(w.users)+len(w.mounts)+len(w.files)+len(w.kernel)+len(w.units) == 0 {
		return ""
	}
	lines := []string{"set -eu\n"}
	run := func(words ...string) { lines = append(lines, command(words...)) }
	if w.installs() {
		run("rm", "-f", aptConf)
	}
	if len(w.mounts) > 0 {
		lines = append(lines, mountFunction)
	}
	for _, m := range w.mounts {
		run("mount_disk", m.Device, m.Path, m.FSType, mountUnit(m.Path))
	}
	for _, f := range w.files {
		if path.Dir(f.Path) == sysctlDir {
			run("sysctl", "-q", "-e", "-p", f.Path) // -e: a kernel without a key is none of our business
		}
	}
	lines = append(lines, w.kernelCommands()...)
	for _, u := range w.units {
		if u.Enabled {
			run("systemctl", "enable", "--", u.Name)
		}
	}
	return strings.Join(append(lines, w.packageCommands()...), "")
}

func (w wants) kernelCommands() []string {
	var out []string
	for _, k := range w.kernel {
		switch k.Name {
		case "thp":
			out = append(out, "if test -e "+thpPath+"; then echo "+quote(k.Value)+" > "+thpPath+"; fi\n")
		case "swap":
			out = append(out, command("swapoff", "--all"))
		}
	}
	return out
}

// packageCommands are what needs the packages: one that apt did not bring ends the script
// here, before it is held back at nothing.
func (w wants) packageCommands() []string {
	var names, hold []string
	for _, p := range w.packages {
		names = append(names, p.Name)
		if p.Hold {
			hold = append(hold, p.Name)
		}
	}
	var out []string
	if len(names) > 0 {
		out = append(out, strings.TrimSuffix(command(append([]string{"dpkg-query", "-s"}, names...)...), "\n")+" > /dev/null\n")
	}
	if len(hold) > 0 {
		out = append(out, command(append([]string{"apt-mark", "hold"}, hold...)...))
	}
	for _, u := range w.users {
		if len(u.Groups) > 0 { // of a package: made before it, they would be in its way
			out = append(out, command("usermod", "--append", "--groups", strings.Join(u.Groups, ","), u.Name))
		}
	}
	return out
}

// command is one line of shell.
func command(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ") + "\n"
}

// quote leaves alone what no shell takes for anything but a word.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./,:=+@%", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// mountUnit is the name that systemd demands for a mount; see systemd.mount(5).
func mountUnit(dir string) string { return unit.UnitNamePathEscape(dir) + ".mount" }

// sourceFiles are the two files that apply writes for a source. cloud-init's own form of a
// source, apt: sources:, makes others.
func sourceFiles(s bootstrap.AptSource) []file {
	return []file{newFile(s.KeyPath(), 0o644, s.Key), newFile("/etc/apt/sources.list.d/"+s.Name+".sources", 0o644, s.Deb822())}
}
