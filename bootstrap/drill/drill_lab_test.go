//go:build lab

package drill_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/drill"
	"github.com/zkboot/zkboot/bootstrap/lab"
	"github.com/zkboot/zkboot/bootstrap/ssh"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
	"github.com/zkboot/zkboot/bootstrap/zookeeper/zookeepertest"
)

// stand is an ensemble of three on real hosts, of a release without the faults that lose data
// by themselves. Its ticks are short, so that a member is given up within two seconds.
type stand struct {
	lab  *lab.Lab
	spec *bootstrap.Spec
}

func (s stand) open(ctx context.Context, host string) (bootstrap.Host, error) {
	return ssh.Opener(ssh.OpenOptions{Patience: 5 * time.Second})(ctx, s.spec, host)
}

func newStand(t *testing.T) stand {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // a cold cache takes minutes
	defer cancel()
	release := zookeepertest.Release(t)
	dir, name := t.TempDir(), fmt.Sprintf("dr%d", os.Getpid())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, name, ""); err != nil {
			t.Error(err)
		}
	})
	l, err := lab.Up(ctx, lab.Options{Name: name, ZooKeeper: 3, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var hosts, members []string
	for i, h := range l.Hosts {
		hosts = append(hosts, fmt.Sprintf("  %s: {address: %s, host_key: %q}", h.Name, h.Address, h.HostKey))
		members = append(members, fmt.Sprintf("%s: {id: %d}", h.Name, i+1))
	}
	text := fmt.Sprintf("name: drill\nssh: {user: debian, identity_files: [%s], config_file: none}\nhardware: {profile: lab}\nhosts:\n%s\n"+
		"ensemble:\n  members: {%s}\n  source: %s\n  heap: 128MiB\n  config: {tickTime: 500, initLimit: 20, syncLimit: 4}\n",
		filepath.Join(dir, "id_ed25519"), strings.Join(hosts, "\n"), strings.Join(members, ", "), release.Source(""))
	spec, report := bootstrap.Load("zkboot.yaml", []byte(text))
	if report.Failed() {
		t.Fatal(report.Err())
	}
	s := stand{l, spec}
	s.apply(t, bootstrap.Intent{Verb: bootstrap.VerbConverge})
	return s
}

func (s stand) apply(t *testing.T, in bootstrap.Intent) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	e := &bootstrap.Engine{Roles: []bootstrap.Role{zookeeper.New()}, Open: ssh.Opener(ssh.OpenOptions{}), Who: "drill test"}
	defer e.Close()
	plan, report := e.Plan(ctx, s.spec, in)
	if plan == nil {
		t.Fatal(report.Err())
	}
	if report := e.Apply(ctx, plan); report.Failed() {
		t.Fatal(report.Err())
	}
}

// found reports whether a drill has found that a leader that lived through the fault came back
// with digest mismatches, and named that member and no other. ZooKeeper 3.9.6 does that now and
// then (seen in one of two runs of these drills, after pause-leader): what the old leader had proposed and nobody
// acknowledged is in its tree, or is counted as if it were. Nothing that was acknowledged may be
// lost by it, and the member begins anew.
func found(r drill.Result) bool {
	return r.Verdict == drill.Fail && !r.DigestsEqual && r.LostAcks == 0 && r.TwoLeaders == 0 && r.Linearizable == "yes" &&
		len(r.Suspects) == 1 && len(r.Hosts) == 1 && r.Suspects[0].Host == r.Hosts[0] && strings.Contains(r.Suspects[0].Why, "zk_digest_mismatches_count")
}

// drill runs one drill, and shows what it found where the test does not like it.
func (s stand) drill(t *testing.T, name string, d time.Duration) drill.Result {
	t.Helper()
	fault, err := drill.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	begin := time.Now()
	r, err := drill.Run(ctx, drill.Options{Spec: s.spec, Open: s.open, Hand: drill.OnLab(s.lab, s.spec), Fault: fault, Rate: 100, Duration: d,
		Who: "drill test", Say: func(text string) { t.Logf("%5.1fs %s", time.Since(begin).Seconds(), text) }})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_ = r.WriteText(&b) // a buffer takes everything
	t.Logf("after %s:\n%s", time.Since(begin).Round(time.Second/10), &b)
	return r
}

// TestDrills hurts an ensemble in ways that must cost no acknowledged write, never make two
// leaders take writes, and leave equal data. One after the other, so that the later ones
// start from what the earlier ones left.
func TestDrills(t *testing.T) {
	s := newStand(t)
	for _, tt := range []struct {
		fault    string
		duration time.Duration
		gap      time.Duration // at most
		survives bool          // the process of the old leader goes on
	}{
		{"kill-leader", 8 * time.Second, 10 * time.Second, false},
		// The client of a paused member leaves it after two thirds of its session timeout of 10s.
		{"pause-leader", 16 * time.Second, 2*time.Second + 7*time.Second + 5*time.Second, true},
		{"partition-leader-out", 10 * time.Second, 10 * time.Second, true},
		// The others may go on electing the one that does not hear them, see its gap.
		{"partition-leader-in", 10 * time.Second, 5*time.Second + 10*time.Second, true},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			r := s.drill(t, tt.fault, tt.duration)
			if tt.survives && found(r) {
				t.Logf("%s is in doubt (%s) and begins anew", r.Hosts[0], r.Suspects[0].Why)
				s.apply(t, bootstrap.Intent{Verb: bootstrap.VerbReplace, Hosts: r.Hosts})
			} else if r.Verdict != drill.Pass || r.LostAcks != 0 || r.TwoLeaders != 0 || !r.DigestsEqual || r.Linearizable != "yes" {
				t.Errorf("want a pass, found %+v", r)
			}
			if gap := time.Duration(r.WriteGapMS) * time.Millisecond; gap > tt.gap {
				t.Errorf("a client waited %s, want %s at most", gap, tt.gap)
			}
			if r.Writes < 100 || r.Reads < 50 || len(r.Hosts) != 1 || r.Elections == 0 && tt.fault != "partition-leader-in" {
				t.Errorf("too little happened for a verdict: %+v", r)
			}
		})
	}
	t.Run("nothing is left behind", s.tidy)
}

// tidy looks for znodes of the drills: none may be there.
func (s stand) tidy(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h, err := s.open(ctx, "zk1")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	c, err := zookeeper.Dial(ctx, s.spec, "zk1", h)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, path := range []string{"/zkboot-drill-0", "/zkboot-drill-3", "/zkboot-drill-zk1", "/zkboot-drill-zk3"} {
		if _, _, err := c.Get(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
}
