package zookeeper

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
	"github.com/zkboot/zkboot/sysctl"
)

// fresh is a site of hosts with nothing on them.
func fresh(s *bootstrap.Spec) bootstrap.Site { return emptyScene(s).site() }

func compile(t *testing.T, s *bootstrap.Spec, now bootstrap.Site) map[string]bootstrap.Desired {
	t.Helper()
	want, r := New().Compile(s, now)
	if r.Failed() {
		t.Fatal(r.Err())
	}
	for host, d := range want {
		sealed, err := d.Seal()
		if err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		want[host] = sealed
	}
	return want
}

// describe lists resources as a plan would, with what tells them apart.
func describe(d bootstrap.Desired) string {
	var b strings.Builder
	for _, r := range d.Resources {
		fmt.Fprintf(&b, "%s", r.ID())
		switch r := r.(type) {
		case bootstrap.Package:
			fmt.Fprintf(&b, " version=%q hold=%t", r.Version, r.Hold)
		case bootstrap.Dir:
			fmt.Fprintf(&b, " %04o %s:%s contents=%t data=%t", r.Mode, r.Owner, r.Group, r.Contents, r.Data)
		case bootstrap.File:
			fmt.Fprintf(&b, " %04o %s:%s %s", r.Mode, r.Owner, r.Group, r.Compare)
		case bootstrap.Secret:
			fmt.Fprintf(&b, " %04o %s:%s %d bytes", r.Mode, r.Owner, r.Group, r.Bytes)
		case bootstrap.Sysctl:
			fmt.Fprintf(&b, " %s %s", r.Setting.Rule, r.Setting.Value)
		case bootstrap.Kernel:
			fmt.Fprintf(&b, " %s", r.Value)
		case bootstrap.Mount:
			fmt.Fprintf(&b, " %s %s %v", r.Device, r.FSType, r.Options)
		case bootstrap.Unit:
			fmt.Fprintf(&b, " enabled=%t running=%t turn=%t", r.Enabled, r.Running, r.Turn)
			for _, id := range r.RestartOn {
				fmt.Fprintf(&b, "\n    restarts on %s", id)
			}
		}
		fmt.Fprintf(&b, "  <- %s\n", d.From[r.ID()])
	}
	return b.String()
}

func TestDesired(t *testing.T) {
	t.Run("apt", func(t *testing.T) {
		want := compile(t, testSpec(1), fresh(testSpec(1)))
		golden(t, "desired.apt.1", describe(want["zk1"]))
	})
	t.Run("apt, three members", func(t *testing.T) {
		s := testSpec(3)
		want := compile(t, s, fresh(s))
		golden(t, "desired.apt.3", describe(want["zk3"]))
		if len(want) != 3 {
			t.Errorf("%d hosts are wanted on, want 3", len(want))
		}
	})
	t.Run("tarball, five members, mounts and custom directories", func(t *testing.T) {
		s := tarballSpec(5)
		s.Ensemble.DataDir, s.Ensemble.DataLogDir = "/srv/zk/data", "/srv/zk/log"
		s.Tuning = bootstrap.Tuning{THP: "never", Swap: "off", Sysctl: map[string]string{"vm.swappiness": "10", "net.core.rmem_max": "1048576"}}
		h := s.Hosts["zk5"]
		h.Mounts = map[string]bootstrap.MountSpec{"/srv/zk/log": {Device: "/dev/vdb"}, "/srv/other": {Device: "/dev/vdc"},
			"/srv/zk/data": {Device: "/dev/vdd", FSType: "xfs", Options: []string{"noatime", "nodiratime"}}}
		s.Hosts["zk5"] = h
		golden(t, "desired.tarball.5", describe(compile(t, s, fresh(s))["zk5"]))
	})
}

func TestUnit(t *testing.T) {
	for name, s := range map[string]*bootstrap.Spec{"unit.apt": testSpec(3), "unit.tarball": tarballSpec(3)} {
		s.Ensemble.JVMFlags = []string{"-XX:+UseStringDeduplication"}
		_, unit, _, err := New().Files(s, "zk2", debian12())
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, string(unit))
	}
}

func TestDropIn(t *testing.T) {
	_, _, drop, err := New().Files(testSpec(3), "zk1", debian12())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "sysctl.conf", string(drop))
}

func TestFilesAreWhatApplyWrites(t *testing.T) {
	s := testSpec(3)
	zooCfg, unit, drop, err := New().Files(s, "zk2", debian12())
	if err != nil {
		t.Fatal(err)
	}
	l := layoutOf(s)
	for _, r := range compile(t, s, fresh(s))["zk2"].Resources {
		switch r := r.(type) {
		case bootstrap.File:
			if r.Path == l.zooCfg && r.Content != string(zooCfg) || r.Path == l.sysctlD && r.Content != string(drop) {
				t.Errorf("%s is rendered differently from what is written", r.Path)
			}
		case bootstrap.Unit:
			if want := strings.ReplaceAll(string(unit), bootstrap.RevMarker, r.Rev); r.Content != want {
				t.Errorf("%s is rendered differently from what is written", r.Name)
			}
		}
	}
	if _, _, _, err := New().Files(s, "app1", debian12()); err == nil || !strings.Contains(err.Error(), "app1 is no member of the ensemble; members: zk1, zk2, zk3") {
		t.Errorf("a host that is no member: %v", err)
	}
}

func TestNothingThatTheServerWritesIsWanted(t *testing.T) {
	s := testSpec(3)
	for _, r := range compile(t, s, fresh(s))["zk1"].Resources {
		if strings.HasSuffix(r.ID().Name(), "/initialize") || strings.Contains(r.ID().Name(), "zoo.cfg.dynamic") {
			t.Errorf("%s is wanted; it belongs to formation alone", r.ID())
		}
	}
}

func TestNoSecretLeavesTheHost(t *testing.T) {
	s := testSpec(1)
	for _, r := range compile(t, s, fresh(s))["zk1"].Resources {
		f, ok := r.(bootstrap.File)
		if !ok || f.Path != layoutOf(s).zooCfg {
			continue
		}
		if len(f.Fill) != 1 || f.Fill[0].Secret != layoutOf(s).super || !strings.Contains(f.Content, "superDigest=super:"+f.Fill[0].Marker+"\n") {
			t.Errorf("the digest of zoo.cfg is not filled in on the host: %+v", f.Fill)
		}
		return
	}
	t.Error("no zoo.cfg is wanted")
}

func TestQueriesCoverWhatIsWanted(t *testing.T) {
	s := tarballSpec(3)
	s.Tuning.Swap = "off"
	ids := New().Queries(s, "zk1")
	for _, codename := range []string{"bookworm", "trixie", "jammy", "noble"} {
		sc := emptyScene(s)
		sc.servers["zk1"].facts.OS.Codename = codename
		for _, r := range compile(t, s, sc.site())["zk1"].Resources {
			if !slices.Contains(ids, r.ID()) {
				t.Errorf("%s: %s is wanted and never looked at", codename, r.ID())
			}
		}
	}
	for _, id := range []bootstrap.ID{"zookeeper:/etc/zookeeper/main/zoo.cfg", "candidate:libzookeeper-java"} {
		if !slices.Contains(ids, id) {
			t.Errorf("%s is not looked at", id)
		}
	}
	// A host that is no member may have been one.
	if got, want := New().Queries(s, "app1"), []bootstrap.ID{"zookeeper:/etc/zookeeper/main/zoo.cfg", "unit:zookeeper-main.service"}; !slices.Equal(got, want) {
		t.Errorf("on a host that is no member: %v, want %v", got, want)
	}
}

// TestApplyingMakesTheNextDiffEmpty carries out what Compile wants in memory.
func TestApplyingMakesTheNextDiffEmpty(t *testing.T) {
	s := testSpec(1)
	owner := bootstrap.OwnerOf(s.Name, roleName)
	m := bootstraptest.New(debian12(), bootstrap.Sysctl{Setting: sysctl.Setting{Key: "fs.file-max", Value: "9223372036854775807"}},
		bootstrap.Sysctl{Setting: sysctl.Setting{Key: "vm.swappiness", Value: "60"}},
		bootstrap.Sysctl{Setting: sysctl.Setting{Key: "vm.dirty_bytes", Value: "0"}, HostOwned: true},
		bootstrap.Kernel{Name: "thp", Value: "never"}, bootstrap.Dir{Path: "/var/lib/zookeeper", Mode: 0o700, Owner: "other", Group: "other"})
	host := m.Open()
	if err := host.Lock(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	plan := func() []bootstrap.Step {
		facts, state, err := host.Look(t.Context(), New().Queries(s, "zk1")...)
		if err != nil {
			t.Fatal(err)
		}
		want := compile(t, s, bootstrap.Site{Hosts: map[string]bootstrap.Seen{"zk1": {Facts: facts, State: state}}})
		return bootstrap.Diff(owner, want["zk1"], state, bootstrap.Intent{Verb: bootstrap.VerbConverge})
	}
	if err := host.Change(t.Context(), plan()...); err != nil {
		t.Fatal(err)
	}
	for _, st := range plan() {
		t.Errorf("still to do: %s %v", st, st.Differences())
	}
	drop, ok := m.Thing(bootstrap.NewID(bootstrap.KindFile, layoutOf(s).sysctlD)).(bootstrap.File)
	switch {
	case !ok:
		t.Error("there is no sysctl.d drop-in")
	case !strings.Contains(drop.Content, "\nfs.file-max = 9223372036854775807\n"):
		t.Error("the drop-in lowers fs.file-max at the next boot")
	case strings.Contains(drop.Content, "vm.dirty_bytes"):
		t.Error("the drop-in sets vm.dirty_bytes, which the container's host owns: it would fail at every boot")
	}
	if d, ok := m.Thing("dir:/var/lib/zookeeper").(bootstrap.Dir); !ok || d.Owner != "other" {
		t.Errorf("a directory of somebody else was changed: %+v", d)
	}
}

func TestTuningCanBeSwitchedOff(t *testing.T) {
	s := testSpec(1)
	s.Tuning.Disabled = true
	for _, r := range compile(t, s, fresh(s))["zk1"].Resources {
		if k := r.ID().Kind(); k == bootstrap.KindSysctl || k == bootstrap.KindKernel || r.ID().Name() == layoutOf(s).sysctlD {
			t.Errorf("%s is wanted", r.ID())
		}
	}
}

func TestSharedHostsGetSafeSettingsAlone(t *testing.T) {
	s := testSpec(1)
	s.Sidecars = map[string]bootstrap.Sidecar{"zk1": {}}
	ids := map[bootstrap.ID]bool{}
	for _, r := range compile(t, s, fresh(s))["zk1"].Resources {
		ids[r.ID()] = true
	}
	if ids["sysctl:vm.dirty_bytes"] {
		t.Error("vm.dirty_bytes is for hosts that do nothing else")
	}
	if ids["sysctl:net.ipv4.tcp_tw_reuse"] {
		t.Error("net.ipv4.tcp_tw_reuse is the sidecar's to set")
	}
	if !ids["sysctl:vm.swappiness"] {
		t.Error("vm.swappiness is safe everywhere and missing")
	}
}

func TestPortsOfTheSpecAreReserved(t *testing.T) {
	s := testSpec(1)
	s.Ensemble.Ports.Client = 2999
	for _, r := range compile(t, s, fresh(s))["zk1"].Resources {
		if v, ok := r.(bootstrap.Sysctl); ok && v.Setting.Key == sysctl.ReservedPorts {
			ports, err := sysctl.ParsePorts(v.Setting.Value)
			if err != nil || !ports.Contains(2999) {
				t.Errorf("reserved ports %s, %v; want 2999 among them", v.Setting.Value, err)
			}
			return
		}
	}
	t.Error("no ports are reserved")
}

func TestOverridesOfKernelSettingsAreChecked(t *testing.T) {
	s := testSpec(1)
	s.Tuning.Sysctl = map[string]string{"vm.dirty_bytes": "1", "vm.dirty_ratio": "10"}
	finding(t, New().Validate(s), `tuning.sysctl["vm.dirty_ratio"]`, "vm.dirty_bytes")
}
