package lab

import (
	"fmt"
	"strings"
)

// faultTable is the nftables table, of family bridge, that isolates a virtual machine. What
// this machine's own network namespace can do to a container it does to the cable here.
func faultTable(lab, host string) string { return tableName(lab) + "_" + host }

// cableHealed removes the table; it may be absent.
func cableHealed(lab, host string) string {
	return fmt.Sprintf("table bridge %[1]s\ndelete table bridge %[1]s\n", faultTable(lab, host))
}

// cableCut renders the table of a partition for a virtual machine: frames that come from its cable, and
// those that leave to it, from other hosts as from this machine. Without peers no frame passes in a
// full partition; in all others ARP does, as it does for containers: a host that may still send must
// find out where to.
// https://wiki.nftables.org/wiki-nftables/index.php/Bridge_filtering
func cableCut(lab, host string, p partition) string {
	from, to := "drop", "drop"
	switch {
	case len(p.peers) > 0:
		set := addressSet(p.peers)
		from, to = "ip daddr "+set+" drop", "ip saddr "+set+" drop"
	case !p.in || !p.out:
		from, to = "ether type != arp drop", "ether type != arp drop"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%stable bridge %s {\n", cableHealed(lab, host), faultTable(lab, host))
	if p.out {
		b.WriteString(dropChain("from", "prerouting", fmt.Sprintf("iifname %q %s", tapName(lab, host), from)))
	}
	if p.in {
		b.WriteString(dropChain("to", "postrouting", fmt.Sprintf("oifname %q %s", tapName(lab, host), to)))
	}
	return b.String() + "}\n"
}
