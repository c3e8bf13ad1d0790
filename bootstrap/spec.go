package bootstrap

import (
	"maps"
	"slices"

	"github.com/zkboot/zkboot/verify"
	"github.com/zkboot/zkboot/watcher/config"
)

// Spec is what the operator wants of a site. It comes from a file (Load) or from a
// Terraform configuration; names are the same in both. Maps are keyed by stable names,
// never by position, so that taking one host out moves no other.
type Spec struct {
	Name       string              `json:"name"`
	SSH        SSH                 `json:"ssh"`
	Hardware   verify.Hardware     `json:"hardware"`
	Placement  Placement           `json:"placement"`
	Hosts      map[string]HostSpec `json:"hosts"`
	Tuning     Tuning              `json:"tuning"`
	Ensemble   *Ensemble           `json:"ensemble,omitempty"`
	Registries map[string]Registry `json:"registries,omitempty"`
	Services   map[string]Service  `json:"services,omitempty"`
	Sidecars   map[string]Sidecar  `json:"sidecars,omitempty"`

	source *source // where it was loaded from, nil when it was built in memory
}

// SSH says how hosts are reached. A field of a host's own ssh wins over the site's, both
// win over ~/.ssh/config. Paths are relative to the file that names them.
type SSH struct {
	Address        string   `json:"address,omitempty"` // of one host, when it differs from the host's address
	Port           int      `json:"port,omitempty"`
	User           string   `json:"user,omitempty"`
	IdentityFiles  []string `json:"identity_files,omitempty"`
	KnownHostsFile string   `json:"known_hosts_file,omitempty"`
	// AcceptNewFile is a file of zkboot's own in which the key of a host that is not
	// known yet is recorded when it is first met. Empty: unknown keys are refused.
	AcceptNewFile string `json:"accept_new_file,omitempty"`
	ConfigFile    string `json:"config_file,omitempty"` // default ~/.ssh/config, "none" for no file
	Jump          *Jump  `json:"jump,omitempty"`
	// Patience bounds the wait for a host that has just been created: refused, timed out
	// and reset connections and refused keys are tried again within it. Default 2m.
	Patience Duration `json:"patience,omitempty"`
}

// Jump is a host to go through, with its own user and key.
type Jump struct {
	Address       string   `json:"address"`
	Port          int      `json:"port,omitempty"`
	User          string   `json:"user,omitempty"`
	IdentityFiles []string `json:"identity_files,omitempty"`
	HostKey       string   `json:"host_key,omitempty"`
}

// Placement restricts where hosts may stand: ISO 3166-1 alpha-2 codes, or EU or EEA.
type Placement struct {
	Countries []string `json:"countries,omitempty"`
}

// HostSpec is one machine.
type HostSpec struct {
	Address string               `json:"address"`            // private address that services bind to
	SSH     SSH                  `json:"ssh,omitzero"`       // overrides for this host
	HostKey string               `json:"host_key,omitempty"` // pinned, in authorized_keys form
	Country string               `json:"country,omitempty"`  // ISO 3166-1 alpha-2
	Mounts  map[string]MountSpec `json:"mounts,omitempty"`   // by mount point
	// Lost says that the machine will not come back: nobody tries to reach it, and the
	// ensemble lets go of its server. It stays in the spec until that is done.
	Lost bool `json:"lost,omitempty"`
}

// MountSpec is a file system of its own for a directory, made when the device is blank.
type MountSpec struct {
	Device  string   `json:"device"`
	FSType  string   `json:"fstype,omitempty"`  // ext4 (default) or xfs
	Options []string `json:"options,omitempty"` // default noatime
}

// Tuning adjusts what the presets of package sysctl set.
type Tuning struct {
	Disabled bool              `json:"disabled,omitempty"` // touch no kernel setting at all
	Sysctl   map[string]string `json:"sysctl,omitempty"`   // overrides by key; the value wins over the preset
	THP      string            `json:"thp,omitempty"`      // madvise (default), never, always, or leave
	Swap     string            `json:"swap,omitempty"`     // leave (default; verify warns) or off
}

// Ensemble is a ZooKeeper ensemble.
type Ensemble struct {
	Members           map[string]Member `json:"members"` // by host name
	Source            Source            `json:"source"`
	AcceptKnownIssues []string          `json:"accept_known_issues,omitempty"`
	Heap              Size              `json:"heap,omitempty"`      // -Xms and -Xmx, default 1GiB
	JVMFlags          []string          `json:"jvm_flags,omitempty"` // added to ours
	Ports             Ports             `json:"ports"`
	DataDir           string            `json:"data_dir,omitempty"`     // default /var/lib/zookeeper/<name>
	DataLogDir        string            `json:"data_log_dir,omitempty"` // default /var/lib/zookeeper-log/<name>
	Config            map[string]string `json:"config,omitempty"`       // whitelisted zoo.cfg keys
	Adopt             *Adopt            `json:"adopt,omitempty"`        // take over servers that somebody else set up
}

// Member is one server of an ensemble.
type Member struct {
	ID   int    `json:"id"`             // server id, 1 to 254
	Role string `json:"role,omitempty"` // voter (default) or observer
}

// Voter and Observer are the roles of a Member.
const (
	Voter    = "voter"
	Observer = "observer"
)

// Voter reports whether the member votes.
func (m Member) Voter() bool { return m.Role != Observer }

// Ports are the TCP ports of a member; 0 stands for ZooKeeper's usual one.
type Ports struct {
	Client   int `json:"client,omitempty"`   // 2181
	Quorum   int `json:"quorum,omitempty"`   // 2888
	Election int `json:"election,omitempty"` // 3888
	Admin    int `json:"admin,omitempty"`    // 8080, loopback only
	Metrics  int `json:"metrics,omitempty"`  // 7000, tarball source only
}

// WithDefaults fills in ZooKeeper's usual ports.
func (p Ports) WithDefaults() Ports {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&p.Client, 2181)
	def(&p.Quorum, 2888)
	def(&p.Election, 3888)
	def(&p.Admin, 8080)
	def(&p.Metrics, 7000)
	return p
}

// Source says where ZooKeeper comes from: exactly one of its fields is set.
type Source struct {
	Apt     *AptPackages `json:"apt,omitempty"`
	Tarball *Tarball     `json:"tarball,omitempty"`
}

// AptPackages takes libzookeeper-java and a headless JRE from the distribution.
type AptPackages struct {
	Version string `json:"version,omitempty"` // Debian version of libzookeeper-java; empty: what apt offers
}

// Tarball is an Apache release archive.
type Tarball struct {
	URL     string `json:"url"`               // http, https, or file on the operator's machine
	SHA512  string `json:"sha512"`            // 128 hex digits
	Version string `json:"version,omitempty"` // default: read from the name of the archive
}

// Registry is where services are announced: exactly one of its fields is set.
type Registry struct {
	Ensemble  bool              `json:"ensemble,omitempty"` // the ensemble of this spec
	ZooKeeper *ZooKeeperServers `json:"zookeeper,omitempty"`
	Etcd      *EtcdEndpoints    `json:"etcd,omitempty"`
	Consul    *ConsulAgent      `json:"consul,omitempty"`
}

// ZooKeeperServers is an ensemble that zkboot does not manage. Its auth_file is a path on
// the hosts that have a sidecar.
type ZooKeeperServers = config.ZooKeeper

// EtcdEndpoints is an etcd cluster.
type EtcdEndpoints struct {
	Endpoints []string `json:"endpoints"` // URLs
}

// ConsulAgent is a Consul agent.
type ConsulAgent struct {
	Address string `json:"address"` // host:port
}

// Sidecar is what one application host routes and registers.
type Sidecar struct {
	Zone     string                  `json:"zone,omitempty"` // where the host stands; see config.Config
	Routes   map[string]Route        `json:"routes,omitempty"`
	Register map[string]Registration `json:"register,omitempty"`
	Guard    Guard                   `json:"guard,omitzero"`
	Drain    Drain                   `json:"drain,omitzero"`
	Stats    string                  `json:"stats,omitempty"` // host:port of HAProxy's stats page; default none
}

// What zkwatch is told is told here in the same words: the types are its own, and so is
// the validation, so that a route means the same in a spec and in zkwatch's file.
type (
	// Service is a named set of instances in a registry.
	Service = config.Service
	// Route puts a service behind a local address.
	Route = config.Route
	// RouteCheck is HAProxy's check of each server of a route.
	RouteCheck = config.RouteCheck
	// Registration announces a local service while its check passes.
	Registration = config.Registration
	// ServiceCheck is zkwatch's check of a local service.
	ServiceCheck = config.ServiceCheck
	// Guard keeps a service from being emptied by mistake.
	Guard = config.Guard
	// Drain is how an instance leaves.
	Drain = config.Drain
)

// HostNames returns the names of all hosts but the lost ones, sorted.
func (s *Spec) HostNames() []string {
	var names []string
	for _, name := range sortedKeys(s.Hosts) {
		if !s.Hosts[name].Lost {
			names = append(names, name)
		}
	}
	return names
}

// MemberNames returns the host names of all members, sorted.
func (s *Spec) MemberNames() []string {
	if s.Ensemble == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.Ensemble.Members))
}
