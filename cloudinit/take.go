package cloudinit

import (
	"fmt"
	"path"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
)

// Take divides what a role wants on a host into what first boot brings and what is left to
// apply: secrets, which are made on the host, programs, which are streamed to it, and
// whatever runs or belongs to an account, because that needs those, or a formed ensemble.
func Take(d bootstrap.Desired) (bootstrap.Desired, []Left) {
	lasting := lastingKeys([]bootstrap.Desired{d})
	var left []Left
	boot := d
	boot.Resources = nil
	for _, r := range d.Resources {
		if why := refusal(r, lasting); why != "" {
			left = append(left, Left{ID: r.ID(), From: d.From[r.ID()], Why: why})
			continue
		}
		boot.Resources = append(boot.Resources, r)
	}
	return boot, left
}

// refusal says why first boot cannot bring a resource, "" when it can.
func refusal(r bootstrap.Resource, lasting map[string]bool) string {
	switch r := r.(type) {
	case bootstrap.AptSource, bootstrap.Package, bootstrap.User, bootstrap.Mount, bootstrap.Kernel:
		return ""
	case bootstrap.File:
		return fileRefusal(r)
	case bootstrap.Sysctl:
		if !lasting[sysctl.Canonical(r.Setting.Key)] {
			// Target with nothing seen could lower what the image or systemd raised.
			return "is not in a file below " + sysctlDir + ": whether it must be raised shows only on the host"
		}
		return ""
	case bootstrap.Unit:
		return unitRefusal(r)
	case bootstrap.Secret:
		return "is made on the host and does not leave it"
	case bootstrap.HostKey:
		return "is made on the host by apply, in place of one that user-data may have brought"
	case bootstrap.Archive:
		return "is streamed to the host by apply, which checks its sum"
	case bootstrap.Dir:
		return "is made by apply, with what goes into it"
	}
	return "is nothing that can be wanted on a host"
}

// fileRefusal lets through files of the system's configuration. All others belong to a
// program that is not there yet, or to an account that must not have them half made.
func fileRefusal(f bootstrap.File) string {
	switch {
	case len(f.Fill) > 0:
		return "holds something made of " + f.Fill[0].Secret + ", which is made on the host"
	case f.Compare != bootstrap.CompareBytes:
		return "belongs to the program that writes it later"
	case f.Owner != "root" || f.Group != "root":
		return fmt.Sprintf("belongs to %s:%s, with what apply sets up for it", f.Owner, f.Group)
	case !strings.HasPrefix(f.Path, "/etc/"):
		return "lies outside of /etc, with a program that apply brings"
	}
	return ""
}

// unitRefusal lets through units that only do something at boot, such as turning swap off.
func unitRefusal(u bootstrap.Unit) string {
	if u.Running || len(u.RestartOn) > 0 || strings.Contains(u.Content, bootstrap.RevMarker) {
		return "runs what apply sets up and proves"
	}
	return ""
}

const sysctlDir = "/etc/sysctl.d"

// dropIns are the files of d that set kernel parameters.
func dropIns(d bootstrap.Desired) []bootstrap.File {
	var out []bootstrap.File
	for _, r := range d.Resources {
		if f, ok := r.(bootstrap.File); ok && path.Dir(f.Path) == sysctlDir && fileRefusal(f) == "" {
			out = append(out, f)
		}
	}
	return out
}

// lastingKeys are the kernel parameters that files of the roles set.
func lastingKeys(all []bootstrap.Desired) map[string]bool {
	keys := map[string]bool{}
	for _, d := range all {
		for _, f := range dropIns(d) {
			// A line that cannot be read sets nothing; its key then counts as not set.
			lines, _ := sysctl.ParseSysctlD(sysctl.File{Path: f.Path, Data: []byte(f.Content)})
			for _, l := range lines {
				keys[sysctl.Canonical(l.Key)] = true
			}
		}
	}
	return keys
}
