package agent

import (
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// deed turns a step into what is to be done to the thing itself; false means nothing,
// so that only the manifest changes. A delete takes away what did not exist before us.
// What did exist stays: it is put back where the manifest remembers all of it, and
// left as it is otherwise.
func deed(s bootstrap.Step, e bootstrap.Entry) (bootstrap.Step, bool) {
	switch {
	case s.Action == bootstrap.ActionAdopt || s.Action == bootstrap.ActionRelease:
		return s, false
	case s.Action != bootstrap.ActionDelete:
		return s, true
	case s.Was.Resource == nil: // gone already
		return s, false
	}
	// Data that an earlier destroy kept was there before, and is to go when that is said.
	if e.Before.Resource != nil && !made(e.Before.Resource) && !s.Wipe {
		s.Action, s.Want = bootstrap.ActionUpdate, bootstrap.Thing{Resource: restorable(e.Before.Resource)}
		if s.Want.Resource == nil || moved(s, s.Want.Resource) == "" {
			return s, false
		}
		return s, true
	}
	switch was := s.Was.Resource.(type) {
	case bootstrap.Sysctl, bootstrap.Kernel: // the kernel's: never made by us
		return s, false
	case bootstrap.HostKey: // the host's from now on
		return s, false
	case bootstrap.Dir:
		was.Contents, was.Data = e.Contents, e.Data
		s.Was = bootstrap.Thing{Resource: was}
	}
	return s, true
}

// made reports whether a thing from before is ours all the same, from a time whose
// manifest was lost: only our units carry a revision.
func made(before bootstrap.Resource) bool {
	u, ok := before.(bootstrap.Unit)
	return ok && strings.Contains(u.Content, "ZKBOOT_REV=")
}

// restorable returns the wanted form of a thing as it was before us, or nil when that
// is not known in full. Packages, users and directories are left to whoever uses them
// by now; of archives, secrets, host keys and mounts the manifest remembers too little.
func restorable(before bootstrap.Resource) bootstrap.Resource {
	switch b := before.(type) {
	case bootstrap.Sysctl:
		if b.HostOwned {
			return nil
		}
		b.OverriddenBy = ""
		return b
	case bootstrap.Kernel:
		if b.HostOwned {
			return nil
		}
		return b
	case bootstrap.File:
		// Larger files are seen without content, and secrets are taken out of what is
		// seen; such a content must not be written.
		if b.Sum != b.ContentSum() || len(b.Fill) > 0 {
			return nil
		}
		return b
	case bootstrap.AptSource, bootstrap.Unit:
		return before
	}
	return nil
}
