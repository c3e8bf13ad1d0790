package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// dpkgFormat is one line a package. The db: fields exist since dpkg 1.18.11 and save the
// call of apt-mark showhold: a hold of apt is dpkg's wanted state.
// https://man7.org/linux/man-pages/man1/dpkg-query.1.html
const dpkgFormat = `-f=${Package}\t${Architecture}\t${db:Status-Want}\t${db:Status-Status}\t${Version}\n`

// dpkgEntry is one package that dpkg has heard of.
type dpkgEntry struct {
	name, arch string
	hold       bool
	installed  bool // as a whole: unpacked but not configured is not installed
	version    string
}

// parseDpkg reads lines of dpkgFormat.
func parseDpkg(src string) ([]dpkgEntry, error) {
	var entries []dpkgEntry
	for line := range strings.Lines(src) {
		line = strings.TrimRight(line, "\n")
		f := strings.Split(line, "\t")
		if len(f) != 5 {
			return nil, fmt.Errorf("dpkg-query: want 5 fields, found %d in %q", len(f), line)
		}
		entries = append(entries, dpkgEntry{name: f[0], arch: f[1], hold: f[2] == "hold",
			installed: f[3] == "installed", version: f[4]})
	}
	return entries, nil
}

func (m *machine) lookPackages(ctx context.Context, g glance, s *sighting) {
	installed, err := m.installed(ctx, g.names)
	for _, name := range g.names {
		if err != nil {
			s.fail(bootstrap.NewID(bootstrap.KindPackage, name), err)
			continue
		}
		if e, ok := installed[name]; ok {
			s.add(bootstrap.Package{Name: name, Version: e.version, Hold: e.hold})
		}
	}
}

// installed returns which of the packages are installed, by the name asked for. Where
// several architectures are, the first that dpkg lists counts, which is its own.
func (m *machine) installed(ctx context.Context, names []string) (map[string]dpkgEntry, error) {
	out, err := m.run(ctx, append([]string{"dpkg-query", "-W", dpkgFormat, "--"}, names...)...)
	if err != nil && !ended(err, 1) { // 1: at least one is not known, the others are listed
		return nil, err
	}
	entries, err := parseDpkg(out)
	if err != nil {
		return nil, err
	}
	found := map[string]dpkgEntry{}
	for _, e := range entries {
		for _, name := range []string{e.name, e.name + ":" + e.arch} {
			if _, dup := found[name]; !dup && e.installed && slices.Contains(names, name) {
				found[name] = e
			}
		}
	}
	return found, nil
}

func (m *machine) lookCandidates(ctx context.Context, g glance, s *sighting) {
	known, err := m.policy(ctx, g.names)
	for _, name := range g.names {
		if err != nil {
			s.fail(bootstrap.NewID(bootstrap.KindCandidate, name), err)
			continue
		}
		if p, ok := known[name]; ok && p.candidate != "" {
			s.add(bootstrap.Candidate{Name: name, Version: p.candidate})
		}
	}
}

// aptPolicy is what apt knows of a package.
type aptPolicy struct {
	candidate string   // "" when there is none
	versions  []string // all that apt's lists or dpkg know
}

// policy asks apt for all packages at once; those that it has never heard of are missing
// from the answer.
func (m *machine) policy(ctx context.Context, names []string) (map[string]aptPolicy, error) {
	out, err := m.run(ctx, append([]string{"apt-cache", "policy", "--"}, names...)...)
	if err != nil {
		return nil, err
	}
	return parsePolicy(out), nil
}

// parsePolicy reads the answer of apt-cache policy:
//
//	zookeeper:
//	  Installed: (none)
//	  Candidate: 3.8.0-11+deb12u2
//	  Version table:
//	     3.8.0-11+deb12u2 500
//	        500 http://deb.debian.org/debian bookworm/main amd64 Packages
//	 *** 2.6.1 500
//
// Versions stand at column 5, the sources of each further right.
func parsePolicy(src string) map[string]aptPolicy {
	known := map[string]aptPolicy{}
	name := ""
	for line := range strings.Lines(src) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != ' ' {
			name = strings.TrimSuffix(line, ":")
			known[name] = aptPolicy{}
			continue
		}
		p, ok := known[name]
		if !ok {
			continue
		}
		if v, ok := strings.CutPrefix(line, "  Candidate: "); ok && v != "(none)" {
			p.candidate = v
		}
		if len(line) > 5 && (line[:5] == "     " || line[:5] == " *** ") && line[5] != ' ' {
			v, _, _ := strings.Cut(line[5:], " ")
			p.versions = append(p.versions, v)
		}
		known[name] = p
	}
	return known
}
