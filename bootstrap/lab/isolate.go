package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// partition is what no packet passes any more, between a host and the rest of its network.
type partition struct {
	peers   []netip.Addr // everyone when empty
	in, out bool         // towards the host, from it
}

// healed takes the table of a partition off a container; it may be absent.
const healed = "table inet zkboot_fault\ndelete table inet zkboot_fault\n"

// isolation renders the table of a partition for a container. Priority -300 comes before connection
// tracking and anything the host itself may have loaded.
func isolation(p partition) string {
	from, to := `iifname != "lo" drop`, `oifname != "lo" drop`
	if len(p.peers) > 0 {
		set := addressSet(p.peers)
		from, to = "ip saddr "+set+" drop", "ip daddr "+set+" drop"
	}
	var b strings.Builder
	b.WriteString(healed + "table inet zkboot_fault {\n")
	if p.in {
		b.WriteString(dropChain("input", "input", from))
	}
	if p.out {
		b.WriteString(dropChain("output", "output", to))
	}
	return b.String() + "}\n"
}

// dropChain is a base chain with one rule.
func dropChain(name, hook, rule string) string {
	return fmt.Sprintf("\tchain %s {\n\t\ttype filter hook %s priority -300\n\t\t%s\n\t}\n", name, hook, rule)
}

// addressSet is an anonymous set of nftables.
func addressSet(peers []netip.Addr) string {
	list := make([]string, len(peers))
	for i, p := range peers {
		list[i] = p.String()
	}
	return "{ " + strings.Join(list, ", ") + " }"
}
