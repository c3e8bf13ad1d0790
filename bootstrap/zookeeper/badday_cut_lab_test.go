//go:build lab

package zookeeper_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
)

// About how many events a run emits, without the ticking of the hardware probe: an apply
// on bare hosts, and one that restarts every member.
const (
	eventsInAFormation = 46
	eventsInARoll      = 60
)

// moment is a random event of a run in the given third of it, and of that in the part that
// belongs to this round: together the rounds cover the whole run.
func (d *days) moment(events, third, round, rounds int) int {
	part := (float64(round) + d.random.Float64()) / float64(rounds)
	return 1 + int(float64(events)*(float64(third)+part)/3)
}

// ticks reports whether an event is only the hardware probe counting.
func ticks(step string) bool {
	return strings.HasPrefix(step, "fsync") || strings.HasPrefix(step, "jitter")
}

// afterwards is a random time by which something comes later than the event it follows.
func (d *days) afterwards(limit time.Duration) time.Duration {
	return time.Duration(d.random.Int64N(int64(limit)))
}

// cutRun applies and, after the given number of events, cuts one host off: its line is
// reset, or its agent is killed. It reports whether that broke the run.
func (d *days) cutRun(t *testing.T, s *bootstrap.Spec, moment int) bool {
	t.Helper()
	names := s.HostNames()
	host := names[d.random.IntN(len(names))]
	later, kill := d.afterwards(400*time.Millisecond), d.random.IntN(3) == 0
	cut := func() { d.lines[host].cut() }
	how := "line reset"
	if kill {
		how = "agent killed"
		cut = func() { d.killAgent(host) }
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	seen, at := 0, ""
	report := d.apply(t, s, func(ev bootstrap.Event) {
		if ticks(ev.Step) {
			return
		}
		if seen++; seen == moment {
			at = ev.Host + ": " + string(ev.Kind) + ": " + ev.Step
			wg.Go(func() { <-time.After(later); cut() })
		}
	})
	err := report.Err()
	t.Logf("event %d (%s) + %s: %s of %s: %v", moment, at, later.Round(time.Millisecond), how, host, err)
	switch {
	case err == nil:
		return false
	case unfinished(err):
		return false
	case at == "":
		t.Errorf("failed before anything was cut: %v", err)
	case !strings.Contains(err.Error(), host):
		t.Errorf("the error does not name %s: %v", host, err)
	case !errors.Is(err, bootstrap.ErrUnreachable) && !strings.HasPrefix(err.Error(), "ensemble."): // a check says what it saw
		t.Errorf("the loss of %s is no ErrUnreachable: %v", host, err)
	}
	return true
}

// killAgent ends the agents of a host. It may find none: then the run ended before.
func (d *days) killAgent(host string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	h, err := d.lab.Host(host)
	if err == nil {
		_, _ = h.Exec(ctx, "pkill", "-KILL", "-f", "^/usr/lib/zkboot/zkagent-") // inside the lab host alone
	}
}

// killRun runs the program and sends it a signal after the given number of events. It
// returns its exit code, -1 when the signal itself ended it, and what it said.
func (d *days) killRun(t *testing.T, file string, moment int, sig os.Signal) (code int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.program, "apply", "--auto-approve", "--output", "json", "-f", file)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	later, last, seen := d.afterwards(400*time.Millisecond), "", 0
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		if !strings.Contains(line, `"type":"event"`) || ticks(stepOf(line)) {
			continue
		}
		if seen++; seen == moment {
			last = strings.TrimSpace(line)
			<-time.After(later)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, _ = io.Copy(io.Discard, lines)
	_ = cmd.Wait() // ProcessState holds what it returns
	t.Logf("event %d (%s) + %s: %s: exit %d", moment, last, later.Round(time.Millisecond), sig, cmd.ProcessState.ExitCode())
	return cmd.ProcessState.ExitCode(), said.String()
}

// stepOf is the step in a JSON line of progress.
func stepOf(line string) string {
	_, rest, _ := strings.Cut(line, `"step":"`)
	return rest
}

// free waits until no agent of a run that was killed holds the lock of a host.
func (d *days) free(t *testing.T) {
	t.Helper()
	within(t, time.Minute, func() bool {
		for _, h := range allHosts() {
			if d.sh(t, h, "flock -n /run/zkboot/lock true && echo free || test ! -e /run/zkboot/lock && echo free || echo held") == "held" {
				return false
			}
		}
		return true
	})
}

// cutInFormation stops three runs in every round, each further on than the one before: two
// by a cut, one by killing the program. Then the next run must converge.
func (d *days) cutInFormation(t *testing.T) {
	s, file := d.spec(t, shape{})
	const rounds = 4
	killed, broke := 0, 0
	for round := range rounds {
		d.bare(t)
		for third := range 3 {
			d.free(t)
			moment := d.moment(eventsInAFormation, third, round, rounds)
			if third != round%3 {
				if d.cutRun(t, s, moment) {
					broke++
				}
			} else if code, _ := d.killRun(t, file, moment, syscall.SIGKILL); code == -1 {
				killed++
			}
		}
		d.free(t)
		d.converge(t, s)
		d.noMarkers(t)
	}
	t.Logf("%d runs killed, %d cut", killed, broke)
	if killed < rounds-1 || broke < rounds {
		t.Errorf("%d runs killed and %d cut of %d and %d are too few to say anything", killed, broke, rounds, 2*rounds)
	}
}

// noMarkers checks that no member could vote without data at its next start.
func (d *days) noMarkers(t *testing.T) {
	t.Helper()
	for _, h := range allHosts() {
		if left := d.sh(t, h, "find /var/lib/zookeeper /var/lib/zookeeper-log -name initialize"); left != "" {
			t.Errorf("%s: %s is still there in a formed ensemble", h, left)
		}
	}
}

// cutInRoll does the same to a change that restarts every member, and to data that is
// there: one run ends by SIGKILL, one by SIGINT.
func (d *days) cutInRoll(t *testing.T) {
	d.formed(t)
	d.keep(t, "/kept-through-cuts")
	for round, sig := range []os.Signal{syscall.SIGKILL, syscall.SIGINT} {
		sh := d.stands
		sh.heap = []string{"144MiB", "136MiB"}[round]
		s, file := d.spec(t, sh)
		for third := range 3 {
			d.free(t)
			moment := d.moment(eventsInARoll, third, round, 2)
			if third != round {
				d.cutRun(t, s, moment)
				continue
			}
			code, said := d.killRun(t, file, moment, sig)
			if sig == syscall.SIGINT && (code != 130 || !strings.Contains(said, "run apply again to go on")) {
				t.Errorf("SIGINT: exit %d, want 130 and how to go on:\n%s", code, said)
			}
		}
		d.free(t)
		d.converge(t, s)
		d.stands = sh
		d.kept(t, "/kept-through-cuts")
	}
}

// powerCutInFormation takes the power from all hosts: once when every member has its
// initialize marker and none has started, once when some have used theirs up.
func (d *days) powerCutInFormation(t *testing.T) {
	for _, moment := range []struct {
		words string
		later time.Duration
	}{
		{"done: form the ensemble", 0},
		{"starting zookeeper-bad.service", d.afterwards(3 * time.Second)},
	} {
		d.bare(t)
		s, _ := d.spec(t, shape{})
		w := d.begin(t, s)
		w.await(t, moment.words)
		<-time.After(moment.later)
		d.all(t, (*lab.Host).PowerCut)
		for _, l := range d.lines {
			l.cut()
		}
		<-w.ended
		t.Logf("%q + %s: %v", moment.words, moment.later.Round(time.Millisecond), w.report.Err())
		d.all(t, (*lab.Host).Start)
		d.converge(t, s)
		d.noMarkers(t)
	}
}

// all does something to every host at once.
func (d *days) all(t *testing.T, do func(*lab.Host, context.Context) error) {
	t.Helper()
	errs := make([]error, len(d.lab.Hosts))
	var wg sync.WaitGroup
	for i, h := range d.lab.Hosts {
		wg.Go(func() { errs[i] = do(h, t.Context()) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
