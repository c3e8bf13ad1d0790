package bootstrap_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
)

var reboot = bootstrap.Intent{Verb: bootstrap.VerbReboot}

// bootable is a site that stands, on machines that say which boot they are in.
func bootable(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	for host, m := range s.machines {
		m.Facts.BootID = host + "-boot-0"
	}
	s.mustConverge(t)
	s.role.done = nil
	return s
}

func TestRebootOfEveryMemberInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bootable(t)
		golden(t, "plan/reboot.txt", []byte(s.plan(t, reboot).String()))
		for _, m := range s.machines {
			m.Lingers, m.Boots = 2, 3 // the old boot answers for a while, then nobody
		}
		if err := s.apply(t, reboot).Err(); err != nil {
			t.Fatal(err)
		}
		want := []string{"without [zk1]", "everyone [zk1]", "without [zk2]", "everyone [zk2]", "without [zk3]", "everyone [zk3]"}
		if diff := cmp.Diff(want, s.role.done); diff != "" {
			t.Errorf("gates (-want +got):\n%s", diff)
		}
		for _, host := range s.spec.MemberNames() {
			if n := s.machines[host].Booted(); n != 1 {
				t.Errorf("%s was rebooted %d times, want once", host, n)
			}
		}
		if p := s.plan(t, converge); !p.Empty() {
			t.Errorf("the reboot left something to apply:\n%s", p)
		}
	})
}

// The lock is held in the new boot as well: nobody else changes the host before the gates.
func TestRebootTakesTheLockAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bootable(t)
		e := s.engine(t)
		p, r := e.Plan(t.Context(), s.spec, reboot)
		if r.Failed() {
			t.Fatal(r.Err())
		}
		if err := e.Apply(t.Context(), p).Err(); err != nil {
			t.Fatal(err)
		}
		for host, m := range s.machines {
			if err := m.Open().Lock(t.Context(), "somebody else"); slices.Contains(s.spec.MemberNames(), host) && !errors.Is(err, bootstrap.ErrLocked) {
				t.Errorf("%s: %v, want it locked by the run", host, err)
			}
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A host that never leaves its old boot, or never comes back, ends the run at its turn.
func TestRebootThatDoesNotEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		lingers, boots int
		want           string
	}{
		"it stays in the old boot": {1 << 20, 0, "it is still in the old boot"},
		"it does not come back":    {0, 1 << 20, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := bootable(t)
				s.machines["zk2"].Lingers, s.machines["zk2"].Boots = tt.lingers, tt.boots
				e := s.engine(t)
				e.BootPatience = time.Minute
				p, r := e.Plan(t.Context(), s.spec, reboot)
				if r.Failed() {
					t.Fatal(r.Err())
				}
				r = e.Apply(t.Context(), p)
				if !errors.Is(r.Err(), bootstrap.ErrUnreachable) || r.Findings[0].Host != "zk2" || !strings.Contains(r.Err().Error(), tt.want) ||
					!strings.Contains(r.Err().Error(), "within 1m0s") {
					t.Errorf("got %v", r.Err())
				}
				if n := s.machines["zk3"].Booted(); n != 0 {
					t.Error("zk3 was rebooted although zk2 is not back")
				}
			})
		})
	}
}

// An agent that ends with its session cannot tell that the reboot has worked. The host can.
func TestRebootWhoseAnswerIsCutOff(t *testing.T) {
	broken := errors.New("context canceled")
	for name, tt := range map[string]struct {
		said    error
		lingers int
		within  time.Duration
	}{
		"the agent ended, the host reboots":       {broken, 1, time.Minute},
		"the connection ended, the host reboots":  {bootstrap.ErrUnreachable, 1, time.Minute},
		"the host says no and stays":              {broken, 1 << 20, 3 * time.Minute},
		"the host is another than in the plan":    {bootstrap.ErrStale, 1 << 20, time.Second},
		"somebody else has taken the host's lock": {bootstrap.ErrLocked, 1 << 20, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := bootable(t)
				s.machines["zk1"].Lingers, s.machines["zk1"].RebootErr = tt.lingers, tt.said
				start := time.Now()
				err := s.apply(t, reboot).Err()
				if took := time.Since(start); took > tt.within {
					t.Errorf("took %s, want at most %s", took, tt.within)
				}
				switch reboots := tt.lingers == 1; {
				case reboots && err != nil:
					t.Errorf("got %v, want the run to go on", err)
				case !reboots && (!errors.Is(err, tt.said) || !strings.Contains(err.Error(), "zk1")):
					t.Errorf("got %v, want %v of zk1", err, tt.said)
				}
			})
		})
	}
}

func TestRebootOnlyWhereRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bootable(t)
		s.machines["zk2"].Facts.RebootRequired = []string{"linux-image-amd64"}
		required := reboot
		required.Required = true
		text := s.plan(t, required).String()
		if !strings.Contains(text, "  zk2\n    reboot the host (/run/reboot-required of linux-image-amd64)\n") || strings.Contains(text, "zk1\n") {
			t.Errorf("got:\n%s", text)
		}
		if err := s.apply(t, required).Err(); err != nil {
			t.Fatal(err)
		}
		if p := s.plan(t, required); !p.Empty() {
			t.Errorf("a second run has something to do:\n%s", p)
		}
	})
}

func TestNeedsReboot(t *testing.T) {
	for name, tt := range map[string]struct {
		running   string
		installed []string
		note      []string
		want      string
	}{
		"nothing":                      {"6.1.0-18-amd64", []string{"6.1.0-18-amd64", "6.1.0-9-amd64"}, nil, ""},
		"a container":                  {"6.18.0", nil, nil, ""},
		"a newer kernel":               {"6.1.0-9-amd64", []string{"6.1.0-18-amd64", "6.1.0-21-amd64", "6.1.0-9-amd64"}, nil, "kernel 6.1.0-9-amd64 -> 6.1.0-21-amd64"},
		"one of another flavour":       {"6.1.0-9-cloud-amd64", []string{"6.1.0-21-amd64", "6.1.0-9-cloud-amd64"}, nil, ""},
		"Ubuntu":                       {"6.8.0-31-generic", []string{"6.8.0-31-generic", "6.8.0-100-generic"}, nil, "kernel 6.8.0-31-generic -> 6.8.0-100-generic"},
		"a note without names":         {"6.1.0-9-amd64", nil, []string{}, "/run/reboot-required"},
		"a note and the kernel behind": {"6.1.0-9-amd64", []string{"6.1.0-18-amd64"}, []string{"linux-image-amd64"}, "kernel 6.1.0-9-amd64 -> 6.1.0-18-amd64; /run/reboot-required of linux-image-amd64"},
	} {
		t.Run(name, func(t *testing.T) {
			why, required := bootstrap.NeedsReboot(bootstrap.Facts{Kernel: tt.running, Kernels: tt.installed, RebootRequired: tt.note})
			if why != tt.want || required != (tt.want != "") {
				t.Errorf("found %q, %t; want %q", why, required, tt.want)
			}
		})
	}
}

func TestRebootIsRefusedWhereTheBootIsNotKnown(t *testing.T) {
	s := bootable(t)
	s.machines["zk2"].Facts.BootID = ""
	_, r := s.engine(t).Plan(t.Context(), s.spec, reboot)
	if !errors.Is(r.Err(), bootstrap.ErrRefused) || r.Findings[0].Host != "zk2" {
		t.Errorf("got %v", r.Err())
	}
}
