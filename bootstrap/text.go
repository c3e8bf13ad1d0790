package bootstrap

import (
	"cmp"
	"strings"
)

// UnitText is the mount unit of m: unlike a line of fstab it is a file of our own, to be
// written and removed as a whole. The agent writes it, and so does user-data, so that the
// first apply finds it right.
func (m Mount) UnitText() string {
	options := cmp.Or(strings.Join(m.Options, ","), "defaults")
	return "# Written by zkboot; the next apply overwrites changes made here.\n" +
		"[Unit]\nDescription=" + m.Path + " (zkboot)\n\n" +
		"[Mount]\nWhat=" + m.Device + "\nWhere=" + m.Path + "\nType=" + m.FSType + "\nOptions=" + options + "\n\n" +
		"[Install]\nWantedBy=local-fs.target\n"
}

// KeyPath is where the key of the source lies.
func (s AptSource) KeyPath() string { return "/etc/apt/keyrings/" + s.Name + ".asc" }

// Deb822 is the source in the deb822 form of sources.list(5), signed by the key at KeyPath.
// https://manpages.debian.org/bookworm/apt/sources.list.5.en.html
func (s AptSource) Deb822() string {
	var b strings.Builder
	b.WriteString("Types: deb\nURIs: " + strings.Join(s.URIs, " ") + "\nSuites: " + strings.Join(s.Suites, " ") + "\n")
	if len(s.Components) > 0 {
		b.WriteString("Components: " + strings.Join(s.Components, " ") + "\n")
	}
	b.WriteString("Signed-By: " + s.KeyPath() + "\n")
	return b.String()
}
