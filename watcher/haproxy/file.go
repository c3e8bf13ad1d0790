package haproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/zkboot/zkboot/watcher"
)

const (
	// writeEvery is the least time between two writes that only keep the file in step with
	// what HAProxy was told already.
	writeEvery = time.Second
	// writeRetry is the pause after a write that failed, on a full disk for one.
	writeRetry   = 10 * time.Second
	checkTimeout = 30 * time.Second
)

// fileState is what is known of the file on disk.
type fileState struct {
	primed  bool
	next    time.Time // no write before
	checked string    // shapeKey that `haproxy -c` accepted
	runs    string    // shapeKey of what HAProxy runs, empty when that is not known
	trouble string    // of the last write, so that it is reported once
}

// lastGood is the file that HAProxy last loaded, kept while another one is tried.
func (s *Sink) lastGood() string { return s.o.Config.File + ".lkg" }

// prime reads the file, so that a host that starts without its registry knows what it
// served, and the slots stay where they are. The caller holds the lock.
func (s *Sink) prime() {
	if s.file.primed {
		return
	}
	s.file.primed = true
	// What a crash left behind: renameio's names, in a directory that is ours.
	leftovers, _ := filepath.Glob(filepath.Join(filepath.Dir(s.o.Config.File), "."+filepath.Base(s.o.Config.File)+"*"))
	for _, f := range leftovers {
		_ = os.Remove(f) // it is in nobody's way
	}
	b, err := os.ReadFile(s.o.Config.File)
	if err != nil {
		return // there is none yet, or the write to come says why it cannot be read
	}
	_, slots, ok := parseDocument(b)
	if !ok {
		s.o.Log.Warn("haproxy: the file is not as zkwatch left it and will be written anew", "file", s.o.Config.File)
		return
	}
	for _, b := range s.backends {
		if len(b.servers) == 0 {
			b.prime(slots[b.name])
		}
	}
}

// wantedFile returns what renders the file as it shall be, and its key. The caller holds the
// lock; the rendering needs none, as sections are made anew and never changed.
func (s *Sink) wantedFile(reload bool) (render func() []byte, key string) {
	doc, sections := s.doc, map[string][]byte{}
	for _, name := range doc.backends() {
		if b := s.backend(name); b != nil {
			sections[name] = b.section(s.o.Config.SlotsMin, reload).text
		}
	}
	return func() []byte { return doc.render(func(name string) []byte { return sections[name] }) }, s.key(reload)
}

// key returns the shapeKey of the file that is wanted.
func (s *Sink) key(reload bool) string {
	return shapeKey(s.doc, func(name string) int {
		b := s.backend(name)
		if b == nil {
			return 0
		}
		return b.section(s.o.Config.SlotsMin, reload).slots
	})
}

// flush brings the file in step, behind the runtime changes: a HAProxy that others restart
// then serves the same. It says whether the file is what it has to be. Nothing is written
// when nothing differs.
func (s *Sink) flush(ctx context.Context, reload bool, out *watcher.Outcome) bool {
	s.mu.Lock()
	s.prime()
	dirty, wait := s.dirty, time.Until(s.file.next) > 0
	if !reload && (!dirty || wait) {
		s.mu.Unlock()
		return !dirty
	}
	render, key := s.wantedFile(reload)
	why, refused := s.reloads.refused[key]
	s.dirty = false // a change from here on sets it again
	running, checked := s.running(), key == s.file.checked || key == s.file.runs
	s.mu.Unlock()

	text := render()
	have, err := os.ReadFile(s.o.Config.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.wrote(err, out)
	}
	if bytes.Equal(have, text) {
		return s.wrote(nil, out)
	}
	if refused {
		s.o.Log.Debug("haproxy: this file was refused before", "why", why)
		return false
	}
	fresh := !strings.HasPrefix(key, running) // another structure than the one that runs
	err = s.write(ctx, text, have, !checked, fresh && s.isLoaded(have, running))
	var bad *checkError
	if errors.As(err, &bad) {
		s.mu.Lock()
		s.refuse(err.Error(), out)
		s.mu.Unlock()
		return false
	}
	if err != nil {
		return s.wrote(err, out)
	}
	s.mu.Lock()
	s.file.checked = key
	s.mu.Unlock()
	out.Actions = append(out.Actions, watcher.Action{Kind: "write", Text: s.o.Config.File, Why: "to be what HAProxy serves when it is restarted"})
	return s.wrote(nil, out)
}

// isLoaded says whether a file is of the structure that HAProxy runs.
func (s *Sink) isLoaded(text []byte, running string) bool {
	doc, _, ok := parseDocument(text)
	return ok && doc.shape == running
}

// running is the shape that HAProxy has, empty when that is not known.
func (s *Sink) running() string {
	if s.rt == nil {
		return ""
	}
	return s.rt.shape
}

// wrote notes how a write went. Trouble is an alarm once, not with each attempt.
func (s *Sink) wrote(err error, out *watcher.Outcome) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.file.next, s.file.trouble = time.Time{}, ""
		// A file without instances is the worst to be reloaded from: the first ones do not wait.
		if slices.ContainsFunc(s.backends, func(b *backend) bool { return b.known }) {
			s.file.next = time.Now().Add(writeEvery)
		}
		return true
	}
	s.dirty, s.file.next = true, time.Now().Add(writeRetry)
	if err.Error() != s.file.trouble {
		s.file.trouble = err.Error()
		out.Actions = append(out.Actions, watcher.Action{Kind: "refused", Text: "write " + s.o.Config.File, Why: s.file.trouble})
	}
	return false
}

// write replaces the file: beside it, checked, synced, renamed. A shape that was checked or
// runs is not checked again, since only numbers and addresses in its slots are new. With
// keep the old file stays as the last good one.
func (s *Sink) write(ctx context.Context, text, have []byte, check, keep bool) error {
	file := s.o.Config.File
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp, err := renameio.NewPendingFile(file, renameio.WithTempDir(dir), renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer tmp.Cleanup()
	if _, err := io.Copy(tmp, bytes.NewReader(text)); err != nil {
		return err
	}
	if check {
		if err := s.checkWhole(ctx, tmp.Name()); err != nil {
			return err
		}
	}
	if keep {
		if err := renameio.WriteFile(s.lastGood(), have, 0o644, renameio.WithTempDir(dir)); err != nil {
			return err
		}
	}
	if err := tmp.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// checkError is a verdict of `haproxy -c`, as opposed to a program that could not be run.
type checkError struct{ said string }

func (e *checkError) Error() string { return "haproxy -c refuses the file" + e.said }

// checkWhole checks the file together with those that HAProxy reads before it. Where those
// fail by themselves, ours is judged alone: zkwatch may not be allowed to read what they
// name, such as keys, and another's mistake shall not stop it.
func (s *Sink) checkWhole(ctx context.Context, file string) error {
	before := s.o.Config.Before
	err := s.check(ctx, append(slices.Clone(before), file))
	var bad *checkError
	if len(before) == 0 || !errors.As(err, &bad) {
		return err
	}
	if alone := s.check(ctx, before); !errors.As(alone, &bad) {
		return err
	}
	s.o.Log.Warn("haproxy: the operator's files do not pass haproxy -c here; zkwatch's is checked alone", "files", before, "error", err)
	return s.check(ctx, []string{file})
}

func (s *Sink) checkFiles(ctx context.Context, files []string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	args := []string{"-c"}
	for _, f := range files {
		args = append(args, "-f", f)
	}
	said, err := exec.CommandContext(ctx, s.o.Config.Binary, args...).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("haproxy -c did not end within %s: %w", checkTimeout, context.Cause(ctx))
	case errors.As(err, &exit) && exit.Exited():
		return &checkError{said: alerts(string(said), ": "+exit.String())}
	}
	return fmt.Errorf("haproxy -c: %w", err)
}
