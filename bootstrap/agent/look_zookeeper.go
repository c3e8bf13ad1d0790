package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/zkboot/zkboot/bootstrap"
)

// maxConfig bounds zoo.cfg, the dynamic file and myid, in bytes.
const maxConfig = 256 << 10

func (m *machine) lookZooKeepers(ctx context.Context, g glance, s *sighting) {
	seen := make([]bootstrap.Resource, len(g.names))
	errs := make([]error, len(g.names))
	var wg sync.WaitGroup
	for i, name := range g.names {
		wg.Go(func() { seen[i], errs[i] = m.seeZooKeeper(ctx, name) })
	}
	wg.Wait()
	for i, name := range g.names {
		s.one(bootstrap.NewID(bootstrap.KindZooKeeper, name), seen[i], errs[i])
	}
}

// seeZooKeeper reads the files of a server and asks the server itself. Only a zoo.cfg
// that cannot be read is an error; everything else that fails is in Err.
func (m *machine) seeZooKeeper(ctx context.Context, config string) (bootstrap.Resource, error) {
	src, err := m.read(config, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	z := bootstrap.ZooKeeper{Config: config, Properties: bootstrap.Properties(string(src))}
	maps.DeleteFunc(z.Properties, func(k, _ string) bool { return secretKey(k) })
	var errs []error
	if file := z.Properties["dynamicConfigFile"]; file != "" {
		dynamic, err := m.readAbs(file)
		errs = append(errs, err)
		z.Dynamic = dynamic
	}
	dataDir := z.Properties["dataDir"]
	myid, err := m.readID(path.Join(dataDir, "myid"))
	if !errors.Is(err, fs.ErrNotExist) { // not formed yet
		errs = append(errs, err)
	}
	z.MyID = strings.TrimSpace(myid)
	z.Data, err = m.dataState(dataDir, z.Properties["dataLogDir"])
	z.Processes = m.serverProcesses(config)
	asked := m.askZooKeeper(ctx, &z)
	bounded, cancel := context.WithTimeout(ctx, askBudget)
	defer cancel()
	var unresolved error
	z.Names, unresolved = resolveServers(bounded, z.Properties)
	errs = append(errs, err, asked, unresolved)
	if err := errors.Join(errs...); err != nil {
		z.Err = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return z, nil
}

func (m *machine) readAbs(p string) (string, error) {
	if !path.IsAbs(p) {
		return "", fmt.Errorf("%q in zoo.cfg is not an absolute path", p)
	}
	b, err := m.read(path.Clean(p), maxConfig)
	return string(b), err
}

// dataState looks into the version-2 directories, where a server keeps everything but
// its myid and the initialize marker; see FileTxnSnapLog in ZooKeeper's source.
func (m *machine) dataState(dataDir, logDir string) (bootstrap.DataState, error) {
	state := bootstrap.DataEmpty
	for _, dir := range slices.Compact([]string{dataDir, logDir}) {
		if dir == "" { // dataLogDir defaults to dataDir
			continue
		}
		if !path.IsAbs(dir) {
			return bootstrap.DataUnknown, fmt.Errorf("data directory %q is not an absolute path", dir)
		}
		s, err := m.versionState(path.Join(dir, "version-2"))
		if err != nil {
			return bootstrap.DataUnknown, err
		}
		if s == bootstrap.DataPresent || state == bootstrap.DataEmpty {
			state = s
		}
	}
	return state, nil
}

func (m *machine) versionState(dir string) (bootstrap.DataState, error) {
	parent, base, err := m.parent(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return bootstrap.DataEmpty, nil
	}
	if err != nil {
		return bootstrap.DataUnknown, err
	}
	defer parent.Close()
	entries, err := fs.ReadDir(parent.FS(), base)
	if errors.Is(err, fs.ErrNotExist) {
		return bootstrap.DataEmpty, nil
	}
	if err != nil {
		return bootstrap.DataUnknown, err
	}
	state := bootstrap.DataEmpty
	for _, e := range entries {
		switch name := e.Name(); name {
		case "snapshot.0":
			state = bootstrap.DataPristine
		case "acceptedEpoch", "currentEpoch":
			epoch, err := m.read(path.Join(dir, name), 64)
			if err != nil {
				return bootstrap.DataUnknown, err
			}
			if strings.TrimSpace(string(epoch)) != "0" {
				return bootstrap.DataPresent, nil
			}
			state = bootstrap.DataPristine
		default:
			return bootstrap.DataPresent, nil
		}
	}
	return state, nil
}

// clientAddress is where this server listens for clients. One that follows the ensemble
// without being a member has written down a configuration without itself; it listens where the
// file said that it was started with, which is still there.
func (m *machine) clientAddress(z bootstrap.ZooKeeper) (string, error) {
	addr, err := clientAddress(z)
	first := firstDynamic(z.Properties["dynamicConfigFile"])
	if err == nil || first == "" {
		return addr, err
	}
	dynamic, unread := m.readAbs(first)
	if unread != nil {
		return "", err // what is missing matters, not where else it was looked for
	}
	if addr, ok := dynamicClient(dynamic, z.MyID); ok {
		return addr, nil
	}
	return "", err
}

// firstDynamic takes the version off the name of a dynamic file, which the server puts there:
// "zoo.cfg.dynamic.100000000". It is "" for a name without one.
func firstDynamic(name string) string {
	base, version, ok := strings.Cut(path.Base(name), ".dynamic.")
	if _, err := strconv.ParseUint(version, 16, 64); !ok || err != nil {
		return ""
	}
	return path.Join(path.Dir(name), base+".dynamic")
}

// clientAddress is where a server listens for clients, by its own line in the dynamic
// file, else by zoo.cfg. A wildcard is reached through loopback.
func clientAddress(z bootstrap.ZooKeeper) (string, error) {
	if addr, ok := dynamicClient(z.Dynamic, z.MyID); ok {
		return addr, nil
	}
	if addr, ok := parseClient(z.Properties["server."+z.MyID]); ok {
		return addr, nil
	}
	port := z.Properties["clientPort"]
	if port == "" {
		return "", errors.New("neither the dynamic file nor zoo.cfg names a client port")
	}
	return listenAddress(z.Properties["clientPortAddress"], port)
}

// dynamicClient finds the client address of a server in a dynamic file, whose lines are
//
//	server.ID=HOST:PORT:PORT[|HOST:PORT:PORT...][:ROLE];[ADDRESS:]PORT
//
// https://zookeeper.apache.org/doc/r3.8.0/zookeeperReconfig.html#sc_reconfig_clientport
func dynamicClient(dynamic, id string) (string, bool) {
	if id == "" {
		return "", false
	}
	return parseClient(bootstrap.Properties(dynamic)["server."+id])
}

func parseClient(server string) (string, bool) {
	_, client, ok := strings.Cut(server, ";")
	if !ok {
		return "", false
	}
	host, port := "", client
	if i := strings.LastIndex(client, ":"); i >= 0 {
		host, port = client[:i], client[i+1:]
	}
	addr, err := listenAddress(strings.Trim(host, "[]"), port)
	return addr, err == nil
}

func listenAddress(host, port string) (string, error) {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("client port %q is not a port", port)
	}
	if strings.ContainsAny(host, "[]/% \t") {
		return "", fmt.Errorf("client address %q is not an address or a name", host)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port), nil
}
