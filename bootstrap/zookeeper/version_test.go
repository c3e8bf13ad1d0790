package zookeeper

import (
	"errors"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

func TestParseVersions(t *testing.T) {
	for _, tt := range []struct {
		parse func(string) (Version, error)
		text  string
		want  string // "" for an error
	}{
		{ParseVersion, "3.8.6", "3.8.6"},
		{ParseVersion, "3.8.0-${mvngit.commit.id}, built on 2024-12-29", "3.8.0"},
		{ParseVersion, "3.9", ""},
		{ParseVersion, "3.9.x", ""},
		{ParseVersion, "", ""},
		{ParseDebianVersion, "3.8.0-11+deb12u2", "3.8.0"},
		{ParseDebianVersion, "1:3.9.3-1", "3.9.3"},
		{ParseDebianVersion, "3.4.13-6ubuntu4.1", "3.4.13"},
		{ParseDebianVersion, "3.9.4+ds-1", "3.9.4"},
		{ParseDebianVersion, "3.9.4~rc1-1", "3.9.4"},
		{ParseDebianVersion, "latest", ""},
	} {
		got, err := tt.parse(tt.text)
		if tt.want == "" {
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%q: %v, %v; want an error that quotes it", tt.text, got, err)
			}
			continue
		}
		if err != nil || got.String() != tt.want {
			t.Errorf("%q: %v, %v; want %s", tt.text, got, err, tt.want)
		}
	}
}

func TestVersionComesFromWhatIsCertain(t *testing.T) {
	pkg := bootstrap.Package{Name: library, Version: "3.8.0-11+deb12u2"}
	candidate := bootstrap.Candidate{Name: library, Version: "3.9.4-1"}
	seen := func(codename string, things ...bootstrap.Resource) bootstrap.Seen {
		return bootstrap.Seen{Facts: bootstrap.Facts{OS: verify.OS{Codename: codename, Pretty: "some Linux"}}, State: bootstrap.NewState(things...)}
	}
	apt := func(version string) bootstrap.Source {
		return bootstrap.Source{Apt: &bootstrap.AptPackages{Version: version}}
	}
	tar := func(url, version string) bootstrap.Source {
		return bootstrap.Source{Tarball: &bootstrap.Tarball{URL: url, Version: version}}
	}
	for _, tt := range []struct {
		name string
		src  bootstrap.Source
		seen bootstrap.Seen
		want string
	}{
		{"stated in the spec", apt("3.9.5-1"), seen("bookworm", pkg, candidate), "3.9.5"},
		{"installed", apt(""), seen("bookworm", pkg, candidate), "3.8.0"},
		{"offered", apt(""), seen("bookworm", candidate), "3.9.4"},
		{"of the distribution", apt(""), seen("trixie"), "3.9.3"},
		{"named by the archive", tar("https://x/apache-zookeeper-3.9.5-bin.tar.gz", ""), seen("bookworm", pkg), "3.9.5"},
		{"stated for the archive", tar("file:///tmp/zk.tar", "3.8.6"), seen("bookworm"), "3.8.6"},
		{"not to be known", apt(""), seen("jammy"), "state it in source.apt.version"},
		{"not told by the archive", tar("file:///tmp/zk.tar", ""), seen("bookworm"), "state it in source.tarball.version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := testSpec(1)
			s.Ensemble.Source = tt.src
			got, err := versionOn(s, tt.seen)
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %q, want it to say %q", err, tt.want)
				}
				return
			}
			if got.String() != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestKnownIssues(t *testing.T) {
	const refuse, warn = bootstrap.SeverityError, bootstrap.SeverityWarning
	for _, tt := range []struct {
		version Version
		want    map[string]bootstrap.Severity
	}{
		{Version{3, 8, 0}, map[string]bootstrap.Severity{"ZOOKEEPER-4785": refuse, "ZOOKEEPER-4882": warn}},
		{Version{3, 8, 4}, map[string]bootstrap.Severity{"ZOOKEEPER-4785": refuse, "ZOOKEEPER-4882": warn}},
		{Version{3, 8, 5}, map[string]bootstrap.Severity{"ZOOKEEPER-4882": warn}},
		{Version{3, 9, 0}, map[string]bootstrap.Severity{"ZOOKEEPER-4785": refuse, "ZOOKEEPER-4882": warn}},
		{Version{3, 9, 1}, map[string]bootstrap.Severity{"ZOOKEEPER-4785": refuse, "ZOOKEEPER-4882": warn}},
		{Version{3, 9, 2}, map[string]bootstrap.Severity{"ZOOKEEPER-4882": warn}},
		{Version{3, 9, 3}, map[string]bootstrap.Severity{"ZOOKEEPER-4925": refuse, "ZOOKEEPER-4882": warn}},
		{Version{3, 9, 4}, map[string]bootstrap.Severity{"ZOOKEEPER-4882": warn}},
		{Version{3, 9, 5}, map[string]bootstrap.Severity{"ZOOKEEPER-4882": warn}},
	} {
		s := testSpec(1)
		s.Ensemble.AcceptKnownIssues = nil
		r := issues(s, tt.version, []string{"zk1"})
		if len(r.Findings) != len(tt.want) {
			t.Errorf("%s: %v, want %v", tt.version, r.Findings, tt.want)
		}
		for id, severity := range tt.want {
			f := finding(t, r, "ensemble.source.apt", id)
			if f.Severity != severity || errors.Is(f.Err, bootstrap.ErrRefused) != (severity == refuse) {
				t.Errorf("%s: %s is a %s (%v), want %s", tt.version, id, f.Severity, f.Err, severity)
			}
			s.Ensemble.AcceptKnownIssues = append(s.Ensemble.AcceptKnownIssues, id)
		}
		if r := issues(s, tt.version, nil); len(r.Findings) != 0 {
			t.Errorf("%s: accepted by name and still found: %v", tt.version, r.Findings)
		}
	}
}

func TestOldVersionsCannotBeAccepted(t *testing.T) {
	s := testSpec(1)
	f := finding(t, issues(s, Version{3, 4, 13}, []string{"zk1"}), "ensemble.source.apt", "3.4.13 (zk1) is too old: zkboot needs 3.8.0")
	if !errors.Is(f, bootstrap.ErrRefused) {
		t.Errorf("%v does not wrap ErrRefused", f)
	}
}

func TestAcceptedIssueMustExist(t *testing.T) {
	s := testSpec(1)
	s.Ensemble.AcceptKnownIssues = []string{"ZOOKEEPER-4785", "ZOOKEEPER-4786"}
	finding(t, New().Validate(s), "ensemble.accept_known_issues[1]", `unknown issue "ZOOKEEPER-4786"`)
}

func TestStatedVersionIsJudgedWithoutAHost(t *testing.T) {
	s := tarballSpec(1)
	s.Ensemble.Source.Tarball.Version = "3.9.3"
	finding(t, New().Validate(s), "ensemble.source.tarball", "ZooKeeper 3.9.3 has ZOOKEEPER-4925")
	s.Ensemble.Source.Tarball.Version = "three"
	finding(t, New().Validate(s), "ensemble.source.tarball.version", `"three" is no ZooKeeper version`)
	s.Ensemble.Source.Tarball.Version = "3.8.6"
	s.Ensemble.Config = map[string]string{"serializeLastProcessedZxid.enabled": "true"}
	finding(t, New().Validate(s), bootstrap.Path("ensemble.config").Key("serializeLastProcessedZxid.enabled"), "came with ZooKeeper 3.9.0; this is 3.8.6")
}

func FuzzParseVersions(f *testing.F) {
	for _, s := range []string{"3.8.6", "1:3.9.3-1", "3.8.0-11+deb12u2", "3.8.0-${mvngit.commit.id}, built on 2024-12-29"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) (Version, error){ParseVersion, ParseDebianVersion} {
			v, err := parse(text)
			if err != nil {
				continue
			}
			if again, err := parse(v.String()); err != nil || again != v {
				t.Errorf("%q is %s, which is read back as %s, %v", text, v, again, err)
			}
		}
	})
}
