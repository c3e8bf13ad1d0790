// Package config is what zkwatch is told: registries, services, routes, registrations and
// how careful to be. Its types are shared with zkboot's spec, so that a route means the
// same in both, and its Validate is the only place that decides what a valid one is. It
// reads a file strictly and refuses what could end up as another program's syntax. It
// opens no connection and knows no registry client.
package config

// Config is the file that zkwatch reads. Load fills in every default.
type Config struct {
	// Host is the name under which this host reports what it has applied.
	Host string `json:"host" yaml:"host"`
	// Address is what registrations announce unless they name one of their own.
	Address string `json:"address,omitempty" yaml:"address,omitempty"`
	// Zone is where this host stands; announced with its instances and preferred by routes with tiers.
	Zone       string                  `json:"zone,omitempty" yaml:"zone,omitempty"`
	StateDir   string                  `json:"state_dir,omitempty" yaml:"state_dir,omitempty"` // default /var/lib/zkwatch
	Registries map[string]Registry     `json:"registries" yaml:"registries"`
	Services   map[string]Service      `json:"services,omitempty" yaml:"services,omitempty"`
	Routes     map[string]Route        `json:"routes,omitempty" yaml:"routes,omitempty"`
	Register   map[string]Registration `json:"register,omitempty" yaml:"register,omitempty"`
	Guard      Guard                   `json:"guard,omitzero" yaml:"guard,omitempty"`
	Settle     Settle                  `json:"settle,omitzero" yaml:"settle,omitempty"`
	Audit      Duration                `json:"audit,omitempty" yaml:"audit,omitempty"` // between two audits of a service, jittered by half; default 45s
	HAProxy    HAProxy                 `json:"haproxy,omitzero" yaml:"haproxy,omitempty"`
	Status     Status                  `json:"status,omitzero" yaml:"status,omitempty"`
	Board      Board                   `json:"board,omitzero" yaml:"board,omitempty"`
	Drain      Drain                   `json:"drain,omitzero" yaml:"drain,omitempty"`
}

// Registry is where services are announced.
type Registry struct {
	ZooKeeper *ZooKeeper `json:"zookeeper,omitempty" yaml:"zookeeper,omitempty"`
}

// ZooKeeper is an ensemble. Servers are seeds: the live list is read from /zookeeper/config
// where that is allowed.
type ZooKeeper struct {
	Servers []string `json:"servers" yaml:"servers"`                     // host:port
	Session Duration `json:"session,omitempty" yaml:"session,omitempty"` // default 10s
	// AuthFile holds "user:password" for the digest scheme. The file must not be readable by others.
	AuthFile string `json:"auth_file,omitempty" yaml:"auth_file,omitempty"`
}

// Service is a named set of instances in a registry.
type Service struct {
	Registry string `json:"registry" yaml:"registry"`
	Path     string `json:"path,omitempty" yaml:"path,omitempty"` // znode whose children are the instances
	// Format is plain (default) or nerve. Plain: the child's name is host:port, its data
	// empty or a JSON object.
	Format string `json:"format,omitempty" yaml:"format,omitempty"`
}

// The formats of a Service.
const (
	Plain = "plain"
	Nerve = "nerve"
)

// Guard keeps a service from being emptied by mistake: a snapshot that takes away more
// than Threshold of the instances that were last served is held for Hold before it is believed.
type Guard struct {
	Threshold Percent  `json:"threshold,omitempty" yaml:"threshold,omitempty"` // default 50%
	Min       int      `json:"min,omitempty" yaml:"min,omitempty"`             // sets up to this size may shrink freely, but not to none; default 2
	Hold      Duration `json:"hold,omitempty" yaml:"hold,omitempty"`           // default 5m
}

// Settle coalesces bursts: the first change acts at once, what follows within Quiet waits
// for silence, at most Max.
type Settle struct {
	Quiet Duration `json:"quiet,omitempty" yaml:"quiet,omitempty"` // default 20ms
	Max   Duration `json:"max,omitempty" yaml:"max,omitempty"`     // default 500ms
}

// HAProxy says where the sidecar's HAProxy is.
type HAProxy struct {
	Disabled bool   `json:"disabled,omitempty" yaml:"disabled,omitempty"` // this host only registers
	Binary   string `json:"binary,omitempty" yaml:"binary,omitempty"`     // default /usr/sbin/haproxy
	// File is the one configuration file that zkwatch owns; default /var/lib/zkwatch/haproxy/zkwatch.cfg.
	File string `json:"file,omitempty" yaml:"file,omitempty"`
	// Before are the files that HAProxy reads ahead of it, as its command line names them,
	// for the check of the whole; default /etc/haproxy/haproxy.cfg.
	Before []string `json:"before,omitempty" yaml:"before,omitempty"`
	Socket string   `json:"socket,omitempty" yaml:"socket,omitempty"` // of the runtime API; default /run/zkwatch-haproxy/runtime.sock
	// SocketGroup may use the socket; empty leaves it to the owner.
	SocketGroup    string   `json:"socket_group,omitempty" yaml:"socket_group,omitempty"`
	Master         string   `json:"master,omitempty" yaml:"master,omitempty"`                   // socket of the master CLI; default /run/zkwatch-haproxy/master.sock
	ReloadInterval Duration `json:"reload_interval,omitempty" yaml:"reload_interval,omitempty"` // at most one reload in it, the first at once; default 10s
	SlotsMin       int      `json:"slots_min,omitempty" yaml:"slots_min,omitempty"`             // free slots kept for each route; default 4
	HardStopAfter  Duration `json:"hard_stop_after,omitempty" yaml:"hard_stop_after,omitempty"` // end of an old worker; default 5m
	OldWorkers     int      `json:"old_workers,omitempty" yaml:"old_workers,omitempty"`         // more than these are thinned out; default 5
	// Foreign says what to do about changes by others to our servers: repair (default) or report.
	Foreign string `json:"foreign,omitempty" yaml:"foreign,omitempty"`
	Stats   string `json:"stats,omitempty" yaml:"stats,omitempty"` // host:port of HAProxy's own stats page; default none
}

// Status is where zkwatch answers.
type Status struct {
	Listen string `json:"listen,omitempty" yaml:"listen,omitempty"` // loopback host:port, default 127.0.0.1:9180; "none" for no listener
	Socket string `json:"socket,omitempty" yaml:"socket,omitempty"` // default /run/zkwatch/zkwatch.sock
}

// Board is where every host posts what it has applied.
type Board struct {
	// Registry is by default the only one. It has to be named where there are several;
	// "none" posts nothing.
	Registry string   `json:"registry,omitempty" yaml:"registry,omitempty"`
	Path     string   `json:"path,omitempty" yaml:"path,omitempty"`   // default /zkwatch/hosts
	Every    Duration `json:"every,omitempty" yaml:"every,omitempty"` // at most one post in it, default 10s
}

// Drain is how an instance leaves.
type Drain struct {
	// Spool is a directory in which a file named after a registration, or "all", drains it,
	// as hacheck's does; default /var/spool/zkwatch.
	Spool string `json:"spool,omitempty" yaml:"spool,omitempty"`
	// OnTerm says what SIGTERM does to registrations: keep (default; they end with the
	// session, so that a restart is not seen) or drain.
	OnTerm  string   `json:"on_term,omitempty" yaml:"on_term,omitempty"`
	Grace   Duration `json:"grace,omitempty" yaml:"grace,omitempty"`     // wait for consumers that post nothing; default 10s
	Timeout Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"` // at most this long for all; default 60s
}
