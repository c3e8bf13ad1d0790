package watcher

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// spec is all that decides what a registration does. Two that are equal may take each
// other's place unseen.
type spec struct {
	announcement Announcement
	conf         config.ServiceCheck
	registrar    Registrar
	check        check // made of conf
}

func (s spec) same(o spec) bool {
	return reflect.DeepEqual(s.announcement, o.announcement) && s.sameCheck(o) && s.registrar == o.registrar
}

func (s spec) sameCheck(o spec) bool { return reflect.DeepEqual(s.conf, o.conf) }

// samePlace tells whether announcing o replaces what s has announced.
func (s spec) samePlace(o spec) bool {
	return s.registrar == o.registrar && s.announcement.At == o.announcement.At &&
		s.announcement.Instance.Addr() == o.announcement.Instance.Addr()
}

func (s spec) interval() time.Duration {
	return time.Duration(cmp.Or(s.conf.Interval, config.Duration(time.Second)))
}
func (s spec) timeout() time.Duration {
	return cmp.Or(time.Duration(s.conf.Timeout), s.interval())
}

// buildSpecs makes the specs of all registrations, or returns every reason why not.
func (r *Registrations) buildSpecs(c *config.Config, registrars map[string]Registrar) (map[string]spec, error) {
	out := map[string]spec{}
	var errs []error
	taken := map[string]string{} // by place
	for _, name := range slices.Sorted(maps.Keys(c.Register)) {
		s, err := r.buildSpec(c, name, registrars)
		if err != nil {
			errs = append(errs, fmt.Errorf("register[%q]: %w", name, err))
			continue
		}
		// Two announcements of one address would take each other's node away.
		place := fmt.Sprintf("%s in %s %s", s.announcement.Instance.Addr(), s.announcement.At.Registry, s.announcement.At.Path)
		if other, ok := taken[place]; ok {
			errs = append(errs, fmt.Errorf("register[%q]: announces %s, which register[%q] does already", name, place, other))
		}
		taken[place] = name
		out[name] = s
	}
	return out, errors.Join(errs...)
}

func (r *Registrations) buildSpec(c *config.Config, name string, registrars map[string]Registrar) (spec, error) {
	if name == spoolAll || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return spec{}, fmt.Errorf("the name is used for a file in the spool: it cannot be %q, begin with a dot or hold a slash", spoolAll)
	}
	reg := c.Register[name]
	at, ok := c.Services[reg.Service]
	if !ok {
		return spec{}, fmt.Errorf("service %q is not configured", reg.Service)
	}
	registrar := registrars[at.Registry]
	if registrar == nil {
		return spec{}, fmt.Errorf("service %q is in registry %q, which cannot be announced to", reg.Service, at.Registry)
	}
	s := spec{registrar: registrar, conf: reg.Check, announcement: Announcement{Name: name, Service: reg.Service, At: at,
		Instance: Instance{Host: cmp.Or(reg.Address, c.Address), Port: reg.Port, Name: r.HostName,
			Weight: cmp.Or(reg.Weight, DefaultWeight), Zone: cmp.Or(reg.Zone, c.Zone), Labels: reg.Labels}}}
	if s.announcement.Instance.Host == "" {
		return spec{}, errors.New("no address: neither the registration nor the host has one")
	}
	makeCheck := newCheck
	if r.makeCheck != nil {
		makeCheck = r.makeCheck
	}
	var err error
	if s.check, err = makeCheck(reg.Check); err != nil {
		return spec{}, fmt.Errorf("check: %w", err)
	}
	return s, nil
}
