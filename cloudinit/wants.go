package cloudinit

import (
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// wants is what the document brings, of all roles together, each kind in the order of names:
// two roles may want one thing, and want it alike.
type wants struct {
	sources  []bootstrap.AptSource
	packages []bootstrap.Package
	lacking  []any // names for apt: those of packages that the image does not have, and a mkfs
	users    []bootstrap.User
	mounts   []bootstrap.Mount
	files    []bootstrap.File
	kernel   []bootstrap.Kernel
	units    []bootstrap.Unit
}

// ask notes what apt has to bring. A wanted version is asked for in any case: of an image only
// names are known.
func (w *wants) ask(installed []string) {
	has := func(name string) bool { return slices.Contains(installed, name) }
	for _, p := range w.packages {
		switch {
		case p.Version != "":
			w.lacking = append(w.lacking, []text{text(p.Name), text(p.Version)})
		case !has(p.Name):
			w.lacking = append(w.lacking, text(p.Name))
		}
	}
	onXFS := slices.ContainsFunc(w.mounts, func(m bootstrap.Mount) bool { return m.FSType == "xfs" })
	wanted := slices.ContainsFunc(w.packages, func(p bootstrap.Package) bool { return p.Name == "xfsprogs" })
	if onXFS && !wanted && !has("xfsprogs") { // cloud images come without mkfs.xfs
		w.lacking = append(w.lacking, text("xfsprogs"))
	}
}

// gather collects what the roles want and refuses what does not belong into user-data.
func gather(all []bootstrap.Desired, report *bootstrap.Report) wants {
	var w wants
	lasting := lastingKeys(all)
	seen := map[bootstrap.ID]string{}
	for _, d := range all {
		for _, r := range d.Resources {
			id, hash, from := r.ID(), bootstrap.Hash(r), d.From[r.ID()]
			first, twice := seen[id]
			seen[id] = hash
			if why := refusal(r, lasting); why != "" {
				refuse(report, from, id, why, "leave it to apply: Take tells what first boot can bring")
			} else if twice && first != hash {
				refuse(report, from, id, "is wanted differently by two roles", "make the roles agree on it")
			} else if !twice {
				w.add(r)
				check(report, from, r)
			}
		}
	}
	w.sort()
	return w
}

// refuse adds a finding about a resource.
func refuse(report *bootstrap.Report, from bootstrap.Path, id bootstrap.ID, why, hint string) {
	report.Add(bootstrap.Finding{Severity: bootstrap.SeverityError, Path: from,
		Text: string(id) + " cannot be in user-data: it " + why, Hint: hint, Err: bootstrap.ErrRefused})
}

// add sorts a resource into its kind. A Sysctl needs nothing of its own: the file that makes
// it last is loaded at first boot.
func (w *wants) add(r bootstrap.Resource) {
	switch r := r.(type) {
	case bootstrap.AptSource:
		w.sources = append(w.sources, r)
	case bootstrap.Package:
		w.packages = append(w.packages, r)
	case bootstrap.User:
		w.users = append(w.users, r)
	case bootstrap.Mount:
		w.mounts = append(w.mounts, r)
	case bootstrap.File:
		w.files = append(w.files, r)
	case bootstrap.Kernel:
		w.kernel = append(w.kernel, r)
	case bootstrap.Unit:
		w.units = append(w.units, r)
	}
}

func (w *wants) sort() {
	byName(w.sources)
	byName(w.packages)
	byName(w.users)
	byName(w.mounts)
	byName(w.files)
	byName(w.kernel)
	byName(w.units)
}

func byName[R bootstrap.Resource](rs []R) {
	slices.SortFunc(rs, func(a, b R) int { return strings.Compare(a.ID().Name(), b.ID().Name()) })
}
