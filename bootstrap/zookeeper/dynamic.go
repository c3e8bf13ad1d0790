package zookeeper

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The roles of a server in a dynamic configuration.
const (
	Participant = "participant"
	Observer    = "observer"
)

// Address is where other members reach a server. Host is a name or an IP address, IPv6
// without brackets.
type Address struct {
	Host     string
	Quorum   int
	Election int
}

// Server is one server.N line:
//
//	server.1=10.0.0.1:2888:3888:participant;10.0.0.1:2181
//
// More than one address (separated by "|") needs multiAddress.enabled.
// https://zookeeper.apache.org/doc/r3.9.3/zookeeperReconfig.html#sc_reconfig_clientport
type Server struct {
	ID         int
	Addresses  []Address
	Role       string // Participant or Observer
	ClientHost string // "" where the line gives a port alone: every address of the host
	ClientPort int    // 0 where the line has none
}

// Dynamic is a dynamic configuration file.
type Dynamic struct {
	Servers []Server          // by id
	Groups  map[string]string // "group.1" and "weight.1" lines, as written
	Version string            // hex, "" where the file has none
}

// sort puts servers by id, so that equal configurations are equal texts whatever map or
// file they came from.
func (d *Dynamic) sort() {
	slices.SortFunc(d.Servers, func(a, b Server) int { return cmp.Compare(a.ID, b.ID) })
}

// String renders the line.
func (s Server) String() string {
	var addrs []string
	for _, a := range s.Addresses {
		addrs = append(addrs, fmt.Sprintf("%s:%d:%d", bracket(a.Host), a.Quorum, a.Election))
	}
	line := fmt.Sprintf("server.%d=%s:%s", s.ID, strings.Join(addrs, "|"), s.Role)
	switch {
	case s.ClientPort == 0:
		return line
	case s.ClientHost == "":
		return fmt.Sprintf("%s;%d", line, s.ClientPort)
	}
	return fmt.Sprintf("%s;%s:%d", line, bracket(s.ClientHost), s.ClientPort)
}

// bracket writes an IPv6 address as ZooKeeper reads it.
func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// String renders the file: servers by id, then groups and weights, then the version.
func (d Dynamic) String() string {
	var b strings.Builder
	for _, s := range d.Servers {
		b.WriteString(s.String() + "\n")
	}
	for _, k := range slices.Sorted(keysOf(d.Groups)) {
		fmt.Fprintf(&b, "%s=%s\n", k, d.Groups[k])
	}
	if d.Version != "" {
		fmt.Fprintf(&b, "version=%s\n", d.Version)
	}
	return b.String()
}

// keysOf yields the keys of a map, for slices.Sorted.
func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// ParseDynamic reads a dynamic configuration. Every fault is reported with its line; the
// result is the zero value then.
func ParseDynamic(src string) (Dynamic, error) {
	var d Dynamic
	var errs []error
	seen := map[string]bool{}
	n := 0
	for line := range strings.Lines(src) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		err := d.put(k, v)
		switch {
		case !ok:
			err = fmt.Errorf("%q is no key=value", line)
		case seen[k] && err == nil:
			err = fmt.Errorf("%s is given twice", k)
		}
		seen[k] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Dynamic{}, err
	}
	d.sort()
	return d, nil
}

// put reads one line. Unlike the server it refuses unknown keys: here they can only be
// what a person wrote into a file that is not for people.
func (d *Dynamic) put(k, v string) error {
	name, num, _ := strings.Cut(k, ".")
	switch {
	case k == "version":
		if _, err := strconv.ParseUint(v, 16, 64); err != nil {
			return fmt.Errorf("version %q is no hex number", v)
		}
		d.Version = v
		return nil
	case name == "group" || name == "weight":
		if _, err := strconv.ParseUint(num, 10, 63); err != nil || v == "" {
			return fmt.Errorf("%s=%s is no group or weight", k, v)
		}
		if d.Groups == nil {
			d.Groups = map[string]string{}
		}
		d.Groups[k] = v
		return nil
	case name != "server":
		return fmt.Errorf("unknown key %q: a dynamic configuration has server.N, group.N, weight.N and version", k)
	}
	s, err := parseServer(num, v)
	if err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	d.Servers = append(d.Servers, s)
	return nil
}

// parseServer reads what stands on both sides of a server line. The id must be spelled as
// the server writes it, or "server.01" and "server.1" would be two.
func parseServer(num, v string) (Server, error) {
	id, err := strconv.ParseUint(num, 10, 31)
	if err != nil || num != strconv.FormatUint(id, 10) {
		return Server{}, fmt.Errorf("%q is no server id", num)
	}
	s := Server{ID: int(id), Role: Participant}
	quorum, client, hasClient := strings.Cut(v, ";")
	if hasClient {
		if s.ClientHost, s.ClientPort, err = parseClient(client); err != nil {
			return Server{}, err
		}
	}
	for part := range strings.SplitSeq(quorum, "|") {
		a, role, err := parseAddress(part)
		if err != nil {
			return Server{}, err
		}
		if role != "" {
			s.Role = role
		}
		s.Addresses = append(s.Addresses, a)
	}
	return s, nil
}

// parseClient reads "port" or "host:port".
func parseClient(text string) (host string, port int, err error) {
	rest := text
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		if host, err = unbracket(text[:i]); err != nil {
			return "", 0, err
		}
		rest = text[i+1:]
	}
	if port, err = parsePort(rest); err != nil {
		return "", 0, fmt.Errorf("client address %q: %w", text, err)
	}
	return host, port, nil
}

// parseAddress reads "host:quorum:election[:role]".
func parseAddress(text string) (Address, string, error) {
	host, rest, ok := cutHost(text)
	parts := strings.Split(rest, ":")
	if !ok || len(parts) < 2 || len(parts) > 3 {
		return Address{}, "", fmt.Errorf("%q is no host:port:port[:role]", text)
	}
	var a Address
	var err error
	if a.Host, err = unbracket(host); err != nil {
		return a, "", err
	}
	if a.Quorum, err = parsePort(parts[0]); err != nil {
		return a, "", err
	}
	if a.Election, err = parsePort(parts[1]); err != nil {
		return a, "", err
	}
	if len(parts) == 2 {
		return a, "", nil
	}
	role := strings.ToLower(parts[2])
	if role != Participant && role != Observer {
		return a, "", fmt.Errorf("role %q is neither participant nor observer", parts[2])
	}
	return a, role, nil
}

// cutHost splits at the first colon outside of brackets.
func cutHost(text string) (host, rest string, ok bool) {
	if strings.HasPrefix(text, "[") {
		host, rest, ok = strings.Cut(text, "]:")
		return host + "]", rest, ok
	}
	return strings.Cut(text, ":")
}

// unbracket takes the brackets off an IPv6 address; anything else must be free of what
// separates the parts of a line.
func unbracket(host string) (string, error) {
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		inner, bracketed = strings.CutSuffix(inner, "]")
		if a, err := netip.ParseAddr(inner); !bracketed || err != nil || !a.Is6() {
			return "", fmt.Errorf("%q is no IPv6 address in brackets", host)
		}
		return inner, nil
	}
	if host == "" || strings.ContainsAny(host, ":;|[]= \t\r") {
		return "", fmt.Errorf("%q is no host name or address", host)
	}
	return host, nil
}

// parsePort refuses 0, which would mean any free port.
func parsePort(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port", text)
	}
	return int(n), nil
}

// Differences lists what two configurations disagree about, a server a line; nil when they
// have the same members. Versions are not compared.
func Differences(live, want Dynamic) []string {
	byID := func(d Dynamic) map[int]Server {
		m := map[int]Server{}
		for _, s := range d.Servers {
			m[s.ID] = s
		}
		return m
	}
	a, b := byID(live), byID(want)
	var out []string
	for _, s := range live.Servers {
		if _, ok := b[s.ID]; !ok {
			out = append(out, fmt.Sprintf("live has %s, the spec has no server %d", s, s.ID))
		}
	}
	for _, w := range want.Servers {
		s, ok := a[w.ID]
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("the spec has %s, the live ensemble has no server %d", w, w.ID))
		case !s.equal(w):
			out = append(out, fmt.Sprintf("live has %s, the spec has %s", s, w))
		}
	}
	return out
}

// equal compares what members and clients depend on. Addresses may be spelled differently:
// the server writes them as the JVM prints them.
func (s Server) equal(w Server) bool {
	same := slices.EqualFunc(s.Addresses, w.Addresses, func(a, b Address) bool {
		return sameAddress(a.Host, b.Host) && a.Quorum == b.Quorum && a.Election == b.Election
	})
	return same && s.Role == w.Role && s.ClientPort == w.ClientPort && sameAddress(s.ClientHost, w.ClientHost)
}
