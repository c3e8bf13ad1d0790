package sidecar

import (
	"path"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
)

// desired is what the sidecar needs on its host. Nothing in it waits for a turn: HAProxy
// and zkwatch on one host know nothing of those on another.
func (n node) desired(archive bootstrap.Archive, have bootstrap.State) (bootstrap.Desired, error) {
	d := bootstrap.Desired{From: map[bootstrap.ID]bootstrap.Path{}}
	add := func(from bootstrap.Path, rs ...bootstrap.Resource) {
		for _, r := range rs {
			d.Resources = append(d.Resources, r)
			d.From[r.ID()] = from
		}
	}
	text, err := n.configText(have)
	if err != nil {
		return d, err
	}
	conf := bootstrap.File{Path: confFile, Content: text, Mode: 0o640, Owner: "root", Group: account}
	watch := bootstrap.Unit{Name: watchUnit, Content: n.watchContent(), Enabled: true, Running: true,
		RestartOn: []bootstrap.ID{archive.ID(), conf.ID()}}
	add(n.at(), n.user(), archive, conf, wrapper(), watch)
	add(n.at(), n.dirs(have)...)
	limits, kernel, err := n.kernel(have)
	if err != nil {
		return d, err
	}
	add("tuning", kernel...)
	if n.proxied() {
		add(n.at().Field("routes"), n.proxy(limits)...)
	}
	return d, nil
}

// user may read a haproxy.cfg that is kept from all but its group: zkwatch checks its own
// file together with the operator's.
func (n node) user() bootstrap.User {
	u := bootstrap.User{Name: account, Home: stateDir, Shell: "/usr/sbin/nologin"}
	if n.proxied() {
		u.Groups = []string{proxyPackage} // the package makes a group of its name
	}
	return u
}

// proxy is HAProxy. Its first file only has to be there: afterwards zkwatch writes it.
func (n node) proxy(limits []sysctl.Limit) []bootstrap.Resource {
	pkg := bootstrap.Package{Name: proxyPackage}
	return []bootstrap.Resource{
		pkg,
		bootstrap.Dir{Path: proxyDir, Mode: 0o750, Owner: account, Group: account, Contents: true},
		bootstrap.File{Path: proxyFile, Content: firstProxyText(), Mode: 0o640, Owner: account, Group: account, Compare: bootstrap.ComparePresence},
		bootstrap.Unit{Name: proxyUnit, Content: n.proxyContent(limits), Enabled: true, Running: true, RestartOn: []bootstrap.ID{pkg.ID()}},
	}
}

// dirs are the directories of zkwatch. Parents, and a spool that the operator names, stay as
// they are where somebody else made them.
func (n node) dirs(have bootstrap.State) []bootstrap.Resource {
	out := []bootstrap.Resource{
		bootstrap.Dir{Path: confDir, Mode: 0o750, Owner: "root", Group: account},
		bootstrap.Dir{Path: stateDir, Mode: 0o750, Owner: account, Group: account, Contents: true},
	}
	spool := bootstrap.Dir{Path: n.spool(), Mode: 0o750, Owner: account, Group: account}
	if spool.Path == spoolDir {
		spool.Contents = true
	}
	manifest := have.Manifests[string(bootstrap.OwnerOf(n.spec.Name, roleName))]
	for _, r := range []bootstrap.Dir{{Path: path.Dir(home), Mode: 0o755, Owner: "root", Group: "root"}, spool} {
		if _, ours := manifest.Find(r.ID()); ours || r.Contents || have.Find(r.ID()) == nil {
			out = append(out, r)
		}
	}
	return out
}

// wrapper puts zkwatch on the PATH of whoever logs in.
func wrapper() bootstrap.File {
	return bootstrap.File{Path: command, Mode: 0o755, Owner: "root", Group: "root",
		Content: "#!/bin/sh\n# Written by zkboot.\nexec " + program + " \"$@\"\n"}
}
