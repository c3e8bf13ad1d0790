package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
	"github.com/zkboot/zkboot/bootstrap/lab/vm"
)

// store is where labs and trees lie. Tests use one of their own.
type store struct {
	root    string // one directory per lab
	cache   string // base trees, one per recipe
	forward string // the kernel's switch for forwarding
}

func system() store {
	return store{root: "/var/lib/zkboot/lab", cache: "/var/cache/zkboot/lab", forward: "/proc/sys/net/ipv4/ip_forward"}
}

func (s store) labDir(lab string) string        { return filepath.Join(s.root, lab) }
func (s store) hostDir(lab, host string) string { return filepath.Join(s.root, lab, host) }
func (s store) script(lab, host string) string {
	return filepath.Join(s.hostDir(lab, host), "supervise")
}
func (s store) recordFile(lab string) string { return filepath.Join(s.labDir(lab), "lab.json") }
func (s store) basePath(key string) string   { return filepath.Join(s.cache, "base-"+key) }

// recordVersion changes when an older program would misread a record; such a record is
// refused, never guessed at.
const recordVersion = 1

// driverRecordVersion is that of a record with a driver: a program that knows none would take
// the lab for containers and leave its machines running.
const driverRecordVersion = 2

// record is what a lab must remember. It is written before anything else is made, so that
// Down and a second Up know all that an interrupted Up may have done.
type record struct {
	Version   int          `json:"version"`
	Name      string       `json:"name"`
	Driver    string       `json:"driver,omitempty"` // none is nspawn
	Dir       string       `json:"dir"`
	MadeDir   bool         `json:"made_dir"` // Dir was not there before: Down removes it when empty
	ZooKeeper int          `json:"zookeeper"`
	Apps      int          `json:"apps"`
	Subnet    netip.Prefix `json:"subnet"`
	Base      string       `json:"base,omitempty"` // nspawn: key of the tree: hosts keep theirs when the recipe changes
	// Image and Hypervisor are those of qemu; both come after the record.
	Image      *vm.Image      `json:"image,omitempty"`
	Hypervisor *vm.Hypervisor `json:"hypervisor,omitempty"`
	// Written holds, for each file in Dir, the sha256 (hex) of everything this lab ever
	// wrote there. A file with another hash belongs to the user.
	Written map[string][]string `json:"written,omitempty"`
}

// hostNames returns zk1.. then app1.., in numeric order.
func (r *record) hostNames() []string {
	var names []string
	for i := range r.ZooKeeper {
		names = append(names, fmt.Sprintf("zk%d", i+1))
	}
	for i := range r.Apps {
		names = append(names, fmt.Sprintf("app%d", i+1))
	}
	return names
}

// isApp reports whether a host of that name is an application host.
func isApp(host string) bool { return strings.HasPrefix(host, "app") }

// address derives the address of a host from its name; names come from hostNames.
func (r *record) address(host string) netip.Addr {
	a := r.Subnet.Addr().As4()
	var n int
	if _, err := fmt.Sscanf(host, "zk%d", &n); err == nil {
		a[3] = byte(firstZooKeeper + n - 1)
	} else if _, err := fmt.Sscanf(host, "app%d", &n); err == nil {
		a[3] = byte(firstApp + n - 1)
	}
	return netip.AddrFrom4(a)
}

// gateway is the bridge's address in the lab.
func (r *record) gateway() netip.Addr { return r.Subnet.Addr().Next() }

// load needs no lock: save replaces the file whole. Without a file the error wraps ErrNoLab.
func (s store) load(name string) (*record, error) {
	file := s.recordFile(name)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoLab, name)
	} else if err != nil {
		return nil, err
	}
	rec := new(record)
	if err := json.Unmarshal(data, rec); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	want := recordVersion
	if rec.Driver != "" {
		want = driverRecordVersion
	}
	if rec.Version != want {
		return nil, fmt.Errorf("%s: version %d, this program writes %d: take the lab down with the program that made it", file, rec.Version, want)
	}
	return rec, nil
}

func (s store) save(rec *record) error {
	data, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(s.recordFile(rec.Name), append(data, '\n'), 0o644)
}

// claim returns the lab's record, made or grown to what o asks for. The subnet is chosen
// under a lock of all labs: two that start at once get different ones.
func (s store) claim(ctx context.Context, o Options) (*record, error) {
	d, err := s.driver(o.Driver)
	if err != nil {
		return nil, err
	}
	unlock, err := machine.LockDir(ctx, s.root, true)
	if err != nil {
		return nil, err
	}
	defer unlock()
	rec, err := s.load(o.Name)
	switch {
	case errors.Is(err, ErrNoLab):
		subnet, err := s.freeSubnet(o.Name)
		if err != nil {
			return nil, err
		}
		there, err := machine.Exists(o.Dir)
		if err != nil {
			return nil, err
		}
		rec = &record{Version: recordVersion, Name: o.Name, Dir: o.Dir, MadeDir: !there, Subnet: subnet}
		if d := driverName(o.Driver); d != DriverNspawn {
			rec.Driver, rec.Version = d, driverRecordVersion
		}
		if err := d.claim(rec); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case driverName(rec.Driver) != driverName(o.Driver):
		return nil, fmt.Errorf("lab %s stands with driver %s, not %s: use that one, or take it down first", o.Name, driverName(rec.Driver), driverName(o.Driver))
	case rec.Dir != o.Dir:
		return nil, fmt.Errorf("lab %s stands with directory %s, not %s: use that one, or take it down first", o.Name, rec.Dir, o.Dir)
	case o.ZooKeeper < rec.ZooKeeper || o.Apps < rec.Apps:
		return nil, fmt.Errorf("lab %s has %d zookeeper and %d app hosts, asked for %d and %d: hosts are only added; take it down first",
			o.Name, rec.ZooKeeper, rec.Apps, o.ZooKeeper, o.Apps)
	case rec.ZooKeeper == o.ZooKeeper && rec.Apps == o.Apps:
		return rec, nil
	}
	rec.ZooKeeper, rec.Apps = o.ZooKeeper, o.Apps
	return rec, s.save(rec)
}
