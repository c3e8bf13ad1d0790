package watcher

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// Truth says what is known of a service.
type Truth string

// The three of them. Known and Empty were read; Empty was verified besides (a sync before
// it was believed). Unknown could not be read, and says nothing about what is there.
const (
	Unknown Truth = "unknown"
	Known   Truth = "known"
	Empty   Truth = "empty"
)

// DefaultWeight is the weight of an instance that names none, HAProxy's own default.
// MaxWeight is HAProxy's greatest (configuration.txt 5.2 "weight", 2.6).
const (
	DefaultWeight = 1
	MaxWeight     = 256
)

// Instance is one place where a service runs.
type Instance struct {
	ID       string            `json:"id"` // its name in the registry, unique within the service
	Host     string            `json:"host"`
	Port     int               `json:"port"`
	Name     string            `json:"name,omitempty"` // for people
	Weight   int               `json:"weight"`         // 0 to MaxWeight
	Zone     string            `json:"zone,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Draining bool              `json:"draining,omitempty"` // no new traffic; it is about to leave
}

// Addr returns host:port, with brackets around an IPv6 host.
func (i Instance) Addr() string { return net.JoinHostPort(i.Host, strconv.Itoa(i.Port)) }

// Rejection is an entry of the registry that was left out, and why.
type Rejection struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Snapshot is all that a source knows of one service. It is not changed after it was published:
// its Instances and their Labels are shared by source, discovery, store and sink. Who wants
// others makes others. A source that finds what it published before publishes the same slice
// again: then nothing is compared, and there is one of it.
type Snapshot struct {
	Service   string
	Truth     Truth
	Reason    string      // why it is unknown
	Instances []Instance  // sorted by ID; none unless Known
	Rejected  []Rejection // sorted by ID
	// Revision is the registry's own and only grows: of two snapshots of a service the
	// greater one is newer. ZooKeeper: the greatest zxid of the path and what is below it.
	Revision int64
	// Provisional says that only names were read: who is there and where is right, but
	// weights, labels, zones and draining are not known yet, and the whole snapshot follows
	// in a moment. For a service of which nothing is served yet; anyone else waits.
	Provisional bool
	Event       string    // what brought it about, such as "children changed" or "audit"
	At          time.Time // when the reading began
}

// Source watches services in one registry.
type Source interface {
	// Run publishes a snapshot of each service when it is first read and whenever it may
	// have changed, until ctx ends. A registry that cannot be reached is no error: its
	// services become Unknown. publish does not block.
	Run(ctx context.Context, services map[string]config.Service, publish func(Snapshot)) error
}

// Set is what a service shall be served with, after settle and guard. Its Instances are shared
// as those of a Snapshot are: a sink may keep them, and must not change them.
type Set struct {
	Service   string
	Revision  int64
	Instances []Instance // sorted by ID
	Why       string     // the event and the rule, for the journal
}

// Action is one thing that a sink did to the proxy or its files, or a registrar in the registry.
type Action struct {
	Kind string `json:"kind"` // of a sink: "command", "write", "reload", "repair", "refused"; of a registrar: "announce", "drain", "withdraw"; of the journal: "more"
	Text string `json:"text"` // the command, the file, the foreign change
	Why  string `json:"why,omitempty"`
	// Service is whose the action was, where it was one's alone.
	Service string `json:"service,omitempty"`
}

// Outcome is what came of Apply or Audit. Nothing to do is no Actions.
type Outcome struct {
	Actions []Action
	// Pending says that the proxy does not serve all of it yet: a reload is due, or there is no
	// proxy. Apply speaks of the sets that it was given, also when it had them before; Audit
	// and the reports of Run speak of all, and Run reports as well when nothing is pending any more.
	Pending bool
}

// Sink makes a proxy serve sets.
type Sink interface {
	// Run keeps the proxy as the last sets want it (due reloads, files written behind the
	// runtime changes, old processes, a proxy that was restarted by others) until ctx ends. What it
	// did by itself goes to report. Apply and Audit may be called while it runs.
	Run(ctx context.Context, report func(Outcome)) error
	// Apply takes the whole sets of some services; others stay as they are.
	Apply(ctx context.Context, sets []Set) (Outcome, error)
	// Audit compares what the proxy really has with the last sets and repairs it.
	Audit(ctx context.Context) (Outcome, error)
	// Conns returns how many connections of this host the draining instances still have.
	Conns(ctx context.Context) (map[InstanceKey]int, error)
}

// InstanceKey names an instance among all services.
type InstanceKey struct{ Service, ID string }

// Announcement is what a registrar keeps in the registry.
type Announcement struct {
	Name     string // of the registration on this host
	Service  string
	At       config.Service
	Instance Instance // ID is chosen by the registrar
}

// Announced says where an announcement ended up.
type Announced struct {
	ID string // of the instance, as Instance.ID and Notice.Draining have it
	// Revision is the registry's at the change: a snapshot with this one or a greater one
	// has it. ZooKeeper: the mzxid of the node.
	Revision int64
}

// Registrar announces instances of this host in one registry.
type Registrar interface {
	// Announce puts or replaces an announcement, and from then on keeps it there: it is
	// put again when the session that held it is lost. The error is of the first attempt;
	// the registrar goes on trying until Withdraw, also after ctx has ended. To announce
	// the same again writes nothing and returns where it is.
	Announce(ctx context.Context, a Announcement) (Announced, error)
	// Withdraw removes an announcement and returns when the registry has done so. One that
	// is not there is no error. Once it was called, whatever it returns, the announcement
	// is not put again, and the registrar goes on trying to remove it.
	Withdraw(ctx context.Context, name string) error
}

// Applied is what a host serves of one service.
type Applied struct {
	// Revision is the greatest that the proxy serves, so the one before while a change is
	// Pending. A drain compares it with Announced.Revision.
	Revision  int64 `json:"revision"`
	Truth     Truth `json:"truth"`
	Instances int   `json:"instances"`
	Held      bool  `json:"held,omitempty"` // the guard holds an older set
}

// Notice is what one host posts for all to see.
type Notice struct {
	Host     string             `json:"host"`
	Version  string             `json:"version"`  // of zkwatch
	Services map[string]Applied `json:"services"` // those that it sends traffic to, and no others
	// Draining counts this host's connections to draining instances, by service and then by
	// instance ID. 0 is the word that ends a drain: it was counted after the proxy had stopped
	// sending new traffic there. An instance that is not in it was not counted (yet).
	Draining map[string]map[string]int `json:"draining,omitempty"`
}

// Board is where hosts post their notices, one each, gone with the host's session.
type Board interface {
	Post(ctx context.Context, n Notice) error
	Notices(ctx context.Context) ([]Notice, error) // sorted by host
}
