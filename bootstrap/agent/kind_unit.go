package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

const (
	// unitSettle bounds the wait for a started unit to show its own revision.
	unitSettle = 10 * time.Second
	// unitExec bounds it instead as long as the main process has the environment of
	// systemd, which it has until execve: before that it makes what the unit asks for, and
	// an emulated machine on a busy one takes more than unitSettle to do so.
	unitExec = 2 * time.Minute
	unitPoll = 50 * time.Millisecond
	// journalLines is how much of a unit's journal an error carries.
	journalLines = 20
)

// applyUnits writes or removes the files of the whole run, reloads systemd once, and
// then starts, restarts or stops one unit after the other.
func (m *machine) applyUnits(ctx context.Context, w work) error {
	names := make([]string, len(w.steps))
	for i, s := range w.steps {
		names[i] = s.Target.Name()
	}
	status, err := m.statuses(ctx, names)
	if err != nil {
		return w.broke(0, err)
	}
	if w.deletes {
		return m.deleteUnits(ctx, w, status)
	}
	// Steps before a broken one count as done, so they are brought to their end.
	written := len(w.steps)
	var broke error
	for i, s := range w.steps {
		want, _ := s.Want.Resource.(bootstrap.Unit)
		if s.Action == bootstrap.ActionKill { // its file is none of the step's business
			continue
		}
		if err := m.putUnitFile(ctx, want, status[want.Name]); err != nil {
			written, broke = i, w.broke(i, err)
			break
		}
	}
	// Also when no file changed: a crash may have come between a write and its reload.
	if err := m.systemctl(ctx, "daemon-reload"); err != nil {
		return w.broke(0, err)
	}
	for i, s := range w.steps[:written] {
		want, _ := s.Want.Resource.(bootstrap.Unit)
		if s.Action == bootstrap.ActionKill {
			if err := m.killUnit(ctx, want.Name, w.note); err != nil {
				return w.broke(i, err)
			}
			continue
		}
		want.Running = want.Running && s.Action != bootstrap.ActionStop
		if err := m.setUnit(ctx, want, s.Action == bootstrap.ActionRestart, w.note); err != nil {
			return w.broke(i, err)
		}
	}
	return broke
}

func (m *machine) systemctl(ctx context.Context, args ...string) error {
	_, err := m.run(ctx, append([]string{"systemctl"}, args...)...)
	return err
}

// putUnitFile writes the file when it differs. A unit that is active without a process
// is stopped first, because nothing but its file tells with which revision it runs.
func (m *machine) putUnitFile(ctx context.Context, want bootstrap.Unit, st unitStatus) error {
	content, err := m.unitFile(want.Name)
	if err != nil || string(content) == want.Content {
		return err
	}
	if content != nil && st.active == "active" && st.pid == 0 {
		if err := m.systemctl(ctx, "stop", "--", want.Name); err != nil {
			return m.unitFailure(ctx, want.Name, err)
		}
	}
	if want.Content == "" { // the unit of a package comes back from behind ours
		if err := m.systemctl(ctx, "disable", "--", want.Name); err != nil {
			return err
		}
		return m.deleteFile(unitPath(want.Name))
	}
	return m.write(unitPath(want.Name), []byte(want.Content),
		rights{mode: 0o644, owner: strconv.Itoa(os.Geteuid()), group: strconv.Itoa(os.Getegid())})
}

// setUnit enables or disables one unit and sees to it that it runs, with the wanted
// revision, or does not. With anew it gets a new process in any case.
func (m *machine) setUnit(ctx context.Context, want bootstrap.Unit, anew bool, note func(string)) error {
	status, err := m.statuses(ctx, []string{want.Name})
	if err != nil {
		return err
	}
	st := status[want.Name]
	switch enabled := m.startsAtBoot(want.Name, st); {
	case want.Enabled && !enabled && linked(st.file):
		return fmt.Errorf("unit %s cannot be enabled: it is %s, its file has no [Install] section", want.Name, st.file)
	case want.Enabled && !enabled:
		err = m.systemctl(ctx, "enable", "--", want.Name)
	case !want.Enabled && enabled:
		err = m.systemctl(ctx, "disable", "--", want.Name)
	}
	if err != nil {
		return err
	}
	rev, alive := m.liveRev(st, want.Content)
	running := st.active == "active" && alive
	switch {
	case want.Running && running && rev == want.Rev && !anew:
		return nil
	case want.Running:
		return m.startUnit(ctx, want, running, note)
	case st.active != "inactive" && st.active != "failed":
		note("stopping " + want.Name)
		if err := m.systemctl(ctx, "stop", "--", want.Name); err != nil {
			return m.unitFailure(ctx, want.Name, err)
		}
	}
	return nil
}

// killUnit ends the main process of a running unit without a word to it. What systemd does
// about that is the unit's own Restart=. --kill-who is what systemd before 252 knows and
// later ones still take: https://www.freedesktop.org/software/systemd/man/252/systemctl.html
func (m *machine) killUnit(ctx context.Context, name string, note func(string)) error {
	status, err := m.statuses(ctx, []string{name})
	if err != nil {
		return err
	}
	if st := status[name]; st.active != "active" || st.pid == 0 {
		return fmt.Errorf("unit %s: want a running main process to kill, it is %s with MainPID %d", name, st.active, st.pid)
	}
	note("killing " + name)
	return m.systemctl(ctx, "kill", "--kill-who=main", "--signal=SIGKILL", "--", name)
}

// startUnit waits for systemd's job and then for the revision to show: a simple service
// whose program dies at once counts as started too.
func (m *machine) startUnit(ctx context.Context, want bootstrap.Unit, running bool, note func(string)) error {
	if running {
		note("restarting " + want.Name)
	} else {
		note("starting " + want.Name)
		// A unit that crashed too often is not started before its counter is reset. One
		// that systemd has not loaded has no counter, which is an error of no interest.
		if err := m.systemctl(ctx, "reset-failed", "--", want.Name); err != nil && ctx.Err() != nil {
			return err
		}
	}
	// restart starts what is stopped, and ends a wait for an automatic restart.
	if err := m.systemctl(ctx, "restart", "--", want.Name); err != nil {
		return m.unitFailure(ctx, want.Name, err)
	}
	return m.awaitRev(ctx, want)
}

// awaitRev waits until the unit shows the wanted revision. One that lives for a moment
// longer than that is for the role's own gate to find.
func (m *machine) awaitRev(ctx context.Context, want bootstrap.Unit) error {
	begin := time.Now()
	tick := time.NewTicker(unitPoll)
	defer tick.Stop()
	for {
		status, err := m.statuses(ctx, []string{want.Name})
		if err != nil {
			return err
		}
		st := status[want.Name]
		rev, alive := m.liveRev(st, want.Content)
		if st.active == "active" && alive && rev == want.Rev {
			return nil
		}
		failed := fmt.Errorf("unit %s: want it active with ZKBOOT_REV=%s, it is %s with %q", want.Name, want.Rev, st.active, rev)
		if st.active == "failed" { // systemd has given up
			return m.unitFailure(ctx, want.Name, failed)
		}
		limit := unitSettle
		if st.active == "active" && st.pid != 0 && alive && rev == "" {
			limit = unitExec
		}
		if time.Since(begin) >= limit {
			return m.unitFailure(ctx, want.Name, failed)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// unitFailure adds the end of the unit's journal to an error.
func (m *machine) unitFailure(ctx context.Context, name string, err error) error {
	log, logErr := m.run(ctx, "journalctl", "--no-pager", "--quiet", "--output=cat", "--lines="+strconv.Itoa(journalLines), "--unit="+name)
	log = strings.TrimSpace(log)
	if logErr != nil || log == "" {
		return err
	}
	return fmt.Errorf("%w\nlast lines of the journal of %s:\n%s", err, name, redact(lastLines(log, journalLines)))
}

// deleteUnits stops and disables each unit before its file goes: without the file
// systemctl disable does not find what to unlink.
func (m *machine) deleteUnits(ctx context.Context, w work, status map[string]unitStatus) error {
	deleted := len(w.steps)
	var broke error
	for i, s := range w.steps {
		name := s.Target.Name()
		w.note("stopping " + name)
		if err := m.deleteUnit(ctx, name, status[name]); err != nil {
			deleted, broke = i, w.broke(i, err)
			break
		}
	}
	if err := m.systemctl(ctx, "daemon-reload"); err != nil {
		return w.broke(0, err)
	}
	for _, s := range w.steps[:deleted] {
		// Fails for every unit that has not failed; a left-over mark harms nobody.
		if err := m.systemctl(ctx, "reset-failed", "--", s.Target.Name()); err != nil && ctx.Err() != nil {
			return w.broke(0, err)
		}
	}
	return broke
}

func (m *machine) deleteUnit(ctx context.Context, name string, st unitStatus) error {
	_, err := os.Lstat(m.under(unitPath(name)))
	ours := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !ours && st.file != "" {
		return nil // systemd has a file of a package for it, which is not ours to stop
	}
	if st.load != "not-found" || st.active != "inactive" {
		if err := m.systemctl(ctx, "stop", "--", name); err != nil {
			return m.unitFailure(ctx, name, err)
		}
	}
	if !ours {
		return nil
	}
	if err := m.systemctl(ctx, "disable", "--", name); err != nil {
		return err
	}
	return m.deleteFile(unitPath(name))
}
