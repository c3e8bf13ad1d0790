package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// Registrations announces the services of this host while their checks pass. The fields are
// set before Run; Reload changes what it announces.
type Registrations struct {
	Config     *config.Config
	Registrars map[string]Registrar // by the name of the registry
	Board      map[string]Board     // likewise; where consumers of a draining instance report
	Journal    *Journal             // nil: none is kept
	Log        *slog.Logger         // nil: nothing is logged
	HostName   string               // announced with the instances, for people

	reload  sync.Mutex     // held over a Reload, and over what Run starts
	tending sync.WaitGroup // beat and watchSpool
	tended  bool           // they run; guarded by reload
	scan    sync.Mutex     // held over a reading of the spool and what it does
	mu      sync.Mutex     // guards what follows
	inner   context.Context
	running map[string]*registration
	boards  map[string]*boardReader
	memory  marks // marks that could not be written to the spool
	known   map[string]bool
	term    bool
	lag     lag

	makeCheck func(config.ServiceCheck) (check, error) // newCheck, but for tests
}

// RegistrationStatus is what is known of one registration.
type RegistrationStatus struct {
	Name      string    `json:"name"`
	Service   string    `json:"service"`
	Addr      string    `json:"addr"`
	Healthy   bool      `json:"healthy"`
	Announced bool      `json:"announced"` // the registry confirmed it
	Draining  bool      `json:"draining"`  // also when it is drained and gone, until it is undone
	Held      bool      `json:"held"`      // stopped on purpose, until it is released
	Why       string    `json:"why"`
	Since     time.Time `json:"since"`      // of Healthy
	LastCheck string    `json:"last_check"` // "ok", or what failed
	Checks    int64     `json:"checks"`
	Fails     int64     `json:"fails"`
	Ignored   int64     `json:"ignored"` // failures that were no evidence, because zkwatch itself was starved
	Flips     int64     `json:"flips"`   // changes of Healthy
}

// ErrNoRegistration is what names that are not in the configuration get.
var ErrNoRegistration = errors.New("no such registration is configured on this host")

// Run checks and announces until ctx ends, then does what Drain.OnTerm says: registrars and
// boards have to work until it returns, and for drain this host's own Discovery as well,
// since it is one of the consumers that are waited for. It returns an error at once, all
// findings in it, when the configuration cannot be run; nothing was started then.
func (r *Registrations) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if err := r.begin(inner); err != nil {
		return err
	}
	<-ctx.Done()
	if r.settings().OnTerm == "drain" {
		r.drainForTerm(inner)
	}
	cancel()
	r.reload.Lock()
	defer r.reload.Unlock()
	r.tending.Wait()
	for _, g := range r.all() {
		<-g.stopped
	}
	return nil
}

// begin starts everything that the configuration has.
func (r *Registrations) begin(ctx context.Context) error {
	r.reload.Lock()
	defer r.reload.Unlock()
	specs, err := r.buildSpecs(r.Config, r.Registrars)
	if err != nil {
		return err
	}
	r.mu.Lock()
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	r.inner, r.running, r.known = ctx, map[string]*registration{}, map[string]bool{}
	r.memory = marks{drain: map[string]mark{}, stopped: map[string]bool{}}
	r.boards = readers(r.Board)
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		r.running[name] = r.newRegistration(specs[name])
	}
	r.mu.Unlock()
	r.rescan() // before the first announcement, so that a restart keeps what was stopped or drained
	r.tend()
	for _, g := range r.all() {
		g.start(ctx)
	}
	return nil
}

// Reload goes on with another configuration and, where those changed, other registrars and
// boards. Registrations that mean the same are not touched. One that is gone is withdrawn;
// one whose check, weight or labels changed stays announced until its new check has come
// to a verdict. An error means that nothing was changed, except one about a withdrawal: the
// registrar goes on trying then.
func (r *Registrations) Reload(ctx context.Context, cfg *config.Config, registrars map[string]Registrar, boards map[string]Board) error {
	r.reload.Lock()
	defer r.reload.Unlock()
	specs, err := r.buildSpecs(cfg, registrars)
	if err != nil {
		return err
	}
	r.mu.Lock()
	if r.inner == nil || r.inner.Err() != nil {
		r.mu.Unlock()
		return errors.New("registrations are not running")
	}
	r.Config, r.Registrars, r.Board, r.boards = cfg, registrars, boards, readers(boards)
	old := r.running
	next, started := map[string]*registration{}, []*registration{}
	for name, s := range specs {
		if g := old[name]; g != nil && g.same(s) {
			next[name] = g
			continue
		}
		g := r.newRegistration(s)
		next[name] = g
		started = append(started, g)
	}
	r.running = next
	r.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if g := old[name]; next[name] != g {
			errs = append(errs, g.retire(ctx, next[name]))
		}
	}
	r.rescan()
	r.tend()
	for _, g := range started {
		g.start(r.inner)
	}
	return errors.Join(errs...)
}

// Status returns what is known of every registration, sorted by name.
func (r *Registrations) Status() []RegistrationStatus {
	var out []RegistrationStatus
	for _, g := range r.all() {
		out = append(out, g.status())
	}
	return out
}

// Hold withdraws a registration at once and keeps it out until Release, also over restarts
// of zkwatch: its service is being stopped on purpose. It returns when the registry has
// confirmed that the instance is gone. An error of ctx means that this did not happen yet;
// it is still being tried.
func (r *Registrations) Hold(ctx context.Context, name string) error {
	g, err := r.find(name)
	if err != nil {
		return err
	}
	r.scan.Lock()
	g.setHeld(true) // before the file is written: a slow disk must not keep a dying service announced
	err = r.store(name, true, mark{Reason: "deregistered"})
	r.scan.Unlock()
	if err != nil {
		g.log.Warn("the hold will be forgotten when zkwatch restarts: it could not be written to the spool", "error", err)
	}
	return g.until(ctx, "its removal from the registry", func() bool { return g.have == absent && !g.dirty || !g.held })
}

// Release ends a Hold: the service was started. It is checked at once and announced after
// the first pass, without waiting for rise. It returns without waiting for that, because
// the service may need a minute to be ready and its unit has to start meanwhile.
func (r *Registrations) Release(ctx context.Context, name string) error {
	g, err := r.find(name)
	if err != nil {
		return err
	}
	r.scan.Lock()
	defer r.scan.Unlock()
	if err := r.unstore(name, true); err != nil {
		return fmt.Errorf("register[%q]: taking its hold out of the spool: %w", name, err)
	}
	g.setHeld(false)
	g.eager()
	return ctx.Err()
}

func (r *Registrations) find(name string) (*registration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.running[name]
	if g == nil {
		return nil, fmt.Errorf("register[%q]: %w; there are %q", name, ErrNoRegistration, slices.Sorted(maps.Keys(r.running)))
	}
	return g, nil
}

// all returns the registrations sorted by name.
func (r *Registrations) all() []*registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*registration
	for _, name := range slices.Sorted(maps.Keys(r.running)) {
		out = append(out, r.running[name])
	}
	return out
}

func (r *Registrations) settings() config.Drain {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Config.Drain
}

// tend begins what every registration needs, with the first one: a host that has none shall
// not wake up eleven times a second for nothing. The caller holds the reload lock.
func (r *Registrations) tend() {
	if r.tended || len(r.all()) == 0 {
		return
	}
	r.tended = true
	r.lag.beat(time.Now()) // before the first check asks
	r.tending.Go(func() { r.beat(r.inner) })
	r.tending.Go(func() { r.watchSpool(r.inner) })
}

// beat is the heart of the lag meter.
func (r *Registrations) beat(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(r.lag.beat(time.Now()))):
		}
	}
}

func readers(boards map[string]Board) map[string]*boardReader {
	out := map[string]*boardReader{}
	for name, b := range boards {
		if b != nil {
			out[name] = &boardReader{board: b}
		}
	}
	return out
}

// reader returns the board on which the consumers of a registry's services report: the one
// that is configured, or else the registry's own.
func (r *Registrations) reader(registry string) *boardReader {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.boards[r.Config.Board.Registry]; b != nil {
		return b
	}
	return r.boards[registry]
}
