package sidecar

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
	"github.com/zkboot/zkboot/sysctl"
	"github.com/zkboot/zkboot/verify"
	"github.com/zkboot/zkboot/watcher/config"
)

func compile(t *testing.T, s *bootstrap.Spec, now bootstrap.Site) map[string]bootstrap.Desired {
	t.Helper()
	want, r := New(archives()).Compile(s, now)
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
		case bootstrap.User:
			fmt.Fprintf(&b, " %s %s %v", r.Home, r.Shell, r.Groups)
		case bootstrap.Archive:
			fmt.Fprintf(&b, " %s", r.URL)
		case bootstrap.Dir:
			fmt.Fprintf(&b, " %04o %s:%s contents=%t data=%t", r.Mode, r.Owner, r.Group, r.Contents, r.Data)
		case bootstrap.File:
			fmt.Fprintf(&b, " %04o %s:%s %s", r.Mode, r.Owner, r.Group, r.Compare)
		case bootstrap.Sysctl:
			fmt.Fprintf(&b, " %s %s", r.Setting.Rule, r.Setting.Value)
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

// content returns what is written into a file or a unit.
func content(t *testing.T, d bootstrap.Desired, id bootstrap.ID) string {
	t.Helper()
	for _, r := range d.Resources {
		switch r := r.(type) {
		case bootstrap.File:
			if r.ID() == id {
				return r.Content
			}
		case bootstrap.Unit:
			if r.ID() == id {
				return strings.ReplaceAll(r.Content, r.Rev, bootstrap.RevMarker)
			}
		}
	}
	t.Fatalf("%s is not wanted", id)
	return ""
}

func TestDesired(t *testing.T) {
	s := spec(t)
	want := compile(t, s, bare(s))
	golden(t, "desired.routes", describe(want["app1"]))
	golden(t, "desired.registers", describe(want["app2"]))
	if len(want) != 2 {
		t.Errorf("%d hosts are wanted on, want 2", len(want))
	}
	golden(t, "zkwatch.yaml", content(t, want["app1"], "file:"+confFile))
	golden(t, "zkwatch.registers.yaml", content(t, want["app2"], "file:"+confFile))
	golden(t, "haproxy.service", content(t, want["app1"], "unit:"+proxyUnit))
	golden(t, "zkwatch.service", content(t, want["app1"], "unit:"+watchUnit))
	golden(t, "zkwatch.registers.service", content(t, want["app2"], "unit:"+watchUnit))
	golden(t, "first.cfg", content(t, want["app1"], "file:"+proxyFile))
	golden(t, "sysctl.conf", content(t, want["app1"], "file:"+sysctlD))
}

// What zkboot writes is what zkwatch takes: the defaults of both agree on where things lie.
func TestFilesLieWhereZkwatchExpectsThem(t *testing.T) {
	s := spec(t)
	c, err := config.Load("zkwatch.yaml", []byte(content(t, compile(t, s, bare(s))["app1"], "file:"+confFile)))
	if err != nil {
		t.Fatal(err)
	}
	for what, is := range map[string][2]string{
		"state_dir":      {c.StateDir, stateDir},
		"haproxy.file":   {c.HAProxy.File, proxyFile},
		"haproxy.socket": {c.HAProxy.Socket, proxyRun + "/runtime.sock"},
		"haproxy.master": {c.HAProxy.Master, proxyRun + "/master.sock"},
		"haproxy.group":  {c.HAProxy.SocketGroup, account},
		"status.listen":  {c.Status.Listen, fmt.Sprintf("127.0.0.1:%d", statusPort)},
		"drain.spool":    {c.Drain.Spool, spoolDir},
		"servers":        {strings.Join(c.Registries["main"].ZooKeeper.Servers, ","), "10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181"},
	} {
		if is[0] != is[1] {
			t.Errorf("%s: zkwatch has %q, zkboot has %q", what, is[0], is[1])
		}
	}
	drain := config.Config{}
	config.Default(&drain)
	if d := drain.Drain.Timeout; d != config.Duration(usualDrain) {
		t.Errorf("zkwatch drains for up to %s, its unit is given %s", d, usualDrain)
	}
	preset, _ := sysctl.Tune(sysctl.PresetSidecar, sysctl.Safe)
	i := slices.IndexFunc(preset.Sysctl, func(s sysctl.Setting) bool { return s.Key == portRange })
	if want := fmt.Sprintf("%d %d", firstBorrowed, lastBorrowed); i < 0 || preset.Sysctl[i].Value != want {
		t.Errorf("the preset does not set %s to %s", portRange, want)
	}
}

// The restarts of a change: zkwatch's for its file and program, HAProxy's for neither.
func TestWhatRestartsWhat(t *testing.T) {
	rev := func(edits ...string) (watch, proxy string) {
		s := spec(t, edits...)
		for _, r := range compile(t, s, bare(s))["app1"].Resources {
			if u, ok := r.(bootstrap.Unit); ok && u.Name == watchUnit {
				watch = u.Rev
			} else if ok {
				proxy = u.Rev
			}
		}
		return watch, proxy
	}
	watch, proxy := rev()
	if again, same := rev(); again != watch || same != proxy {
		t.Error("the same spec makes other revisions")
	}
	newWatch, newProxy := rev("127.0.0.1:3001", "127.0.0.1:3002")
	if newWatch == watch || newProxy != proxy {
		t.Errorf("another bind: zkwatch restarts %t, HAProxy restarts %t", newWatch != watch, newProxy != proxy)
	}
}

// Two roles on one host want shared things alike, or nothing could be planned there.
func TestAHostThatIsBothMemberAndSidecar(t *testing.T) {
	for name, edits := range map[string][]string{
		"plain":     {"  app2:\n    register", "  zk2:\n    register"},
		"overrides": {"  app2:\n    register", "  zk2:\n    register", "registries:", "tuning: {sysctl: {net.core.somaxconn: \"8192\", net.core.rmem_max: \"1048576\"}}\nregistries:"},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, edits...)
			members, r := zookeeper.New().Compile(s, bare(s))
			if r.Failed() {
				t.Fatal(r.Err())
			}
			theirs := map[bootstrap.ID]string{}
			for _, r := range members["zk2"].Resources {
				theirs[r.ID()] = bootstrap.Hash(r)
			}
			var shared []string
			for _, r := range compile(t, s, bare(s))["zk2"].Resources {
				hash, both := theirs[r.ID()]
				if both && hash != bootstrap.Hash(r) {
					t.Errorf("%s is wanted differently", r.ID())
				}
				if both {
					shared = append(shared, string(r.ID()))
				}
			}
			if !slices.Contains(shared, "sysctl:net.core.somaxconn") || slices.Contains(shared, "sysctl:vm.swappiness") {
				t.Errorf("both want %v", shared)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	listens := func(addr string, port int, unit string) func(*bootstrap.Facts, *bootstrap.State) {
		return func(f *bootstrap.Facts, _ *bootstrap.State) {
			f.Listeners = append(f.Listeners, verify.Listener{Address: addr, Port: port, Process: &verify.Process{PID: 7, Name: "prog", Unit: unit}})
		}
	}
	has := func(rs ...bootstrap.Resource) func(*bootstrap.Facts, *bootstrap.State) {
		return func(_ *bootstrap.Facts, s *bootstrap.State) {
			var all []bootstrap.Resource
			for _, th := range s.Things {
				all = append(all, th.Resource)
			}
			m := s.Manifests
			*s = bootstrap.NewState(append(all, rs...)...)
			s.Manifests = m
		}
	}
	applied := has(bootstrap.File{Path: confFile, Content: content(t, compile(t, spec(t), bare(spec(t)))["app1"], "file:"+confFile)})
	for _, c := range []struct {
		name string
		seen []func(*bootstrap.Facts, *bootstrap.State)
		at   bootstrap.Path // "" for no refusal
		text string
	}{
		{name: "nothing"},
		{"a program on the port of a route", []func(*bootstrap.Facts, *bootstrap.State){listens("0.0.0.0", 3000, "app.service")},
			`sidecars["app1"].routes["inventory"].bind`, "port 3000 is taken by prog (pid 7, unit app.service) on 0.0.0.0"},
		{"on another address", []func(*bootstrap.Facts, *bootstrap.State){listens("10.0.0.101", 3000, "app.service")}, "", ""},
		{"a frontend of the operator's own", []func(*bootstrap.Facts, *bootstrap.State){listens("127.0.0.1", 3001, proxyUnit)},
			`sidecars["app1"].routes["orders"].bind`, "unit haproxy.service"},
		{"the route itself", []func(*bootstrap.Facts, *bootstrap.State){applied, listens("127.0.0.1", 3001, proxyUnit), listens("127.0.0.1", 9180, watchUnit)}, "", ""},
		{"the route itself, when zkwatch's file is gone", []func(*bootstrap.Facts, *bootstrap.State){listens("127.0.0.1", 3001, proxyUnit), func(_ *bootstrap.Facts, s *bootstrap.State) {
			s.Manifests = map[string]bootstrap.Manifest{"main.sidecar": {Entries: []bootstrap.Entry{{ID: "file:" + confFile}}}}
		}}, "", ""},
		{"the stats page", []func(*bootstrap.Facts, *bootstrap.State){listens("::", 3999, "x.service")}, `sidecars["app1"].stats`, "port 3999"},
		{"the port of zkwatch", []func(*bootstrap.Facts, *bootstrap.State){listens("127.0.0.1", 9180, "exporter.service")}, `sidecars["app1"]`, "port 9180"},
		{"HAProxy of Ubuntu 22.04", []func(*bootstrap.Facts, *bootstrap.State){has(bootstrap.Candidate{Name: "haproxy", Version: "2.4.24-0ubuntu0.22.04.1"})},
			`sidecars["app1"].routes`, "zkwatch needs 2.6 or later"},
		{"HAProxy of Ubuntu 24.04", []func(*bootstrap.Facts, *bootstrap.State){has(bootstrap.Candidate{Name: "haproxy", Version: "2.8.5-1ubuntu3.4"})}, "", ""},
		{"an old one that is installed", []func(*bootstrap.Facts, *bootstrap.State){has(bootstrap.Package{Name: "haproxy", Version: "1:2.2.9-2"}, bootstrap.Candidate{Name: "haproxy", Version: "2.6.12-1"})},
			`sidecars["app1"].routes`, "has haproxy 1:2.2.9-2"},
		{"the unit of the package", []func(*bootstrap.Facts, *bootstrap.State){has(bootstrap.Unit{Name: proxyUnit, Enabled: true, Running: true})}, "", ""},
		{"a unit of the operator's", []func(*bootstrap.Facts, *bootstrap.State){has(bootstrap.Unit{Name: proxyUnit, Content: "[Service]\nExecStart=/opt/haproxy\n", Running: true})},
			`sidecars["app1"]`, "/etc/systemd/system/haproxy.service was not written by zkboot"},
		{"the defaults of the package", []func(*bootstrap.Facts, *bootstrap.State){has(bootstrap.File{Path: proxyDefaults, Content: "#CONFIG=\"/etc/haproxy/x.cfg\"\n#EXTRAOPTS=\n"})}, "", ""},
		{"a haproxy.cfg elsewhere", []func(*bootstrap.Facts, *bootstrap.State){has(bootstrap.File{Path: proxyDefaults, Content: "# ours\nCONFIG=\"/srv/haproxy.cfg\"\n"})},
			`sidecars["app1"].routes`, "/etc/default/haproxy says that HAProxy reads /srv/haproxy.cfg, want /etc/haproxy/haproxy.cfg"},
		{"a sidecar of another spec", []func(*bootstrap.Facts, *bootstrap.State){func(_ *bootstrap.Facts, s *bootstrap.State) {
			s.Manifests = map[string]bootstrap.Manifest{"shop.sidecar": {Entries: []bootstrap.Entry{{ID: "file:" + confFile}}}}
		}}, `sidecars["app1"]`, `the host has the sidecar of spec "shop" already`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, facts := spec(t), debian12()
			var state bootstrap.State
			for _, see := range c.seen {
				see(&facts, &state)
			}
			_, r := New(archives()).Compile(s, with(bare(s), "app1", facts, state))
			if c.at == "" {
				if len(r.Findings) > 0 {
					t.Errorf("refused: %v", r.Err())
				}
				return
			}
			f := finding(t, r, c.at, c.text)
			if f.Host != "app1" || f.Hint == "" || !errors.Is(f, bootstrap.ErrRefused) {
				t.Errorf("finding lacks host, hint or cause: %+v", f)
			}
		})
	}
}

// `go install` makes a zkboot that carries nothing: it says so when planning, with the way out.
func TestWithoutAnArchiveForTheHost(t *testing.T) {
	s := spec(t)
	facts := debian12()
	facts.Arch = "riscv64"
	now := with(bare(s), "app2", facts, bootstrap.State{})
	_, r := New(archives()).Compile(s, now)
	if len(r.Findings) != 1 || r.Findings[0].Host != "app2" || !strings.Contains(r.Findings[0].Text, "carries no zkwatch for linux/riscv64: use a release, or build with `make build`") {
		t.Errorf("found %+v", r.Findings)
	}
	if _, r = New(nil).Compile(s, bare(s)); len(r.Findings) != 2 {
		t.Errorf("without any archive: %+v", r.Findings)
	}
	open := Opener(archives())
	got, err := open("zkwatch-linux-amd64")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(got); err != nil || string(b) != "packed" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := open("zkwatch-linux-arm64"); err == nil || !strings.Contains(err.Error(), `"zkwatch-linux-arm64"`) {
		t.Errorf("an archive that is not there: %v", err)
	}
}

func TestPortsThatOutgoingConnectionsTake(t *testing.T) {
	s := spec(t, "127.0.0.1:3001", "127.0.0.1:18001", "port: 8080, check: {tcp", "port: 20000, check: {tcp")
	r := New(archives()).Validate(s)
	f := finding(t, r, `sidecars["app1"].routes["orders"].bind`, "port 18001")
	finding(t, r, `sidecars["app2"].register["inventory"].port`, "port 20000")
	if len(r.Findings) != 2 || f.Severity != bootstrap.SeverityWarning || !strings.Contains(f.Hint, sysctl.ReservedPorts) {
		t.Errorf("found %+v", r.Findings)
	}
	s.Tuning.Sysctl = map[string]string{sysctl.ReservedPorts: "18001,20000"}
	if r := New(archives()).Validate(s); len(r.Findings) > 0 {
		t.Errorf("reserved, and yet %+v", r.Findings)
	}
}

func TestQueriesCoverWhatIsWanted(t *testing.T) {
	s := spec(t)
	asked := New(archives()).Queries(s, "app1")
	for _, r := range compile(t, s, bare(s))["app1"].Resources {
		if !slices.Contains(asked, r.ID()) {
			t.Errorf("%s is wanted and not asked for", r.ID())
		}
	}
	if !slices.Contains(asked, "candidate:haproxy") || len(New(archives()).Queries(s, "zk1")) > 0 {
		t.Errorf("asked for %v", asked)
	}
}

// Taking a sidecar out of the spec takes away what it made, and leaves haproxy.cfg out of it.
func TestRemoval(t *testing.T) {
	s := spec(t)
	want := compile(t, s, bare(s))["app1"]
	m := bootstrap.Manifest{Format: 1, Owner: "main.sidecar"}
	for _, r := range want.Resources {
		m.Entries = append(m.Entries, bootstrap.Entry{ID: r.ID(), Hash: bootstrap.Hash(r)})
	}
	have := bootstrap.NewState(want.Resources...)
	have.Manifests = map[string]bootstrap.Manifest{"main.sidecar": m}
	var first, last bootstrap.Step
	for i, st := range bootstrap.Diff("main.sidecar", bootstrap.Desired{}, have, bootstrap.Intent{}) {
		if i == 0 {
			first = st
		}
		if last = st; st.Action != bootstrap.ActionDelete {
			t.Errorf("%s", st)
		}
		if strings.HasPrefix(st.Target.Name(), "/etc/haproxy") {
			t.Errorf("%s touches the operator's files", st)
		}
	}
	if first.Target.Kind() != bootstrap.KindUnit || last.Target != "package:haproxy" {
		t.Errorf("first %s, last %s", first, last)
	}
}
