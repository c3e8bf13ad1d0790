package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// ErrNoLab is wrapped when a lab of the given name does not exist.
var ErrNoLab = errors.New("no such lab")

// Lab is a set of hosts that stand on one bridge.
type Lab struct {
	Name  string
	Dir   string  // absolute; holds zkboot.yaml, id_ed25519, id_ed25519.pub and known_hosts
	Hosts []*Host // zk1.. then app1.., in numeric order
}

// Summary is one line of [List].
type Summary struct {
	Name    string
	Dir     string // empty when Up ended before it was recorded
	Subnet  string // CIDR; empty likewise
	Hosts   int    // how many the lab has
	Running int    // how many of them run
}

// Up makes the lab that o describes, or completes and returns the one that stands. It
// continues where an earlier Up was interrupted, starts hosts that are off, and adds hosts
// when o asks for more than there are; it refuses to take hosts away. It returns when every
// host answers on port 22. Root is needed; a missing program is named with its package.
func Up(ctx context.Context, o Options) (*Lab, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("lab options: %w", err)
	}
	return system().up(ctx, o)
}

// Open returns the lab of that name without changing it. Its hosts may be off. The error
// wraps [ErrNoLab] when there is none.
func Open(name string) (*Lab, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	s := system()
	rec, err := s.load(name)
	if err != nil {
		return nil, err
	}
	return s.lab(rec)
}

// List returns all labs of this machine, by name, including what a crashed Up left.
func List() ([]Summary, error) { return system().list() }

// Down removes the lab and everything it owns: processes, mounts, bridge, nftables table,
// cgroups, directories, and the files that Up wrote into its directory unless they were
// changed since. A lab that does not exist is not an error. dir may be empty; when given it
// must be the directory of the lab, which protects against a mistaken name.
func Down(ctx context.Context, name, dir string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return system().down(ctx, name, dir)
}

// Host returns the host of that name, or an error that lists the names there are.
func (l *Lab) Host(name string) (*Host, error) {
	names := make([]string, len(l.Hosts))
	for i, h := range l.Hosts {
		if h.Name == name {
			return h, nil
		}
		names[i] = h.Name
	}
	return nil, fmt.Errorf("lab %s has no host %q, only %v", l.Name, name, names)
}

// up runs the stages of Up. Each looks at what is there and does what is missing, so the
// second Up, and one that continues after a crash, take the same way. The record comes
// first and the user's files last: what Down must find is known before it exists, and
// a spec never names a host that does not answer.
func (s store) up(ctx context.Context, o Options) (*Lab, error) {
	d, err := s.driver(o.Driver)
	if err != nil {
		return nil, err
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	unlock, err := machine.LockDir(ctx, s.labDir(o.Name), true)
	if err != nil {
		return nil, err
	}
	defer unlock()
	rec, err := s.claim(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := d.ready(ctx, rec, o.Log); err != nil {
		return nil, err
	}
	if err := s.ensureNetwork(ctx, rec); err != nil {
		return nil, err
	}
	key, err := s.ensureClientKey(rec.Name)
	if err != nil {
		return nil, err
	}
	if err := s.startHosts(ctx, d, rec, firstBoot{key, o.FirstBoot}, o.Log); err != nil {
		return nil, err
	}
	l, err := s.lab(rec)
	if err != nil {
		return nil, err
	}
	return l, s.writeFiles(rec, l, o.Log)
}

// startHosts prepares and starts the hosts, as many at once as the driver says, and waits until
// each answers. The first failure ends the wait for the others; what stands is kept for the
// next Up.
func (s store) startHosts(ctx context.Context, d driver, rec *record, b firstBoot, log *slog.Logger) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(d.boots())
	for _, name := range rec.hostNames() {
		g.Go(func() error {
			if ctx.Err() != nil { // another has failed while this one waited for its turn
				return context.Cause(ctx)
			}
			if err := d.prepare(ctx, rec, name, b); err != nil {
				return fmt.Errorf("lab %s: host %s: prepare: %w", rec.Name, name, err)
			}
			h, err := s.host(rec, name)
			if err != nil {
				return err
			}
			if err := h.Start(ctx); err != nil {
				return err
			}
			log.Info("host answers", "lab", rec.Name, "host", name, "address", h.Address)
			return nil
		})
	}
	return g.Wait()
}

// lab assembles what the record and the host directories say.
func (s store) lab(rec *record) (*Lab, error) {
	l := &Lab{Name: rec.Name, Dir: rec.Dir}
	for _, name := range rec.hostNames() {
		h, err := s.host(rec, name)
		if err != nil {
			return nil, err
		}
		l.Hosts = append(l.Hosts, h)
	}
	return l, nil
}

// list takes no lock: it may show a lab that is just coming or going, and must not wait
// for one that takes a minute to build its tree.
func (s store) list() ([]Summary, error) {
	entries, err := os.ReadDir(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var all []Summary
	for _, e := range entries {
		if !e.IsDir() || !labName.MatchString(e.Name()) {
			continue
		}
		sum := Summary{Name: e.Name()}
		rec, err := s.load(e.Name())
		if err != nil && !errors.Is(err, ErrNoLab) {
			return nil, err
		}
		if rec != nil {
			d, err := s.driver(rec.Driver)
			if err != nil {
				return nil, err
			}
			names := rec.hostNames()
			sum.Dir, sum.Subnet, sum.Hosts = rec.Dir, rec.Subnet.String(), len(names)
			for _, name := range names {
				if d.guest(rec, name).running() {
					sum.Running++
				}
			}
		}
		all = append(all, sum)
	}
	return all, nil
}

// down works from names, not from the record, which an interrupted Up may not have written;
// the record adds only the files in the lab's directory. The lab's own directory goes last:
// as long as it is there, the next Down does again what this one did not finish.
func (s store) down(ctx context.Context, name, dir string) error {
	d, err := s.driverOf(name)
	if err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	unlock, err := machine.LockDir(ctx, s.labDir(name), true)
	if err != nil {
		return err
	}
	defer unlock()
	rec, err := s.load(name)
	if err != nil && !errors.Is(err, ErrNoLab) {
		return err
	}
	if rec != nil && dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		if abs != rec.Dir {
			return fmt.Errorf("lab %s: its directory is %s, not %s: give that one, or none", name, rec.Dir, abs)
		}
	}
	if err := d.stop(ctx, name); err != nil {
		return err
	}
	if rec != nil {
		if err := removeFiles(rec); err != nil {
			return err
		}
	}
	if err := removeNetwork(ctx, name); err != nil {
		return err
	}
	return s.removeLab(ctx, name)
}

// removeLab deletes the lab's directory and, with the last lab, what all labs share.
func (s store) removeLab(ctx context.Context, name string) error {
	dir := s.labDir(name)
	if err := machine.UnmountBelow(dir); err != nil { // never delete through a mount
		return err
	}
	unlock, err := machine.LockDir(ctx, s.root, true)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.root)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(entries, fs.DirEntry.IsDir) {
		return nil
	}
	if err := s.restoreForwarding(); err != nil {
		return err
	}
	return removeIfEmpty(s.root) // another Up may have put its lab there by now
}
