package agent

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/bootstrap"
)

// crasher ends a machine at the n-th point at which something becomes durable: from
// there on every write, remove and effect fails, as if the power were gone.
type crasher struct {
	left  int // points until the crash
	point string
}

var errCrash = errors.New("crash")

func (c *crasher) at(point string) error {
	if c.left == 0 {
		if c.point == "" {
			c.point = point
		}
		return errCrash
	}
	c.left--
	return nil
}

// wire puts c around every durable effect of h: before it and after it. The disk of
// the test is not asked to sync: the crashes are not its own.
func (c *crasher) wire(h *Host, f *fakeThings) {
	h.store.write = func(path string, b []byte) error {
		if err := c.at("before writing the manifest"); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
		return c.at("after writing the manifest")
	}
	h.store.remove = func(path string) error {
		if err := c.at("before removing the manifest"); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		return c.at("after removing the manifest")
	}
	f.before = c.at
}

// story is a life of a host: what is wanted in turn. The end wants nothing.
func story() []bootstrap.Desired {
	contents := dir("/var/log/zookeeper")
	contents.Contents = true
	unit := bootstrap.Unit{Name: "z.service", Content: "x", Enabled: true, Running: true, Rev: "1"}
	kernel := bootstrap.Kernel{Name: "thp", Value: "never"}
	first := []bootstrap.Resource{pkg("a"), pkg("there"), dir("/var/lib/zookeeper"), contents,
		file("/etc/a", "1"), file("/etc/theirs", "ours"), swappiness("1"), kernel, unit}
	second := []bootstrap.Resource{pkg("there"), dir("/var/lib/zookeeper"),
		file("/etc/a", "2"), file("/etc/b", "1"), swappiness("2"), kernel, unit}
	var out []bootstrap.Desired
	for _, rs := range [][]bootstrap.Resource{first, second, nil} {
		out = append(out, bootstrap.Desired{Resources: rs, Cluster: "c"})
	}
	return out
}

// live brings a host with the given things through the story, with one crash after n
// points and a new agent after it. It reports whether the crash came at all.
func live(t tester, root string, bare []bootstrap.Resource, story []bootstrap.Desired, n int) (crashed bool) {
	t.Helper()
	f, beginning := newFakeThings(bare...), newFakeThings(bare...)
	c := &crasher{left: n}
	in := bootstrap.Intent{Verb: bootstrap.VerbConverge}
	for i, want := range story {
		h := newTestHost(t, root, f)
		c.wire(h, f)
		locked(t, h)
		err := h.Change(t.Context(), plan(t, h, owner, want, in)...)
		if c.point != "" && !crashed {
			crashed = true
			if !errors.Is(err, errCrash) {
				t.Fatalf("crash %d (%s): want the crash as error, got %v", n, c.point, err)
			}
			h.Close()
			f.before = func(string) error { return nil }
			h = newTestHost(t, root, f)
			locked(t, h)
			ownsWhatItMade(t, h, f, beginning)
			err = h.Change(t.Context(), plan(t, h, owner, want, in)...)
			c.left = -1
		}
		if err != nil {
			t.Fatalf("crash %d (%s), part %d: %v", n, c.point, i, err)
		}
		if rest := plan(t, h, owner, want, in); len(rest) > 0 {
			t.Fatalf("crash %d (%s), part %d does not converge: %v", n, c.point, i, rest)
		}
		h.Close()
	}
	if !reflect.DeepEqual(f.have, beginning.have) {
		t.Fatalf("crash %d (%s): the end is not the beginning: %v, was %v", n, c.point, f.have, beginning.have)
	}
	if _, err := os.Stat(filepath.Join(root, "etc/zkboot")); !os.IsNotExist(err) {
		t.Fatalf("crash %d (%s): /etc/zkboot is left: %v", n, c.point, err)
	}
	return crashed
}

// ownsWhatItMade asserts that nothing is ever orphaned.
func ownsWhatItMade(t tester, h *Host, f, beginning *fakeThings) {
	t.Helper()
	m := manifestOf(t, h, owner)
	for _, id := range slices.Sorted(maps.Keys(f.have)) {
		if _, owned := m.Find(id); !owned && !reflect.DeepEqual(f.have[id], beginning.have[id]) {
			t.Fatalf("%s was made or changed and nobody owns it", id)
		}
	}
}

func TestACrashAtAnyPointConverges(t *testing.T) {
	bare := []bootstrap.Resource{pkg("there"), file("/etc/theirs", "theirs"), swappiness("60"), bootstrap.Kernel{Name: "thp", Value: "always"}}
	n := 0
	for live(t, t.TempDir(), bare, story(), n) {
		n++
	}
	if n < 50 {
		t.Errorf("only %d points were tried", n)
	}
}

// Whatever is there and whatever is wanted in turn: every change converges, also after a
// crash, and wanting nothing brings back what was there.
func TestAnyLifeConverges(t *testing.T) {
	unit := func(content string) bootstrap.Unit {
		return bootstrap.Unit{Name: "z.service", Content: content, Enabled: true, Running: true, Rev: content}
	}
	before := []bootstrap.Resource{pkg("a"), pkg("b"), dir("/srv/a"), file("/etc/a", "theirs"), file("/etc/b", "1"),
		swappiness("60"), bootstrap.Kernel{Name: "thp", Value: "always"}, unit("theirs")}
	wanted := []bootstrap.Resource{pkg("a"), pkg("b"), pkg("c"), dir("/srv/a"), dir("/srv/b"), file("/etc/a", "1"), file("/etc/a", "2"),
		file("/etc/b", "1"), file("/etc/c", "1"), swappiness("1"), swappiness("2"), bootstrap.Kernel{Name: "thp", Value: "never"},
		unit("Environment=ZKBOOT_REV=1"), unit("Environment=ZKBOOT_REV=2")}
	id := func(r bootstrap.Resource) bootstrap.ID { return r.ID() }
	roots := 0
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		bare := rapid.SliceOfNDistinct(rapid.SampledFrom(before), 0, -1, id).Draw(t, "bare")
		var story []bootstrap.Desired
		for _, part := range []string{"first", "second"} {
			rs := rapid.SliceOfNDistinct(rapid.SampledFrom(wanted), 0, -1, id).Draw(t, part)
			story = append(story, bootstrap.Desired{Resources: rs, Cluster: "c"})
		}
		story = append(story, bootstrap.Desired{Cluster: "c"})
		roots++
		live(t, filepath.Join(dir, strconv.Itoa(roots)), bare, story, rapid.IntRange(0, 80).Draw(t, "crash"))
	})
}
