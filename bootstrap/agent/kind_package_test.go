package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap"
)

const (
	aptGet  = "apt-get -y -q -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "
	install = aptGet + "--no-install-recommends --no-remove "
	query   = "dpkg-query -W " + dpkgFormat + " -- "
)

// recorded returns what a real program printed; testdata/things/README says how.
func recorded(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "things", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func deb(name, version string, hold bool) bootstrap.Package {
	return bootstrap.Package{Name: name, Version: version, Hold: hold}
}

func TestPackagesAreInstalledTogetherAndHeld(t *testing.T) {
	s := newSandbox(t,
		call{argv: query + "apt tzdata zookeeper", out: "apt\tamd64\tinstall\tinstalled\t2.6.1\n", err: failed(1, "")},
		call{argv: "apt-cache policy -- tzdata zookeeper", out: recorded(t, "policy.txt")},
		call{argv: install + "install tzdata zookeeper=3.8.0-11+deb12u1"},
		call{argv: "apt-mark hold zookeeper"})
	s.must(creates(deb("apt", "", false)), creates(deb("tzdata", "", false)), creates(deb("zookeeper", "3.8.0-11+deb12u1", true)))
	wantEqual(t, s.notes, []string{"installing tzdata zookeeper=3.8.0-11+deb12u1"})
	s.absent(policyPath)
}

func TestPackagesThatAreThereCostNothing(t *testing.T) {
	s := newSandbox(t, call{argv: query + "apt", out: "apt\tamd64\thold\tinstalled\t2.6.1\n"})
	s.must(creates(deb("apt", "2.6.1", true)))
}

func TestPackageIsHeldWithoutBeingTouched(t *testing.T) {
	s := newSandbox(t, call{argv: query + "apt", out: "apt\tamd64\tinstall\tinstalled\t2.6.1\n"}, call{argv: "apt-mark hold apt"})
	s.must(creates(deb("apt", "", true)))
}

func TestHeldPackageChangesItsVersion(t *testing.T) {
	s := newSandbox(t,
		call{argv: query + "apt", out: "apt\tamd64\thold\tinstalled\t2.6.2\n"},
		call{argv: "apt-cache policy -- apt", out: recorded(t, "policy.txt")},
		call{argv: install + "--allow-change-held-packages --allow-downgrades install apt=2.6.1"},
		call{argv: "apt-mark hold apt"}) // apt has taken it away
	s.must(creates(deb("apt", "2.6.1", true)))
}

func TestListsAreFetchedOnlyWhenTheyDoNotKnow(t *testing.T) {
	for name, want := range map[string]bootstrap.Package{
		"unknown package": deb("nano", "", false),
		"unknown version": deb("zookeeper", "3.9.4", false),
	} {
		t.Run(name, func(t *testing.T) {
			spec := want.Name
			if want.Version != "" {
				spec += "=" + want.Version
			}
			s := newSandbox(t,
				call{argv: query + want.Name, err: failed(1, "")},
				call{argv: "apt-cache policy -- " + want.Name, out: recorded(t, "policy.txt")},
				call{argv: updateAll},
				call{argv: install + "install " + spec})
			s.must(creates(want))
		})
	}
}

const updateAll = "apt-get update -q -o APT::Update::Error-Mode=any"

func TestAMirrorThatIsDownIsNamed(t *testing.T) {
	s := newSandbox(t,
		call{argv: query + "nano", err: failed(1, "")},
		call{argv: "apt-cache policy -- nano", out: recorded(t, "policy.txt")},
		call{argv: updateAll, err: failed(100, "E: Failed to fetch http://10.0.0.9:3142/debian/dists/bookworm/InRelease  Could not connect to 10.0.0.9:3142")},
		call{argv: install + "install nano", err: failed(100, "E: Unable to locate package nano")})
	wantError(t, s.do(creates(deb("nano", "", false))), "the mirror http://10.0.0.9:3142 did not give what apt asked for", "Unable to locate package nano")
}

func TestListsThatTheMirrorOutranAreFetchedOnce(t *testing.T) {
	gone := failed(100, "E: Failed to fetch http://deb.debian.org/debian/pool/x.deb  404  Not Found [IP: 1.2.3.4 80]")
	s := newSandbox(t,
		call{argv: query + "zookeeper", err: failed(1, "")},
		call{argv: "apt-cache policy -- zookeeper", out: recorded(t, "policy.txt")},
		call{argv: install + "install zookeeper", err: gone},
		call{argv: updateAll},
		call{argv: install + "install zookeeper", err: gone})
	wantError(t, s.do(creates(deb("zookeeper", "", false))),
		"the mirror http://deb.debian.org did not give what apt asked for", "404  Not Found")
}

func TestPackageErrorsNameTheCause(t *testing.T) {
	for stderr, want := range map[string]string{
		"E: Unable to locate package zookeeper":                                             "apt does not know the package; enable the archive section",
		"dpkg: error: failed to write: No space left on device":                             "the disk is full; free some space and apply again",
		"E: Failed to fetch http://joe:pw@10.0.0.1/x.deb  Could not connect to 10.0.0.1:80": "the mirror http://10.0.0.1 did not give",
		"E: Packages need to be removed but remove is disabled.":                            "the package conflicts with one that is installed",
		"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1":        "another program holds the package lock",
	} {
		t.Run(want, func(t *testing.T) {
			s := newSandbox(t,
				call{argv: query + "apt zookeeper", err: failed(1, "")},
				call{argv: "apt-cache policy -- apt zookeeper", out: recorded(t, "policy.txt")},
				call{argv: install + "install apt zookeeper", err: failed(100, stderr)})
			err := s.do(creates(deb("apt", "", false)), creates(deb("zookeeper", "", false)))
			wantError(t, err, want, "apt-get install ended with status 100")
			if strings.Contains(err.Error(), "joe:pw") {
				t.Errorf("error tells the password: %v", err)
			}
		})
	}
}

// Steps before a broken one count as done, and would be forgotten by their manifest.
func TestPackageErrorCountsNothingAsDone(t *testing.T) {
	s := newSandbox(t,
		call{argv: query + "apt zookeeper", err: failed(1, "")},
		call{argv: "apt-cache policy -- apt zookeeper", out: recorded(t, "policy.txt")},
		call{argv: install + "install apt zookeeper", err: failed(100, "E: Unable to locate package zookeeper")})
	err := s.do(creates(deb("apt", "", false)), creates(deb("zookeeper", "", false)))
	var step *bootstrap.StepError
	if !errors.As(err, &step) || step.Index != 0 {
		t.Errorf("error %v, want a StepError of step 0", err)
	}
	wantError(t, err, "one call for apt zookeeper: ")
}

func TestPackageVersionThatIsNoVersion(t *testing.T) {
	s := newSandbox(t, call{argv: query + "apt", err: failed(1, "")})
	wantError(t, s.do(creates(deb("apt", "1 --reinstall", false))), `package apt: "1 --reinstall" is not a Debian version`)
}

// A package that brings a service of its own name must not start it, and the script that
// says so must be gone afterwards, whatever happened.
func TestFreshPackagesDoNotStartTheirService(t *testing.T) {
	for name, result := range map[string]error{"installed": nil, "failed": failed(100, "E: no")} {
		t.Run(name, func(t *testing.T) {
			var script string
			s := newSandbox(t)
			p := &programs{t: t, calls: []call{
				{argv: query + "zookeeper", err: failed(1, "")},
				{argv: "apt-cache policy -- zookeeper", out: recorded(t, "policy.txt")},
				{argv: install + "install zookeeper", err: result, then: func() { script = s.get(policyPath) }},
			}}
			s.run = p.run
			s.put(policyPath, "#!/bin/sh\n"+policyMark+"\nexit 101\n") // of a run that died
			if err := s.do(creates(deb("zookeeper", "", false))); (err == nil) != (result == nil) {
				t.Errorf("error %v", err)
			}
			s.absent(policyPath)
			if !strings.Contains(script, "\nzookeeper) exit 101;;\n") || !strings.Contains(script, "kill -0 ") {
				t.Errorf("the script was\n%s", script)
			}
		})
	}
}

func TestPolicyOfTheOperatorIsLeftAlone(t *testing.T) {
	s := newSandbox(t,
		call{argv: query + "zookeeper", err: failed(1, "")},
		call{argv: "apt-cache policy -- zookeeper", out: recorded(t, "policy.txt")},
		call{argv: install + "install zookeeper"})
	s.put(policyPath, "#!/bin/sh\nexit 0\n")
	s.must(creates(deb("zookeeper", "", false)))
	wantEqual(t, s.get(policyPath), "#!/bin/sh\nexit 0\n")
}

func TestInterruptedDpkgIsFinishedFirst(t *testing.T) {
	s := newSandbox(t,
		call{argv: "dpkg --force-confdef --force-confold --configure -a"},
		call{argv: query + "apt", out: "apt\tamd64\tinstall\tinstalled\t2.6.1\n"})
	s.put("/var/lib/dpkg/updates/0003", "")
	s.must(creates(deb("apt", "", false)))
}

func TestPackagesThatOthersNeedStay(t *testing.T) {
	simulate := "apt-get -s -q --allow-change-held-packages remove "
	s := newSandbox(t,
		call{argv: query + "curl gcc nano", out: "curl\tamd64\thold\tinstalled\t7\ngcc\tamd64\tinstall\tinstalled\t12\n", err: failed(1, "")},
		call{argv: "apt-mark unhold curl"},
		call{argv: simulate + "curl gcc", out: recorded(t, "remove.txt")},
		call{argv: "apt-mark showauto build-essential g++", out: "g++\n"},
		call{argv: simulate + "curl", out: "Remv curl [7]\n"},
		call{argv: simulate + "gcc", out: recorded(t, "remove.txt")},
		call{argv: "apt-mark showauto build-essential g++", out: "g++\n"},
		call{argv: aptGet + "remove curl"})
	s.must(removes(deb("curl", "", false)), removes(deb("gcc", "", false)), removes(deb("nano", "", false)))
	wantEqual(t, s.notes, []string{"left package gcc: needed by build-essential", "removing curl"})
}

// Removing libzookeeper-java takes junit4 along, which nobody asked for: on Debian 12 a
// destroy stopped there, because junit4 was taken for somebody else's.
func TestWhatCameAsADependencyMayGo(t *testing.T) {
	s := newSandbox(t,
		call{argv: query + "libslf4j-java libzookeeper-java", out: "libslf4j-java\tall\thold\tinstalled\t1.7\nlibzookeeper-java\tall\thold\tinstalled\t3.8\n"},
		call{argv: "apt-mark unhold libslf4j-java libzookeeper-java"},
		call{argv: "apt-get -s -q --allow-change-held-packages remove libslf4j-java libzookeeper-java",
			out: "Remv libzookeeper-java [3.8]\nRemv junit4 [4.13]\nRemv libslf4j-java [1.7]\n"},
		call{argv: "apt-mark showauto junit4", out: "junit4\n"},
		call{argv: aptGet + "remove libslf4j-java libzookeeper-java"})
	s.must(removes(deb("libslf4j-java", "", false)), removes(deb("libzookeeper-java", "", false)))
}

func TestPackageLockIsAwaited(t *testing.T) {
	const lock = "/var/lib/dpkg/lock-frontend"
	s := newSandbox(t)
	s.put(lock, "")
	f, err := os.OpenFile(s.under(lock), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// A lock of this open file conflicts even with this process, and names no process.
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	p := &programs{t: t, calls: []call{{argv: query + "apt", out: "apt\tamd64\tinstall\tinstalled\t2.6.1\n"}}}
	s.run = p.run
	synctest.Test(t, func(t *testing.T) {
		var notes []string
		err := s.apply(t.Context(), []bootstrap.Step{creates(deb("apt", "", false))}, func(n string) {
			notes = append(notes, n)
			if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Error(err)
		}
		wantEqual(t, notes, []string{"waiting for the package lock held by a program outside of this container"})
	})
}

func TestWaitForThePackageLockEnds(t *testing.T) {
	const lock = "/var/lib/apt/lists/lock"
	s := newSandbox(t)
	s.put(lock, "")
	f, err := os.OpenFile(s.under(lock), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		step := creates(deb("apt", "", false))
		wantError(t, s.apply(t.Context(), []bootstrap.Step{step}, nil), "the package lock is held by", "waited 15m0s")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.apply(ctx, []bootstrap.Step{step}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
	})
}

func TestProcessName(t *testing.T) {
	s := newSandbox(t)
	s.put("/proc/812/comm", "unattended-upgr\n")
	wantEqual(t, s.processName(812), "unattended-upgr (pid 812)")
	wantEqual(t, s.processName(813), "pid 813")
}

func TestCandidates(t *testing.T) {
	s := newSandbox(t, call{argv: "apt-cache policy -- nano zookeeper", out: recorded(t, "policy.txt")})
	state, err := s.look(t.Context(), []bootstrap.ID{"candidate:zookeeper", "candidate:nano"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, state, bootstrap.NewState(bootstrap.Candidate{Name: "zookeeper", Version: "3.8.0-11+deb12u2"}))
}

func TestParsePolicy(t *testing.T) {
	got := parsePolicy(recorded(t, "policy.txt"))
	wantEqual(t, got["apt"].versions, []string{"2.6.2", "2.6.1"})
	wantEqual(t, got["zookeeper"].versions, []string{"3.8.0-11+deb12u2", "3.8.0-11+deb12u1"})
	wantEqual(t, got["virtual-only"].candidate, "")
}

func TestPackageHalfInstalledIsAbsent(t *testing.T) {
	for _, status := range []string{"half-configured", "unpacked", "config-files", "not-installed", "triggers-pending"} {
		s := newSandbox(t, call{argv: query + "apt", out: "apt\tamd64\tinstall\t" + status + "\t2.6.1\n"})
		if got := s.see("package:apt"); got != nil {
			t.Errorf("%s: saw %+v", status, got)
		}
	}
}

func TestProgramError(t *testing.T) {
	e := &programError{Argv: []string{"apt-get", "-y", "-o", "A::B=c", "install", "x"}, Status: 100,
		Stdout: "Reading", Stderr: strings.Repeat("line\n", 40) + "E: password=geheim\n"}
	text := e.Error()
	if !strings.HasPrefix(text, "apt-get install ended with status 100: ") || strings.Count(text, "\n") != tailLines-1 || strings.Contains(text, "geheim") {
		t.Errorf("error is %q", text)
	}
}

func FuzzParseDpkg(f *testing.F) {
	f.Add("apt\tamd64\thold\tinstalled\t2.6.1\n")
	f.Fuzz(func(t *testing.T, src string) {
		entries, err := parseDpkg(src)
		if err != nil {
			return
		}
		var b strings.Builder
		for _, e := range entries {
			if strings.ContainsAny(e.name+e.arch+e.version, "\t\n") {
				t.Errorf("a field holds a separator: %+v", e)
			}
			b.WriteString(e.name)
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	f.Add(recorded(f, "policy.txt"))
	f.Fuzz(func(t *testing.T, src string) {
		for name, p := range parsePolicy(src) {
			for _, v := range p.versions {
				if strings.ContainsAny(v, " \n") {
					t.Errorf("%s: version %q", name, v)
				}
			}
		}
	})
}
