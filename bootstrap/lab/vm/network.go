package vm

import (
	"net/netip"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// FreeNetwork returns a /24 that no route of this machine leads to, for the network of that
// name. It is not reserved: the network has to be made before the next is asked for. Labs of
// containers take theirs from 10.231.0.0/16.
func FreeNetwork(name string) (netip.Prefix, error) {
	taken, err := machine.Routed()
	if err != nil {
		return netip.Prefix{}, err
	}
	return machine.ChooseSubnet(netip.MustParsePrefix("10.232.0.0/16"), name, taken)
}
