package agent

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

const (
	showUnits = "systemctl show --no-pager " + unitProperties + " -- "
	reload    = "systemctl daemon-reload"
	journal   = "journalctl --no-pager --quiet --output=cat --lines=20 --unit="
)

// block is one unit as systemctl show prints it.
func block(name, load, active, file, pid string) string {
	return "MainPID=" + pid + "\nId=" + name + "\nLoadState=" + load + "\nActiveState=" + active + "\nUnitFileState=" + file + "\n"
}

func zkUnit(rev string) bootstrap.Unit {
	return bootstrap.Unit{Name: "zk.service", Enabled: true, Running: true, Rev: rev,
		Content: "[Service]\nEnvironment=ZKBOOT_REV=" + rev + "\n[Install]\nWantedBy=multi-user.target\n"}
}

// live is a call of systemctl show for zk.service, whose process 42 has a revision.
func (s *sandbox) live(active, file, pid, rev string) call {
	return call{argv: showUnits + "zk.service", out: block("zk.service", "loaded", active, file, pid), then: func() {
		s.put("/proc/42/environ", "LANG=C\x00ZKBOOT_REV="+rev+"\x00")
	}}
}

// expect replaces the programs that the sandbox expects.
func (s *sandbox) expect(t *testing.T, calls ...call) {
	p := &programs{t: t, calls: calls}
	s.run = p.run
	t.Cleanup(func() {
		for _, c := range p.calls {
			t.Errorf("never ran %q", c.argv)
		}
	})
}

func TestUnitIsSeen(t *testing.T) {
	want := zkUnit("aa")
	tests := map[string]struct {
		status  string
		content string
		environ string
		want    bootstrap.Resource
	}{
		"running":            {block("zk.service", "loaded", "active", "enabled", "42"), want.Content, "ZKBOOT_REV=aa\x00", want},
		"older revision":     {block("zk.service", "loaded", "active", "enabled", "42"), want.Content, "A=b\x00ZKBOOT_REV=99\x00", bootstrap.Unit{Name: "zk.service", Content: want.Content, Enabled: true, Running: true, Rev: "99"}},
		"reloads":            {block("zk.service", "loaded", "reloading", "enabled", "42"), want.Content, "ZKBOOT_REV=aa\x00", want},
		"look-alike":         {block("zk.service", "loaded", "active", "enabled", "42"), want.Content, "XZKBOOT_REV=99\x00", bootstrap.Unit{Name: "zk.service", Content: want.Content, Enabled: true, Running: true}},
		"waits for restart":  {block("zk.service", "loaded", "activating", "enabled", "0"), want.Content, "", bootstrap.Unit{Name: "zk.service", Content: want.Content, Enabled: true}},
		"process is gone":    {block("zk.service", "loaded", "active", "enabled", "43"), want.Content, "", bootstrap.Unit{Name: "zk.service", Content: want.Content, Enabled: true}},
		"done once":          {block("zk.service", "loaded", "active", "disabled", "0"), want.Content, "", bootstrap.Unit{Name: "zk.service", Content: want.Content, Running: true, Rev: "aa"}},
		"file not loaded":    {block("zk.service", "not-found", "inactive", "", "0"), want.Content, "", bootstrap.Unit{Name: "zk.service", Content: want.Content}},
		"of a package":       {block("zk.service", "loaded", "inactive", "enabled", "0"), "", "", bootstrap.Unit{Name: "zk.service", Enabled: true}},
		"runs without files": {block("zk.service", "not-found", "active", "", "42"), "", "ZKBOOT_REV=aa\x00", bootstrap.Unit{Name: "zk.service", Running: true, Rev: "aa"}},
		"absent":             {block("zk.service", "not-found", "inactive", "", "0"), "", "", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t, call{argv: showUnits + "zk.service", out: tt.status})
			if tt.content != "" {
				s.put("/etc/systemd/system/zk.service", tt.content)
			}
			s.put("/proc/42/environ", tt.environ)
			wantEqual(t, s.see("unit:zk.service"), tt.want)
		})
	}
}

func TestUnitThatIsMaskedIsNotTakenOver(t *testing.T) {
	s := newSandbox(t, call{argv: showUnits + "zk.service", out: block("zk.service", "masked", "inactive", "masked", "0")})
	if err := os.MkdirAll(s.under("/etc/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", s.under("/etc/systemd/system/zk.service")); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, s.unread("unit:zk.service"), "zk.service is masked; run systemctl unmask zk.service if zkboot may have it")
}

func TestUnitIsMadeEnabledAndStarted(t *testing.T) {
	s := newSandbox(t)
	s.expect(t,
		call{argv: showUnits + "zk.service", out: block("zk.service", "not-found", "inactive", "", "0")},
		call{argv: reload},
		s.live("inactive", "disabled", "0", ""),
		call{argv: "systemctl enable -- zk.service"},
		call{argv: "systemctl reset-failed -- zk.service", err: failed(1, "Unit zk.service not loaded.")},
		call{argv: "systemctl restart -- zk.service"},
		s.live("active", "enabled", "42", "of-systemd"), // before execve
		s.live("active", "enabled", "42", "aa"))
	s.must(creates(zkUnit("aa")))
	wantEqual(t, s.get("/etc/systemd/system/zk.service"), zkUnit("aa").Content)
	wantEqual(t, s.notes, []string{"starting zk.service"})
}

func TestUnitAsWantedIsNotRestarted(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/systemd/system/zk.service", "edited by hand")
	s.expect(t, s.live("active", "enabled", "42", "aa"), call{argv: reload}, s.live("active", "enabled", "42", "aa"))
	s.must(creates(zkUnit("aa")))
	wantEqual(t, s.get("/etc/systemd/system/zk.service"), zkUnit("aa").Content)
}

// Nothing of the unit differs, and it gets a new process all the same.
func TestUnitIsRestartedWhenAsked(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/systemd/system/zk.service", zkUnit("aa").Content)
	s.expect(t,
		s.live("active", "enabled", "42", "aa"),
		call{argv: reload},
		s.live("active", "enabled", "42", "aa"),
		call{argv: "systemctl restart -- zk.service"},
		s.live("active", "enabled", "42", "of-systemd"), // before execve
		s.live("active", "enabled", "42", "aa"))
	unit := zkUnit("aa")
	s.must(bootstrap.Step{Action: bootstrap.ActionRestart, Target: unit.ID(), Was: bootstrap.Thing{Resource: unit}, Want: bootstrap.Thing{Resource: unit}})
	wantEqual(t, s.notes, []string{"restarting zk.service"})
}

func TestOnlyUnitsAreRestarted(t *testing.T) {
	f := file("/etc/a", "x")
	for _, action := range []bootstrap.Action{bootstrap.ActionRestart, bootstrap.ActionKill} {
		wantError(t, newSandbox(t).do(bootstrap.Step{Action: action, Target: f.ID(), Want: bootstrap.Thing{Resource: f}}),
			string(action)+" does not fit file things")
	}
}

// A kill neither writes the unit's file nor starts what it ended: that is systemd's.
func TestUnitIsKilled(t *testing.T) {
	unit := zkUnit("aa")
	kill := bootstrap.Step{Action: bootstrap.ActionKill, Target: unit.ID(), Was: bootstrap.Thing{Resource: unit}, Want: bootstrap.Thing{Resource: unit}}
	for name, tt := range map[string]struct {
		active, pid string
		refused     string
	}{
		"running":          {active: "active", pid: "42"},
		"between restarts": {active: "activating", pid: "0", refused: "want a running main process to kill, it is activating with MainPID 0"},
		"without process":  {active: "active", pid: "0", refused: "want a running main process to kill, it is active with MainPID 0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.put("/etc/systemd/system/zk.service", "edited by hand")
			calls := []call{s.live(tt.active, "enabled", tt.pid, "aa"), {argv: reload}, s.live(tt.active, "enabled", tt.pid, "aa")}
			if tt.refused == "" {
				calls = append(calls, call{argv: "systemctl kill --kill-who=main --signal=SIGKILL -- zk.service"})
			}
			s.expect(t, calls...)
			if tt.refused != "" {
				wantError(t, s.do(kill), tt.refused)
			} else {
				s.must(kill)
				wantEqual(t, s.notes, []string{"killing zk.service"})
			}
			wantEqual(t, s.get("/etc/systemd/system/zk.service"), "edited by hand")
		})
	}
}

func TestUnitOfAnOlderRevisionIsRestarted(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/systemd/system/zk.service", zkUnit("bb").Content) // a crash came before the restart
	s.expect(t,
		s.live("active", "enabled", "42", "aa"),
		call{argv: reload},
		s.live("active", "enabled", "42", "aa"),
		call{argv: "systemctl restart -- zk.service"},
		s.live("active", "enabled", "42", "bb"))
	s.must(creates(zkUnit("bb")))
	wantEqual(t, s.notes, []string{"restarting zk.service"})
}

// Nothing but its file tells with which revision a unit without a process runs.
func TestUnitWithoutProcessIsStoppedBeforeItsFileChanges(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/systemd/system/zk.service", zkUnit("aa").Content)
	s.expect(t,
		s.live("active", "enabled", "0", ""),
		call{argv: "systemctl stop -- zk.service", then: func() {
			wantEqual(t, s.get("/etc/systemd/system/zk.service"), zkUnit("aa").Content)
		}},
		call{argv: reload},
		s.live("inactive", "enabled", "0", ""),
		call{argv: "systemctl reset-failed -- zk.service"},
		call{argv: "systemctl restart -- zk.service"},
		s.live("active", "enabled", "0", ""))
	s.must(creates(zkUnit("bb")))
}

func TestUnitThatShallNotRunIsStoppedAndDisabled(t *testing.T) {
	s := newSandbox(t)
	u := zkUnit("aa")
	u.Running, u.Enabled = false, false
	s.put("/etc/systemd/system/zk.service", u.Content)
	s.expect(t,
		s.live("activating", "enabled", "0", ""),
		call{argv: reload},
		s.live("activating", "enabled", "0", ""),
		call{argv: "systemctl disable -- zk.service"},
		call{argv: "systemctl stop -- zk.service"})
	s.must(creates(u))
}

func TestUnitFailureQuotesTheJournal(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/systemd/system/zk.service", zkUnit("aa").Content)
	s.expect(t,
		s.live("failed", "enabled", "0", ""),
		call{argv: reload},
		s.live("failed", "enabled", "0", ""),
		call{argv: "systemctl reset-failed -- zk.service"},
		call{argv: "systemctl restart -- zk.service", err: failed(1, "Job for zk.service failed because the control process exited with error code.")},
		call{argv: journal + "zk.service", out: "Invalid config\n-Dx.superDigest=super:geheim\n"})
	err := s.do(creates(zkUnit("aa")))
	wantError(t, err, "Job for zk.service failed", "last lines of the journal of zk.service:\nInvalid config")
	if strings.Contains(err.Error(), "geheim") {
		t.Errorf("error tells a secret: %v", err)
	}
}

// A simple service counts as started as soon as its process exists.
func TestUnitThatDiesAtOnceIsAFailure(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/systemd/system/zk.service", zkUnit("aa").Content)
	s.expect(t,
		s.live("inactive", "enabled", "0", ""),
		call{argv: reload},
		s.live("inactive", "enabled", "0", ""),
		call{argv: "systemctl reset-failed -- zk.service"},
		call{argv: "systemctl restart -- zk.service"},
		s.live("active", "enabled", "43", ""),
		s.live("failed", "enabled", "0", ""),
		call{argv: journal + "zk.service", out: "the reason\n"})
	wantError(t, s.do(creates(zkUnit("aa"))), "want it active with ZKBOOT_REV=aa, it is failed", "the reason")
}

// Until execve the main process of a simple service has the environment of systemd, and on a
// slow machine that takes longer than a program may take to show its revision.
func TestUnitIsWaitedForUntilItsProgramRuns(t *testing.T) {
	for name, tt := range map[string]struct {
		before  time.Duration // until the process has its own environment
		rev     string        // what it has then
		refused string
	}{
		"a slow machine":    {before: 90 * time.Second, rev: "aa"},
		"one that hangs":    {before: time.Hour, refused: "want it active with ZKBOOT_REV=aa, it is active with \"\""},
		"another's program": {rev: "bb", refused: "want it active with ZKBOOT_REV=aa, it is active with \"bb\""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSandbox(t)
				s.put("/etc/systemd/system/zk.service", zkUnit("aa").Content)
				s.put("/proc/42/environ", "LANG=C\x00")
				begin := time.Now()
				s.run = func(_ context.Context, argv ...string) (string, error) {
					switch {
					case argv[1] != "show":
						return "", nil
					case time.Since(begin) >= tt.before && tt.rev != "":
						s.put("/proc/42/environ", "LANG=C\x00ZKBOOT_REV="+tt.rev+"\x00")
					}
					return block("zk.service", "loaded", "active", "enabled", "42"), nil
				}
				err := s.awaitRev(t.Context(), zkUnit("aa"))
				if tt.refused != "" {
					wantError(t, err, tt.refused)
				} else if err != nil {
					t.Errorf("after %s: %v", time.Since(begin), err)
				}
				if took := time.Since(begin); took > unitExec+unitPoll {
					t.Errorf("waited %s, want at most %s", took, unitExec)
				}
			})
		})
	}
}

func TestUnitWithoutInstallSectionCannotBeEnabled(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/systemd/system/zk.service", zkUnit("aa").Content)
	s.expect(t, s.live("inactive", "static", "0", ""), call{argv: reload}, s.live("inactive", "static", "0", ""))
	wantError(t, s.do(creates(zkUnit("aa"))), "unit zk.service cannot be enabled: it is static")
}

func TestUnitFailureBlamesItsStep(t *testing.T) {
	s := newSandbox(t)
	a, b := zkUnit("aa"), zkUnit("aa")
	a.Name, a.Running, a.Enabled = "a.service", false, false
	s.put("/etc/systemd/system/a.service", a.Content)
	s.put("/etc/systemd/system/zk.service", b.Content)
	s.expect(t,
		call{argv: showUnits + "a.service zk.service", out: block("a.service", "loaded", "inactive", "disabled", "0") + "\n" + block("zk.service", "loaded", "inactive", "enabled", "0")},
		call{argv: reload},
		call{argv: showUnits + "a.service", out: block("a.service", "loaded", "inactive", "disabled", "0")},
		call{argv: showUnits + "zk.service", out: block("zk.service", "loaded", "inactive", "static", "0")})
	wantError(t, s.do(creates(a), creates(b)), "create unit zk.service (start): ")
}

func TestUnitsBeforeABrokenOneAreBroughtToTheirEnd(t *testing.T) {
	s := newSandbox(t)
	a, b := zkUnit("aa"), zkUnit("aa")
	a.Name, a.Running, a.Enabled = "a.service", false, false
	if err := os.MkdirAll(s.under("/etc/systemd/system/zk.service"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.expect(t,
		call{argv: showUnits + "a.service zk.service", out: block("a.service", "not-found", "inactive", "", "0") + "\n" + block("zk.service", "not-found", "inactive", "", "0")},
		call{argv: reload},
		call{argv: showUnits + "a.service", out: block("a.service", "loaded", "inactive", "disabled", "0")})
	wantError(t, s.do(creates(a), creates(b)), "create unit zk.service (start): ", "is a directory, want a regular file")
	wantEqual(t, s.get("/etc/systemd/system/a.service"), a.Content)
}

func TestUnitDeleteThatBreaksInTheMiddle(t *testing.T) {
	s := newSandbox(t)
	a := zkUnit("aa")
	a.Name = "a.service"
	s.put("/etc/systemd/system/a.service", a.Content)
	s.put("/etc/systemd/system/zk.service", zkUnit("aa").Content)
	s.expect(t,
		call{argv: showUnits + "a.service zk.service", out: block("a.service", "loaded", "inactive", "disabled", "0") + "\n" + block("zk.service", "loaded", "active", "enabled", "42")},
		call{argv: "systemctl stop -- a.service"}, call{argv: "systemctl disable -- a.service"},
		call{argv: "systemctl stop -- zk.service", err: failed(1, "Job for zk.service canceled.")},
		call{argv: journal + "zk.service"},
		call{argv: reload},
		call{argv: "systemctl reset-failed -- a.service"})
	wantError(t, s.do(removes(a), removes(zkUnit("aa"))), "delete unit zk.service: ", "canceled")
	s.absent("/etc/systemd/system/a.service")
	wantEqual(t, s.get("/etc/systemd/system/zk.service"), zkUnit("aa").Content)
}

func TestUnitDelete(t *testing.T) {
	tests := map[string]struct {
		file   bool
		status string
		calls  []call
	}{
		"whole": {true, block("zk.service", "loaded", "active", "enabled", "42"), []call{
			{argv: "systemctl stop -- zk.service"}, {argv: "systemctl disable -- zk.service"}}},
		"file gone": {false, block("zk.service", "loaded", "active", "", "42"), []call{{argv: "systemctl stop -- zk.service"}}},
		"gone":      {false, block("zk.service", "not-found", "inactive", "", "0"), nil},
		"package's": {false, block("zk.service", "loaded", "active", "enabled", "42"), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			if tt.file {
				s.put("/etc/systemd/system/zk.service", zkUnit("aa").Content)
			}
			calls := append([]call{{argv: showUnits + "zk.service", out: tt.status}}, tt.calls...)
			s.expect(t, append(calls, call{argv: reload},
				call{argv: "systemctl reset-failed -- zk.service", err: failed(1, "Unit zk.service not loaded.")})...)
			s.must(removes(zkUnit("aa")))
			s.absent("/etc/systemd/system/zk.service")
		})
	}
}

// A unit of a package that ours stood in front of has no content of its own to restore.
func TestUnitOfAPackageComesBack(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/systemd/system/zk.service", zkUnit("aa").Content)
	s.expect(t,
		s.live("active", "enabled", "42", "aa"),
		call{argv: "systemctl disable -- zk.service"},
		call{argv: reload},
		s.live("active", "disabled", "42", "aa"),
		call{argv: "systemctl enable -- zk.service"},
		call{argv: "systemctl restart -- zk.service"},
		s.live("active", "enabled", "42", ""))
	s.must(creates(bootstrap.Unit{Name: "zk.service", Enabled: true, Running: true}))
	s.absent("/etc/systemd/system/zk.service")
}

func TestParseUnitsErrors(t *testing.T) {
	for src, want := range map[string]string{
		"": "no LoadState or ActiveState",
		block("a.service", "loaded", "active", "", "1") + "\n" + block("b.service", "loaded", "active", "", "1"): "asked for 1 units, was told of 2",
		block("a.service", "loaded", "active", "", "x"):                                                          `MainPID is "x"`,
	} {
		_, err := parseUnits(src, []string{"a.service"})
		wantError(t, err, want)
	}
}

func FuzzParseUnits(f *testing.F) {
	f.Add(block("a.service", "loaded", "active", "enabled", "1") + "\n" + block("b.service", "not-found", "inactive", "", "0"))
	f.Fuzz(func(t *testing.T, src string) {
		units, err := parseUnits(src, []string{"a.service", "b.service"})
		if err == nil && len(units) != 2 {
			t.Errorf("%d units without an error", len(units))
		}
	})
}

func TestMount(t *testing.T) {
	const wipefs = "wipefs --no-act --noheadings --output=TYPE -- /dev/vdb"
	start := []call{{argv: reload}, {argv: "systemctl enable -- srv-zk\\x2dlog.mount"}, {argv: "systemctl start -- srv-zk\\x2dlog.mount"}}
	m := bootstrap.Mount{Path: "/srv/zk-log", Device: "/dev/vdb", FSType: "ext4", Options: []string{"noatime", "nofail"}}
	tests := map[string]struct {
		calls []call
		file  string // in the machine
		err   string
	}{
		"blank device":    {calls: append([]call{{argv: wipefs}, {argv: "mkfs.ext4 -q /dev/vdb"}}, start...)},
		"after a crash":   {calls: append([]call{{argv: wipefs, out: "ext4\n"}}, start...)},
		"other signature": {calls: []call{{argv: wipefs, out: "gpt\nPMBR\n"}}, err: "device /dev/vdb carries gpt, PMBR and is not formatted"},
		"hides files":     {file: "/srv/zk-log/x", err: "/srv/zk-log is not empty; mounting /dev/vdb would hide"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t, tt.calls...)
			if tt.file != "" {
				s.put(tt.file, "x")
			}
			err := s.do(creates(m))
			if tt.err != "" {
				wantError(t, err, tt.err)
				s.absent("/etc/systemd/system/srv-zk\\x2dlog.mount")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.see(m.ID()) != nil {
				t.Error("seen before it is mounted")
			}
			s.put("/proc/self/mountinfo", "36 35 98:0 / /srv/zk-log rw,noatime - ext4 /dev/vdb rw\n")
			wantEqual(t, s.see(m.ID()), bootstrap.Resource(bootstrap.Mount{Path: m.Path, Device: m.Device, FSType: "ext4",
				Options: []string{"noatime", "nofail", "rw"}}))
		})
	}
}

func TestMountThatIsThereIsRemountedAndNeverReplaced(t *testing.T) {
	s := newSandbox(t, call{argv: reload}, call{argv: "systemctl enable -- srv-zk.mount"}, call{argv: "systemctl reload -- srv-zk.mount"})
	s.put("/proc/self/mountinfo", "36 35 98:0 / /srv/zk rw,noatime - ext4 /dev/vdb rw\n")
	m := bootstrap.Mount{Path: "/srv/zk", Device: "/dev/vdb", FSType: "ext4"}
	if s.see(m.ID()) != nil {
		t.Error("a mount that does not come back at boot is seen")
	}
	s.must(creates(m))
	m.Device = "/dev/vdc"
	wantError(t, s.do(creates(m)), "/srv/zk has ext4 of /dev/vdb mounted, want ext4 of /dev/vdc; unmount it by hand")
}

func TestMountOfFstabIsSeen(t *testing.T) {
	s := newSandbox(t)
	s.put("/proc/self/mountinfo", "36 35 98:0 / /srv/zk rw - xfs /dev/vdb rw\n")
	s.put("/etc/fstab", "# /srv/zk\nUUID=1 /srv/zk xfs defaults 0 2\n")
	wantEqual(t, s.see("mount:/srv/zk"), bootstrap.Resource(bootstrap.Mount{Path: "/srv/zk", Device: "/dev/vdb", FSType: "xfs", Options: []string{"rw"}}))
}

func TestMountValuesThatNoUnitCanHold(t *testing.T) {
	for want, m := range map[string]bootstrap.Mount{
		`device "UUID=1" is not an absolute path`: {Path: "/srv/x", Device: "UUID=1", FSType: "ext4"},
		`file system "nfs", want ext4 or xfs`:     {Path: "/srv/x", Device: "/dev/x", FSType: "nfs"},
		"hold a blank, a quote, a backslash or %": {Path: "/srv/x", Device: "/dev/%x", FSType: "ext4"},
	} {
		wantError(t, newSandbox(t).do(creates(m)), want)
	}
}

func TestMountDelete(t *testing.T) {
	s := newSandbox(t, call{argv: "systemctl stop -- srv-zk.mount"}, call{argv: "systemctl disable -- srv-zk.mount"}, call{argv: reload})
	s.put("/etc/systemd/system/srv-zk.mount", "[Mount]\n")
	s.must(removes(bootstrap.Mount{Path: "/srv/zk"}))
	s.must(removes(bootstrap.Mount{Path: "/srv/zk"}))
	s.absent("/etc/systemd/system/srv-zk.mount")
}
