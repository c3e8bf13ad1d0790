package provider

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// Positions of the arguments of connect_string.
const (
	connectHosts = iota
	connectPort
	connectChroot
)

// connectStringFunction is connect_string.
func connectStringFunction() function.Function {
	return &pureFunction{name: "connect_string", run: runConnectString, definition: function.Definition{
		Summary: "What a ZooKeeper client connects to.",
		MarkdownDescription: "Makes the connect string of a ZooKeeper client: `address:port` of every host, separated by commas, with a chroot behind it " +
			"where one is wanted. Hosts of a map come in the order of their names, those of a list as they stand. IPv6 addresses get their brackets.\n\n" +
			"`zkboot_ensemble` has its own as `connect_string`; this function is for ensembles that are made elsewhere, and for a chroot.",
		Parameters: []function.Parameter{
			function.DynamicParameter{Name: "hosts", MarkdownDescription: "A map or a list of hosts. Each is an IP address, a host name, " +
				"or an object with an `address`, such as `hosts` of `zkboot_ensemble`."},
			function.Int64Parameter{Name: "port", MarkdownDescription: "Client port of every host, usually 2181."},
		},
		VariadicParameter: function.StringParameter{Name: "chroot", MarkdownDescription: "At most one: the znode that the client takes for its root, such as " +
			"`/services`. Without it, or when it is empty, the client sees everything."},
		Return: function.StringReturn{},
	}}
}

func runConnectString(ctx context.Context, args function.ArgumentsData) (any, *function.FuncError) {
	var hosts types.Dynamic
	var port int64
	var chroot []string
	if err := args.Get(ctx, &hosts, &port, &chroot); err != nil {
		return nil, err
	}
	raw, err := hosts.ToTerraformValue(ctx)
	if err != nil {
		return nil, function.NewArgumentFuncError(connectHosts, err.Error())
	}
	addresses, err := addressesOf(raw)
	if err != nil {
		return nil, function.NewArgumentFuncError(connectHosts, err.Error())
	}
	if !isPort(port) {
		return nil, function.NewArgumentFuncError(connectPort, fmt.Sprintf("want a port from 1 to 65535, found %d", port))
	}
	if len(chroot) > 1 {
		return nil, function.NewArgumentFuncError(connectChroot+1, fmt.Sprintf("want one chroot at most, found %d", len(chroot)))
	}
	root := strings.Join(chroot, "")
	if problem := chrootProblem(root); problem != "" {
		return nil, function.NewArgumentFuncError(connectChroot, problem)
	}
	for i, a := range addresses {
		addresses[i] = net.JoinHostPort(a, strconv.FormatInt(port, 10))
	}
	return strings.Join(addresses, ",") + root, nil
}

// addressesOf reads the hosts of a map or an object, in the order of their names, or those
// of a list, a set or a tuple as they stand.
func addressesOf(hosts tftypes.Value) ([]string, error) {
	var where []string
	var found []tftypes.Value
	var byName map[string]tftypes.Value
	if hosts.As(&byName) == nil {
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			where, found = append(where, fmt.Sprintf("hosts[%q]", name)), append(found, byName[name])
		}
	} else if hosts.As(&found) == nil {
		for i := range found {
			where = append(where, fmt.Sprintf("hosts[%d]", i))
		}
	} else {
		return nil, fmt.Errorf("want a map or a list of hosts, found %s", hosts.Type())
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("want at least one host, found none")
	}
	var out []string
	at := map[string]string{}
	for i, v := range found {
		address, err := addressOf(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where[i], err)
		}
		if other, twice := at[address]; twice {
			return nil, fmt.Errorf("%s: %s is already the address of %s; a client would prefer it", where[i], address, other)
		}
		at[address] = where[i]
		out = append(out, address)
	}
	return out, nil
}

// addressOf reads one host: an address, or an object that has one.
func addressOf(host tftypes.Value) (string, error) {
	var attributes map[string]tftypes.Value
	if !host.IsNull() && host.As(&attributes) == nil {
		address, ok := attributes["address"]
		if !ok {
			return "", fmt.Errorf("want an object with an address, found one that has %s", strings.Join(slices.Sorted(maps.Keys(attributes)), ", "))
		}
		host = address
	}
	var text string
	switch {
	case host.IsNull():
		return "", fmt.Errorf("want an address, found null")
	case host.As(&text) != nil:
		return "", fmt.Errorf("want an address or an object with one, found %s", host.Type())
	case !isHost(text):
		return "", fmt.Errorf("want an IP address or a host name, without a port, found %q", text)
	}
	return text, nil
}

// chrootProblem says what is wrong with a chroot, by the rules that the servers have for a
// path. https://zookeeper.apache.org/doc/r3.9.3/zookeeperProgrammers.html#ch_zkDataModel
func chrootProblem(root string) string {
	if root == "" {
		return ""
	}
	inside, absolute := strings.CutPrefix(root, "/")
	for part := range strings.SplitSeq(inside, "/") {
		// A comma would read as another host.
		if !absolute || part == "" || part == "." || part == ".." || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == ',' || r == 0x7f }) {
			return fmt.Sprintf("want an absolute path such as /services, without a slash at its end, found %q", root)
		}
	}
	return ""
}
