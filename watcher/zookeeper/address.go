package zookeeper

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// canonical returns an instance's host in the one form that all of its spellings share.
func canonical(host string) (string, error) {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		if host = strings.ToLower(host); !hostname(host) {
			return "", fmt.Errorf("host %q is neither an address nor a name", clip(host))
		}
		return host, nil
	}
	ip = ip.Unmap()
	switch {
	case ip.Zone() != "":
		return "", fmt.Errorf("address %s has a zone, which means something on one host alone", ip)
	case ip.IsUnspecified(), ip.IsMulticast():
		return "", fmt.Errorf("address %s is not one place", ip)
	}
	return ip.String(), nil
}

// hostname reports whether s is a name by RFC 1123, with underscores as some have them. One
// whose last label is a number is none: it would be taken for an address (WHATWG URL,
// "ends in a number").
func hostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for _, r := range l {
			if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				return false
			}
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// split takes a plain znode's name, host:port with brackets around an IPv6 address, apart.
func split(name string) (host string, port int, err error) {
	host, port, err = splitAddr(name)
	if err != nil {
		return "", 0, err
	}
	if strings.Contains(host, ":") != strings.HasPrefix(name, "[") {
		return "", 0, errors.New("brackets are for IPv6 addresses, and for those they are needed")
	}
	host, err = canonical(host)
	return host, port, err
}

// clip shortens what came from a registry for a message.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
