package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// subnets is where labs take their /24 from: 256 of them, in a corner of 10/8 that clouds
// and home routers rarely use.
var subnets = netip.MustParsePrefix("10.231.0.0/16")

// bridgeName derives the name of a lab's bridge. Linux allows 15 bytes; a longer name is
// cut and told apart by a hash.
func bridgeName(lab string) string {
	const prefix, limit = "zkb-", 15
	if len(prefix)+len(lab) <= limit {
		return prefix + lab
	}
	sum := sha256.Sum256([]byte(lab))
	return prefix + lab[:4] + "-" + hex.EncodeToString(sum[:3])
}

// machineName is what nspawn calls a host. It names the host's link after it, "vb-" and the
// name, and shortens that to 15 characters in a way of its own when it must.
func machineName(lab, host string) string {
	const limit = 15 - len("vb-")
	if name := lab + "-" + host; len(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(lab))
	return hex.EncodeToString(sum[:3]) + "-" + host
}

// tableName derives the name of a lab's nftables table; lab names hold no underscore, so
// two never meet.
func tableName(lab string) string { return "zkboot_lab_" + strings.ReplaceAll(lab, "-", "_") }

// rules is the lab's nftables table: hosts reach the outside under the machine's address
// (the package mirror), and no host of another lab. With br_netfilter, frames within one
// bridge pass the forward hook too, hence the exception for the bridge itself. Declaring and deleting first makes the
// load idempotent; nft applies a file in one transaction.
func rules(lab string, subnet netip.Prefix) string {
	table, bridge := tableName(lab), bridgeName(lab)
	return fmt.Sprintf(`table ip %[1]s
delete table ip %[1]s
table ip %[1]s {
	chain postrouting {
		type nat hook postrouting priority srcnat
		ip saddr %[2]s oifname != "%[3]s" masquerade
	}
	chain forward {
		type filter hook forward priority filter
		iifname "%[3]s" oifname != "%[3]s" oifname "zkb-*" drop
	}
}
`, table, subnet, bridge)
}

// freeSubnet chooses among what neither a route of this machine nor another lab uses.
func (s store) freeSubnet(lab string) (netip.Prefix, error) {
	taken, err := machine.Routed()
	if err != nil {
		return netip.Prefix{}, err
	}
	labs, err := os.ReadDir(s.root)
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, e := range labs {
		if !e.IsDir() {
			continue
		}
		rec, err := s.load(e.Name())
		if errors.Is(err, ErrNoLab) {
			continue
		} else if err != nil {
			return netip.Prefix{}, err
		}
		taken = append(taken, rec.Subnet)
	}
	return machine.ChooseSubnet(subnets, lab, taken)
}

// ensureNetwork is run at every Up, so that a lab comes back after a reboot of the machine
// and a changed rule reaches a lab that stands. It makes the bridge with its address, the nftables table and forwarding.
func (s store) ensureNetwork(ctx context.Context, rec *record) error {
	name := bridgeName(rec.Name)
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		link = &netlink.Bridge{LinkAttrs: attrs}
		err = netlink.LinkAdd(link)
	}
	if err != nil {
		return fmt.Errorf("bridge %s: %w", name, err)
	}
	gateway := &net.IPNet{IP: rec.gateway().AsSlice(), Mask: net.CIDRMask(rec.Subnet.Bits(), 32)}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: gateway}); err != nil {
		return fmt.Errorf("bridge %s: address %s: %w", name, gateway, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bridge %s: %w", name, err)
	}
	if _, err := machine.Run(ctx, []byte(rules(rec.Name, rec.Subnet)), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("table %s: %w", tableName(rec.Name), err)
	}
	return s.enableForwarding(ctx)
}

// removeNetwork deletes bridge and table; both may be absent.
func removeNetwork(ctx context.Context, lab string) error {
	name := tableName(lab)
	clear := fmt.Sprintf("table ip %[1]s\ndelete table ip %[1]s\n", name)
	if _, err := machine.Run(ctx, []byte(clear), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("table %s: %w", name, err)
	}
	link, err := netlink.LinkByName(bridgeName(lab))
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	} else if err == nil {
		err = errors.Join(removePorts(link), netlink.LinkDel(link))
	}
	if err != nil {
		return fmt.Errorf("bridge %s: %w", bridgeName(lab), err)
	}
	return nil
}

// removePorts deletes the links of hosts that are gone. The kernel keeps such a link while
// anything holds the network of the host, which has been seen to take minutes.
func removePorts(bridge netlink.Link) error {
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		if l.Attrs().MasterIndex != bridge.Attrs().Index {
			continue
		}
		if err := netlink.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) { // gone meanwhile
			errs = append(errs, fmt.Errorf("link %s: %w", l.Attrs().Name, err))
		}
	}
	return errors.Join(errs...)
}

// forwardingWas remembers the setting from before the first lab.
func (s store) forwardingWas() string { return filepath.Join(s.root, "ip_forward.was") }

// enableForwarding is machine-wide, which is why the lock of all labs guards it: without
// forwarding the hosts reach each other but no package mirror.
func (s store) enableForwarding(ctx context.Context) error {
	unlock, err := machine.LockDir(ctx, s.root, true)
	if err != nil {
		return err
	}
	defer unlock()
	was, err := os.ReadFile(s.forward)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(was)) == "1" {
		return nil
	}
	if err := renameio.WriteFile(s.forwardingWas(), was, 0o644); err != nil {
		return err
	}
	return os.WriteFile(s.forward, []byte("1\n"), 0)
}

// restoreForwarding undoes enableForwarding; the caller holds the lock of all labs.
func (s store) restoreForwarding() error {
	was, err := os.ReadFile(s.forwardingWas())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was on before the first lab
	} else if err != nil {
		return err
	}
	if err := os.WriteFile(s.forward, was, 0); err != nil {
		return err
	}
	return os.Remove(s.forwardingWas())
}
