package lab

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"

	"github.com/zkboot/zkboot/bootstrap"
)

// Host numbers share one /24: .1 is the bridge, zk1 is .11, app1 is .101.
const (
	firstZooKeeper, maxZooKeeper = 11, 90
	firstApp, maxApps            = 101, 150
)

// Options say which lab is wanted.
type Options struct {
	Name      string // lower-case letters, digits and dashes, at most 20; names everything the lab owns
	ZooKeeper int    // hosts zk1..zkN that become ensemble members, at most 90
	Apps      int    // application hosts app1..appN, at most 150
	Driver    string // DriverNspawn, also when empty, or DriverQEMU; a lab keeps its own
	// Dir receives zkboot.yaml, id_ed25519, id_ed25519.pub and known_hosts. It is made when
	// absent. A file there that this lab did not write is never overwritten or removed.
	Dir string
	// FirstBoot says what a host is to have when it has booted for the first time, of what the
	// zkboot.yaml that the lab writes for it wants. Only virtual machines have a first boot.
	// Nil leaves all of it to apply.
	FirstBoot func(spec []byte, host string) ([]bootstrap.Desired, error)
	Log       *slog.Logger // progress; nil discards it
}

// labName is narrow because the name becomes a directory, an interface, an nftables table, a
// cgroup and a machine name, and must need no quoting in any of them.
var labName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$`)

func checkName(name string) error {
	if !labName.MatchString(name) {
		return fmt.Errorf("name: %q is not a lab name: want lower-case letters, digits and dashes, a letter first, at most 20", name)
	}
	return nil
}

// validate reports every finding at once and makes Dir absolute.
func (o *Options) validate() error {
	errs := []error{checkName(o.Name)}
	if d := driverName(o.Driver); d != DriverNspawn && d != DriverQEMU {
		errs = append(errs, fmt.Errorf("driver: %q is unknown, want %s or %s", d, DriverNspawn, DriverQEMU))
	}
	if o.ZooKeeper < 0 || o.ZooKeeper > maxZooKeeper {
		errs = append(errs, fmt.Errorf("zookeeper: %d hosts: want 0 to %d", o.ZooKeeper, maxZooKeeper))
	}
	if o.Apps < 0 || o.Apps > maxApps {
		errs = append(errs, fmt.Errorf("apps: %d hosts: want 0 to %d", o.Apps, maxApps))
	}
	if o.ZooKeeper == 0 && o.Apps == 0 {
		errs = append(errs, errors.New("zookeeper, apps: both are 0: a lab has at least one host"))
	}
	if o.Dir == "" {
		errs = append(errs, errors.New("dir: empty: name a directory for zkboot.yaml, the key and known_hosts"))
	} else if abs, err := filepath.Abs(o.Dir); err != nil {
		errs = append(errs, fmt.Errorf("dir: %w", err))
	} else {
		o.Dir = abs
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}
