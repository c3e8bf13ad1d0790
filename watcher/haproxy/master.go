package haproxy

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// reloadTimeout is the time a new worker may take to come up. A port that is taken costs
	// two seconds of retries before the load fails (seen on 2.6.12 and 3.0.11).
	reloadTimeout = 30 * time.Second
	reloadPoll    = 10 * time.Millisecond
)

// master is the CLI of the master process.
type master struct {
	dial dialer
	path string
}

// procs is what "show proc" says.
type procs struct {
	reloads, failed int
	worker          int // pid
	old             []oldWorker
}

// oldWorker was replaced and lives on for its connections.
type oldWorker struct{ pid, reloads int }

func (m master) procs(ctx context.Context) (procs, error) {
	text, err := ask(ctx, m.dial, m.path, "show proc", opTimeout)
	if err != nil {
		return procs{}, err
	}
	return parseProcs(text)
}

// parseProcs reads lines such as
//
//	12418           master          2 [failed: 1]   0d00h03m08s     2.6.12
//	# workers
//	12621           worker          1               0d00h02m29s     2.6.12
//	# old workers
func parseProcs(text string) (procs, error) {
	var out procs
	var section string
	seen := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "#"); ok {
			section = strings.TrimSpace(name)
			continue
		}
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		pid, err := strconv.Atoi(f[0])
		reloads, err2 := strconv.Atoi(f[2])
		if err != nil || err2 != nil {
			return procs{}, fmt.Errorf("show proc: expected a pid, a kind and a count of reloads, seen %q", line)
		}
		switch {
		case f[1] == "master":
			seen = true
			out.reloads = reloads
			if len(f) > 4 && f[3] == "[failed:" {
				if out.failed, err = strconv.Atoi(strings.TrimSuffix(f[4], "]")); err != nil {
					return procs{}, fmt.Errorf("show proc: %q: %w", line, err)
				}
			}
		case f[1] == "worker" && section == "workers":
			out.worker = pid
		case f[1] == "worker" && section == "old workers":
			out.old = append(out.old, oldWorker{pid: pid, reloads: reloads})
		}
	}
	if !seen {
		return procs{}, fmt.Errorf("show proc: expected a line of the master, seen %.80q", text)
	}
	return out, nil
}

// masterError is a master that could not be asked.
type masterError struct{ err error }

func (e *masterError) Error() string {
	return "the master of haproxy does not answer: " + e.err.Error()
}
func (e *masterError) Unwrap() error { return e.err }

// reload returns the new worker's pid once the master says that it runs. From 2.7 on the
// answer says whether that worked and why not; on 2.6 it is empty and comes before the
// load, so that "show proc" decides everywhere.
func (m master) reload(ctx context.Context) (pid int, err error) {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	before, err := m.procs(ctx)
	if err != nil {
		return 0, &masterError{err}
	}
	// The master replaces itself while the answer is on its way: an error here says nothing.
	said, _ := ask(ctx, m.dial, m.path, "reload", reloadTimeout)
	for {
		p, err := m.procs(ctx)
		switch {
		case err != nil: // it is loading
		case p.worker != 0 && p.worker != before.worker:
			return p.worker, nil
		case p.failed > before.failed, p.reloads > before.reloads && p.failed > 0:
			return 0, fmt.Errorf("haproxy did not load the new configuration and goes on with the old one%s", alerts(said, ": see its log"))
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("no new worker of haproxy within %s: %w", reloadTimeout, context.Cause(ctx))
		case <-time.After(reloadPoll):
		}
	}
}

// alerts returns the lines of a log that say what went wrong, behind a colon.
func alerts(log, otherwise string) string {
	var out []string
	for line := range strings.Lines(log) {
		if _, text, ok := strings.Cut(line, " : "); ok && strings.HasPrefix(line, "[ALERT]") {
			out = append(out, strings.TrimSpace(text))
		}
	}
	if len(out) == 0 {
		return otherwise
	}
	return ": " + strings.Join(out[:min(len(out), 5)], "; ")
}

// thin ends a tenth of the sessions of an old worker, the oldest first as HAProxy lists them.
func (m master) thin(ctx context.Context, pid int) (int, error) {
	at := fmt.Sprintf("@!%d ", pid)
	text, err := ask(ctx, m.dial, m.path, at+"show sess", opTimeout)
	if err != nil {
		return 0, err
	}
	ids := parseSessions(text)
	n := min(len(ids), max(1, len(ids)/10), maxBatch)
	if n == 0 {
		return 0, nil
	}
	cmds := make([]string, n)
	for i := range cmds {
		// Each command needs the prefix of its own: without it the master takes it for itself.
		cmds[i] = at + "shutdown session " + ids[i]
	}
	if _, err := ask(ctx, m.dial, m.path, strings.Join(cmds, ";"), opTimeout); err != nil {
		return 0, err
	}
	return n, nil
}

// parseSessions reads the ids of client sessions from "show sess": not those of the CLI itself.
func parseSessions(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		id, rest, ok := strings.Cut(line, ": ")
		if ok && strings.HasPrefix(id, "0x") && strings.HasPrefix(rest, "proto=") && !strings.Contains(rest, " fe=GLOBAL ") {
			out = append(out, id)
		}
	}
	return out
}
