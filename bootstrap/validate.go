package bootstrap

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/verify"
)

// nameRE is what names of ensembles, hosts, services and routes look like: they become
// file names, unit names and HAProxy sections.
var nameRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// Validate checks everything that can be checked without looking at a host or knowing a
// role. It reports every fault with its path, and with its place when the Spec was loaded
// from a file.
func (s *Spec) Validate() Report {
	var r Report
	validName(&r, "name", s.Name)
	s.SSH.validate(&r, "ssh")
	if s.SSH.Address != "" {
		r.Errorf("ssh.address", "an address belongs to one host: set hosts[...].ssh.address")
	}
	_, hardware := s.thresholds()
	r.Merge(hardware)
	s.validateHosts(&r)
	s.validateTuning(&r)
	if s.Ensemble != nil {
		s.validateEnsemble(&r)
	}
	s.validateRouting(&r)
	return s.Locate(r)
}

// Locate gives findings that carry a path into s their place in the file that s was
// loaded from; without one it returns r unchanged.
func (s *Spec) Locate(r Report) Report { return s.source.locate(r) }

func validName(r *Report, p Path, name string) {
	if !nameRE.MatchString(name) {
		r.Errorf(p, "want a name of 1 to 40 lower-case letters, digits and inner hyphens, found %q", name)
	}
}

// thresholds are the limits that the spec's hardware section asks for.
func (s *Spec) thresholds() (verify.Thresholds, Report) {
	var r Report
	t, faults := s.Hardware.Thresholds()
	for _, f := range faults {
		r.Errorf(Path("hardware").Field(f.Path), "%w", f.Err)
	}
	return t, r
}

func (s *SSH) validate(r *Report, p Path) {
	if s.Port < 0 || s.Port > 65535 {
		r.Errorf(p.Field("port"), "want a port from 1 to 65535, found %d", s.Port)
	}
	if s.Patience < 0 {
		r.Errorf(p.Field("patience"), "want a time that is not negative, found %s", s.Patience)
	}
	if s.Address != "" {
		validHost(r, p.Field("address"), s.Address)
	}
	if j := s.Jump; j != nil {
		validHost(r, p.Field("jump").Field("address"), j.Address)
		validHostKey(r, p.Field("jump").Field("host_key"), j.HostKey)
		if j.Port < 0 || j.Port > 65535 {
			r.Errorf(p.Field("jump").Field("port"), "want a port from 1 to 65535, found %d", j.Port)
		}
	}
}

func (s *Spec) validateHosts(r *Report) {
	if len(s.Hosts) == 0 {
		r.Errorf("hosts", "want at least one host")
	}
	byAddress := map[netip.Addr]string{}
	allowed := expandCountries(s.Placement.Countries)
	for i, c := range s.Placement.Countries {
		if len(expandCountries([]string{c})) == 0 {
			r.Errorf(Path("placement.countries").Index(i), "want a two-letter country code, EU or EEA, found %q", c)
		}
	}
	for _, name := range sortedKeys(s.Hosts) {
		h, p := s.Hosts[name], Path("hosts").Key(name)
		validName(r, p, name)
		if _, needed := s.Sidecars[name]; h.Lost && needed {
			r.Errorf(Path("sidecars").Key(name), "host %s is lost: take its sidecar out of the spec", name)
		}
		addr, err := netip.ParseAddr(h.Address)
		switch {
		case err != nil:
			r.Errorf(p.Field("address"), "want an IP address that the other hosts can reach, found %q", h.Address)
		case addr.IsUnspecified() || addr.IsMulticast():
			r.Errorf(p.Field("address"), "%s is not the address of a host", addr)
		default:
			if other, dup := byAddress[addr.Unmap()]; dup {
				r.Errorf(p.Field("address"), "%s is already the address of host %s", addr, other)
			}
			byAddress[addr.Unmap()] = name
		}
		h.SSH.validate(r, p.Field("ssh"))
		validHostKey(r, p.Field("host_key"), h.HostKey)
		validCountry(r, p.Field("country"), h.Country, allowed)
		validMounts(r, p.Field("mounts"), h.Mounts)
	}
}

func validCountry(r *Report, p Path, country string, allowed []string) {
	switch {
	case len(allowed) == 0:
	case country == "":
		r.Errorf(p, "placement restricts countries, so the host needs its country")
	case !slices.Contains(allowed, country):
		r.Errorf(p, "%q is not among the allowed countries", country)
	}
}

func validMounts(r *Report, p Path, mounts map[string]MountSpec) {
	for _, at := range slices.Sorted(maps.Keys(mounts)) {
		m, p := mounts[at], p.Key(at)
		if !path.IsAbs(at) || path.Clean(at) != at || at == "/" {
			r.Errorf(p, "want a clean absolute path below /, found %q", at)
		}
		if !strings.HasPrefix(m.Device, "/dev/") {
			r.Errorf(p.Field("device"), "want a device such as /dev/vdb or /dev/disk/by-id/..., found %q", m.Device)
		}
		if m.FSType != "" && m.FSType != "ext4" && m.FSType != "xfs" {
			r.Errorf(p.Field("fstype"), "want ext4 or xfs, found %q", m.FSType)
		}
	}
}

// validHostKey checks the authorized_keys form: type, base64, optional comment.
func validHostKey(r *Report, p Path, key string) {
	for line := range strings.Lines(key) {
		parts := strings.Fields(line)
		if len(parts) < 2 {
			r.Errorf(p, `want a public key such as "ssh-ed25519 AAAA...", found %q`, strings.TrimSpace(line))
			continue
		}
		if _, err := base64.StdEncoding.DecodeString(parts[1]); err != nil {
			r.Errorf(p, "the key after %s is not base64: %w", parts[0], err)
		}
	}
}

// hostRE is a host name of RFC 1123.
var hostRE = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$`)

func validHost(r *Report, p Path, host string) {
	if _, err := netip.ParseAddr(host); err != nil && !hostRE.MatchString(host) {
		r.Errorf(p, "want an IP address or a host name, found %q", host)
	}
}

func validPort(r *Report, p Path, port int) {
	if port < 1 || port > 65535 {
		r.Errorf(p, "want a port from 1 to 65535, found %d", port)
	}
}

func validHostPort(r *Report, p Path, s string) {
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil || n < 1 || n > 65535 {
		r.Errorf(p, "want host:port, found %q", s)
		return
	}
	if host != "" && host != "*" {
		validHost(r, p, host)
	}
}

func oneOf(r *Report, p Path, got string, known ...string) {
	if got != "" && !slices.Contains(known, got) {
		r.Errorf(p, "want %s, found %q", strings.Join(known, ", "), got)
	}
}

var sysctlRE = regexp.MustCompile(`^[a-z0-9_]+(\.[A-Za-z0-9_-]+)+$`)

func (s *Spec) validateTuning(r *Report) {
	for _, k := range slices.Sorted(maps.Keys(s.Tuning.Sysctl)) {
		p := Path("tuning.sysctl").Key(k)
		if !sysctlRE.MatchString(k) {
			r.Errorf(p, "want a key such as vm.swappiness, found %q", k)
		}
		if v := s.Tuning.Sysctl[k]; strings.TrimSpace(v) == "" || strings.ContainsAny(v, "\n\r#;=") {
			r.Errorf(p, "want a value on one line, found %q", v)
		}
	}
	oneOf(r, "tuning.thp", s.Tuning.THP, "madvise", "never", "always", "leave")
	oneOf(r, "tuning.swap", s.Tuning.Swap, "leave", "off")
}

func (s *Spec) validateEnsemble(r *Report) {
	e := s.Ensemble
	s.validateMembers(r)
	e.Source.validate(r, "ensemble.source")
	if e.Heap != 0 && e.Heap < 128*MiB {
		r.Errorf("ensemble.heap", "want at least 128MiB, found %s", e.Heap)
	}
	for i, f := range e.JVMFlags {
		p := Path("ensemble.jvm_flags").Index(i)
		if !strings.HasPrefix(f, "-") || strings.ContainsAny(f, "\n\r\"'\\$%") || strings.ContainsAny(f, " \t") {
			r.Errorf(p, "want one JVM flag without blanks, quotes, $ and %%, found %q", f)
		}
	}
	used := map[int]string{}
	ports := e.Ports.WithDefaults()
	for _, f := range []struct {
		name string
		port int
	}{{"client", ports.Client}, {"quorum", ports.Quorum}, {"election", ports.Election}, {"admin", ports.Admin}, {"metrics", ports.Metrics}} {
		p := Path("ensemble.ports").Field(f.name)
		validPort(r, p, f.port)
		if other, dup := used[f.port]; dup {
			r.Errorf(p, "port %d is already the %s port", f.port, other)
		}
		used[f.port] = f.name
	}
	validDir(r, "ensemble.data_dir", e.DataDir)
	validDir(r, "ensemble.data_log_dir", e.DataLogDir)
	e.Adopt.validate(r, "ensemble.adopt")
}

func validDir(r *Report, p Path, dir string) {
	if dir != "" && (!path.IsAbs(dir) || path.Clean(dir) != dir || strings.Count(dir, "/") < 2 || strings.ContainsAny(dir, " \t\n%\"'\\")) {
		r.Errorf(p, "want a clean absolute path at least two levels deep, without blanks, quotes or %%, found %q", dir)
	}
}

func (s *Spec) validateMembers(r *Report) {
	p := Path("ensemble.members")
	ids, byAddress, voters := map[int]string{}, map[string]string{}, 0
	for _, name := range s.MemberNames() {
		m, p := s.Ensemble.Members[name], p.Key(name)
		h, known := s.Hosts[name]
		if !known {
			r.Errorf(p, "there is no host %q under hosts", name)
		}
		if h.Lost {
			r.Errorf(p, "host %s is lost: take it out of the members", name)
		}
		if m.ID < 1 || m.ID > 254 {
			// 255 is reserved in ZooKeeper's election protocol for "no leader known".
			r.Errorf(p.Field("id"), "want a server id from 1 to 254, found %d", m.ID)
		} else if other, dup := ids[m.ID]; dup {
			r.Errorf(p.Field("id"), "server id %d is already that of %s", m.ID, other)
		}
		ids[m.ID] = name
		oneOf(r, p.Field("role"), m.Role, Voter, Observer)
		if m.Voter() {
			voters++
		}
		// Two hosts that are reached at one address are one machine, whatever their names.
		if at := h.sshAddress(); known && at != "" {
			if other, dup := byAddress[at]; dup {
				r.Errorf(p, "members %s and %s are on one host (%s): losing it would lose both", other, name, at)
			}
			byAddress[at] = name
		}
	}
	switch {
	case voters == 0:
		r.Errorf(p, "want at least one voter")
	case voters%2 == 0:
		r.Errorf(p, "want an odd number of voters, found %d: an even number survives no more losses than %d would", voters, voters-1)
	case voters > 7:
		r.Errorf(p, "want 1, 3, 5 or 7 voters, found %d: every write waits for more than half of them; use observers", voters)
	}
}

func (h HostSpec) sshAddress() string {
	if h.SSH.Address == "" {
		return ""
	}
	return net.JoinHostPort(h.SSH.Address, fmt.Sprint(max(h.SSH.Port, 22)))
}

var sha512RE = regexp.MustCompile(`^[0-9a-fA-F]{128}$`)

func (s *Source) validate(r *Report, p Path) {
	if (s.Apt == nil) == (s.Tarball == nil) {
		r.Errorf(p, "want either apt: {} or tarball: {url, sha512}")
	}
	t := s.Tarball
	if t == nil {
		return
	}
	u, err := url.Parse(t.URL)
	if err != nil || !slices.Contains([]string{"http", "https", "file"}, u.Scheme) || u.Scheme != "file" && u.Host == "" {
		r.Errorf(p.Field("tarball").Field("url"), "want an http, https or file URL, found %q", t.URL)
	}
	if !sha512RE.MatchString(t.SHA512) {
		r.Errorf(p.Field("tarball").Field("sha512"), "want 128 hex digits, as in the .sha512 file beside the release, found %q", t.SHA512)
	}
}
