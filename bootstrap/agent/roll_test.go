package agent

import (
	"errors"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

// about is a step from one version of a thing to another.
func about(a bootstrap.Action, was, want bootstrap.Resource) bootstrap.Step {
	return bootstrap.Step{Action: a, Owner: "main.zookeeper", Target: want.ID(), Was: bootstrap.Thing{Resource: was}, Want: bootstrap.Thing{Resource: want}}
}

const heldApt = "apt\tamd64\thold\tinstalled\t2.6.0\n"

func TestPackageIsFetchedAndNotInstalled(t *testing.T) {
	s := newSandbox(t,
		call{argv: query + "apt", out: heldApt},
		call{argv: "apt-cache policy -- apt", out: recorded(t, "policy.txt")},
		call{argv: install + "--download-only --allow-change-held-packages install apt=2.6.1"})
	s.must(about(bootstrap.ActionFetch, deb("apt", "2.6.0", true), deb("apt", "2.6.1", true)))
	wantEqual(t, s.notes, []string{"downloading apt=2.6.1"})
}

// An upgrade never lets apt go back, which a version that a spec pins may.
func TestPackageIsUpgradedAndHeldAgain(t *testing.T) {
	s := newSandbox(t,
		call{argv: query + "apt", out: heldApt},
		call{argv: "apt-cache policy -- apt", out: recorded(t, "policy.txt")},
		call{argv: install + "--allow-change-held-packages install apt=2.6.1"},
		call{argv: "apt-mark hold apt"})
	s.must(about(bootstrap.ActionUpgrade, deb("apt", "2.6.0", true), deb("apt", "2.6.1", true)))
}

func TestUnitIsStoppedAndStaysEnabled(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/systemd/system/zk.service", zkUnit("aa").Content)
	s.expect(t,
		s.live("active", "enabled", "42", "aa"),
		call{argv: reload},
		s.live("active", "enabled", "42", "aa"),
		call{argv: "systemctl stop -- zk.service"})
	s.must(about(bootstrap.ActionStop, zkUnit("aa"), zkUnit("aa")))
	wantEqual(t, s.notes, []string{"stopping zk.service"})
}

func TestMachineIsRebooted(t *testing.T) {
	s := newSandbox(t, call{argv: "systemctl is-system-running", out: "degraded\n", err: failed(1, "")})
	s.put(bootIDPath, "b1\n")
	wantEqual(t, s.see("boot:machine"), bootstrap.Resource(bootstrap.Boot{BootID: "b1", Up: true}))
	s.expect(t, call{argv: "systemctl is-system-running", out: "starting\n", err: failed(1, "")})
	wantEqual(t, s.see("boot:machine"), bootstrap.Resource(bootstrap.Boot{BootID: "b1"}))
	s.expect(t, call{argv: "systemctl --no-block --no-wall reboot"})
	s.must(about(bootstrap.ActionReboot, bootstrap.Boot{BootID: "b1"}, bootstrap.Boot{Why: "a new kernel"}))
	wantEqual(t, s.notes, []string{"rebooting"})
}

// On its way down a container shows the boot id of the kernel, which is another.
func TestBootOfAMachineOnItsWayDown(t *testing.T) {
	for out, want := range map[string]string{"stopping\n": "the machine is stopping", "": "no answer"} {
		err := failed(1, "")
		if out == "" {
			err = nil
		}
		s := newSandbox(t, call{argv: "systemctl is-system-running", out: out, err: err})
		s.put(bootIDPath, "of-the-kernel\n")
		if why := s.unread("boot:machine"); !strings.Contains(why, want) {
			t.Errorf("%q: unread because of %q, want %q", out, why, want)
		}
	}
}

// The plan was made in one boot and the host is in another: somebody has rebooted it since.
func TestRebootOfAnotherBootIsStale(t *testing.T) {
	f := newFakeThings(bootstrap.Boot{BootID: "b2"})
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	err := h.Change(t.Context(), about(bootstrap.ActionReboot, bootstrap.Boot{BootID: "b1"}, bootstrap.Boot{}))
	if !errors.Is(err, bootstrap.ErrStale) || len(f.runs) > 0 {
		t.Errorf("got %v after %v, want it stale and nothing done", err, f.runs)
	}
}

func TestTracelessStepsThatContradictThemselves(t *testing.T) {
	unit, stopped := zkUnit("aa"), zkUnit("aa")
	stopped.Running = false
	nothing := about(bootstrap.ActionUpgrade, nil, deb("apt", "2", true))
	nothing.Was = bootstrap.Thing{}
	for name, st := range map[string]bootstrap.Step{
		"fetch without a version":     about(bootstrap.ActionFetch, deb("apt", "1", true), deb("apt", "", true)),
		"upgrade of what is not here": nothing,
		"upgrade of a unit":           about(bootstrap.ActionUpgrade, unit, unit),
		"stop of a package":           about(bootstrap.ActionStop, deb("apt", "1", true), deb("apt", "1", true)),
		"stop of what shall not run":  about(bootstrap.ActionStop, unit, stopped),
		"reboot of an unknown boot":   about(bootstrap.ActionReboot, bootstrap.Boot{}, bootstrap.Boot{}),
		"reboot of a unit":            about(bootstrap.ActionReboot, unit, unit),
		"reboot without an owner":     {Action: bootstrap.ActionReboot, Target: "boot:machine", Was: bootstrap.Thing{Resource: bootstrap.Boot{BootID: "b1"}}, Want: bootstrap.Thing{Resource: bootstrap.Boot{}}},
	} {
		if err := valid(st); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Nothing of it is remembered: the manifest is the one of before, also when it is cut off.
func TestTracelessStepsLeaveTheManifestAlone(t *testing.T) {
	owner := bootstrap.Owner("main.zookeeper")
	f := newFakeThings()
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	d := bootstrap.Desired{Resources: []bootstrap.Resource{deb("apt", "", true), zkUnit("aa")}}
	if err := h.Change(t.Context(), plan(t, h, owner, d, bootstrap.Intent{})...); err != nil {
		t.Fatal(err)
	}
	f.have["package:apt"] = deb("apt", "1", true)
	before, err := h.store.load()
	if err != nil {
		t.Fatal(err)
	}
	f.runs = nil
	up := about(bootstrap.ActionUpgrade, deb("apt", "1", true), deb("apt", "2", true))
	fetch := up
	fetch.Action = bootstrap.ActionFetch
	running, _ := f.have["unit:zk.service"].(bootstrap.Unit)
	stop, start := about(bootstrap.ActionStop, running, zkUnit("aa")), about(bootstrap.ActionRestart, running, zkUnit("aa"))
	if err := h.Change(t.Context(), fetch, stop, up, start); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, f.runs, []string{"fetch package:apt;", "stop unit:zk.service;", "upgrade package:apt;", "restart unit:zk.service;"})
	after, err := h.store.load()
	if err != nil {
		t.Fatal(err)
	}
	if !before.equal(after) {
		t.Errorf("manifests before:\n%+v\nafter:\n%+v", before, after)
	}
	up.Owner, fetch.Owner = "other.zookeeper", "other.zookeeper"
	if err := h.Change(t.Context(), up); !errors.Is(err, bootstrap.ErrStale) {
		t.Errorf("an upgrade by who does not own the package: %v, want it stale", err)
	}
}
