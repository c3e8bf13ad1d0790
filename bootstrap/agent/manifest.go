package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/zkboot/zkboot/bootstrap"
)

// ownerRE is "<spec name>.<role>". It keeps path separators and hidden files out of
// manifest file names.
var ownerRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// manifests are the manifests of a host by owner.
type manifests map[string]bootstrap.Manifest

// entries returns every owned thing. Where several owners have one, fills of all of
// them count, because any of them may have written the file.
func (m manifests) entries() map[bootstrap.ID]bootstrap.Entry {
	all := map[bootstrap.ID]bootstrap.Entry{}
	for _, owner := range slices.Sorted(maps.Keys(m)) {
		for _, e := range m[owner].Entries {
			if other, ok := all[e.ID]; ok {
				e.Fill = union(other.Fill, e.Fill)
				e.Data = e.Data || other.Data
			}
			all[e.ID] = e
		}
	}
	return all
}

// union returns a with what b adds.
func union(a, b []bootstrap.Fill) []bootstrap.Fill {
	out := slices.Clone(a)
	for _, f := range b {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// equal reports whether two readings found the same.
func (m manifests) equal(other manifests) bool {
	return bootstrap.State{Manifests: m}.Fingerprint() == bootstrap.State{Manifests: other}.Fingerprint()
}

// others returns the owners of id besides owner, in order.
func (m manifests) others(owner bootstrap.Owner, id bootstrap.ID) []bootstrap.Manifest {
	var out []bootstrap.Manifest
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if _, has := m[name].Find(id); has && m[name].Owner != owner {
			out = append(out, m[name])
		}
	}
	return out
}

// put returns m with the entry in place of any other of its ID.
func put(m bootstrap.Manifest, e bootstrap.Entry) bootstrap.Manifest {
	i, found := find(m, e.ID)
	m.Entries = slices.Clone(m.Entries)
	if found {
		m.Entries[i] = e
	} else {
		m.Entries = slices.Insert(m.Entries, i, e)
	}
	return m
}

// drop returns m without the entry of that ID.
func drop(m bootstrap.Manifest, id bootstrap.ID) bootstrap.Manifest {
	if i, found := find(m, id); found {
		m.Entries = slices.Delete(slices.Clone(m.Entries), i, i+1)
	}
	return m
}

func find(m bootstrap.Manifest, id bootstrap.ID) (int, bool) {
	return slices.BinarySearchFunc(m.Entries, id, func(e bootstrap.Entry, id bootstrap.ID) int {
		return strings.Compare(string(e.ID), string(id))
	})
}

// decodeManifest reads the manifest of owner. A format or a field of another version
// is an error: a manifest half read would make us forget what we own.
func decodeManifest(owner string, b []byte) (bootstrap.Manifest, error) {
	var m bootstrap.Manifest
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return m, err
	}
	if head.Format != bootstrap.ManifestFormat {
		return m, fmt.Errorf("format %d is unknown, this version reads %d; use the zkboot that wrote it or a newer one", head.Format, bootstrap.ManifestFormat)
	}
	if err := unmarshal(b, &m); err != nil {
		return m, err
	}
	if string(m.Owner) != owner {
		return m, fmt.Errorf("it belongs to %.200q by its content", m.Owner)
	}
	for i, e := range m.Entries {
		if i > 0 && m.Entries[i-1].ID >= e.ID {
			return m, fmt.Errorf("entry %d: %s is not in order or there twice", i, e.ID)
		}
		if e.Before.Resource != nil && e.Before.ID() != e.ID {
			return m, fmt.Errorf("entry %d: %s was %s before", i, e.ID, e.Before.ID())
		}
	}
	return m, nil
}

// unmarshal is json.Unmarshal that refuses unknown fields.
func unmarshal(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

// store keeps the manifests of a host.
type store struct {
	dir    string                            // /etc/zkboot
	write  func(path string, b []byte) error // durable and atomic
	remove func(path string) error           // durable
}

func newStore(root string) store {
	return store{dir: filepath.Join(root, "etc/zkboot"), write: writeDurable, remove: removeDurable}
}

// empty reports whether no manifest owns anything any more.
func (m manifests) empty() bool {
	for _, one := range m {
		if len(one.Entries) > 0 {
			return false
		}
	}
	return true
}

func (s store) manifestDir() string { return filepath.Join(s.dir, "manifest.d") }

func (s store) path(owner bootstrap.Owner) string {
	return filepath.Join(s.manifestDir(), string(owner)+".json")
}

// load reads all manifests. One that cannot be read is an error for the whole: what
// it owns would look like nobody's.
func (s store) load() (manifests, error) {
	files, err := os.ReadDir(s.manifestDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("manifests: %w", err)
	}
	all := manifests{}
	for _, f := range files {
		owner, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok || !ownerRE.MatchString(owner) {
			continue // leftovers of a write that was cut off start with a dot
		}
		path := s.path(bootstrap.Owner(owner))
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its last entry has just gone
		}
		if err != nil {
			return nil, fmt.Errorf("manifest: %w", err)
		}
		m, err := decodeManifest(owner, b)
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", path, err)
		}
		all[owner] = m
	}
	return all, nil
}

// save makes m durable. A manifest without entries is removed, and with the last one
// everything of ours in /etc that is then empty.
func (s store) save(m bootstrap.Manifest) error {
	if len(m.Entries) == 0 {
		return s.forget(m.Owner)
	}
	m.Format = bootstrap.ManifestFormat
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("manifest of %s: %w", m.Owner, err)
	}
	if err := s.write(s.path(m.Owner), append(b, '\n')); err != nil {
		return fmt.Errorf("manifest of %s: %w", m.Owner, err)
	}
	return nil
}

func (s store) forget(owner bootstrap.Owner) error {
	if err := s.remove(s.path(owner)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("manifest of %s: %w", owner, err)
	}
	s.tidy()
	return nil
}

// tidy removes the directories when nothing is in them but leftovers of writes that
// were cut off. It is best effort: an empty directory does no harm, and others may use
// /etc/zkboot.
func (s store) tidy() {
	left, err := os.ReadDir(s.manifestDir())
	if err != nil {
		return // there is none
	}
	for _, f := range left {
		if !strings.HasPrefix(f.Name(), ".") {
			return
		}
	}
	for _, f := range left {
		_ = os.Remove(filepath.Join(s.manifestDir(), f.Name()))
	}
	_ = os.Remove(s.manifestDir())
	_ = os.Remove(s.dir)
}

// writeDurable replaces a file so that after a crash the old or the new content is
// there, whole. renameio syncs the file, not the directory that names it.
func writeDurable(path string, b []byte) error {
	dir := filepath.Dir(path)
	if err := makeDurable(dir); err != nil {
		return err
	}
	if err := renameio.WriteFile(path, b, 0o600, renameio.WithStaticPermissions(0o600)); err != nil {
		return err
	}
	return syncDir(dir)
}

// makeDurable makes the directory of the manifests and the one above it.
func makeDurable(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(syncDir(parent), syncDir(filepath.Dir(parent)))
}

func removeDurable(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
