package config

import (
	"fmt"
	"net"
	"net/url"
	pathpkg "path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func (c *Config) checkRegister(k checker, routes map[string]bind) {
	taken := map[string]string{}
	for _, name := range sorted(c.Register) {
		r, k := c.Register[name], k.key(name)
		k.name(name)
		if name == "all" {
			k.errorf(`want another name: in the spool "all" means every registration`)
		}
		c.knownService(k.field("service"), r.Service)
		c.checkPlace(k, r)
		k.field("port").count(r.Port, 1, 65535)
		k.field("weight").count(r.Weight, 1, 256) // configuration.txt 5.2 "weight", 2.6; 0 would take no traffic
		k.field("labels").labels(r.Labels)
		r.Check.check(k.field("check"))

		at := net.JoinHostPort(r.Address, strconv.Itoa(r.Port))
		if other, dup := taken[r.Service+" "+at]; dup {
			k.errorf("%s is already announced for service %s by %s", at, r.Service, other)
		}
		taken[r.Service+" "+at] = name
		for _, route := range sorted(routes) {
			if c.Routes[route].Service == r.Service && routes[route].takes(r.Address, r.Port) {
				k.field("port").errorf("%s is the listener of route %s to the same service: it would send to itself", at, route)
			}
		}
	}
}

// checkPlace checks address and zone, unless they are the host's and were judged there.
func (c *Config) checkPlace(k checker, r Registration) {
	switch {
	case r.Address == "":
		k.field("address").errorf("want the address to announce, here or as address of the host")
	case r.Address != c.Address:
		k.field("address").announced(r.Address)
	}
	if r.Zone != c.Zone {
		k.field("zone").zone(r.Zone)
	}
}

// headerRE is a token of RFC 9110 5.6.2.
var headerRE = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")

func (s ServiceCheck) check(k checker) {
	kinds := 0
	for _, is := range []bool{s.HTTP != "", s.TCP != "", len(s.Exec) > 0} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		k.errorf("want exactly one of http, tcp and exec: an instance is announced only while its check passes")
	}
	k.field("interval").duration(s.Interval, 10*time.Millisecond, time.Hour)
	k.field("timeout").duration(s.Timeout, time.Millisecond, time.Hour)
	if s.Timeout > s.Interval {
		k.field("timeout").errorf("want at most the interval, which is %s, found %s: the next check would be due", s.Interval, s.Timeout)
	}
	k.field("rise").count(s.Rise, 1, 100)
	k.field("fall").count(s.Fall, 1, 100)
	s.checkHTTP(k)
	if s.TCP != "" {
		k.field("tcp").say(hostPort(s.TCP))
	}
	if len(s.Exec) > 0 && (!pathpkg.IsAbs(s.Exec[0]) || pathpkg.Clean(s.Exec[0]) != s.Exec[0]) {
		k.field("exec").index(0).errorf("want the clean absolute path of a program: there is no shell and no PATH")
	}
	for i, arg := range s.Exec {
		if strings.ContainsRune(arg, 0) || len(arg) > 4096 || i >= 64 {
			k.field("exec").index(i).errorf("want at most 64 arguments of up to 4096 bytes without NUL")
		}
	}
}

func (s ServiceCheck) checkHTTP(k checker) {
	secure := false
	if s.HTTP == "" {
		if len(s.Status) > 0 || s.Body != "" || len(s.Headers) > 0 {
			k.errorf("status, body and headers need http")
		}
	} else {
		u, err := checkURL(s.HTTP)
		k.field("http").say(err)
		secure = err == nil && u.Scheme == "https"
	}
	if s.Insecure && !secure {
		k.field("insecure").errorf("want an https URL with it")
	}
	for i, code := range s.Status {
		k.field("status").index(i).count(code, 100, 599)
	}
	if len(s.Body) > 1024 {
		k.field("body").errorf("want at most 1024 bytes, found %d", len(s.Body))
	} else if _, err := regexp.Compile(s.Body); err != nil {
		k.field("body").errorf("want a regular expression: %v", err)
	}
	for _, name := range sorted(s.Headers) {
		if !headerRE.MatchString(name) {
			k.field("headers").key(name).errorf("want the name of a header")
		}
		k.field("headers").key(name).say(plain(s.Headers[name], 4096)) // never shows the value: it may be a secret
	}
}

// checkURL never shows what it was given: there may be a password in it.
func checkURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "" || u.Opaque != "" || len(text) > 2048 {
		return nil, fmt.Errorf("want an http or https URL such as http://127.0.0.1:8080/health")
	}
	if u.User != nil {
		return nil, fmt.Errorf("want a URL without user and password; send an Authorization header")
	}
	host, p := u.Hostname(), u.Port()
	if p == "" {
		p = "80"
	}
	if strings.HasSuffix(u.Host, ":") {
		return nil, fmt.Errorf("want a port behind the colon of the URL's host")
	}
	return u, hostPort(net.JoinHostPort(host, p))
}
