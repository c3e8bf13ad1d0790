package haproxy

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Bits of srv_admin_state (management.txt 2.6 "show servers state"). CMAINT, 0x04, is not
// among them: it says that the file had the server disabled, and stays when it is ready.
const (
	maintBits = 0x01 | 0x02 | 0x20 // forced, inherited, by DNS resolution
	drainBits = 0x08 | 0x10
)

// statusHANA is srv_check_status of a server that observed traffic, not a check, put down
// (enum healthcheck_status in include/haproxy/check-t.h, "Health analyze"). resultFailed
// is srv_check_result of a check that failed.
const (
	statusHANA   = 4
	resultFailed = 2
)

const stateHeader = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight " +
	"srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state " +
	"bk_f_forced_id srv_f_forced_id srv_fqdn srv_port"

// row is a line of "show servers state".
type row struct {
	backend string
	server  server
	checked bool // the last check did not fail
	hana    bool // traffic put it down, and no check has spoken since
}

// parseState reads "show servers state", version 1, the only one there is up to 3.0. The
// strings of a row are parts of text.
func parseState(text string) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		version, rest, _ := strings.Cut(text, "\n")
		header, rest, _ := strings.Cut(rest, "\n")
		if version != "1" || !strings.HasPrefix(header, stateHeader) {
			yield(row{}, fmt.Errorf("show servers state: expected version 1 with its 25 columns, seen %.80q", text))
			return
		}
		for line := range strings.Lines(rest) {
			if line = strings.TrimSuffix(line, "\n"); line == "" {
				continue
			}
			r, err := parseRow(line)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

func parseRow(line string) (row, error) {
	var f [19]string
	if n := fields(f[:], line, " "); n < len(f) {
		return row{}, fmt.Errorf("show servers state: expected at least 19 columns, seen %q", line)
	}
	var bad error
	num := func(i int) int {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("show servers state: column %d is no number in %q", i+1, line))
		}
		return n
	}
	bits, check := num(6), num(10)
	r := row{backend: f[1], hana: check == statusHANA, checked: num(11) != resultFailed}
	r.server = server{name: f[3], id: num(2), weight: num(7), since: int32(min(num(9), math.MaxInt32)), admin: ready, down: num(5) == 0}
	switch {
	case bits&maintBits != 0:
		r.server.admin, r.server.down = maint, false
	case bits&drainBits != 0:
		r.server.admin = drain
	}
	// A server without an address (a name that was not resolved) has "-"; it is none of ours.
	if ip, err := netip.ParseAddr(f[4]); err == nil {
		r.server.addr = netip.AddrPortFrom(ip, uint16(num(18)))
	}
	return r, bad
}

// fields splits line at single separators into out and returns how many it filled.
func fields(out []string, line, separator string) int {
	for n := range out {
		var more bool
		if out[n], line, more = strings.Cut(line, separator); !more {
			return n + 1
		}
	}
	return len(out)
}

// conns is what is known of the connections of one server.
type conns struct {
	server string
	addr   netip.AddrPort
	used   int
}

// parseConns reads the connections of the servers of one backend from "show stat BACKEND 4
// -1". Sessions are counted as well as connections: in mode tcp the latter are not (used_cur
// of "show servers conn" stays 0, seen on 2.6.12).
func parseConns(backend, text string) ([]conns, error) {
	at, rest, err := columns(text, "pxname", "svname", "scur", "used_conn_cur", "addr")
	if err != nil {
		return nil, err
	}
	var out []conns
	f := make([]string, slices.Max(at)+1) // of a hundred columns, in each of many lines
	for line := range strings.Lines(rest) {
		n := fields(f, line, ",")
		if f[0] != backend {
			continue
		}
		if n < len(f) {
			return nil, fmt.Errorf("show stat: a line is cut short: %.80q", line)
		}
		c := conns{server: f[at[1]]}
		for _, i := range at[2:4] {
			n, err := strconv.Atoi(f[i])
			if err != nil {
				return nil, fmt.Errorf("show stat: column %d is no number in %.80q", i+1, line)
			}
			c.used = max(c.used, n)
		}
		if c.addr, err = netip.ParseAddrPort(f[at[4]]); err != nil {
			return nil, fmt.Errorf("show stat: %.80q: %w", line, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// columns finds columns of "show stat" by name, and returns the lines behind the first.
func columns(text string, names ...string) (at []int, rest string, err error) {
	header, rest, _ := strings.Cut(text, "\n")
	all := strings.Split(strings.TrimPrefix(header, "# "), ",")
	for _, name := range names {
		i := slices.Index(all, name)
		if i < 0 {
			return nil, "", fmt.Errorf("show stat: expected a column %s, seen %.80q", name, header)
		}
		at = append(at, i)
	}
	return at, rest, nil
}

// info is what is needed of "show info".
type info struct {
	version  version
	pid      int
	stopping bool
}

func parseInfo(text string) (info, error) {
	var out info
	var err error
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Version":
			out.version, err = parseVersion(value)
		case "Pid":
			out.pid, err = strconv.Atoi(value)
		case "Stopping":
			out.stopping = value != "0"
		}
		if err != nil {
			return info{}, fmt.Errorf("show info: %q: %w", line, err)
		}
	}
	if out.pid == 0 || out.version == (version{}) {
		return info{}, fmt.Errorf("show info: expected lines Version and Pid, seen %.80q", text)
	}
	return out, nil
}

// parseActive reads how many servers of each backend are up and take new traffic, from
// "show stat -1 2 -1" (backends alone), whose first line names the columns.
func parseActive(text string) (map[string]int, error) {
	at, rest, err := columns(text, "pxname", "act")
	if err != nil {
		return nil, err
	}
	act := at[1]
	out := map[string]int{}
	for line := range strings.Lines(rest) {
		backend, tail, _ := strings.Cut(line, ",")
		if !strings.HasPrefix(backend, prefix) {
			continue
		}
		for range act - 1 {
			_, tail, _ = strings.Cut(tail, ",")
		}
		value, _, _ := strings.Cut(tail, ",")
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, fmt.Errorf("show stat: act is no number in %.80q", line)
		}
		out[backend] = n
	}
	return out, nil
}
