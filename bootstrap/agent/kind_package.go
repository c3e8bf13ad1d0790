package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// applyPackages brings all packages of the run with one call of apt-get.
func (m *machine) applyPackages(ctx context.Context, w work) error {
	if err := m.removePolicy(); err != nil { // of a run that died
		return w.broke(0, err)
	}
	if err := m.awaitAptLock(ctx, w.note); err != nil {
		return w.broke(0, err)
	}
	if err := m.repairDpkg(ctx, w.note); err != nil {
		return w.broke(0, err)
	}
	names := make([]string, len(w.steps))
	for i, s := range w.steps {
		names[i] = s.Target.Name()
	}
	have, err := m.installed(ctx, names)
	if err != nil {
		return w.broke(0, err)
	}
	if w.deletes {
		err = m.removePackages(ctx, names, have, w.note)
	} else {
		err = m.installPackages(ctx, w.steps, have, w.note)
	}
	if err != nil {
		// Always the first step: those before a broken one count as done, and of a call
		// of apt that failed nothing does.
		if len(names) > 1 {
			err = fmt.Errorf("one call for %s: %w", strings.Join(names, " "), err)
		}
		return w.broke(0, err)
	}
	return nil
}

// installPlan is what one apt-get install has to be told.
type installPlan struct {
	specs       []string // name or name=version
	names       []string // of specs
	fresh       []string // not installed before
	versions    map[string]string
	changeHeld  bool
	downgradeOK bool
	fetch       bool // download only
}

func planInstall(steps []bootstrap.Step, have map[string]dpkgEntry) (p installPlan, hold []string) {
	p.versions = map[string]string{}
	for _, s := range steps {
		want, _ := s.Want.Resource.(bootstrap.Package)
		seen, ok := have[want.Name]
		p.fetch = p.fetch || s.Action == bootstrap.ActionFetch
		stays := ok && (want.Version == "" || want.Version == seen.version)
		// apt takes the hold of a package away when it changes its version.
		if want.Hold && (!seen.hold || !stays) && s.Action != bootstrap.ActionFetch {
			hold = append(hold, want.Name)
		}
		if stays {
			continue
		}
		spec := want.Name
		if want.Version != "" {
			spec += "=" + want.Version
			p.versions[want.Name] = want.Version
		}
		p.specs = append(p.specs, spec)
		p.names = append(p.names, want.Name)
		if !ok {
			p.fresh = append(p.fresh, want.Name)
		}
		p.changeHeld = p.changeHeld || seen.hold
		p.downgradeOK = p.downgradeOK || ok && !s.Action.Traceless()
	}
	return p, hold
}

func (m *machine) installPackages(ctx context.Context, steps []bootstrap.Step, have map[string]dpkgEntry, note func(string)) error {
	for _, s := range steps {
		if p, ok := s.Want.Resource.(bootstrap.Package); ok && !debVersion(p.Version) {
			return fmt.Errorf("package %s: %q is not a Debian version", p.Name, p.Version)
		}
	}
	p, hold := planInstall(steps, have)
	if len(p.specs) > 0 {
		if err := m.install(ctx, p, note); err != nil {
			return err
		}
	}
	if len(hold) == 0 {
		return nil
	}
	_, err := m.finish(ctx, append([]string{"apt-mark", "hold"}, hold...)...)
	return err
}

// debVersion checks the characters of a version by Debian Policy 5.6.12; "" is any.
func debVersion(v string) bool {
	return !strings.HasPrefix(v, "-") && !strings.ContainsFunc(v, func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+-:~", r)
	})
}

// install fetches apt's lists only when they do not know what is wanted, or turn out to
// name files that the mirror no longer has.
func (m *machine) install(ctx context.Context, p installPlan, note func(string)) error {
	known, err := m.policy(ctx, p.names)
	if err != nil {
		return err
	}
	var updateErr error
	updated := false
	update := func(why string) {
		note("apt-get update: " + why)
		// Without Error-Mode=any apt reports a mirror that is down with status 0.
		_, updateErr = m.finish(ctx, "apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any")
		updated = true
	}
	for _, name := range p.names {
		v, pinned := p.versions[name]
		if k := known[name]; k.candidate == "" || pinned && !slices.Contains(k.versions, v) {
			update("the lists do not know " + name + versionSuffix(v))
			break
		}
	}
	if err := m.putPolicy(p.fresh); err != nil {
		return err
	}
	if p.fetch {
		note("downloading " + strings.Join(p.specs, " "))
	} else {
		note("installing " + strings.Join(p.specs, " "))
	}
	_, err = m.finish(ctx, p.argv()...)
	if err != nil && !updated && staleLists(err) {
		update("the mirror no longer has what the lists name")
		_, err = m.finish(ctx, p.argv()...)
	}
	switch {
	case err != nil && updateErr != nil: // a package that is not known then is the mirror's fault
		err = errors.Join(aptFailure(updateErr), err)
	case err != nil:
		err = aptFailure(err)
	}
	return errors.Join(err, m.removePolicy())
}

func versionSuffix(v string) string {
	if v == "" {
		return ""
	}
	return " " + v
}

// aptOptions wait for a lock that was taken since it was last seen free, and keep
// configuration files as they are. https://manpages.debian.org/bookworm/apt/apt-get.8.en.html
func aptOptions() []string {
	return []string{"-y", "-q", "-o", "DPkg::Lock::Timeout=120",
		"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"}
}

// argv never lets apt remove something to make room: on a host that others use too, that
// is for a person to decide.
func (p installPlan) argv() []string {
	argv := append([]string{"apt-get"}, aptOptions()...)
	argv = append(argv, "--no-install-recommends", "--no-remove")
	if p.fetch {
		argv = append(argv, "--download-only")
	}
	if p.changeHeld {
		argv = append(argv, "--allow-change-held-packages")
	}
	if p.downgradeOK {
		argv = append(argv, "--allow-downgrades")
	}
	return append(append(argv, "install"), p.specs...)
}

// removePackages removes what nothing else on the machine needs by now. A package that
// something outside of the list depends on stays, which note is told.
func (m *machine) removePackages(ctx context.Context, names []string, have map[string]dpkgEntry, note func(string)) error {
	var there, held []string
	for _, name := range names {
		if e, ok := have[name]; ok {
			there = append(there, name)
			if e.hold {
				held = append(held, name)
			}
		}
	}
	if len(there) == 0 {
		return nil
	}
	// Unheld before anything is tried: a hold on one of them makes apt call the removal of
	// another impossible.
	if len(held) > 0 {
		if _, err := m.finish(ctx, append([]string{"apt-mark", "unhold"}, held...)...); err != nil {
			return err
		}
	}
	free, err := m.removable(ctx, there, note)
	if err != nil || len(free) == 0 {
		return err
	}
	note("removing " + strings.Join(free, " "))
	_, err = m.finish(ctx, append(append(append([]string{"apt-get"}, aptOptions()...), "remove"), free...)...)
	if err != nil {
		return aptFailure(err)
	}
	return nil
}

func (m *machine) removable(ctx context.Context, names []string, note func(string)) ([]string, error) {
	others, err := m.wouldRemove(ctx, names, names)
	if err != nil || len(others) == 0 {
		return names, err
	}
	var free []string
	for _, name := range names {
		others, err := m.wouldRemove(ctx, []string{name}, names)
		if err != nil {
			return nil, err
		}
		if len(others) > 0 {
			note(fmt.Sprintf("left package %s: needed by %s", name, strings.Join(others, ", ")))
			continue
		}
		free = append(free, name)
	}
	return free, nil
}

// wouldRemove lists the packages beside ours that apt would remove along with names and
// that somebody asked for. What came only as a dependency (junit4 with libzookeeper-java)
// may go with what it came for.
func (m *machine) wouldRemove(ctx context.Context, names, ours []string) ([]string, error) {
	out, err := m.run(ctx, append([]string{"apt-get", "-s", "-q", "--allow-change-held-packages", "remove"}, names...)...)
	if err != nil {
		return nil, err
	}
	var others []string
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "Remv" {
			continue
		}
		if !slices.Contains(ours, f[1]) {
			others = append(others, f[1])
		}
	}
	if len(others) == 0 {
		return nil, nil
	}
	auto, err := m.run(ctx, append([]string{"apt-mark", "showauto"}, others...)...)
	if err != nil {
		return nil, err
	}
	came := strings.Fields(auto)
	return slices.DeleteFunc(others, func(name string) bool { return slices.Contains(came, name) }), nil
}

// repairDpkg finishes what an interrupted dpkg left; apt refuses to work before that. It
// looks where apt looks: https://salsa.debian.org/apt-team/apt/-/blob/main/apt-pkg/deb/debsystem.cc
func (m *machine) repairDpkg(ctx context.Context, note func(string)) error {
	entries, err := os.ReadDir(m.under("/var/lib/dpkg/updates"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			note("dpkg was interrupted earlier; finishing its work")
			_, err := m.finish(ctx, "dpkg", "--force-confdef", "--force-confold", "--configure", "-a")
			return err
		}
	}
	return nil
}

// policyPath is asked by maintainer scripts before they start a service.
// https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
const policyPath = "/usr/sbin/policy-rc.d"

// policyMark tells our script from that of an operator, which is left alone.
const policyMark = "# Written by zkboot while it installs packages; safe to delete."

// putPolicy keeps fresh packages from starting a service of their own name: what runs is
// for a unit of ours to say. The script is without effect once the agent is gone, so a
// crash does not leave a machine that starts nothing.
func (m *machine) putPolicy(fresh []string) error {
	if len(fresh) == 0 {
		return nil
	}
	if _, err := os.Lstat(m.under(policyPath)); err == nil {
		return nil // of an operator; ours was removed before
	}
	script := "#!/bin/sh\n" + policyMark + "\n" +
		fmt.Sprintf("kill -0 %d 2>/dev/null || exit 0\n", os.Getpid()) +
		"case \"${1%.service}\" in\n" + strings.Join(fresh, "|") + ") exit 101;;\nesac\nexit 0\n"
	return m.write(policyPath, []byte(script), rights{mode: 0o755, owner: strconv.Itoa(os.Geteuid()), group: strconv.Itoa(os.Getegid())})
}

func (m *machine) removePolicy() error {
	b, err := os.ReadFile(m.under(policyPath))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !strings.Contains(string(b), policyMark) {
		return err
	}
	return m.deleteFile(policyPath)
}
