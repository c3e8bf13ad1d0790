package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
)

const owner bootstrap.Owner = "main.zookeeper"

func pkg(name string) bootstrap.Package { return bootstrap.Package{Name: name, Version: "1"} }

func swappiness(value string) bootstrap.Sysctl {
	return bootstrap.Sysctl{Setting: sysctl.Setting{Key: "vm.swappiness", Value: value, Why: "because"}}
}

func file(path, content string) bootstrap.File {
	return bootstrap.File{Path: path, Content: content, Mode: 0o644, Owner: "root", Group: "root"}
}

func dir(path string) bootstrap.Dir {
	return bootstrap.Dir{Path: path, Mode: 0o755, Owner: "zookeeper", Group: "zookeeper"}
}

// step builds a step as Diff would.
func step(a bootstrap.Action, was, want bootstrap.Resource) bootstrap.Step {
	s := bootstrap.Step{Action: a, Owner: owner, Cluster: "c", Was: bootstrap.Thing{Resource: was}, Want: bootstrap.Thing{Resource: want}}
	if was != nil {
		s.Was.Resource = seen(was)
		s.Target = was.ID()
	}
	if want != nil {
		s.Target = want.ID()
	}
	return s
}

func changed(t *testing.T, h *Host, steps ...bootstrap.Step) {
	t.Helper()
	if err := h.Change(t.Context(), steps...); err != nil {
		t.Fatal(err)
	}
}

// stepError asserts which step broke, and returns why.
func stepError(t *testing.T, err error, index int) error {
	t.Helper()
	var broke *bootstrap.StepError
	if !errors.As(err, &broke) || broke.Index != index {
		t.Fatalf("want a StepError at %d, got %v", index, err)
	}
	return broke.Err
}

func manifestOf(t tester, h *Host, owner bootstrap.Owner) bootstrap.Manifest {
	t.Helper()
	m, err := h.store.load()
	if err != nil {
		t.Fatal(err)
	}
	return m[string(owner)]
}

func TestStepsOfOneKindAndDirectionGoTogether(t *testing.T) {
	f := newFakeThings(pkg("b"), file("/etc/old", "x"), file("/etc/foreign", "x"))
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	held := pkg("b")
	held.Hold = true
	changed(t, h, step(bootstrap.ActionCreate, nil, file("/etc/old2", "x")))
	f.runs = nil
	changed(t, h,
		step(bootstrap.ActionCreate, nil, pkg("a")),
		step(bootstrap.ActionUpdate, pkg("b"), held),
		step(bootstrap.ActionCreate, nil, dir("/srv")),
		step(bootstrap.ActionAdopt, file("/etc/old", "x"), file("/etc/old", "x")),
		step(bootstrap.ActionCreate, nil, file("/etc/a", "x")),
		step(bootstrap.ActionDelete, file("/etc/old2", "x"), nil),
	)
	want := []string{
		"create package:a;update package:b;",
		"create dir:/srv;",
		"create file:/etc/a;",
		"delete file:/etc/old2;",
	}
	if !reflect.DeepEqual(f.runs, want) {
		t.Errorf("want %q, got %q", want, f.runs)
	}
}

func TestManifestRemembersWhatWasBefore(t *testing.T) {
	f := newFakeThings(swappiness("60"), pkg("b"))
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	data := dir("/var/lib/zookeeper")
	data.Data = true
	filled := file("/etc/zoo.cfg", "digest=@D@\n")
	filled.Fill = []bootstrap.Fill{{Marker: "@D@", Secret: "/etc/secret", As: bootstrap.FillSuperDigest}}
	changed(t, h,
		step(bootstrap.ActionAdopt, pkg("b"), pkg("b")),
		step(bootstrap.ActionCreate, nil, data),
		step(bootstrap.ActionCreate, nil, filled),
		step(bootstrap.ActionUpdate, swappiness("60"), swappiness("1")),
	)
	changed(t, h, step(bootstrap.ActionUpdate, swappiness("1"), swappiness("2"))) // keeps the first Before
	want := bootstrap.Manifest{Format: 1, Owner: owner, Cluster: "c", Entries: []bootstrap.Entry{
		{ID: data.ID(), Hash: bootstrap.Hash(data), Data: true},
		{ID: filled.ID(), Hash: bootstrap.Hash(filled), Fill: filled.Fill},
		{ID: pkg("b").ID(), Hash: bootstrap.Hash(pkg("b")), Before: bootstrap.Thing{Resource: pkg("b")}},
		{ID: swappiness("").ID(), Hash: bootstrap.Hash(swappiness("2")), Before: bootstrap.Thing{Resource: seen(swappiness("60"))}},
	}}
	if got := manifestOf(t, h, owner); !reflect.DeepEqual(got, want) {
		t.Errorf("want %+v\n got %+v", want, got)
	}
}

// An adopt in the middle of a run is no deed; the step after it was blamed on it.
func TestTheStepThatBrokeIsNamed(t *testing.T) {
	f := newFakeThings(file("/etc/b", "x"))
	boom := errors.New("no space")
	f.before = func(point string) error {
		if strings.Contains(point, "/etc/c") {
			return boom
		}
		return nil
	}
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	err := h.Change(t.Context(),
		step(bootstrap.ActionCreate, nil, file("/etc/a", "x")),
		step(bootstrap.ActionAdopt, file("/etc/b", "x"), file("/etc/b", "x")),
		step(bootstrap.ActionCreate, nil, file("/etc/c", "x")))
	if why := stepError(t, err, 2); !errors.Is(why, boom) {
		t.Errorf("want %v, got %v", boom, why)
	}
	if _, there := f.have["file:/etc/a"]; !there {
		t.Error("the step before it was not done")
	}
}

func TestAStepWithoutOwnerLeavesNoTrace(t *testing.T) {
	h := newTestHost(t, t.TempDir(), newFakeThings())
	locked(t, h)
	s := step(bootstrap.ActionCreate, nil, file("/var/lib/zookeeper/initialize", ""))
	s.Owner = ""
	changed(t, h, s)
	if m, err := h.store.load(); err != nil || len(m) > 0 {
		t.Errorf("want no manifest, got %v, %v", m, err)
	}
}

func TestStalePremisesAreRefusedBeforeAnyChange(t *testing.T) {
	running := bootstrap.Unit{Name: "z.service", Content: "x", Enabled: true, Running: true, Rev: "1"}
	stopped := running
	stopped.Running, stopped.Rev = false, ""
	zooCfg := file("/etc/zoo.cfg", "tickTime=2000\ndynamicConfigFile=/a.1\n")
	rewritten := file("/etc/zoo.cfg", "dynamicConfigFile=/a.2\ntickTime=2000\n")
	edited := file("/etc/zoo.cfg", "tickTime=3000\ndynamicConfigFile=/a.2\n")
	wantCfg := file("/etc/zoo.cfg", "tickTime=1000\n")
	wantCfg.Compare, wantCfg.Keep = bootstrap.CompareProperties, []string{"dynamicConfigFile"}
	seenCfg, seenLater := zooCfg, edited // as a look gives them, with what the manifest says of the file
	seenCfg.Compare, seenCfg.Keep = wantCfg.Compare, wantCfg.Keep
	tight := file("/etc/a", "x")
	tight.Mode = 0o600
	later := swappiness("60")
	later.OverriddenBy = "/etc/sysctl.d/99.conf"

	for _, tc := range []struct {
		name string
		step bootstrap.Step
		now  bootstrap.Resource // nil: absent
		want string             // of the error; "" when the premise holds
	}{
		{"appeared", step(bootstrap.ActionCreate, nil, file("/etc/a", "x")), file("/etc/a", "y"), "it was absent and is there now"},
		{"gone", step(bootstrap.ActionUpdate, file("/etc/a", "x"), file("/etc/a", "y")), nil, "it was there and is gone"},
		{"gone before its delete", step(bootstrap.ActionDelete, file("/etc/a", "x"), nil), nil, "it was there and is gone"},
		{"content", step(bootstrap.ActionUpdate, file("/etc/a", "x"), file("/etc/a", "y")), file("/etc/a", "z"), "content is another"},
		{"mode", step(bootstrap.ActionUpdate, file("/etc/a", "x"), file("/etc/a", "y")), tight, "mode was 0644, is 0600"},
		{"value", step(bootstrap.ActionUpdate, swappiness("60"), swappiness("1")), swappiness("10"), "setting"},
		{"a unit that stopped", step(bootstrap.ActionUpdate, running, running), stopped, ""},
		{"an overriding file", step(bootstrap.ActionUpdate, swappiness("60"), swappiness("1")), later, ""},
		{"zoo.cfg rewritten by its server", step(bootstrap.ActionUpdate, zooCfg, wantCfg), rewritten, ""},
		{"zoo.cfg edited", step(bootstrap.ActionUpdate, zooCfg, wantCfg), edited, "content is another"},
		{"zoo.cfg rewritten before its delete", step(bootstrap.ActionDelete, seenCfg, nil), rewritten, ""},
		{"zoo.cfg edited before its delete", step(bootstrap.ActionDelete, seenCfg, nil), seenLater, "content is another"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeThings()
			if tc.now != nil {
				f.have[tc.now.ID()] = seen(tc.now)
				if s, ok := tc.now.(bootstrap.Sysctl); ok {
					f.have[tc.now.ID()] = bootstrap.Sysctl{Setting: sysctl.Setting{Key: s.Setting.Key, Value: s.Setting.Value}, OverriddenBy: s.OverriddenBy}
				}
			}
			h := newTestHost(t, t.TempDir(), f)
			locked(t, h)
			if tc.step.Action == bootstrap.ActionDelete { // of what it owns
				m := bootstrap.Manifest{Owner: owner, Cluster: "c", Entries: []bootstrap.Entry{{ID: tc.step.Target}}}
				if err := h.store.save(m); err != nil {
					t.Fatal(err)
				}
			}
			err := h.Change(t.Context(), step(bootstrap.ActionCreate, nil, pkg("first")), tc.step)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err := stepError(t, err, 1); !errors.Is(err, bootstrap.ErrStale) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want ErrStale with %q, got %v", tc.want, err)
			}
			if len(f.runs) > 0 {
				t.Errorf("%q was done all the same", f.runs)
			}
		})
	}
}

// Formation stops a unit, writes and starts it again in one call.
func TestStepsAboutOneThingRestOnEachOther(t *testing.T) {
	running := bootstrap.Unit{Name: "z.service", Content: "x", Enabled: true, Running: true, Rev: "1"}
	stopped := running
	stopped.Running, stopped.Rev = false, ""
	f := newFakeThings(running, file("/etc/a", "x"))
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	steps := []bootstrap.Step{
		step(bootstrap.ActionUpdate, running, stopped),
		step(bootstrap.ActionDelete, file("/etc/a", "x"), nil),
		step(bootstrap.ActionCreate, nil, file("/etc/a", "y")),
		step(bootstrap.ActionUpdate, stopped, running),
	}
	for i := range steps {
		steps[i].Owner = ""
	}
	changed(t, h, steps...)
	want := []string{"update unit:z.service;", "delete file:/etc/a;", "create file:/etc/a;", "update unit:z.service;"}
	if !reflect.DeepEqual(f.runs, want) {
		t.Errorf("want %q, got %q", want, f.runs)
	}
}

// A run that dies in a restart or a kill must not leave a manifest that asks for anything:
// the next one would wait for an apply.
func TestARestartLeavesTheManifestAsItWas(t *testing.T) {
	for _, action := range []bootstrap.Action{bootstrap.ActionRestart, bootstrap.ActionKill} {
		t.Run(string(action), func(t *testing.T) { leavesTheManifest(t, action) })
	}
}

func leavesTheManifest(t *testing.T, action bootstrap.Action) {
	t.Helper()
	unit := bootstrap.Unit{Name: "z.service", Content: "x", Enabled: true, Running: true, Rev: "1"}
	f := newFakeThings()
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	changed(t, h, step(bootstrap.ActionCreate, nil, unit))
	before, err := h.store.load()
	if err != nil {
		t.Fatal(err)
	}
	f.before = func(string) error { return errCrash }
	if err := h.Change(t.Context(), step(action, unit, unit)); !errors.Is(err, errCrash) {
		t.Fatalf("want the crash, got %v", err)
	}
	f.before, f.runs = func(string) error { return nil }, nil
	changed(t, h, step(action, unit, unit))
	if want := []string{string(action) + " unit:z.service;"}; !reflect.DeepEqual(f.runs, want) {
		t.Errorf("want %q, got %q", want, f.runs)
	}
	after, err := h.store.load()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(before, after) {
		t.Errorf("the manifest was %v, is %v", before, after)
	}
}

func TestStepsThatAreRefused(t *testing.T) {
	data := dir("/data")
	data.Data = true
	foreign := step(bootstrap.ActionCreate, nil, file("/etc/a", "x"))
	foreign.Cluster = "other"
	path := step(bootstrap.ActionCreate, nil, file("/etc/a", "x"))
	path.Owner = "../../etc/passwd"
	twisted := step(bootstrap.ActionCreate, nil, file("/etc/a", "x"))
	twisted.Target = "file:/etc/b"
	for _, tc := range []struct {
		name string
		step bootstrap.Step
		is   error
		want string
	}{
		{"another cluster", foreign, bootstrap.ErrRefused, "belongs to cluster c, the step to other"},
		{"data without wipe", step(bootstrap.ActionDelete, data, nil), bootstrap.ErrRefused, "the step does not wipe"},
		{"not ours", step(bootstrap.ActionDelete, file("/etc/foreign", "x"), nil), bootstrap.ErrStale, "main.zookeeper does not own it"},
		{"shared", step(bootstrap.ActionDelete, pkg("shared"), nil), bootstrap.ErrStale, "main.sidecar owns it too"},
		{"unreadable", step(bootstrap.ActionCreate, nil, file("/etc/dark", "x")), nil, "cannot be read: permission denied"},
		{"owner that is a path", path, nil, `"../../etc/passwd" is not an owner`},
		{"two things", twisted, nil, "about file:/etc/b and speaks of file:/etc/a"},
		{"unknown action", step("rename", nil, file("/etc/a", "x")), nil, `action "rename" is unknown`},
		{"create of what is there", step(bootstrap.ActionCreate, file("/etc/a", "x"), file("/etc/a", "y")), nil, "create does not fit"},
		{"restart of what is not ours", step(bootstrap.ActionRestart, zkUnit("aa"), zkUnit("aa")), bootstrap.ErrStale, "main.zookeeper does not own it"},
		{"restart of what shall not run", step(bootstrap.ActionRestart, zkUnit("aa"), bootstrap.Unit{Name: "zk.service"}), nil, "restart does not fit"},
		{"kill of what is not ours", step(bootstrap.ActionKill, zkUnit("aa"), zkUnit("aa")), bootstrap.ErrStale, "main.zookeeper does not own it"},
		{"kill of a file", step(bootstrap.ActionKill, file("/etc/a", "x"), file("/etc/a", "x")), nil, "kill does not fit"},
		{"restart of a file", step(bootstrap.ActionRestart, file("/etc/a", "x"), file("/etc/a", "x")), nil, "restart does not fit"},
		{"delete that wants", step(bootstrap.ActionDelete, file("/etc/a", "x"), file("/etc/a", "y")), nil, "delete does not fit"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeThings(data, file("/etc/foreign", "x"), pkg("shared"), zkUnit("aa"))
			f.unread = map[bootstrap.ID]string{"file:/etc/dark": "permission denied"}
			h := newTestHost(t, t.TempDir(), f)
			locked(t, h)
			for _, m := range []bootstrap.Manifest{
				{Owner: owner, Cluster: "c", Entries: []bootstrap.Entry{{ID: data.ID(), Data: true}, {ID: "package:shared"}}},
				{Owner: "main.sidecar", Cluster: "c", Entries: []bootstrap.Entry{{ID: "package:shared"}}},
			} {
				if err := h.store.save(m); err != nil {
					t.Fatal(err)
				}
			}
			err := stepError(t, h.Change(t.Context(), tc.step), 0)
			if (tc.is != nil && !errors.Is(err, tc.is)) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want %v with %q, got %v", tc.is, tc.want, err)
			}
			if len(f.runs) > 0 {
				t.Errorf("%q was done all the same", f.runs)
			}
		})
	}
}

func TestDeletePutsBackWhatWasBefore(t *testing.T) {
	unit := bootstrap.Unit{Name: "z.service", Content: "theirs", Enabled: true, Running: true, Rev: "1"}
	oursUnit := bootstrap.Unit{Name: "z.service", Content: "ours", Enabled: true, Running: true, Rev: "2"}
	stray := bootstrap.Unit{Name: "z.service", Content: "Environment=ZKBOOT_REV=1", Running: true, Rev: "1"}
	redacted := seen(file("/etc/a", "password=secret")).(bootstrap.File)
	redacted.Content = "password=<redacted>"
	hostOwned := seen(swappiness("60")).(bootstrap.Sysctl)
	hostOwned.HostOwned = true
	thp := bootstrap.Kernel{Name: "thp", Value: "always"}
	never := bootstrap.Kernel{Name: "thp", Value: "never"}
	for _, tc := range []struct {
		name        string
		before, now bootstrap.Resource
		after       bootstrap.Resource // nil: absent
	}{
		{"a file of ours goes", nil, file("/etc/a", "ours"), nil},
		{"a package of ours goes", nil, pkg("a"), nil},
		{"a unit of ours goes", nil, oursUnit, nil},
		{"a package that was there stays", pkg("a"), pkg("a"), pkg("a")},
		{"a user that was there stays", bootstrap.User{Name: "z"}, bootstrap.User{Name: "z", Groups: []string{"g"}}, bootstrap.User{Name: "z", Groups: []string{"g"}}},
		{"a directory that was there stays", dir("/a"), dir("/a"), dir("/a")},
		{"a sysctl is put back", swappiness("60"), swappiness("1"), swappiness("60")},
		{"a sysctl of the outer host stays", hostOwned, swappiness("1"), swappiness("1")},
		{"a sysctl that the kernel did not have stays", nil, swappiness("1"), swappiness("1")},
		{"a switch is put back", thp, never, thp},
		{"a file that was there is put back", file("/etc/a", "theirs"), file("/etc/a", "ours"), file("/etc/a", "theirs")},
		{"a file that is not known whole stays", redacted, file("/etc/a", "ours"), file("/etc/a", "ours")},
		{"a unit that was there is put back", unit, oursUnit, unit},
		{"a unit of ours goes though its manifest was lost", stray, oursUnit, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeThings(tc.now)
			h := newTestHost(t, t.TempDir(), f)
			locked(t, h)
			before := tc.before
			if before != nil && !reflect.DeepEqual(before, redacted) && !reflect.DeepEqual(before, hostOwned) {
				before = seen(before)
			}
			m := bootstrap.Manifest{Owner: owner, Entries: []bootstrap.Entry{{ID: tc.now.ID(), Before: bootstrap.Thing{Resource: before}}}}
			if err := h.store.save(m); err != nil {
				t.Fatal(err)
			}
			changed(t, h, step(bootstrap.ActionDelete, tc.now, nil))
			var want bootstrap.Resource
			if tc.after != nil {
				want = seen(tc.after)
			}
			if got := f.have[tc.now.ID()]; !reflect.DeepEqual(got, want) {
				t.Errorf("want %+v, got %+v", want, got)
			}
			if m := manifestOf(t, h, owner); len(m.Entries) > 0 {
				t.Errorf("%+v is still owned", m.Entries)
			}
		})
	}
}

// A destroy keeps data, an apply adopts it, and a destroy that wipes takes it.
func TestKeptDataCanStillBeWiped(t *testing.T) {
	f := newFakeThings()
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	data := dir("/var/lib/zookeeper")
	data.Data = true
	d := bootstrap.Desired{Resources: []bootstrap.Resource{data}, Cluster: "c"}
	for _, part := range []struct {
		want bootstrap.Desired
		in   bootstrap.Intent
		kept bool
	}{
		{d, bootstrap.Intent{Verb: bootstrap.VerbConverge}, true},
		{bootstrap.Desired{}, bootstrap.Intent{Verb: bootstrap.VerbDestroy}, true},
		{d, bootstrap.Intent{Verb: bootstrap.VerbConverge}, true},
		{bootstrap.Desired{}, bootstrap.Intent{Verb: bootstrap.VerbDestroy, Wipe: true}, false},
	} {
		changed(t, h, plan(t, h, owner, part.want, part.in)...)
		if _, kept := f.have[data.ID()]; kept != part.kept {
			t.Fatalf("after %s %+v: data there %t, want %t", part.in.Verb, part.want, kept, part.kept)
		}
	}
}

// What the first owner saw counts for all: a package that zkboot installed goes with
// its last owner, whichever that is.
func TestSharedThingsGoWithTheLastOwner(t *testing.T) {
	f := newFakeThings()
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	d := bootstrap.Desired{Resources: []bootstrap.Resource{pkg("shared")}, Cluster: "c"}
	in := bootstrap.Intent{Verb: bootstrap.VerbConverge}
	for _, o := range []bootstrap.Owner{"main.zookeeper", "main.sidecar"} {
		changed(t, h, plan(t, h, o, d, in)...)
	}
	changed(t, h, plan(t, h, "main.zookeeper", bootstrap.Desired{}, in)...)
	if _, ok := f.have["package:shared"]; !ok {
		t.Fatal("the package went with its first owner")
	}
	changed(t, h, plan(t, h, "main.sidecar", bootstrap.Desired{}, in)...)
	if _, ok := f.have["package:shared"]; ok {
		t.Error("the package outlived its last owner")
	}
	if _, err := os.Stat(filepath.Join(h.root, "etc/zkboot")); !os.IsNotExist(err) {
		t.Errorf("/etc/zkboot outlived the last manifest: %v", err)
	}
}

func TestABrokenStepKeepsThoseBefore(t *testing.T) {
	f := newFakeThings()
	full := errors.New("no space left on device")
	f.before = func(point string) error {
		if point == "before create file /etc/b" {
			return full
		}
		return nil
	}
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	a, b, c := file("/etc/a", "x"), file("/etc/b", "x"), file("/etc/c", "x")
	err := h.Change(t.Context(), step(bootstrap.ActionCreate, nil, pkg("p")),
		step(bootstrap.ActionCreate, nil, a), step(bootstrap.ActionCreate, nil, b), step(bootstrap.ActionCreate, nil, c))
	if err := stepError(t, err, 2); !errors.Is(err, full) {
		t.Errorf("want %v, got %v", full, err)
	}
	hashes := map[bootstrap.ID]string{}
	for _, e := range manifestOf(t, h, owner).Entries {
		hashes[e.ID] = e.Hash
	}
	want := map[bootstrap.ID]string{"package:p": bootstrap.Hash(pkg("p")), a.ID(): bootstrap.Hash(a), b.ID(): "", c.ID(): ""}
	if !reflect.DeepEqual(hashes, want) {
		t.Errorf("want %v, got %v", want, hashes)
	}
}

func TestCancelStopsBetweenRuns(t *testing.T) {
	f := newFakeThings()
	ctx, cancel := context.WithCancel(t.Context())
	f.before = func(point string) error {
		if point == "after create package p" {
			cancel()
		}
		return nil
	}
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	err := h.Change(ctx, step(bootstrap.ActionCreate, nil, pkg("p")), step(bootstrap.ActionCreate, nil, dir("/d")))
	if err := stepError(t, err, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("want context.Canceled, got %v", err)
	}
	if e, _ := manifestOf(t, h, owner).Find("package:p"); e.Hash == "" {
		t.Error("what was done is not in the manifest")
	}
}
