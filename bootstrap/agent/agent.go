package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// lookTries bounds how often Look starts again because another run changed the
// manifests meanwhile.
const lookTries = 5

// secretLimit is far above any Secret and bounds what Reveal reads, in bytes.
const secretLimit = 4 << 10

// BlobFunc opens an archive that lies on the operator's machine. The reader must
// check the sha512 (hex) itself; it is here to name the archive.
type BlobFunc func(ctx context.Context, sha512, url string) (io.ReadCloser, error)

// Options configure a Local host. The zero value is the machine itself.
type Options struct {
	// Root is the directory that stands for "/"; empty means "/".
	Root string
	// Blob opens archives with a file URL; nil means OpenFile. During a call that
	// came over a stream, the operator's machine is asked instead.
	Blob BlobFunc
	// Progress hears what a Change or a Probe is doing; may be nil. During a call that came
	// over a stream, the operator hears it instead.
	Progress func(string)
}

// things sees and changes single resources. It keeps no state between calls.
type things interface {
	// look returns those of ids that are present. The entries of owned tell what a
	// manifest remembers of a thing, so that fills can be put back. What cannot be
	// read goes to State.Unread; an error means that nothing could be.
	look(ctx context.Context, ids []bootstrap.ID, owned map[bootstrap.ID]bootstrap.Entry) (bootstrap.State, error)
	// apply carries out steps of one kind, either all deletes or none, and says by note
	// what it waits for. It returns a *bootstrap.StepError with the index of the first that
	// broke. Steps may be applied again after they broke anywhere.
	apply(ctx context.Context, steps []bootstrap.Step, note func(string)) error
}

// Host is the machine the process runs on. It implements bootstrap.Host.
type Host struct {
	root   string
	things things
	gather func(context.Context, verify.FactsQuery) (verify.Facts, error)
	probe  func(context.Context, verify.Query, func(string)) (verify.Result, error)
	store  store
	note   func(string)

	// turn has one slot. Who fills it may change the host and use the fields below.
	turn   chan struct{}
	lock   *os.File
	closed bool
	// emptied: the last manifest of the host has just gone, and nothing of ours is left.
	emptied bool
}

var _ bootstrap.Host = (*Host)(nil)

// Local returns the machine the process runs on as a Host. Nothing is opened before
// the first call.
func Local(o Options) *Host {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Blob == nil {
		o.Blob = OpenFile
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return &Host{
		root:   o.Root,
		things: newThings(thingsOptions{Root: o.Root, Blob: fromOperator(o.Blob)}),
		gather: verify.Gather,
		probe:  verify.Run,
		store:  newStore(o.Root),
		note:   o.Progress,
		turn:   make(chan struct{}, 1),
	}
}

// Look implements bootstrap.Host. The manifests it returns are those that stood
// while everything else was read; when another run keeps changing them the error
// wraps bootstrap.ErrLocked.
func (h *Host) Look(ctx context.Context, ids ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
	if bootstrap.Observed(ids) {
		state, err := h.things.look(ctx, ids, nil)
		return bootstrap.Facts{}, state, err
	}
	before, err := h.store.load()
	if err != nil {
		return bootstrap.Facts{}, bootstrap.State{}, err
	}
	for range lookTries {
		facts, state, err := h.lookOnce(ctx, ids, before)
		if err != nil {
			return bootstrap.Facts{}, bootstrap.State{}, err
		}
		after, err := h.store.load()
		if err != nil {
			return bootstrap.Facts{}, bootstrap.State{}, err
		}
		if before.equal(after) {
			state.Manifests = after
			return facts, state, nil
		}
		before = after
	}
	return bootstrap.Facts{}, bootstrap.State{}, fmt.Errorf("%w: its manifests changed during each of %d looks; try again when it is done",
		bootstrap.ErrLocked, lookTries)
}

func (h *Host) lookOnce(ctx context.Context, ids []bootstrap.ID, m manifests) (bootstrap.Facts, bootstrap.State, error) {
	owned := m.entries()
	all := slices.Clone(ids)
	for id := range owned {
		all = append(all, id)
	}
	slices.Sort(all)
	all = slices.Compact(all)

	var facts bootstrap.Facts
	var state bootstrap.State
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		facts, err = h.gather(ctx, verify.FactsQuery{Dirs: dirsOf(all), PIDs: h.pidsOf(all)})
		return err
	})
	g.Go(func() (err error) {
		state, err = h.things.look(ctx, all, owned)
		return err
	})
	return facts, state, g.Wait()
}

// dirsOf returns the directories among ids, in order.
func dirsOf(ids []bootstrap.ID) []string {
	var dirs []string
	for _, id := range ids {
		if id.Kind() == bootstrap.KindDir && filepath.IsAbs(id.Name()) {
			dirs = append(dirs, id.Name())
		}
	}
	return dirs
}

// pidsOf returns the first process of each running unit among ids. The cgroup says
// it without a program being run; a unit without one is not running.
func (h *Host) pidsOf(ids []bootstrap.ID) []int {
	var pids []int
	for _, id := range ids {
		if id.Kind() != bootstrap.KindUnit || strings.Contains(id.Name(), "/") {
			continue
		}
		for _, hierarchy := range []string{"", "systemd"} { // cgroup v2, v1
			b, err := os.ReadFile(filepath.Join(h.root, "sys/fs/cgroup", hierarchy, "system.slice", id.Name(), "cgroup.procs"))
			if err != nil {
				continue
			}
			first, _, _ := strings.Cut(string(b), "\n")
			if pid, err := strconv.Atoi(first); err == nil {
				pids = append(pids, pid)
			}
			break
		}
	}
	return pids
}

// Probe implements bootstrap.Host.
func (h *Host) Probe(ctx context.Context, q verify.Query) (verify.Result, error) {
	return h.probe(ctx, q, h.noteFor(ctx))
}

// DialContext implements bootstrap.Host.
func (h *Host) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// Reveal implements bootstrap.Host. Only a secret that a manifest owns is revealed:
// the agent is not a way to read other files of root.
func (h *Host) Reveal(_ context.Context, path string) (string, error) {
	m, err := h.store.load()
	if err != nil {
		return "", err
	}
	if _, owned := m.entries()[bootstrap.NewID(bootstrap.KindSecret, path)]; !owned {
		return "", fmt.Errorf("secret %s: %w: no manifest on this host owns it", path, bootstrap.ErrRefused)
	}
	f, err := os.OpenFile(filepath.Join(h.root, path), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > secretLimit {
		return "", fmt.Errorf("secret %s: want a regular file of at most %d bytes, found %s of %d", path, secretLimit, info.Mode(), info.Size())
	}
	b, err := io.ReadAll(io.LimitReader(f, secretLimit))
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Close implements bootstrap.Host. It waits for a Change that is under way.
func (h *Host) Close() error {
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	h.closed = true
	if h.lock == nil {
		return nil
	}
	h.store.tidy() // a run that was cut off may not have come to it
	err := releaseLock(h.lock)
	h.lock = nil
	return err
}

// enter waits until nobody else changes the host. Every nil is followed by leave.
func (h *Host) enter(ctx context.Context) error {
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if h.closed {
		h.leave()
		return errors.New("the host is closed")
	}
	return nil
}

func (h *Host) leave() { <-h.turn }
