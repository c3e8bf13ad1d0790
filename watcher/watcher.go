package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// journalSize is how many entries of the journal are kept for explain: at two changes a
// second they reach back more than half an hour, in about 2 MB.
const journalSize = 4096

// Watcher is the whole daemon: discovery, registrations, and the view of it that operators
// and metrics get. The fields are set before Run.
type Watcher struct {
	Config  *config.Config
	Version string       // of the program
	Log     *slog.Logger // nil: nothing is logged
	// Open makes a connection to a registry. It does not wait for one to come about.
	Open func(name string, r config.Registry) (Registry, error)
	// Proxy makes the sink of a configuration; it is not called where HAProxy is disabled.
	Proxy func(c *config.Config) (Sink, error)
	// Notify tells the service manager, as sd_notify(3) does; nil where there is none.
	Notify func(state string)
	// Watchdog is how often the service manager wants to hear of us; 0 for never.
	Watchdog time.Duration

	once      sync.Once
	journal   *Journal
	metrics   *metrics
	reloadLog reloadLog // of the proxy
	started   time.Time
	reloads   chan reload // of the configuration
	broken    chan error

	mu  sync.RWMutex // guards what follows
	now running
}

// Registry is a connection to a registry, which may be down at any time.
type Registry interface {
	Source() Source
	Registrar() Registrar
	Board(path string) Board
	Status() RegistryStatus
	// Close ends the connection without a word about announcements: they stay until their
	// session ends, so that the next process finds them in place.
	Close()
}

// RegistryStatus is what is known of a connection.
type RegistryStatus struct {
	Name         string    `json:"name"`
	Connected    bool      `json:"connected"`
	State        string    `json:"state"` // the client's own word
	Server       string    `json:"server,omitempty"`
	Session      string    `json:"session,omitempty"`
	LastReply    time.Time `json:"last_reply,omitzero"`
	MissedEvents int64     `json:"missed_events"`
	WatchErrors  int64     `json:"watch_errors"`
	Reconnects   int64     `json:"reconnects"`
}

type reload struct {
	config *config.Config
	done   chan error
}

// ErrNotRunning is what a Watcher answers before and after Run.
var ErrNotRunning = errors.New("zkwatch is not running")

func (w *Watcher) setup() {
	w.once.Do(func() {
		if w.Log == nil {
			w.Log = slog.New(slog.DiscardHandler)
		}
		w.journal, w.metrics = NewJournal(journalSize), newMetrics(w)
		w.started = time.Now()
		w.reloads, w.broken = make(chan reload), make(chan error, 4)
	})
}

// Run does everything until ctx ends. Then registrations leave as Drain.OnTerm says, which
// may take Drain.Timeout, and the proxy is left as it is. An error says that a part could
// not be started, or ended by itself.
func (w *Watcher) Run(ctx context.Context) error {
	w.setup()
	if err := w.change(ctx, w.Config); err != nil {
		return errors.Join(err, w.end(ctx))
	}
	tell, stopTelling := context.WithCancel(context.WithoutCancel(ctx))
	var telling sync.WaitGroup
	telling.Go(func() { w.tell(tell) })
	err := w.attend(ctx)
	w.notify("STOPPING=1")
	err = errors.Join(err, w.end(ctx))
	stopTelling()
	telling.Wait()
	return err
}

// attend waits for the end, and carries out reloads one at a time.
func (w *Watcher) attend(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.broken:
			return err
		case r := <-w.reloads:
			w.notifyReloading()
			r.done <- w.reload(ctx, r.config)
			w.notify("READY=1")
		}
	}
}

// Reload goes on with another configuration, which is valid and has its defaults. What it
// does not change is not touched: registrations stay announced and the proxy serves on. An
// error means that the old configuration is still in force, except for what it says.
func (w *Watcher) Reload(ctx context.Context, c *config.Config) error {
	w.setup()
	r := reload{config: c, done: make(chan error, 1)}
	select {
	case w.reloads <- r:
	case <-ctx.Done():
		return fmt.Errorf("reload: %w", ErrNotRunning)
	}
	return <-r.done
}

func (w *Watcher) reload(ctx context.Context, c *config.Config) error {
	began := time.Now()
	err := w.change(ctx, c)
	e := Entry{At: began, Event: "configuration reloaded", Rule: "what did not change is not touched", Took: time.Since(began)}
	if err != nil {
		e.Rule, e.Error = "the old configuration stays in force", err.Error()
	}
	w.journal.Add(e)
	w.Refused(err)
	return err
}

// Refused notes whether the newest configuration was refused, and why, for operators to
// see; nil takes the note away. Reload does so itself: this is for a file that could not
// even be read.
func (w *Watcher) Refused(err error) {
	w.setup()
	w.metrics.reloaded(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now.refused = ""
	if err != nil {
		w.now.refused = err.Error()
	}
}
