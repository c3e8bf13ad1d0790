package sysctl

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// Ports is a set of ports: ranges in rising order that neither overlap nor
// touch. Two equal sets are equal slices.
type Ports []PortRange

// ParsePorts reads the form of net.ipv4.ip_local_reserved_ports, a comma list of
// ports and ranges such as "2181,2888-2890"; blank text is the empty set. As in
// the kernel, a range that runs backwards is an error.
// https://docs.kernel.org/networking/ip-sysctl.html
func ParsePorts(text string) (Ports, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	var ranges []PortRange
	for _, part := range strings.Split(text, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, errFirst := strconv.ParseUint(low, 10, 16)
		last, errLast := strconv.ParseUint(high, 10, 16)
		if errFirst != nil || errLast != nil || first > last {
			return nil, fmt.Errorf("port list %q: %q is neither a port nor a rising range of ports 0-65535", text, part)
		}
		ranges = append(ranges, PortRange{uint16(first), uint16(last)})
	}
	return joinRanges(ranges), nil
}

// String is the kernel's own form, so a set that was written reads back equal.
func (p Ports) String() string {
	parts := make([]string, len(p))
	for i, r := range p {
		parts[i] = strconv.Itoa(int(r.First))
		if r.Last > r.First {
			parts[i] += "-" + strconv.Itoa(int(r.Last))
		}
	}
	return strings.Join(parts, ",")
}

// Union is the ports that are in p or in q.
func (p Ports) Union(q Ports) Ports { return joinRanges(slices.Concat(p, q)) }

// Contains reports whether the port is in the set.
func (p Ports) Contains(port uint16) bool { return p.ContainsAll(Ports{{port, port}}) }

// ContainsAll reports whether every port of q is in p.
func (p Ports) ContainsAll(q Ports) bool { return slices.Equal(p.Union(q), p) }

// joinRanges sorts, and joins what overlaps or touches; nil for none.
func joinRanges(ranges []PortRange) Ports {
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b PortRange) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	var joined Ports
	for _, r := range sorted {
		if n := len(joined); n > 0 && int(r.First) <= int(joined[n-1].Last)+1 {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
			continue
		}
		joined = append(joined, r)
	}
	return joined
}
