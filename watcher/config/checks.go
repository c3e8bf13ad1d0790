package config

import (
	"fmt"
	"net"
	"net/netip"
	pathpkg "path"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Names become file names (spool, state) and names of HAProxy proxies, which may have
// letters, digits, '-', '_', '.' and ':' (configuration.txt 4, 2.6).
var (
	nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,62}$`)
	zoneRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
	hostRE = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`) // RFC 1123
	fileRE = regexp.MustCompile(`^/[A-Za-z0-9._@+/-]+$`)
)

func (c checker) name(s string) {
	if !nameRE.MatchString(s) {
		c.errorf("want a name of 1 to 63 lower-case letters, digits, '_', '.' and '-' that begins with a letter or digit, found %q", s)
	}
}

func (c checker) zone(s string) {
	if s != "" && !zoneRE.MatchString(s) {
		c.errorf("want a zone of 1 to 63 letters, digits, '_', '.' and '-' that begins with a letter or digit, found %q", s)
	}
}

func (c checker) oneOf(got string, known ...string) {
	for _, k := range known {
		if got == k {
			return
		}
	}
	c.errorf("want %s, found %q", strings.Join(known, " or "), got)
}

func (c checker) count(n, least, most int) {
	if n < least || n > most {
		c.errorf("want a number from %d to %d, found %d", least, most, n)
	}
}

func (c checker) duration(d Duration, least, most time.Duration) {
	if time.Duration(d) < least || time.Duration(d) > most {
		c.errorf("want a time from %s to %s, found %s", least, most, d)
	}
}

// maxHAProxyTime is a little less than HAProxy's longest time, 2^31-1 ms
// (configuration.txt 2.5, 2.6).
const maxHAProxyTime = 24 * 24 * time.Hour

// haproxyTime wants a time that HAProxy can say in its own unit.
func (c checker) haproxyTime(d Duration) {
	c.duration(d, time.Millisecond, maxHAProxyTime)
	if time.Duration(d)%time.Millisecond != 0 {
		c.errorf("want whole milliseconds, found %s", d)
	}
}

func (c checker) file(s string) {
	if !fileRE.MatchString(s) || pathpkg.Clean(s) != s {
		c.errorf("want a clean absolute path of letters, digits and ._@+-, found %q", s)
	}
}

// socket wants a path that a socket can have, with room for HAProxy, which binds to the
// path with its process number and ".tmp" behind it first (sun_path has 108 bytes).
func (c checker) socket(s string) {
	c.file(s)
	if len(s) > 95 {
		c.errorf("want at most 95 bytes, since the kernel allows a socket no longer path, found %d", len(s))
	}
}

// plain wants text without control characters, of at most limit bytes.
func plain(s string, limit int) error {
	switch {
	case len(s) > limit:
		return fmt.Errorf("want at most %d bytes, found %d", limit, len(s))
	case !utf8.ValidString(s):
		return fmt.Errorf("want valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("want text without control characters, found %U", r)
		}
	}
	return nil
}

func (c checker) labels(l Labels) {
	c.count(len(l), 0, 64)
	for _, k := range sorted(l) {
		if err := plain(k, 128); err != nil || k == "" {
			c.key(k).errorf("want a name of 1 to 128 bytes without control characters")
		}
		c.key(k).say(plain(l[k], 256))
	}
}

// znode wants a path that ZooKeeper takes (PathUtils.validatePath, 3.8), and that is not
// ZooKeeper's own.
func (c checker) znode(s string) {
	if err := znodePath(s); err != nil {
		c.say(err)
	} else if s == "/zookeeper" || strings.HasPrefix(s, "/zookeeper/") {
		c.errorf("want a path that is not ZooKeeper's own, found %q", s)
	}
}

func znodePath(s string) error {
	if !strings.HasPrefix(s, "/") || s == "/" || len(s) > 1024 || !utf8.ValidString(s) {
		return fmt.Errorf("want an absolute path of 2 to 1024 bytes such as /services/inventory/instances, found %q", s)
	}
	for part := range strings.SplitSeq(s[1:], "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf(`want a path without "//", "." and ".." and without a "/" at the end, found %q`, s)
		}
	}
	for _, r := range s {
		if unicode.IsControl(r) || r >= 0xd800 && r <= 0xf8ff || r >= 0xfff0 && r <= 0xffff {
			return fmt.Errorf("want a path without %U, which ZooKeeper refuses, found %q", r, s)
		}
	}
	return nil
}

// port reads a port as it must be written: nothing but digits that begin with no zero.
func port(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != s {
		return 0, fmt.Errorf("want a port from 1 to 65535, found %q", s)
	}
	return n, nil
}

// hostPort wants a name or an address and a port.
func hostPort(s string) error {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("want host:port, found %q", s)
	}
	if _, err := port(p); err != nil {
		return err
	}
	if _, err := address(host); err != nil && !hostRE.MatchString(host) {
		return fmt.Errorf("want a host name or an IP address before the port, found %q", host)
	}
	return nil
}

// address reads an IP address without a zone, such as %eth0: it would mean nothing elsewhere.
func address(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("want an IP address, found %q", s)
	}
	return a.Unmap(), nil
}

// announced wants an address that other hosts can use.
func (c checker) announced(s string) {
	a, err := address(s)
	if err != nil {
		c.errorf("want the IP address that other hosts reach this one at, found %q", s)
	} else if a.IsUnspecified() || a.IsMulticast() {
		c.errorf("%s is not the address of a host", s)
	}
}
