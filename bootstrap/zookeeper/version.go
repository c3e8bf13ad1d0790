package zookeeper

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// library is Debian's package of the server.
const library = "libzookeeper-java"

// Version is a release of ZooKeeper.
type Version struct{ Major, Minor, Patch int }

// oldest is the first release with everything that zkboot rests on: dynamic
// configuration, digests, the AdminServer's zabstate and voting_view.
func oldest() Version { return Version{3, 8, 0} }

// String is the usual form, such as "3.8.6".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Less reports whether v is older than w.
func (v Version) Less(w Version) bool {
	if v.Major != w.Major {
		return v.Major < w.Major
	}
	if v.Minor != w.Minor {
		return v.Minor < w.Minor
	}
	return v.Patch < w.Patch
}

// ParseVersion reads three numbers, with or without what follows them: "3.8.6",
// "3.9.0-beta", "3.8.0-${mvngit.commit.id}" as Debian's server calls itself.
func ParseVersion(text string) (Version, error) {
	head := text
	if i := strings.IndexAny(text, "-+~, "); i >= 0 {
		head = text[:i]
	}
	var n [3]int
	parts := strings.Split(head, ".")
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 16)
		if err != nil || len(parts) != 3 {
			return Version{}, fmt.Errorf("%q is no ZooKeeper version such as 3.8.6", text)
		}
		n[i] = int(v)
	}
	return Version{n[0], n[1], n[2]}, nil
}

// ParseDebianVersion reads the upstream part of a Debian version: "3.8.0-11+deb12u2",
// "1:3.9.3-1". https://www.debian.org/doc/debian-policy/ch-controlfields.html#version
func ParseDebianVersion(text string) (Version, error) {
	_, upstream, epoch := strings.Cut(text, ":")
	if !epoch {
		upstream = text
	}
	if i := strings.LastIndexByte(upstream, '-'); i >= 0 {
		upstream = upstream[:i]
	}
	v, err := ParseVersion(upstream)
	if err != nil {
		return Version{}, fmt.Errorf("%q is no Debian version of ZooKeeper such as 3.8.0-11+deb12u2", text)
	}
	return v, nil
}

// archiveRE is the name of a release archive; https://downloads.apache.org/zookeeper/
var archiveRE = regexp.MustCompile(`zookeeper-([0-9]+\.[0-9]+\.[0-9]+)`)

// tarballVersion is stated, or read from the name of the archive.
func tarballVersion(t *bootstrap.Tarball) (Version, error) {
	if t.Version != "" {
		return ParseVersion(t.Version)
	}
	m := archiveRE.FindStringSubmatch(path.Base(t.URL))
	if m == nil {
		return Version{}, fmt.Errorf("%s does not tell its version; state it in source.tarball.version", path.Base(t.URL))
	}
	return ParseVersion(m[1])
}

// stated reports whether the spec alone says which version it is.
func stated(src bootstrap.Source) bool {
	return src.Tarball != nil || src.Apt != nil && src.Apt.Version != ""
}

// versionOn is the version that a host runs or is about to run. What is certain comes
// first: the spec, the installed package, apt's candidate, the distribution.
func versionOn(s *bootstrap.Spec, seen bootstrap.Seen) (Version, error) {
	src := s.Ensemble.Source
	if src.Tarball != nil {
		return tarballVersion(src.Tarball)
	}
	if src.Apt != nil && src.Apt.Version != "" {
		return ParseDebianVersion(src.Apt.Version)
	}
	if p, ok := seen.State.Find(bootstrap.NewID(bootstrap.KindPackage, library)).(bootstrap.Package); ok && p.Version != "" {
		return ParseDebianVersion(p.Version)
	}
	if c, ok := seen.State.Find(bootstrap.NewID(bootstrap.KindCandidate, library)).(bootstrap.Candidate); ok && c.Version != "" {
		return ParseDebianVersion(c.Version)
	}
	if p, ok := platformOf(seen.Facts.OS.Codename); ok && p.zookeeper != (Version{}) {
		return p.zookeeper, nil
	}
	return Version{}, fmt.Errorf("apt offers no %s on %s and its version is not known; "+
		"state it in source.apt.version, or use source.tarball", library, osName(seen.Facts))
}

func osName(f bootstrap.Facts) string {
	if f.OS.Pretty != "" {
		return f.OS.Pretty
	}
	return strings.TrimSpace(f.OS.ID + " " + f.OS.VersionID)
}

// platform is a distribution release that zkboot knows.
type platform struct {
	codename  string
	jre       int     // major of its default headless JRE, a version that ZooKeeper supports
	zookeeper Version // of its libzookeeper-java; zero where apt has to be asked
}

// platforms are the releases that are tried or meant to work. Versions are those of
// https://packages.debian.org/libzookeeper-java
func platforms() []platform {
	return []platform{
		{codename: "bookworm", jre: 17, zookeeper: Version{3, 8, 0}},
		{codename: "trixie", jre: 21, zookeeper: Version{3, 9, 3}},
		{codename: "jammy", jre: 17},
		{codename: "noble", jre: 21},
	}
}

func platformOf(codename string) (platform, bool) {
	for _, p := range platforms() {
		if p.codename == codename {
			return p, true
		}
	}
	return platform{}, false
}

func (p platform) jrePackage() string { return fmt.Sprintf("openjdk-%d-jre-headless", p.jre) }

// java is named in full: what /usr/bin/java means changes with every JDK that somebody
// else installs.
func (p platform) java(arch string) string {
	return fmt.Sprintf("/usr/lib/jvm/java-%d-openjdk-%s/bin/java", p.jre, arch)
}
