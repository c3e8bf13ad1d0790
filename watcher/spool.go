package watcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// A spool is a directory in which a file named after a registration drains it, or one
// named "all" drains them all; below .stopped a file says that the service was stopped on
// purpose. Files, because anybody can see, make and remove them, also while zkwatch is down.
type spool struct{ dir string }

const (
	spoolAll     = "all"
	spoolStopped = ".stopped" // names of registrations do not begin with a dot, and neither do marks
	spoolBytes   = 4 << 10    // of a mark are read
	spoolEvery   = time.Second
)

// mark is why a registration is drained.
type mark struct {
	Reason string
	Until  time.Time // by the wall clock; zero for no end
}

func (m mark) expired(now time.Time) bool { return !m.Until.IsZero() && now.After(m.Until) }

// spoolFile is what the hacheck of Yelp writes (hacheck/spool.py,
// serialize_spool_file_contents): times are seconds of Unix. Older ones hold the reason as
// plain text.
type spoolFile struct {
	Reason     string   `json:"reason"`
	Expiration *float64 `json:"expiration"`
	Creation   *float64 `json:"creation"`
}

// parseMark reads a mark. There is no wrong one: a file that is there drains.
func parseMark(b []byte) mark {
	f := spoolFile{}
	if err := json.Unmarshal(b, &f); err != nil {
		return mark{Reason: line(b)}
	}
	m := mark{Reason: line([]byte(f.Reason))}
	if e := f.Expiration; e != nil && *e >= 0 && *e < 1<<40 {
		sec, frac := math.Modf(*e)
		m.Until = time.Unix(int64(sec), int64(frac*1e9))
	}
	return m
}

// text is the content of a mark that parseMark reads the same.
func (m mark) text(now time.Time) ([]byte, error) {
	seconds := func(t time.Time) *float64 { f := float64(t.UnixNano()) / 1e9; return &f }
	f := spoolFile{Reason: m.Reason, Creation: seconds(now)}
	if !m.Until.IsZero() {
		f.Expiration = seconds(m.Until)
	}
	return json.Marshal(f)
}

// marks is what a spool holds.
type marks struct {
	drain   map[string]mark // by name, and "all"
	stopped map[string]bool
}

// read returns what is there now. A directory that does not exist is empty. An error means
// that nothing is known, which is not the same as that nothing is there.
func (s spool) read(now time.Time) (marks, error) {
	m := marks{drain: map[string]mark{}, stopped: map[string]bool{}}
	if s.dir == "" {
		return m, nil
	}
	names, err := s.list("")
	if err != nil {
		return m, err
	}
	for _, name := range names {
		switch one, err := s.mark(name); {
		case errors.Is(err, fs.ErrNotExist): // taken away since
		case err != nil:
			m.drain[name] = mark{Reason: "a mark that cannot be read: " + err.Error()}
		case !one.expired(now):
			m.drain[name] = one
		}
	}
	if names, err = s.list(spoolStopped); err != nil {
		return m, err
	}
	for _, name := range names {
		m.stopped[name] = true
	}
	return m, nil
}

func (s spool) list(sub string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, sub))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the spool directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// mark reads one file. It may be anything, a pipe that nobody writes to included.
func (s spool) mark(name string) (mark, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return mark{}, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return mark{Reason: "not a regular file"}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, spoolBytes))
	if err != nil {
		return mark{}, err
	}
	return parseMark(b), nil
}

// put writes a mark, or a stop where stopped is set.
func (s spool) put(name string, stopped bool, m mark) error {
	if s.dir == "" {
		return errors.New("no spool directory is configured")
	}
	path := s.path(name, stopped)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	b, err := m.text(time.Now())
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, b, 0o640)
}

// remove takes a mark or a stop away. That it is not there is no error.
func (s spool) remove(name string, stopped bool) error {
	if s.dir == "" {
		return nil
	}
	if err := os.Remove(s.path(name, stopped)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s spool) path(name string, stopped bool) string {
	if stopped {
		return filepath.Join(s.dir, spoolStopped, name)
	}
	return filepath.Join(s.dir, name)
}
