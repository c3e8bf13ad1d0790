package agent

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

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

func bareMachine() *fakeThings {
	return newFakeThings(pkg("there"), file("/etc/theirs", "theirs"), swappiness("60"), bootstrap.Kernel{Name: "thp", Value: "always"})
}

// live brings the host through the story with one crash after n points and a new agent
// after it. It reports whether the crash came at all.
func live(t *testing.T, n int) (crashed bool) {
	t.Helper()
	root, f := t.TempDir(), bareMachine()
	bare := bareMachine()
	c := &crasher{left: n}
	for i, want := range story() {
		h := newTestHost(t, root, f)
		c.wire(h, f)
		locked(t, h)
		in := bootstrap.Intent{Verb: bootstrap.VerbConverge}
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
			ownsWhatItMade(t, h, f, bare)
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
	if !reflect.DeepEqual(f.have, bare.have) {
		t.Fatalf("crash %d (%s): the end is not the beginning: %v, was %v", n, c.point, sortedIDs(f.have), sortedIDs(bare.have))
	}
	if _, err := os.Stat(filepath.Join(root, "etc/zkboot")); !os.IsNotExist(err) {
		t.Fatalf("crash %d (%s): /etc/zkboot is left: %v", n, c.point, err)
	}
	return crashed
}

// ownsWhatItMade asserts that nothing is ever orphaned.
func ownsWhatItMade(t *testing.T, h *Host, f, bare *fakeThings) {
	t.Helper()
	m := manifestOf(t, h, owner)
	for _, id := range sortedIDs(f.have) {
		if _, owned := m.Find(id); !owned && !reflect.DeepEqual(f.have[id], bare.have[id]) {
			t.Fatalf("%s was made or changed and nobody owns it", id)
		}
	}
}

func TestACrashAtAnyPointConverges(t *testing.T) {
	n := 0
	for live(t, n) {
		n++
	}
	if n < 50 {
		t.Errorf("only %d points were tried", n)
	}
	t.Logf("%d crash points", n)
}
