package config

// Route puts a service behind a local address.
type Route struct {
	Service string `json:"service" yaml:"service"`
	Bind    string `json:"bind" yaml:"bind"`                     // host:port; "*:80" for an edge listener
	Mode    string `json:"mode,omitempty" yaml:"mode,omitempty"` // http (default) or tcp
	// Balance is HAProxy's: roundrobin (default), leastconn, first, source, uri, url_param or
	// hdr, with arguments. The last four are dynamic only with "hash-type consistent".
	Balance  string     `json:"balance,omitempty" yaml:"balance,omitempty"`
	Check    RouteCheck `json:"check,omitzero" yaml:"check,omitempty"`
	Retries  *int       `json:"retries,omitempty" yaml:"retries,omitempty"`  // default 2
	MaxConn  int        `json:"maxconn,omitempty" yaml:"maxconn,omitempty"`  // of one server; 0 for no limit, so no queue
	Cookie   string     `json:"cookie,omitempty" yaml:"cookie,omitempty"`    // name of an inserted cookie; http only
	Timeouts Timeouts   `json:"timeouts,omitzero" yaml:"timeouts,omitempty"` // of this route
	Breaker  Breaker    `json:"breaker,omitzero" yaml:"breaker,omitempty"`   // ejects a server that answers with errors
	Tiers    *Tiers     `json:"tiers,omitempty" yaml:"tiers,omitempty"`      // prefer near instances
	Labels   Labels     `json:"labels,omitempty" yaml:"labels,omitempty"`    // only instances that have all of these
	// Frontend and Backend are raw lines for those sections of HAProxy's file, such as "acl
	// api path_beg /api". What they may begin with is a closed list.
	Frontend []string `json:"frontend,omitempty" yaml:"frontend,omitempty"`
	Backend  []string `json:"backend,omitempty" yaml:"backend,omitempty"`
}

// Labels are free words that instances carry.
type Labels map[string]string

// RouteCheck is HAProxy's own check of each server.
type RouteCheck struct {
	HTTP string `json:"http,omitempty" yaml:"http,omitempty"` // "GET /health"; empty: a TCP connect
	// Expect is what follows "http-check expect", quoted as HAProxy wants it: status 200-399.
	Expect string   `json:"expect,omitempty" yaml:"expect,omitempty"`
	Inter  Duration `json:"inter,omitempty" yaml:"inter,omitempty"` // default 2s
	Rise   int      `json:"rise,omitempty" yaml:"rise,omitempty"`   // default 2
	Fall   int      `json:"fall,omitempty" yaml:"fall,omitempty"`   // default 3
}

// Timeouts of a route, HAProxy's own words.
type Timeouts struct {
	Connect Duration `json:"connect,omitempty" yaml:"connect,omitempty"` // default 2s
	Client  Duration `json:"client,omitempty" yaml:"client,omitempty"`   // default 60s
	Server  Duration `json:"server,omitempty" yaml:"server,omitempty"`   // default 60s
	Queue   Duration `json:"queue,omitempty" yaml:"queue,omitempty"`     // default 5s: fail fast on a full queue
	Tunnel  Duration `json:"tunnel,omitempty" yaml:"tunnel,omitempty"`   // default 1h; websockets
}

// Breaker is HAProxy's observe with a cap: a server is marked down after Errors
// consecutive errors of real traffic, but no more than Eject of a backend at once; beyond
// it zkwatch lifts them again.
type Breaker struct {
	Off    bool    `json:"off,omitempty" yaml:"off,omitempty"`
	Errors int     `json:"errors,omitempty" yaml:"errors,omitempty"` // default 20
	Eject  Percent `json:"eject,omitempty" yaml:"eject,omitempty"`   // default 50%
}

// Tiers send traffic to the nearest zones that have enough instances. The zones of Order come
// one after the other, the host's own zone first when Order is empty, all others last.
type Tiers struct {
	Order []string `json:"order,omitempty" yaml:"order,omitempty"`
	// Min is how many usable instances the tiers in use must have; with fewer the next tier joins. Default 1.
	Min int `json:"min,omitempty" yaml:"min,omitempty"`
}

// Registration announces a local service while its check passes.
type Registration struct {
	Service string       `json:"service" yaml:"service"`
	Address string       `json:"address,omitempty" yaml:"address,omitempty"` // an IP address; default: the host's
	Port    int          `json:"port" yaml:"port"`
	Check   ServiceCheck `json:"check" yaml:"check"`
	Weight  int          `json:"weight,omitempty" yaml:"weight,omitempty"` // 1 to 256, default 1
	Labels  Labels       `json:"labels,omitempty" yaml:"labels,omitempty"`
	Zone    string       `json:"zone,omitempty" yaml:"zone,omitempty"` // default: the host's
}

// ServiceCheck is zkwatch's check of a local service: exactly one of HTTP, TCP and Exec.
type ServiceCheck struct {
	HTTP     string   `json:"http,omitempty" yaml:"http,omitempty"`         // URL, http or https
	Status   []int    `json:"status,omitempty" yaml:"status,omitempty"`     // accepted; default 200 to 399
	Body     string   `json:"body,omitempty" yaml:"body,omitempty"`         // regular expression that the first 64 KiB must match
	Headers  Labels   `json:"headers,omitempty" yaml:"headers,omitempty"`   // sent with the request
	Insecure bool     `json:"insecure,omitempty" yaml:"insecure,omitempty"` // https: do not check the certificate
	TCP      string   `json:"tcp,omitempty" yaml:"tcp,omitempty"`           // host:port
	Exec     []string `json:"exec,omitempty" yaml:"exec,omitempty"`         // argv, no shell
	Interval Duration `json:"interval,omitempty" yaml:"interval,omitempty"` // default 1s, jittered by a tenth
	Timeout  Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`   // at most the interval, which is the default
	Rise     int      `json:"rise,omitempty" yaml:"rise,omitempty"`         // default 2
	Fall     int      `json:"fall,omitempty" yaml:"fall,omitempty"`         // default 3
}
