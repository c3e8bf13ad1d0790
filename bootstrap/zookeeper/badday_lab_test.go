//go:build lab

package zookeeper_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
	"github.com/zkboot/zkboot/bootstrap/ssh"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// days is what all bad days share: one lab, the program, and a line to each host that can
// be cut.
type days struct {
	lab     *lab.Lab
	dir     string
	program string
	lines   map[string]*line
	random  *rand.Rand

	packages map[string]func() error // by host: waits until the packages are there

	stands shape // what the ensemble was last brought to; any other restarts every member
	solo   bool  // zk1 may have something of the ensemble "solo"
}

// TestBadDays has one part for each bad day that needs real hosts; docs/BAD-DAYS.md says
// where the others are tested. A part brings the lab into the state that it starts from, so
// that each can be run alone; in this order they have the least to do: those that need the
// fixed release come last, since data of one release is not handed to the other.
func TestBadDays(t *testing.T) {
	d := newDays(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"refused version", d.refusedVersion},
		{"foreign data", d.foreignData},
		{"member of another ensemble", d.otherEnsemble},
		{"occupied port", d.occupiedPort},
		{"first apply of a host", d.firstApply},
		{"host that is off, isolated or frozen", d.unreachableHost},
		{"power cut of all during formation", d.powerCutInFormation},
		{"cut and killed during formation", d.cutInFormation},
		{"destroy keeps data, apply adopts it", d.destroyAndAdopt},
		{"cut and killed during a roll", d.cutInRoll},
		{"host reboots during a roll", d.rebootInRoll},
		{"member down while another must restart", d.memberDown},
		{"crash between write and restart", d.lostRestart},
		{"drift is put back", d.drift},
		{"all members stopped", d.allStopped},
		{"changes roll, leader last", d.rollLeaderLast},
		{"leader killed between turns", d.leaderKilled},
		{"restart in turn, leader last", d.restartLeaderLast},
		{"restart killed between turns", d.restartKilled},
		{"restart refused while a member is down", d.restartRefused},
		{"archive", d.fromArchive},
	} {
		t.Run(part.name, func(t *testing.T) {
			start := time.Now()
			defer func() {
				t.Logf("took %s", time.Since(start).Round(time.Second/10))
				if t.Failed() {
					d.tell(t)
				}
			}()
			part.run(t)
		})
	}
}

func newDays(t *testing.T) *days {
	d := daysOn(t, "bd", 3)
	for _, h := range d.lab.Hosts[1:] {
		d.install(t, h)
	}
	return d
}

// daysOn makes a lab of so many hosts, and the program.
func daysOn(t *testing.T, prefix string, hosts int) *days {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a cold cache takes over a minute
	defer cancel()
	d := &days{dir: t.TempDir(), lines: map[string]*line{}, packages: map[string]func() error{}}
	name := fmt.Sprintf("%s%d", prefix, os.Getpid())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, name, ""); err != nil {
			t.Error(err)
		}
	})
	if _, err := ssh.Agents(); err != nil {
		t.Fatalf("`make agents` first: %v", err)
	}
	d.program = filepath.Join(d.dir, "zkboot")
	built := make(chan error, 1)
	go func() { // while hosts boot
		out, err := exec.CommandContext(ctx, "go", "build", "-o", d.program, "github.com/zkboot/zkboot/cmd/zkboot").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("go build: %w\n%s", err, out)
		}
		built <- err
	}()
	var err error
	d.lab, err = lab.Up(ctx, lab.Options{Name: name, ZooKeeper: hosts, Dir: filepath.Join(d.dir, "lab")})
	if err := errors.Join(err, <-built); err != nil {
		t.Fatal(err)
	}
	for _, h := range d.lab.Hosts {
		d.lines[h.Name] = newLine(t, h.Address.String()+":22")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	d.random = rand.New(rand.NewPCG(seed, 0))
	return d
}

// install brings the packages of a member in the background, so that applies on this host
// take seconds and find packages that zkboot did not install. zk1 gets them from zkboot.
func (d *days) install(t *testing.T, h *lab.Host) {
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	done := make(chan error, 1)
	go func() {
		_, err := h.Exec(ctx, "sh", "-c", "DEBIAN_FRONTEND=noninteractive apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "+
			"openjdk-17-jre-headless libzookeeper-java libservlet-api-java libslf4j-java")
		done <- err
	}()
	wait := sync.OnceValue(func() error { return <-done })
	d.packages[h.Name] = wait
	t.Cleanup(func() { cancel(); _ = wait() })
}

// shape is a spec of the lab; zero fields stand for what works.
type shape struct {
	name   string   // default "bad"
	hosts  []string // default all
	accept string   // default the issue of Debian 12
	source string   // default apt
	heap   string   // default 128MiB
	config string   // more lines of zoo.cfg as a YAML flow mapping
	direct bool     // not over the lines that can be cut
}

// spec writes the spec and loads it.
func (d *days) spec(t *testing.T, sh shape) (*bootstrap.Spec, string) {
	t.Helper()
	or := func(v, usual string) string {
		if v == "" {
			return usual
		}
		return v
	}
	var hosts, members []string
	for i, h := range d.lab.Hosts {
		if len(sh.hosts) > 0 && !slices.Contains(sh.hosts, h.Name) {
			continue
		}
		way := fmt.Sprintf("{address: 127.0.0.1, port: %d}", d.lines[h.Name].port())
		if sh.direct {
			way = "{}"
		}
		hosts = append(hosts, fmt.Sprintf("  %s: {address: %s, host_key: %q, ssh: %s}", h.Name, h.Address, h.HostKey, way))
		members = append(members, fmt.Sprintf("%s: {id: %d}", h.Name, i+1))
	}
	text := fmt.Sprintf(`name: %s
ssh: {user: debian, identity_files: [%s/lab/id_ed25519], config_file: none}
hardware: {profile: lab}
hosts:
%s
ensemble:
  members: {%s}
  source: %s
  accept_known_issues: [%s]
  heap: %s
  config: {%s}
`, or(sh.name, "bad"), d.dir, strings.Join(hosts, "\n"), strings.Join(members, ", "), or(sh.source, "{apt: {}}"),
		or(sh.accept, "ZOOKEEPER-4785"), or(sh.heap, "128MiB"), sh.config)
	file := filepath.Join(d.dir, or(sh.name, "bad")+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, report := bootstrap.Load(file, []byte(text))
	if report.Failed() {
		t.Fatal(report.Err())
	}
	return s, file
}

// engine is a run of zkboot inside this process, so that its errors can be told apart.
func (d *days) engine(t *testing.T, watch func(bootstrap.Event)) *bootstrap.Engine {
	e := &bootstrap.Engine{Roles: []bootstrap.Role{zookeeper.New()}, Who: "bad-day", Events: watch}
	e.Open = ssh.Opener(ssh.OpenOptions{Progress: func(host, note string) {
		e.Emit(bootstrap.Event{Kind: bootstrap.EventNote, Host: host, Step: note})
	}})
	t.Cleanup(func() { _ = e.Close() }) // what a cut left of it; every other run closes it itself
	return e
}

// plan looks and plans.
func (d *days) plan(t *testing.T, s *bootstrap.Spec) (*bootstrap.Plan, bootstrap.Report) {
	t.Helper()
	e := d.engine(t, nil)
	defer e.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return e.Plan(ctx, s, bootstrap.Intent{Verb: bootstrap.VerbConverge})
}

// run plans and applies; watch hears the progress, one event at a time.
func (d *days) run(t *testing.T, s *bootstrap.Spec, in bootstrap.Intent, watch func(bootstrap.Event)) bootstrap.Report {
	t.Helper()
	e := d.engine(t, watch)
	defer e.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	plan, report := e.Plan(ctx, s, in)
	if plan == nil {
		return report
	}
	report.Merge(e.Apply(ctx, plan))
	return report
}

func (d *days) apply(t *testing.T, s *bootstrap.Spec, watch func(bootstrap.Event)) bootstrap.Report {
	t.Helper()
	return d.run(t, s, bootstrap.Intent{Verb: bootstrap.VerbConverge}, watch)
}

// watch hears the progress of a run that goes on beside the test.
type watch struct {
	mu     sync.Mutex
	said   []string
	ended  chan struct{}
	report bootstrap.Report
}

// begin starts an apply beside the test.
func (d *days) begin(t *testing.T, s *bootstrap.Spec) *watch {
	t.Helper()
	w := &watch{ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		w.report = d.apply(t, s, func(ev bootstrap.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.said = append(w.said, fmt.Sprintf("%s: %s: %s", ev.Host, ev.Kind, ev.Step))
		})
	}()
	t.Cleanup(func() { <-w.ended })
	return w
}

// heard returns the first line of progress with those words.
func (w *watch) heard(words string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.said, func(line string) bool { return strings.Contains(line, words) })
	if i < 0 {
		return ""
	}
	return w.said[i]
}

// await waits for those words and returns their line. A run that ends before is a failure.
func (w *watch) await(t *testing.T, words string) string {
	t.Helper()
	within(t, 4*time.Minute, func() bool {
		over := false
		select {
		case <-w.ended:
			over = true
		default:
		}
		if w.heard(words) == "" && over {
			t.Fatalf("the run ended without %q: %v", words, w.report.Err())
		}
		return w.heard(words) != ""
	})
	return w.heard(words)
}

func (d *days) host(t *testing.T, name string) *lab.Host {
	t.Helper()
	h, err := d.lab.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// sh runs a script as root on a host and returns what it prints.
func (d *days) sh(t *testing.T, host, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := d.host(t, host).Exec(ctx, "sh", "-ec", script)
	if err != nil {
		t.Fatalf("%s: %s: %v\n%s", host, script, err, out)
	}
	return strings.TrimSpace(out)
}

// tell logs how the members stand and what they said last.
func (d *days) tell(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var b bytes.Buffer
	for _, h := range d.lab.Hosts {
		out, err := h.Exec(ctx, "sh", "-c", "systemctl --no-pager --lines=0 status 'zookeeper-*'; journalctl --no-pager -u 'zookeeper-*' | grep -i -e unrecoverable -e mismatch -e 'not match' -e truncat -e 'ERROR' | tail -20; journalctl --no-pager -n 25 -u 'zookeeper-*'; ls -lR /var/lib/zookeeper* | tail -40")
		fmt.Fprintf(&b, "--- %s (%v)\n%s\n", h.Name, err, out)
	}
	t.Log(b.String())
}
