package bootstrap_test

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
	"github.com/zkboot/zkboot/verify"
)

// toyRole is a member service in miniature: a package, a config file and a data directory
// behind a unit that changes one host at a time, the last host being the leader.
type toyRole struct {
	config  string   // content of the config file
	extra   []string // paths of further files that are wanted
	refuse  string   // host whose gate does not open
	unsound string   // why the proof fails, "" when it holds

	mu   sync.Mutex
	done []string // site steps that were carried out, in order
}

func (r *toyRole) Name() string                              { return "toy" }
func (r *toyRole) Validate(*bootstrap.Spec) bootstrap.Report { return bootstrap.Report{} }
func (r *toyRole) unit(s *bootstrap.Spec) string             { return "toy-" + s.Name + ".service" }
func (r *toyRole) file(path string, c string) bootstrap.File {
	return bootstrap.File{Path: path, Content: c, Mode: 0o640, Owner: "root", Group: "toy"}
}

func (r *toyRole) resources(s *bootstrap.Spec) []bootstrap.Resource {
	conf := r.file("/etc/toy/toy.conf", r.config)
	pkg := bootstrap.Package{Name: "toyd", Hold: true}
	out := []bootstrap.Resource{
		pkg, conf,
		bootstrap.User{Name: "toy"},
		r.file("/var/lib/toy/myid", "1\n"),
		bootstrap.Dir{Path: "/etc/toy", Mode: 0o755, Owner: "root", Group: "root", Contents: true},
		bootstrap.Dir{Path: "/var/lib/toy", Mode: 0o750, Owner: "toy", Group: "toy", Data: true},
		bootstrap.Sysctl{Setting: sysctl.Setting{Key: "vm.swappiness", Value: "1"}},
		bootstrap.Kernel{Name: "thp", Value: "madvise"},
		bootstrap.Unit{Name: r.unit(s), Content: "[Service]\nEnvironment=ZKBOOT_REV=" + bootstrap.RevMarker + "\n",
			Enabled: true, Running: true, Turn: true, RestartOn: []bootstrap.ID{pkg.ID(), conf.ID()}},
	}
	for _, p := range r.extra {
		out = append(out, r.file(p, "extra\n"))
	}
	return out
}

func (r *toyRole) Queries(s *bootstrap.Spec, _ string) []bootstrap.ID {
	var ids []bootstrap.ID
	for _, res := range r.resources(s) {
		ids = append(ids, res.ID())
	}
	return append(ids, bootstrap.NewID(bootstrap.KindCandidate, "toyd"))
}

func (r *toyRole) Compile(s *bootstrap.Spec, now bootstrap.Site) (map[string]bootstrap.Desired, bootstrap.Report) {
	out := map[string]bootstrap.Desired{}
	for _, name := range s.MemberNames() {
		out[name] = bootstrap.Desired{Resources: r.resources(s), SyncDir: "/var/lib/toy",
			Needs: verify.HostNeeds{Dirs: []verify.DirNeed{{Path: "/var/lib/toy", Use: verify.UseLog}}}, Cluster: bootstrap.ClusterID(s.Name, s.MemberNames())}
	}
	return out, bootstrap.Report{}
}

func (r *toyRole) Next(s *bootstrap.Spec, now bootstrap.Site, in bootstrap.Intent) (bootstrap.SiteStep, bool, error) {
	switch in.Verb {
	case bootstrap.VerbTurn:
		return bootstrap.SiteStep{Role: "toy", Name: "turn", Hosts: []string{slices.Min(in.Hosts)}}, true, nil
	case bootstrap.VerbRestart, bootstrap.VerbUpgrade, bootstrap.VerbReboot:
		if r.refuse != "" {
			return bootstrap.SiteStep{}, false, fmt.Errorf("%w: %s is needed by the others", bootstrap.ErrRefused, r.refuse)
		}
	case bootstrap.VerbConverge:
		for _, name := range now.Reachable() {
			if u, ok := now.Hosts[name].State.Find(bootstrap.NewID(bootstrap.KindUnit, r.unit(s))).(bootstrap.Unit); ok && u.Running {
				return bootstrap.SiteStep{}, false, nil
			}
		}
		return bootstrap.SiteStep{Role: "toy", Name: "form", Hosts: s.MemberNames(), Title: "form the toy"}, true, nil
	}
	return bootstrap.SiteStep{}, false, nil
}

func (r *toyRole) Gates(host string) (before, after []bootstrap.SiteStep) {
	return []bootstrap.SiteStep{{Role: "toy", Name: "without", Title: "the others are healthy"}},
		[]bootstrap.SiteStep{{Role: "toy", Name: "everyone", Title: "everyone is healthy"}}
}

func (r *toyRole) Do(_ context.Context, _ *bootstrap.Spec, _ bootstrap.Hosts, st bootstrap.SiteStep) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = append(r.done, fmt.Sprint(st.Name, " ", st.Hosts))
	if st.Name == "without" && slices.Contains(st.Hosts, r.refuse) {
		return fmt.Errorf("%w: %s is needed by the others", bootstrap.ErrRefused, r.refuse)
	}
	return nil
}

func (r *toyRole) Prove(context.Context, *bootstrap.Spec, bootstrap.Site, bootstrap.Hosts) []verify.Check {
	if r.unsound != "" {
		return []verify.Check{{ID: "ensemble.canary", Verdict: verify.Fail, Text: "toy", Why: r.unsound}}
	}
	return []verify.Check{{ID: "ensemble.quorum", Verdict: verify.Pass, Text: "toy"}}
}
