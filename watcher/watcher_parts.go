package watcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// running is what runs of a configuration.
type running struct {
	config        *config.Config
	loaded        time.Time
	refused       string // why a newer configuration is not in force
	registries    map[string]*connection
	sink          *meteredSink
	discovery     *Discovery // nil where HAProxy is disabled
	discovering   *job
	registrations *Registrations
	registering   *job
	doors         map[string]*door // of the API, by their address
}

// connection is a registry with what was got from it. Its parts are compared by identity
// in a reload, so there is one of each.
type connection struct {
	Registry
	conf      config.Registry
	source    Source
	registrar Registrar
}

// job is a part that runs until it is stopped.
type job struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// launch runs a part. ctx gives it values, not its end: the parts end in an order.
func launch(ctx context.Context, run func(context.Context) error) *job {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	j := &job{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(j.done)
		j.err = run(ctx)
	}()
	return j
}

func (j *job) stop() error {
	if j == nil {
		return nil
	}
	j.cancel()
	<-j.done
	return j.err
}

// part launches a part whose end by itself is the end of everything.
func (w *Watcher) part(ctx context.Context, name string, run func(context.Context) error) *job {
	return launch(ctx, func(ctx context.Context) error {
		err := run(ctx)
		if ctx.Err() != nil {
			return err
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		w.broken <- fmt.Errorf("%s: %w", name, err) // as long as there are parts that broke, the first one counts
		return nil
	})
}

// change makes c the configuration in force. Everything that can fail is made before
// anything that runs is touched.
func (w *Watcher) change(ctx context.Context, c *config.Config) error {
	w.mu.RLock()
	old := w.now
	w.mu.RUnlock()
	if old.config != nil && (old.config.Host != c.Host || old.config.StateDir != c.StateDir) {
		return fmt.Errorf("host %q and state_dir %s cannot become %q and %s while zkwatch runs: restart it", old.config.Host, old.config.StateDir, c.Host, c.StateDir)
	}
	next := old
	next.config, next.loaded = c, time.Now()
	registries, opened, err := w.openRegistries(c, old.registries)
	undo := func(err error) error {
		for _, r := range opened {
			r.Close()
		}
		return err
	}
	if err != nil {
		return undo(err)
	}
	next.registries = registries
	doors, err := w.openDoors(c.Status, old.doors)
	if err != nil {
		return undo(err)
	}
	next.doors = doors
	if err := w.changeDiscovery(ctx, old, &next); err != nil {
		w.closeDoors(ctx, doors, old.doors)
		return undo(err)
	}
	err = w.changeRegistrations(ctx, old, &next)
	w.mu.Lock()
	next.refused = w.now.refused
	w.now = next
	w.mu.Unlock()
	w.closeDoors(ctx, old.doors, next.doors)
	for name, r := range old.registries {
		if next.registries[name] != r {
			r.Close()
		}
	}
	return err
}

// openRegistries returns the connections of c: those that mean the same are kept.
func (w *Watcher) openRegistries(c *config.Config, old map[string]*connection) (all map[string]*connection, opened []*connection, err error) {
	all = map[string]*connection{}
	for _, name := range slices.Sorted(maps.Keys(c.Registries)) {
		conf := c.Registries[name]
		if r := old[name]; r != nil && reflect.DeepEqual(r.conf, conf) {
			all[name] = r
			continue
		}
		r, err := w.Open(name, conf)
		if err != nil {
			return nil, opened, fmt.Errorf("registries[%q]: %w", name, err)
		}
		all[name] = &connection{Registry: r, conf: conf, source: r.Source(), registrar: r.Registrar()}
		opened = append(opened, all[name])
	}
	return all, opened, nil
}

// forDiscovery is what of a configuration matters to discovery.
func forDiscovery(c *config.Config) config.Config {
	d := *c
	d.Address, d.Register, d.Drain, d.Status = "", nil, config.Drain{}, config.Status{}
	return d
}

// changeDiscovery goes on with another discovery where it matters: the old one has to end
// first, since both would write the same files. The new one starts with what the old one
// left on disk, which is what the proxy serves already.
func (w *Watcher) changeDiscovery(ctx context.Context, old running, next *running) error {
	c := next.config
	same := old.config != nil && reflect.DeepEqual(forDiscovery(old.config), forDiscovery(c)) && maps.Equal(old.registries, next.registries)
	if same {
		return nil
	}
	next.discovery, next.discovering, next.sink = nil, nil, nil
	if !c.HAProxy.Disabled {
		sink, err := w.Proxy(c)
		if err != nil {
			return fmt.Errorf("haproxy: %w", err)
		}
		next.sink = &meteredSink{Sink: sink, metrics: w.metrics, reloads: &w.reloadLog}
	}
	if err := old.discovering.stop(); err != nil {
		w.Log.Warn("discovery did not end cleanly", "error", err)
	}
	if c.HAProxy.Disabled {
		return nil
	}
	store, err := OpenStore(c.StateDir)
	if err != nil {
		w.Log.Warn("the last sets are not kept on disk", "error", err)
	}
	d := &Discovery{Config: c, Sources: map[string]Source{}, Sink: next.sink, Store: store, Journal: w.journal, Log: w.Log, Version: w.Version}
	for name, r := range next.registries {
		d.Sources[name] = r.source
	}
	if r := next.registries[c.Board.Registry]; r != nil {
		d.Board = &meteredBoard{Board: r.Board(c.Board.Path), metrics: w.metrics}
	}
	next.discovery, next.discovering = d, w.part(ctx, "discovery", d.Run)
	return nil
}

// changeRegistrations tells the registrations what changed. They are never stopped.
func (w *Watcher) changeRegistrations(ctx context.Context, old running, next *running) error {
	registrars, boards := map[string]Registrar{}, map[string]Board{}
	for name, r := range next.registries {
		registrars[name], boards[name] = r.registrar, r.Board(next.config.Board.Path)
	}
	if old.registrations != nil {
		return old.registrations.Reload(ctx, next.config, registrars, boards)
	}
	next.registrations = &Registrations{Config: next.config, Registrars: registrars, Board: boards,
		Journal: w.journal, Log: w.Log, HostName: next.config.Host}
	next.registering = w.part(ctx, "registrations", next.registrations.Run)
	return nil
}

// end stops everything. A draining registration is one of the things that discovery
// counts the connections of, and people want to look at it, so the order matters.
func (w *Watcher) end(ctx context.Context) error {
	w.mu.RLock()
	now := w.now
	w.mu.RUnlock()
	err := errors.Join(now.registering.stop(), now.discovering.stop())
	w.closeDoors(ctx, now.doors, nil)
	for _, name := range slices.Sorted(maps.Keys(now.registries)) {
		now.registries[name].Close()
	}
	w.mu.Lock()
	w.now = running{config: now.config, loaded: now.loaded}
	w.mu.Unlock()
	return err
}
