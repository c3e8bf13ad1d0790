package lab

import (
	"fmt"
	"net/netip"
)

// faultTable is the nftables table, of family bridge, that isolates a virtual machine. What
// this machine's own network namespace can do to a container it does to the cable here.
func faultTable(lab, host string) string { return tableName(lab) + "_" + host }

// cableHealed removes the table; it may be absent.
func cableHealed(lab, host string) string {
	return fmt.Sprintf("table bridge %[1]s\ndelete table bridge %[1]s\n", faultTable(lab, host))
}

// cableCut renders the table of [Host.Isolate] for a virtual machine: frames that come from its
// cable, and those that leave to it, from other hosts as from this machine. Without peers no
// frame passes; with them ARP does, as it does for containers.
// https://wiki.nftables.org/wiki-nftables/index.php/Bridge_filtering
func cableCut(lab, host string, peers []netip.Addr) string {
	from, to := "drop", "drop"
	if len(peers) > 0 {
		set := addressSet(peers)
		from, to = "ip daddr "+set+" drop", "ip saddr "+set+" drop"
	}
	return cableHealed(lab, host) + fmt.Sprintf(`table bridge %[1]s {
	chain from {
		type filter hook prerouting priority -300
		iifname "%[2]s" %[3]s
	}
	chain to {
		type filter hook postrouting priority -300
		oifname "%[2]s" %[4]s
	}
}
`, faultTable(lab, host), tapName(lab, host), from, to)
}
