package haproxy

import (
	"context"
	"crypto/sha256"
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
	// forgetAfter is how long the text of the slots is kept after the last change of the file.
	forgetAfter = 10 * time.Second
)

// fileState is what is known of the file on disk.
type fileState struct {
	primed  bool
	doubt   bool      // others may have changed it
	sum     sum       // of what it was when it was right
	written time.Time // or found to be right
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

// sum tells one text from another without keeping it.
type sum [sha256.Size]byte

// content writes a text.
type content func(io.Writer) error

func (c content) sum() (out sum, err error) {
	h := sha256.New()
	err = c(h)
	h.Sum(out[:0])
	return out, err
}

// contentOf is what a file has.
func contentOf(file string) content {
	return func(w io.Writer) error {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	}
}

// wantedFile returns what writes the file as it shall be, and its key. The caller holds the
// lock; the writing needs none, as sections are made anew and never changed.
func (s *Sink) wantedFile(reload bool) (wanted content, key string) {
	doc, sections := s.doc, map[string][]byte{}
	for _, name := range doc.backends() {
		if b := s.backend(name); b != nil {
			sections[name] = b.section(s.o.Config.SlotsMin, reload).text
		}
	}
	return func(w io.Writer) error { return doc.write(w, func(name string) []byte { return sections[name] }) }, s.key(reload)
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
	if !reload && !s.fileDue() {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.dirty
	}
	s.mu.Lock()
	s.prime()
	wanted, key := s.wantedFile(reload)
	why, refused := s.reloads.refused[key]
	s.dirty, s.file.doubt = false, false // a change from here on sets it again
	running, checked := s.running(), key == s.file.checked || key == s.file.runs
	s.mu.Unlock()

	have, err := contentOf(s.o.Config.File).sum()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.wrote(sum{}, err, out)
	}
	want, _ := wanted.sum() // a hash takes everything
	if err == nil && have == want {
		return s.wrote(want, nil, out)
	}
	if refused {
		s.o.Log.Debug("haproxy: this file was refused before", "why", why)
		return false
	}
	fresh := !strings.HasPrefix(key, running) // another structure than the one that runs
	err = s.write(ctx, wanted, !checked, fresh && s.isLoaded(running))
	var bad *checkError
	if errors.As(err, &bad) {
		s.mu.Lock()
		s.refuse(err.Error(), out)
		s.mu.Unlock()
		return false
	}
	if err == nil {
		s.mu.Lock()
		s.file.checked = key
		s.mu.Unlock()
		out.Actions = append(out.Actions, watcher.Action{Kind: "write", Text: s.o.Config.File, Why: "to be what HAProxy serves when it is restarted"})
	}
	return s.wrote(want, err, out)
}

// fileDue says whether the file may be other than it has to be, and may be written now. Where
// only others can have changed it, it is read: nothing has to be rendered for that.
func (s *Sink) fileDue() bool {
	s.mu.Lock()
	s.prime()
	s.forgetSections()
	dirty, doubt, right := s.dirty, s.file.doubt, s.file.sum
	due := (dirty || doubt) && time.Until(s.file.next) <= 0
	s.mu.Unlock()
	if !due || dirty {
		return due
	}
	if have, err := contentOf(s.o.Config.File).sum(); err != nil || have != right {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file.doubt = false
	return s.dirty
}

// forgetSections frees the text of the slots when the file has not changed for a while: all of
// it is made again in milliseconds, which is too long for each of many changes. The caller holds
// the lock.
func (s *Sink) forgetSections() {
	if s.dirty || s.file.written.IsZero() || time.Since(s.file.written) < forgetAfter {
		return
	}
	s.file.written = time.Time{}
	for _, b := range s.backends {
		b.touch()
	}
}

// isLoaded says whether the file on disk is of the structure that HAProxy runs.
func (s *Sink) isLoaded(running string) bool {
	text, err := os.ReadFile(s.o.Config.File)
	if err != nil {
		return false
	}
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

// wrote notes how a write went, and of what. Trouble is an alarm once, not with each attempt.
func (s *Sink) wrote(what sum, err error, out *watcher.Outcome) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.file.sum, s.file.written = what, time.Now()
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
func (s *Sink) write(ctx context.Context, wanted content, check, keep bool) error {
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
	if err := wanted(tmp); err != nil {
		return err
	}
	if check {
		if err := s.checkWhole(ctx, tmp.Name()); err != nil {
			return err
		}
	}
	if keep {
		have, err := os.ReadFile(file)
		if err != nil {
			return err
		}
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
