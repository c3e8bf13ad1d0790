package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// bind is an address to listen on. The zero address stands for HAProxy's "*".
type bind struct {
	addr netip.Addr
	port int
}

// parseBind reads "127.0.0.1:80", "[::1]:80" and "*:80". A name is refused, since HAProxy
// would ask a resolver for it while it starts; so is an empty host, which may mean either
// nothing or everything.
func parseBind(s string) (bind, error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return bind{}, fmt.Errorf(`want an address to listen on such as 127.0.0.1:3000 or "*:80", found %q`, s)
	}
	b := bind{}
	if b.port, err = port(p); err != nil {
		return bind{}, err
	}
	if host == "*" {
		return b, nil
	}
	if b.addr, err = address(host); err != nil || b.addr.IsMulticast() {
		return bind{}, fmt.Errorf(`want an IP address or "*" before the port, found %q`, host)
	}
	return b, nil
}

// overlaps reports whether no two programs could listen on both. HAProxy's "*" is 0.0.0.0
// (configuration.txt 4.2 "bind", 2.6); "::" takes IPv4 as well unless the kernel is told
// otherwise (net.ipv6.bindv6only).
func (b bind) overlaps(o bind) bool {
	return b.port == o.port && (b.covers(o) || o.covers(b))
}

func (b bind) covers(o bind) bool {
	switch {
	case !b.addr.IsValid(), b.addr == netip.IPv4Unspecified():
		return !o.addr.IsValid() || o.addr.Is4() || o.addr == netip.IPv6Unspecified()
	case b.addr == netip.IPv6Unspecified():
		return true
	}
	return b.addr == o.addr
}

// listener is a bind and whose it is.
type listener struct {
	bind
	text, owner string
}

// listeners are all of one host.
type listeners []listener

// add wants a listener that is right and free.
func (all *listeners) add(c checker, text, owner string) {
	b, err := parseBind(text)
	if err != nil {
		c.say(err)
		return
	}
	for _, other := range *all {
		if b.overlaps(other.bind) {
			c.errorf("%s overlaps with %s of %s", text, other.text, other.owner)
		}
	}
	*all = append(*all, listener{b, text, owner})
}

// takes reports whether connections to addr and p would come to b.
func (b bind) takes(addr string, p int) bool {
	other, err := parseBind(net.JoinHostPort(addr, strconv.Itoa(p)))
	return err == nil && b.overlaps(other)
}
