package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/zkboot/zkboot/bootstrap"
)

// thingsOptions are what a machine is seen and changed through.
type thingsOptions struct {
	// Root is the directory that stands for "/": "/" itself, or a test's directory.
	Root string
	// Run runs programs; nil means runProgram.
	Run runner
	// Blob streams an archive that lies with the operator. sha512 and url are those of
	// the Archive that wants it. nil refuses archives with a file: URL.
	Blob func(ctx context.Context, sha512, url string) (io.ReadCloser, error)
}

// machine sees and changes single resources on a Debian or Ubuntu system. It knows
// nothing of owners, manifests or locks; its caller does. look may run beside itself
// and beside apply, apply runs alone.
type machine struct {
	root string
	run  runner
	blob func(ctx context.Context, sha512, url string) (io.ReadCloser, error)
}

// newThings builds the machine that o describes.
func newThings(o thingsOptions) *machine {
	m := &machine{root: o.Root, run: o.Run, blob: o.Blob}
	if m.root == "" {
		m.root = "/"
	}
	if m.run == nil {
		m.run = runProgram
	}
	return m
}

// sighting collects what one kind of things looks like. Each is used by one goroutine.
type sighting struct {
	things []bootstrap.Resource
	unread map[bootstrap.ID]string
}

func (s *sighting) add(r bootstrap.Resource) { s.things = append(s.things, r) }

// fail notes that an ID could not be read; a thing that is not there is no failure.
func (s *sighting) fail(id bootstrap.ID, err error) {
	if s.unread == nil {
		s.unread = map[bootstrap.ID]string{}
	}
	s.unread[id] = err.Error()
}

// one adds a thing, notes why it could not be read, or takes it for absent when both
// are nil.
func (s *sighting) one(id bootstrap.ID, r bootstrap.Resource, err error) {
	switch {
	case err != nil:
		s.fail(id, err)
	case r != nil:
		s.add(r)
	}
}

// glance is one call of look: the names asked for of one kind, and what manifests own.
type glance struct {
	names []string
	owned map[bootstrap.ID]bootstrap.Entry
}

// look returns the state of ids without changing anything. Each program that has to be
// asked is asked once, for all names, and all kinds are looked at side by side. What
// cannot be read is in State.Unread; the only error is that ctx ended.
func (m *machine) look(ctx context.Context, ids []bootstrap.ID, owned map[bootstrap.ID]bootstrap.Entry) (bootstrap.State, error) {
	var bad sighting
	byKind := map[bootstrap.Kind][]string{}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if err := checkID(id); err != nil {
			bad.fail(id, err)
			continue
		}
		byKind[id.Kind()] = append(byKind[id.Kind()], id.Name())
	}
	lookers := m.lookers()
	sightings := make([]sighting, len(lookers))
	var wg sync.WaitGroup
	for i, l := range lookers {
		if names := byKind[l.kind]; len(names) > 0 {
			wg.Go(func() { l.look(ctx, glance{names: names, owned: owned}, &sightings[i]) })
		}
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return bootstrap.State{}, err
	}
	var things []bootstrap.Resource
	unread := map[bootstrap.ID]string{}
	for _, s := range append(sightings, bad) {
		things = append(things, s.things...)
		maps.Copy(unread, s.unread)
	}
	state := bootstrap.NewState(things...)
	if len(unread) > 0 {
		state.Unread = unread
	}
	return state, nil
}

type looker struct {
	kind bootstrap.Kind
	look func(ctx context.Context, g glance, s *sighting)
}

func (m *machine) lookers() []looker {
	return []looker{
		{bootstrap.KindAptSource, m.lookAptSources},
		{bootstrap.KindPackage, m.lookPackages},
		{bootstrap.KindUser, m.lookUsers},
		{bootstrap.KindMount, m.lookMounts},
		{bootstrap.KindDir, m.lookDirs},
		{bootstrap.KindSecret, m.lookSecrets},
		{bootstrap.KindHostKey, m.lookHostKeys},
		{bootstrap.KindArchive, m.lookArchives},
		{bootstrap.KindFile, m.lookFiles},
		{bootstrap.KindSysctl, m.lookSysctls},
		{bootstrap.KindKernel, m.lookKernel},
		{bootstrap.KindRestore, m.lookRestores},
		{bootstrap.KindUnit, m.lookUnits},
		{bootstrap.KindZooKeeper, m.lookZooKeepers},
		{bootstrap.KindCandidate, m.lookCandidates},
		{bootstrap.KindBoot, m.lookBoot},
	}
}

// apply carries out steps of one kind and direction and stops at the first that breaks,
// with a *bootstrap.StepError. Every step may be repeated: one that a crash cut short
// is brought to its end, one that is done is left alone. note is told what takes long.
func (m *machine) apply(ctx context.Context, steps []bootstrap.Step, note func(string)) error {
	if len(steps) == 0 {
		return nil
	}
	kind, deletes := steps[0].Target.Kind(), steps[0].Action == bootstrap.ActionDelete
	for i, s := range steps {
		if err := checkStep(s, kind, deletes); err != nil {
			return &bootstrap.StepError{Index: i, Step: s, Err: err}
		}
	}
	if note == nil {
		note = func(string) {}
	}
	w := work{steps: steps, deletes: deletes, note: note}
	switch kind { // kinds whose steps share a program call
	case bootstrap.KindPackage:
		return m.applyPackages(ctx, w)
	case bootstrap.KindUnit:
		return m.applyUnits(ctx, w)
	}
	for i, s := range steps {
		if err := ctx.Err(); err != nil {
			return w.broke(i, err)
		}
		if err := m.applyOne(ctx, s, note); err != nil {
			return w.broke(i, err)
		}
	}
	return nil
}

// work is one call of apply.
type work struct {
	steps   []bootstrap.Step
	deletes bool
	note    func(string)
}

// broke names the step that an error belongs to.
func (w work) broke(i int, err error) error {
	return &bootstrap.StepError{Index: i, Step: w.steps[i], Err: err}
}

func (m *machine) applyOne(ctx context.Context, s bootstrap.Step, note func(string)) error {
	if s.Action == bootstrap.ActionDelete {
		return m.deleteOne(ctx, s, note)
	}
	switch want := s.Want.Resource.(type) {
	case bootstrap.Boot:
		return m.reboot(ctx, note)
	case bootstrap.AptSource:
		return m.putAptSource(ctx, want, note)
	case bootstrap.User:
		return m.putUser(ctx, want)
	case bootstrap.Mount:
		return m.putMount(ctx, want, note)
	case bootstrap.Dir:
		return m.putDir(want)
	case bootstrap.Secret:
		return m.putSecret(want)
	case bootstrap.HostKey:
		return m.putHostKey(ctx, want, note)
	case bootstrap.Archive:
		return m.putArchive(ctx, want, note)
	case bootstrap.File:
		return m.putFile(want)
	case bootstrap.Sysctl:
		return m.putSysctl(want, note)
	case bootstrap.Kernel:
		return m.putKernel(ctx, want, note)
	case bootstrap.Restore:
		return m.putRestore(ctx, want, note)
	}
	return fmt.Errorf("%s things are observed, not made", s.Target.Kind())
}

func (m *machine) deleteOne(ctx context.Context, s bootstrap.Step, note func(string)) error {
	name := s.Target.Name()
	switch s.Target.Kind() {
	case bootstrap.KindAptSource:
		return m.deleteAptSource(name)
	case bootstrap.KindUser:
		return m.deleteUser(ctx, name)
	case bootstrap.KindMount:
		return m.deleteMount(ctx, name)
	case bootstrap.KindDir:
		dir, _ := s.Was.Resource.(bootstrap.Dir)
		return m.deleteDir(name, dir.Contents && !dir.Data || s.Wipe, note)
	case bootstrap.KindArchive:
		return m.deleteArchive(name, note)
	case bootstrap.KindSecret, bootstrap.KindFile:
		return m.deleteFile(name)
	case bootstrap.KindRestore:
		return m.endRestore(name)
	}
	// Kernel settings are put back, which is an update; they cannot be deleted. Nor can a host
	// key, without which the host would let nobody in.
	return fmt.Errorf("%s things cannot be deleted", s.Target.Kind())
}

func checkStep(s bootstrap.Step, kind bootstrap.Kind, deletes bool) error {
	if err := checkID(s.Target); err != nil {
		return err
	}
	switch {
	case s.Target.Kind() != kind || (s.Action == bootstrap.ActionDelete) != deletes:
		return errors.New("steps of several kinds or directions in one run")
	case deletes:
		return nil
	case s.Action.Traceless():
		if kind != actsOn(s.Action) {
			return fmt.Errorf("%s does not fit %s things", s.Action, kind)
		}
	case s.Action != bootstrap.ActionCreate && s.Action != bootstrap.ActionUpdate:
		return fmt.Errorf("action %q changes nothing on the machine", s.Action)
	}
	switch {
	case s.Want.Resource == nil || s.Want.ID() != s.Target:
		return errors.New("the step wants another thing than its target")
	}
	return nil
}

// actsOn is the kind of things that a traceless action is about.
func actsOn(a bootstrap.Action) bootstrap.Kind {
	switch a {
	case bootstrap.ActionFetch, bootstrap.ActionUpgrade:
		return bootstrap.KindPackage
	case bootstrap.ActionReboot:
		return bootstrap.KindBoot
	}
	return bootstrap.KindUnit
}

// debName is a package name by Debian Policy 5.6.1, with an optional architecture.
// https://www.debian.org/doc/debian-policy/ch-controlfields.html#source
var debName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?$`)

// plainName is what is accepted as the name of a user, apt source or kernel switch: it
// cannot be taken for an option, a path or more than one word.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// unitName is a systemd unit name with its type.
// https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html
var unitName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9:_.\\@-]*\.(service|socket|timer|path|mount|target|slice|swap)$`)

// checkID refuses names that a program could take for something else. Nothing below
// this line quotes names, because nothing needs to.
func checkID(id bootstrap.ID) error {
	name := id.Name()
	ok := false
	want := "a plain name"
	switch id.Kind() {
	case bootstrap.KindPackage, bootstrap.KindCandidate:
		ok, want = debName.MatchString(name), "the name of a Debian package"
	case bootstrap.KindUnit:
		ok, want = unitName.MatchString(name), "the name of a systemd unit with its type"
	case bootstrap.KindUser, bootstrap.KindAptSource, bootstrap.KindKernel:
		ok = plainName.MatchString(name)
	case bootstrap.KindSysctl:
		ok = name != "" && !strings.Contains(name, "..") && !strings.ContainsAny(name, " \n\x00")
	case bootstrap.KindMount, bootstrap.KindDir, bootstrap.KindSecret, bootstrap.KindArchive,
		bootstrap.KindFile, bootstrap.KindZooKeeper, bootstrap.KindRestore:
		ok = path.IsAbs(name) && path.Clean(name) == name && name != "/" && !strings.ContainsAny(name, "\n\x00")
		want = "a clean absolute path below /"
	case bootstrap.KindBoot:
		ok, want = name == "machine", `"machine"`
	case bootstrap.KindHostKey: // ssh-keygen is given its path, so root alone may write to the folder
		ok, want = path.Dir(name) == "/etc/ssh" && plainName.MatchString(path.Base(name)), "a file of /etc/ssh"
	default:
		return fmt.Errorf("unknown kind %q; the agent may be older than its operator", id.Kind())
	}
	if !ok {
		return fmt.Errorf("%q is not %s", name, want)
	}
	return nil
}
