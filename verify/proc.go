package verify

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The parsers below take the text of a file of /proc, /sys or /etc and read
// nothing themselves. They skip lines they do not know, because kernels add
// lines, and refuse lines they know but cannot read.

// parseOSRelease reads os-release(5).
func parseOSRelease(text string) OS {
	var o OS
	fields := map[string]*string{
		"ID": &o.ID, "VERSION_ID": &o.VersionID, "VERSION_CODENAME": &o.Codename,
		"ID_LIKE": &o.Like, "PRETTY_NAME": &o.Pretty, "BUILD_ID": &o.BuildID,
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if to, ok := fields[key]; ok {
			*to = strings.Trim(value, `"'`)
		}
	}
	return o
}

// parseMeminfo reads /proc/meminfo, whose "kB" are 1024 bytes.
func parseMeminfo(text string) (Memory, error) {
	var m Memory
	var swapFree uint64
	fields := map[string]*uint64{
		"MemTotal": &m.Total, "MemAvailable": &m.Available, "SwapTotal": &m.SwapTotal, "SwapFree": &swapFree,
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		to, ok := fields[key]
		if !ok {
			continue
		}
		n, err := parseKilobytes(value)
		if err != nil {
			return Memory{}, fmt.Errorf("%s: %w", key, err)
		}
		*to = n
	}
	if m.Total == 0 {
		return Memory{}, fmt.Errorf("no MemTotal")
	}
	m.SwapUsed = m.SwapTotal - min(swapFree, m.SwapTotal)
	return m, nil
}

func parseKilobytes(value string) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
	if err != nil {
		return 0, err
	}
	if n > math.MaxUint64/1024 {
		return 0, fmt.Errorf("%d kB is out of range", n)
	}
	return n * 1024, nil
}

// parsePSI reads a file of /proc/pressure. Before Linux 5.13 the cpu file has
// no full line; it is zero then.
func parsePSI(text string) (PSI, error) {
	var p PSI
	seen := false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		var to *PSILine
		switch fields[0] {
		case "some":
			to, seen = &p.Some, true
		case "full":
			to = &p.Full
		default:
			continue
		}
		if err := parsePSILine(fields[1:], to); err != nil {
			return PSI{}, fmt.Errorf("%s: %w", fields[0], err)
		}
	}
	if !seen {
		return PSI{}, fmt.Errorf("no line begins with some")
	}
	return p, nil
}

func parsePSILine(fields []string, to *PSILine) error {
	averages := map[string]*float64{"avg10": &to.Avg10, "avg60": &to.Avg60, "avg300": &to.Avg300}
	for _, f := range fields {
		key, value, _ := strings.Cut(f, "=")
		var err error
		if avg, ok := averages[key]; ok {
			*avg, err = strconv.ParseFloat(value, 64)
			if err == nil && !(*avg >= 0 && *avg <= 100) {
				err = fmt.Errorf("%s is not a percentage", value)
			}
		} else if key == "total" {
			to.TotalUS, err = strconv.ParseUint(value, 10, 64)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// cpuTimes are clock ticks since boot, of all CPUs together.
type cpuTimes struct{ total, steal uint64 }

// parseCPUTimes reads the first line of /proc/stat. Guest time is already in
// user time and must not be counted twice (proc(5)).
func parseCPUTimes(text string) (cpuTimes, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	const steal = 8 // 1 user, nice, system, idle, iowait, irq, softirq, 8 steal
	if len(fields) <= steal || fields[0] != "cpu" {
		return cpuTimes{}, fmt.Errorf("first line %q has no steal time", line)
	}
	var t cpuTimes
	for i := 1; i <= steal; i++ {
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return cpuTimes{}, fmt.Errorf("cpu line, value %d: %w", i, err)
		}
		t.total += n
		if i == steal {
			t.steal = n
		}
	}
	return t, nil
}

// stealSince returns the percentage of time stolen since an earlier reading;
// false when no tick has passed or a counter ran backwards, as steal may after
// a live migration.
func (t cpuTimes) stealSince(before cpuTimes) (float64, bool) {
	if t.total <= before.total || t.steal < before.steal {
		return 0, false
	}
	return 100 * float64(t.steal-before.steal) / float64(t.total-before.total), true
}

// diskCounters count requests completed since boot. Flush counts came with
// Linux 5.5. https://docs.kernel.org/admin-guide/iostats.html
type diskCounters struct {
	writes, flushes uint64
	hasFlushes      bool
}

// parseDiskstats finds a device in /proc/diskstats.
func parseDiskstats(text, device string) (diskCounters, error) {
	const name, writes, flushes = 2, 7, 18
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) <= writes || f[name] != device {
			continue
		}
		var c diskCounters
		var err error
		if c.writes, err = strconv.ParseUint(f[writes], 10, 64); err != nil {
			return diskCounters{}, fmt.Errorf("%s, writes: %w", device, err)
		}
		if len(f) > flushes {
			c.hasFlushes = true
			if c.flushes, err = strconv.ParseUint(f[flushes], 10, 64); err != nil {
				return diskCounters{}, fmt.Errorf("%s, flushes: %w", device, err)
			}
		}
		return c, nil
	}
	return diskCounters{}, fmt.Errorf("no device %q", device)
}

// perOp divides what happened since an earlier reading by n operations. A
// figure is nil when it was not counted, or ran backwards as after a hot unplug.
func (c diskCounters) perOp(before diskCounters, n int64) (writes, flushes *float64) {
	per := func(now, then uint64) *float64 {
		if now < then {
			return nil
		}
		v := float64(now-then) / float64(n)
		return &v
	}
	writes = per(c.writes, before.writes)
	if c.hasFlushes && before.hasFlushes {
		flushes = per(c.flushes, before.flushes)
	}
	return writes, flushes
}

// socket is a listening socket of /proc/net/tcp or tcp6.
type socket struct {
	addr  netip.AddrPort
	inode uint64
}

// parseTCP returns the listening sockets of /proc/net/tcp or /proc/net/tcp6.
func parseTCP(text string) ([]socket, error) {
	const local, state, inode, listen = 1, 3, 9, "0A"
	var out []socket
	s := bufio.NewScanner(strings.NewReader(text))
	for first := true; s.Scan(); first = false {
		f := strings.Fields(s.Text())
		if first || len(f) <= inode || f[state] != listen {
			continue
		}
		addr, err := parseHexAddr(f[local])
		if err != nil {
			return nil, fmt.Errorf("local address %q: %w", f[local], err)
		}
		n, err := strconv.ParseUint(f[inode], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("inode: %w", err)
		}
		out = append(out, socket{addr, n})
	}
	return out, s.Err()
}

// parseHexAddr reads "0100007F:0885". The kernel prints the address as 32-bit
// words in its own byte order, little endian on amd64 and arm64.
func parseHexAddr(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%d bytes, want 4 or 16", len(raw))
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.LittleEndian.Uint32(raw[i:]))
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr, _ := netip.AddrFromSlice(raw)
	// IPv4 on a dual-stack socket is an IPv4 address to everybody but the kernel.
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

// parseBeancounters returns the resources of /proc/user_beancounters whose
// failcnt, the last column, is above zero, sorted by name.
func parseBeancounters(text string) ([]Beancounter, error) {
	failures := map[string]uint64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) > 0 && strings.HasSuffix(f[0], ":") { // "101:" opens the lines of a container
			f = f[1:]
		}
		const columns = 6 // resource held maxheld barrier limit failcnt
		if len(f) != columns || f[0] == "resource" || f[0] == "dummy" {
			continue
		}
		n, err := strconv.ParseUint(f[columns-1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s, failcnt: %w", f[0], err)
		}
		failures[f[0]] += n
	}
	out := []Beancounter{}
	for resource, n := range failures {
		if n > 0 {
			out = append(out, Beancounter{resource, n})
		}
	}
	slices.SortFunc(out, func(a, b Beancounter) int { return strings.Compare(a.Resource, b.Resource) })
	return out, nil
}

// parseLimit returns the soft limit of a line of /proc/PID/limits, such as
// "Max open files"; math.MaxUint64 stands for unlimited.
func parseLimit(text, name string) (uint64, error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name+" ")
		if !ok {
			continue
		}
		f := strings.Fields(rest)
		if len(f) == 0 {
			break
		}
		if f[0] == "unlimited" {
			return math.MaxUint64, nil
		}
		return strconv.ParseUint(f[0], 10, 64)
	}
	return 0, fmt.Errorf("no limit %q", name)
}

// parseUnit returns the systemd unit of /proc/PID/cgroup: the last part of the
// path that names a service, else a scope, in the unified or the systemd hierarchy.
func parseUnit(text string) string {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[1] != "" && parts[1] != "name=systemd" {
			continue
		}
		scope := ""
		for dir := parts[2]; dir != "/" && dir != "."; dir = path.Dir(dir) {
			base := path.Base(dir)
			if strings.HasSuffix(base, ".service") {
				return base
			}
			if scope == "" && strings.HasSuffix(base, ".scope") {
				scope = base
			}
		}
		if scope != "" {
			return scope
		}
	}
	return ""
}

// parseChoice returns the word in brackets, as in "always [madvise] never".
// A file with a single word offers no choice and that word is in force.
func parseChoice(text string) string {
	if _, rest, ok := strings.Cut(text, "["); ok {
		choice, _, _ := strings.Cut(rest, "]")
		return choice
	}
	return strings.TrimSpace(text)
}

// parseJavaVersion finds the quoted version in a release file
// (JAVA_VERSION="17.0.13") or in what java -version prints
// (openjdk version "1.8.0_402").
func parseJavaVersion(text string) (version string, major int, err error) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "JAVA_VERSION=") && !strings.Contains(line, ` version "`) {
			continue
		}
		_, rest, _ := strings.Cut(line, `"`)
		version, _, _ = strings.Cut(rest, `"`)
		number := strings.TrimPrefix(version, "1.") // Java 8 calls itself 1.8
		if i := strings.IndexFunc(number, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
			number = number[:i]
		}
		major, err = strconv.Atoi(number)
		if err != nil {
			return "", 0, fmt.Errorf("version %q: %w", version, err)
		}
		return version, major, nil
	}
	return "", 0, fmt.Errorf("no version in %q", firstLine(text))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// parseCloudInitResult reads cloud-init's result.json, which exists once its
// final stage has ended: "done" or "error".
func parseCloudInitResult(text string) (string, error) {
	var result struct {
		V1 struct {
			Errors []string `json:"errors"`
		} `json:"v1"`
	}
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		return "", fmt.Errorf("result.json of cloud-init: %w", err)
	}
	if len(result.V1.Errors) > 0 {
		return "error", nil
	}
	return "done", nil
}
