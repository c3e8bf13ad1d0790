package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

func (r Route) check(k checker, zone string) {
	k.field("mode").oneOf(r.Mode, "http", "tcp")
	http := r.Mode == "http"
	k.field("balance").say(r.checkBalance())
	r.Check.check(k.field("check"))
	if r.Retries != nil {
		k.field("retries").count(*r.Retries, 0, 100)
	}
	k.field("maxconn").count(r.MaxConn, 0, 1_000_000)
	if r.Cookie != "" && !cookieRE.MatchString(r.Cookie) {
		k.field("cookie").errorf("want a cookie's name of 1 to 64 letters, digits, '_', '.' and '-', found %q", r.Cookie)
	}
	if r.Cookie != "" && !http {
		k.field("cookie").errorf("want mode http with it: in mode tcp nobody reads cookies")
	}
	r.Timeouts.check(k.field("timeouts"))
	if !r.Breaker.Off {
		k.field("breaker").field("errors").count(r.Breaker.Errors, 1, 10000)
		k.field("breaker").field("eject").count(int(r.Breaker.Eject), 1, 100)
	} else if r.Breaker.Errors != 0 || r.Breaker.Eject != 0 {
		k.field("breaker").errorf("it is off, so errors and eject mean nothing: leave them out")
	}
	if r.Tiers != nil {
		r.Tiers.check(k.field("tiers"), zone)
	}
	k.field("labels").labels(r.Labels)
	k.field("frontend").lines(r.Frontend, frontend(), r)
	k.field("backend").lines(r.Backend, backend(), r)
}

var (
	cookieRE = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	// What configuration.txt 4.2 "balance" has (2.6) and is or can be made dynamic.
	balanceRE     = regexp.MustCompile(`^(roundrobin|leastconn|first|source)$`)
	balanceHTTPRE = regexp.MustCompile(`^(uri( (whole|path-only|len [1-9][0-9]{0,4}|depth [1-9][0-9]{0,2}))*|url_param [A-Za-z0-9_-]{1,64}( check_post)?|hdr\([A-Za-z0-9_-]{1,64}\)( use_domain_only)?)$`)
)

func (r Route) checkBalance() error {
	word, _, _ := strings.Cut(r.Balance, " ")
	switch {
	case word == "static-rr":
		return fmt.Errorf("want a balance other than static-rr: its weights cannot be changed and no server added while HAProxy runs; roundrobin is the same and can")
	case strings.HasPrefix(word, "random"):
		return fmt.Errorf("want a balance other than random: servers that are added while HAProxy runs may get no traffic from it (haproxy issue 3413); use leastconn")
	case r.Balance == "first" && r.MaxConn == 0:
		return fmt.Errorf("balance first needs maxconn: without one the first server takes everything")
	case balanceRE.MatchString(r.Balance):
		return nil
	case !balanceHTTPRE.MatchString(r.Balance):
		return fmt.Errorf("want roundrobin, leastconn, first, source, uri [whole] [path-only] [len N] [depth N], url_param NAME or hdr(NAME), found %q", r.Balance)
	case r.Mode != "http":
		return fmt.Errorf("balance %s needs mode http", word)
	}
	return nil
}

// httpCheckRE leaves out what HAProxy's parser would not take as it stands: blanks,
// quotes, '\', '#' and '$' (configuration.txt 2.2, 2.6).
var httpCheckRE = regexp.MustCompile(`^(GET|HEAD|OPTIONS|POST|PUT) /[A-Za-z0-9/._~!&()*+,;=:@%?-]{0,500}$`)

func (v RouteCheck) check(k checker) {
	if v.HTTP != "" && !httpCheckRE.MatchString(v.HTTP) {
		k.field("http").errorf(`want a method and a path such as "GET /health", found %q`, v.HTTP)
	}
	if v.Expect != "" {
		if v.HTTP == "" {
			k.field("expect").errorf("want http with it")
		}
		k.field("expect").say(checkExpect(v.Expect))
	}
	k.field("inter").haproxyTime(v.Inter)
	k.field("inter").duration(v.Inter, 10*time.Millisecond, time.Hour)
	k.field("rise").count(v.Rise, 1, 100)
	k.field("fall").count(v.Fall, 1, 100)
}

var statusRE = regexp.MustCompile(`^[1-5][0-9][0-9](-[1-5][0-9][0-9])?(,[1-5][0-9][0-9](-[1-5][0-9][0-9])?)*$`)

// checkExpect wants [!] status|rstatus|string|rstring and one pattern, quoted as in
// HAProxy's file (configuration.txt 4.2 "http-check expect", 2.6).
func checkExpect(text string) error {
	w, err := words(text)
	if err != nil {
		return err
	}
	if w[0] == "!" {
		w = w[1:]
	}
	bad := fmt.Errorf(`want [!] status, rstatus, string or rstring and one pattern, such as "status 200-399", found %q`, text)
	if len(w) != 2 || w[1] == "" {
		return bad
	}
	switch w[0] {
	case "status":
		if !statusRE.MatchString(w[1]) {
			return fmt.Errorf("want status codes such as 200 or 200-299,401, found %q", w[1])
		}
		return nil
	case "rstatus", "string", "rstring":
		return nil
	}
	return bad
}

func (t Timeouts) check(k checker) {
	k.field("connect").haproxyTime(t.Connect)
	k.field("client").haproxyTime(t.Client)
	k.field("server").haproxyTime(t.Server)
	k.field("queue").haproxyTime(t.Queue)
	k.field("tunnel").haproxyTime(t.Tunnel)
}

func (t Tiers) check(k checker, zone string) {
	if len(t.Order) == 0 && zone == "" {
		k.field("order").errorf("want an order of zones, or the zone of this host, which would come first")
	}
	seen := map[string]bool{}
	for i, z := range t.Order {
		if z == "" {
			k.field("order").index(i).errorf("want the name of a zone")
		}
		k.field("order").index(i).zone(z)
		if seen[z] {
			k.field("order").index(i).errorf("zone %s is already in the order", z)
		}
		seen[z] = true
	}
	k.field("min").count(t.Min, 1, 10000)
}
