package watcher

import (
	"context"
	"maps"
	"slices"
	"time"
)

func (r *Registrations) spool() spool { return spool{dir: r.settings().Spool} }

// watchSpool looks at the spool every second: a file by anybody counts.
func (r *Registrations) watchSpool(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(jitter(spoolEvery)):
			r.rescan()
		}
	}
}

// rescan reads the spool and does what it says. When it cannot be read, what was known
// stands: an unreadable directory neither drains nor undoes anything.
func (r *Registrations) rescan() {
	r.scan.Lock()
	defer r.scan.Unlock()
	found, err := r.spool().read(time.Now())
	r.warnOnce("", err != nil, "the spool cannot be read; what was drained or stopped stays so", "error", err)
	if err != nil {
		return
	}
	maps.Copy(found.drain, r.memory.drain)
	maps.Copy(found.stopped, r.memory.stopped)
	mine := map[string]bool{spoolAll: true}
	for _, g := range r.all() {
		name := g.announcement.Name
		mine[name] = true
		g.setHeld(found.stopped[name])
		m, marked := found.drain[name]
		if !marked {
			m, marked = found.drain[spoolAll]
		}
		if !r.term { // then all are marked, without a file
			g.setMark(m, marked)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found.drain)) {
		r.warnOnce(name, !mine[name], "a file in the spool names no registration", "file", name)
	}
}

// warnOnce warns when something begins to be so. The caller holds the scan lock.
func (r *Registrations) warnOnce(about string, so bool, text string, args ...any) {
	if so && !r.known[about] {
		r.Log.Warn(text, args...)
	}
	r.known[about] = so
}

// store keeps a mark or a stop in the spool, or in memory where that fails. The caller
// holds the scan lock.
func (r *Registrations) store(name string, stopped bool, m mark) error {
	err := r.spool().put(name, stopped, m)
	if err != nil && stopped {
		r.memory.stopped[name] = true
	} else if err != nil {
		r.memory.drain[name] = m
	}
	return err
}

// unstore undoes store. The caller holds the scan lock.
func (r *Registrations) unstore(name string, stopped bool) error {
	if stopped {
		delete(r.memory.stopped, name)
	} else {
		delete(r.memory.drain, name)
	}
	return r.spool().remove(name, stopped)
}
