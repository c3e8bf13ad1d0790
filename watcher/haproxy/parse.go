package haproxy

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
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
	if n := fields(f[:], line); n < len(f) {
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
	r.server = server{name: f[3], id: num(2), weight: num(7), since: num(9), admin: ready, down: num(5) == 0}
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

// fields splits line at single blanks into out and returns how many it filled.
func fields(out []string, line string) int {
	for n := range out {
		var more bool
		if out[n], line, more = strings.Cut(line, " "); !more {
			return n + 1
		}
	}
	return len(out)
}

// parseConns reads the connections in use, by server, from "show servers conn". The
// columns are named in its first line.
func parseConns(text string) ([]conns, error) {
	header, rest, _ := strings.Cut(text, "\n")
	columns := strings.Fields(strings.TrimPrefix(header, "#"))
	at := map[string]int{}
	for i, c := range columns {
		at[c] = i
	}
	for _, need := range []string{"bkname/svname", "addr", "port", "used_cur"} {
		if _, ok := at[need]; !ok {
			return nil, fmt.Errorf("show servers conn: expected a column %s, seen %.80q", need, header)
		}
	}
	var out []conns
	for line := range strings.Lines(rest) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < len(columns)-1 {
			return nil, fmt.Errorf("show servers conn: a line is cut short: %q", line)
		}
		var c conns
		c.backend, c.server, _ = strings.Cut(f[at["bkname/svname"]], "/")
		used, err := strconv.Atoi(f[at["used_cur"]])
		if err != nil {
			return nil, fmt.Errorf("show servers conn: used_cur is no number in %q", line)
		}
		c.used = used
		if ip, err := netip.ParseAddr(f[at["addr"]]); err == nil {
			if port, err := strconv.ParseUint(f[at["port"]], 10, 16); err == nil {
				c.addr = netip.AddrPortFrom(ip, uint16(port))
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// conns is a line of "show servers conn".
type conns struct {
	backend, server string
	addr            netip.AddrPort
	used            int
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
	header, rest, _ := strings.Cut(text, "\n")
	name, act := -1, -1
	for i, c := range strings.Split(strings.TrimPrefix(header, "# "), ",") {
		switch c {
		case "pxname":
			name = i
		case "act":
			act = i
		}
	}
	if name != 0 || act < 0 {
		return nil, fmt.Errorf("show stat: expected the columns pxname and act, seen %.80q", header)
	}
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
