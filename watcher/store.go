package watcher

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"github.com/zkboot/zkboot/watcher/config"
)

// Store keeps the sets that are served in one file, so that a start without a registry
// serves what was served before. Empty sets are not kept: nothing would be served from them.
// In memory it has no more than the sets that it was given, shared with whoever gave them, and
// nothing of their text.
type Store struct {
	file string

	mu     sync.Mutex
	sets   map[string]stored
	dirty  bool
	aged   bool   // something was read again and is the same
	notice string // what was wrong with the file that was found
}

// stored is the set of one service. Where it was read is kept with it, because a
// set from another place says nothing about this one.
type stored struct {
	Service   config.Service `json:"service"`
	Revision  int64          `json:"revision"`
	Read      time.Time      `json:"read,omitzero"` // by the wall clock; shown, never computed with
	Instances []Instance     `json:"instances"`
}

// storeFormat is raised when an older zkwatch would misread the file.
const storeFormat = 1

type storeFile struct {
	Format   int               `json:"format"`
	Services map[string]stored `json:"services"`
}

// OpenStore reads what is stored in a directory, which it makes if need be. A file that
// cannot be understood is set aside as sets.json.broken, and the store begins empty; the
// error is of a directory that cannot be made.
func OpenStore(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("the directory for the sets that are served: %w", err)
	}
	halves, err := filepath.Glob(filepath.Join(dir, ".sets.json*")) // of a write that was killed
	if err != nil {
		return nil, err
	}
	for _, half := range halves {
		if err := os.Remove(half); err != nil {
			return nil, fmt.Errorf("removing what an interrupted write left: %w", err)
		}
	}
	s := newStore(filepath.Join(dir, "sets.json"))
	if err := s.read(); err != nil {
		s.notice = fmt.Sprintf("%s: %v; it is set aside, and nothing is served before the registry answers", s.file, err)
		if err := os.Rename(s.file, s.file+".broken"); err != nil {
			s.notice += fmt.Sprintf(" (setting it aside: %v)", err)
		}
		clear(s.sets)
	}
	return s, nil
}

func newStore(file string) *Store {
	return &Store{file: file, sets: map[string]stored{}}
}

// dir is where it keeps its file.
func (s *Store) dir() string { return filepath.Dir(s.file) }

func (s *Store) read() error {
	b, err := os.ReadFile(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.parse(b)
}

func (s *Store) parse(b []byte) error {
	var f storeFile
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	if f.Format != storeFormat {
		return fmt.Errorf("its format is %d, and this zkwatch reads %d", f.Format, storeFormat)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Services)) {
		one := f.Services[name]
		if err := one.check(); err != nil {
			return fmt.Errorf("service %q: %w", name, err)
		}
		s.sets[name] = one
	}
	return nil
}

// check refuses what this program does not write.
func (s stored) check() error {
	if len(s.Instances) == 0 {
		return errors.New("it has no instances")
	}
	for n, i := range s.Instances {
		switch {
		case i.ID == "" || i.Host == "":
			return fmt.Errorf("instance %d has no name or no host", n)
		case i.Port < 1 || i.Port > 65535:
			return fmt.Errorf("instance %q has port %d", i.ID, i.Port)
		case i.Weight < 0 || i.Weight > MaxWeight:
			return fmt.Errorf("instance %q has weight %d", i.ID, i.Weight)
		case n > 0 && s.Instances[n-1].ID >= i.ID:
			return fmt.Errorf("instance %q is out of order", i.ID)
		}
	}
	return nil
}

// get returns what is stored of a service, if it was read from the same place.
func (s *Store) get(name string, at config.Service) (stored, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.sets[name]
	return one, ok && one.Service == at
}

// put stores a set, to be written with the next flush. It reports whether there is anything
// to write: that the same set was read again is not worth it, and is written along with others.
func (s *Store) put(name string, one stored) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(one.Instances) == 0 {
		s.forget(name)
		return s.dirty
	}
	old, ok := s.sets[name]
	same := ok && old.Service == one.Service && old.Revision == one.Revision && sameSet(old.Instances, one.Instances)
	if same && old.Read.Equal(one.Read) {
		return s.dirty
	}
	s.sets[name] = one
	s.dirty, s.aged = s.dirty || !same, true
	return s.dirty
}

// keep forgets all services but these.
func (s *Store) keep(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.sets {
		if !slices.Contains(names, name) {
			s.forget(name)
		}
	}
}

func (s *Store) forget(name string) {
	if _, ok := s.sets[name]; ok {
		delete(s.sets, name)
		s.dirty = true
	}
}

// close is the last flush. It writes the ages as well.
func (s *Store) close() error {
	s.mu.Lock()
	s.dirty = s.dirty || s.aged
	s.mu.Unlock()
	return s.flush()
}

// flush writes the file, whole and at once, when anything was stored since the last time. What
// is stored meanwhile is written the next time at the latest.
func (s *Store) flush() error {
	names := s.take()
	if names == nil {
		return nil
	}
	if err := s.write(names); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dirty = true
		return fmt.Errorf("writing the sets that are served: %w", err)
	}
	return nil
}

// take returns the services to be written, sorted, or nil when there is nothing to write.
func (s *Store) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty {
		return nil
	}
	s.dirty, s.aged = false, false
	return append([]string{}, slices.Sorted(maps.Keys(s.sets))...) // not nil: that all are gone is worth a write
}

func (s *Store) write(names []string) error {
	f, err := renameio.NewPendingFile(s.file, renameio.WithTempDir(s.dir()), renameio.WithPermissions(0o640), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer f.Cleanup()
	w := bufio.NewWriterSize(f, 64<<10)
	if err := s.encode(w, names); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// encode writes the text of the file, a service at a time: of 10,000 instances it is 1.3 MB,
// which nobody needs in one piece. The loop can store on in between, as nothing is locked
// while a service is encoded.
func (s *Store) encode(w io.Writer, names []string) error {
	if _, err := fmt.Fprintf(w, "{\"format\":%d,\"services\":{", storeFormat); err != nil {
		return err
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	between := "\n"
	for _, name := range names {
		s.mu.Lock()
		one, ok := s.sets[name]
		s.mu.Unlock()
		if !ok {
			continue // it was forgotten meanwhile, and the file is written again for that
		}
		key, err := json.Marshal(name)
		if err != nil {
			return fmt.Errorf("service %q: %w", name, err)
		}
		text.Reset()
		text.WriteString(between)
		text.Write(key)
		text.WriteByte(':')
		if err := encoder.Encode(one); err != nil {
			return fmt.Errorf("service %q: %w", name, err)
		}
		text.Truncate(text.Len() - 1) // Encode ends with a newline
		if _, err := w.Write(text.Bytes()); err != nil {
			return err
		}
		between = ",\n"
	}
	_, err := io.WriteString(w, "\n}}\n")
	return err
}
