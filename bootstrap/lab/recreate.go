package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// Recreate makes the host anew, under the same name and address: no file and no fault of the old
// one is left, its data is gone, and its SSH host key is another, in HostKey of h too. The lab's
// known_hosts gets the new key. It returns when the host answers; one that was off is started.
//
// A known_hosts that this lab did not write is an error before anything is touched, and a
// zkboot.yaml that was changed by hand is kept as it is: a host_key in it is the old one. Of a
// virtual machine, all that [Options.FirstBoot] brought is left to apply.
//
// Where Recreate was interrupted [Up] goes on from there, as it does for any host that is not
// complete.
func (h *Host) Recreate(ctx context.Context) error {
	unlock, err := machine.LockDir(ctx, h.store.labDir(h.lab), false)
	if err != nil {
		return h.errorf("recreate: %w", err)
	}
	defer unlock()
	rec, err := h.store.load(h.lab)
	if err != nil {
		return h.errorf("recreate: %w", err)
	}
	if err := rec.ownsKnownHosts(); err != nil {
		return h.errorf("recreate: %w", err)
	}
	if err := h.discard(ctx); err != nil {
		return h.errorf("recreate: %w", err)
	}
	return h.makeAnew(ctx, rec)
}

// ownsKnownHosts reports an error when the lab's known_hosts may not be replaced.
func (r *record) ownsKnownHosts() error {
	path := filepath.Join(r.Dir, knownFile)
	was, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !r.wrote(knownFile, was):
		return fmt.Errorf("%s is not as this lab wrote it, and would still have the old key: move it away; recreate writes a new one", path)
	}
	return nil
}

// discard ends the host and takes away its directory: first its name, at once, then what is in it.
func (h *Host) discard(ctx context.Context) error {
	if h.guest.running() {
		if err := h.guest.setFrozen(ctx, false); err != nil { // cgroup v1 delivers no signal to frozen processes
			return err
		}
		if err := h.guest.powerCut(ctx); err != nil {
			return err
		}
	}
	dir := h.store.hostDir(h.lab, h.Name)
	old := filepath.Join(filepath.Dir(dir), ".old-"+h.Name)
	if err := removeHostDir(old); err != nil { // of one that was interrupted
		return err
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return removeHostDir(old)
}

// removeHostDir deletes a directory and never through a mount.
func removeHostDir(dir string) error {
	if err := machine.UnmountBelow(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// makeAnew is what Up does for a host that has no directory, and for the files that name its key.
func (h *Host) makeAnew(ctx context.Context, rec *record) error {
	s := h.store
	d, err := s.driver(rec.Driver)
	if err != nil {
		return err
	}
	key, err := s.ensureClientKey(rec.Name)
	if err != nil {
		return h.errorf("recreate: %w", err)
	}
	if err := d.prepare(ctx, rec, h.Name, firstBoot{clientKey: key}); err != nil {
		return h.errorf("prepare: %w", err)
	}
	l, err := s.lab(rec)
	if err != nil {
		return err
	}
	made, err := l.Host(h.Name)
	if err != nil {
		return err
	}
	if err := made.Start(ctx); err != nil {
		return err
	}
	*h = *made
	return s.writeFiles(rec, l, slog.New(slog.DiscardHandler))
}
