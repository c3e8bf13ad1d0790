package zookeeper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// Limits of what one znode may say. A registration is a few hundred bytes; what is much
// greater is something else.
const (
	maxData   = 64 << 10
	maxText   = 256 // of a name, a zone, a label's name or value
	maxLabels = 64
)

// stateDraining is the word of a plain znode whose instance is about to leave.
const stateDraining = "draining"

// entry is what one znode says.
type entry struct {
	instance watcher.Instance
	// absent says that the znode is in order and that there is nothing to route to:
	// go-nerve keeps the znode of a service whose check fails.
	absent bool
	why    string // of absent, or of a znode that cannot be used
	bad    bool
	// options tells that the znode carries options for a proxy, which are not passed on.
	options bool
}

func badEntry(format string, args ...any) entry {
	return entry{bad: true, why: fmt.Sprintf(format, args...)}
}

// document is the JSON of both layouts. Nerve: lib/nerve/reporter/base.rb, f28923b, and
// go-nerve's Report. Fields that are not here are of no use to a router and are ignored.
type document struct {
	Host      *string           `json:"host,omitempty"`
	Port      *int              `json:"port,omitempty"`
	Name      string            `json:"name,omitempty"`
	Weight    *int              `json:"weight,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Zone      string            `json:"zone,omitempty"`
	State     string            `json:"state,omitempty"`
	Available *bool             `json:"available,omitempty"`
	Reason    string            `json:"unavailable_reason,omitempty"`
	Options   json.RawMessage   `json:"haproxy_server_options,omitempty"`
}

// ignored reports whether a child is part of a layout and no instance: in the plain layout
// instances may lie directly below a service, beside its "instances".
func ignored(format, name string) bool { return format != config.Nerve && name == "instances" }

// named returns what the name of a plain znode tells alone.
func named(name string) (watcher.Instance, bool) {
	host, port, err := split(name)
	return watcher.Instance{ID: name, Host: host, Port: port, Weight: watcher.DefaultWeight}, err == nil
}

// decode reads the znode of an instance. It never fails: what cannot be used says why.
func decode(format, name string, data []byte) entry {
	if !printable(name) {
		return badEntry("the name has characters that cannot be printed")
	}
	if len(data) > maxData {
		return badEntry("%d bytes of data, more than %d", len(data), maxData)
	}
	if format == config.Nerve {
		return decodeNerve(data)
	}
	return decodePlain(name, data)
}

func decodePlain(name string, data []byte) entry {
	i, addressed := named(name)
	if len(data) == 0 {
		if !addressed {
			return badEntry("the name is not host:port and there is no data")
		}
		return entry{instance: i}
	}
	doc, err := parse(data)
	if err != nil {
		return badEntry("%v", err)
	}
	if doc.Host != nil || doc.Port != nil {
		if err := doc.agree(&i, addressed); err != nil {
			return badEntry("%v", err)
		}
	} else if !addressed {
		return badEntry("neither the name nor the data has host and port")
	}
	return doc.entry(i)
}

// decodeNerve reads the JSON alone. The name is <instance id>_<ten digits>, perhaps with
// go-nerve's _c_<guid>- before it, or base64 of the data (nerve's use_path_encoding): it
// changes with every session. So the address is the identity, and a service that registers
// again stays the same instance.
func decodeNerve(data []byte) entry {
	if len(data) == 0 {
		return badEntry("there is no data")
	}
	doc, err := parse(data)
	if err != nil {
		return badEntry("%v", err)
	}
	if doc.Available != nil && !*doc.Available {
		return entry{absent: true, why: strings.TrimSuffix("it says that it is not available: "+legible(doc.Reason), ": ")}
	}
	var i watcher.Instance
	if err := doc.agree(&i, false); err != nil {
		return badEntry("%v", err)
	}
	i.ID = i.Addr()
	return doc.entry(i)
}

func parse(data []byte) (document, error) {
	var doc document
	if !utf8.Valid(data) {
		return doc, errors.New("the data is not UTF-8")
	}
	if b := bytes.TrimSpace(data); len(b) == 0 || b[0] != '{' {
		return doc, fmt.Errorf("the data is no JSON object: %q", clip(string(b)))
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return doc, fmt.Errorf("the data is no JSON of an instance: %s", clip(err.Error()))
	}
	return doc, nil
}

// agree takes host and port of the data, which must not contradict a name that has them.
func (d document) agree(i *watcher.Instance, addressed bool) error {
	if d.Host == nil || d.Port == nil {
		return errors.New("the data has one of host and port, or none; both are needed")
	}
	host, err := canonical(*d.Host)
	if err != nil {
		return err
	}
	if *d.Port < 1 || *d.Port > 65535 {
		return fmt.Errorf("port %d is not between 1 and 65535", *d.Port)
	}
	if addressed && (host != i.Host || *d.Port != i.Port) {
		return fmt.Errorf("the name says %s and the data says %s", i.Addr(), watcher.Instance{Host: host, Port: *d.Port}.Addr())
	}
	i.Host, i.Port = host, *d.Port
	return nil
}

// entry completes an instance whose place is known.
func (d document) entry(i watcher.Instance) entry {
	i.Weight = watcher.DefaultWeight
	if d.Weight != nil {
		i.Weight = *d.Weight
	}
	if i.Weight < 0 || i.Weight > watcher.MaxWeight {
		return badEntry("weight %d is not between 0 and %d", i.Weight, watcher.MaxWeight)
	}
	if err := d.texts(); err != nil {
		return badEntry("%v", err)
	}
	i.Name, i.Zone, i.Draining = d.Name, d.Zone, d.State == stateDraining
	if len(d.Labels) > 0 {
		i.Labels = d.Labels
	}
	return entry{instance: i, options: len(d.Options) > 0 && string(d.Options) != "null"}
}

func (d document) texts() error {
	if len(d.Labels) > maxLabels {
		return fmt.Errorf("%d labels, more than %d", len(d.Labels), maxLabels)
	}
	for _, t := range []struct{ what, text string }{{"name", d.Name}, {"zone", d.Zone}} {
		if err := fit(t.what, t.text); err != nil {
			return err
		}
	}
	var errs []error
	for k, v := range d.Labels {
		errs = append(errs, fit("a label's name", k), fit("a label's value", v))
	}
	if errors.Join(errs...) != nil {
		return fmt.Errorf("a label is longer than %d bytes or has characters that cannot be printed", maxText)
	}
	return nil
}

func fit(what, text string) error {
	if len(text) > maxText || !printable(text) {
		return fmt.Errorf("the %s is longer than %d bytes or has characters that cannot be printed", what, maxText)
	}
	return nil
}

// printable refuses what could end a line or a word in another program's input.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) })
}

// legible is text of a registry for people.
func legible(s string) string {
	return clip(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s))
}

// encode makes the znode of an instance: its name, or the beginning of it where the registry
// adds a number, and its data.
func encode(format string, i watcher.Instance) (name string, data []byte, err error) {
	host, err := canonical(i.Host)
	if err != nil {
		return "", nil, err
	}
	if i.Host = host; i.Port < 1 || i.Port > 65535 {
		return "", nil, fmt.Errorf("port %d is not between 1 and 65535", i.Port)
	}
	doc := document{Name: i.Name, Labels: i.Labels, Zone: i.Zone}
	if i.Weight != watcher.DefaultWeight {
		doc.Weight = &i.Weight
	}
	if i.Draining {
		doc.State = stateDraining
	}
	name = i.Addr()
	if format == config.Nerve {
		doc.Host, doc.Port, doc.Weight = &i.Host, &i.Port, &i.Weight
		if i.Draining {
			zero := 0 // all that readers of nerve know of draining
			doc.Weight = &zero
		}
	}
	if e := doc.entry(i); e.bad {
		return "", nil, errors.New(e.why)
	}
	data, err = json.Marshal(doc)
	if string(data) == "{}" {
		data = nil
	}
	return name, data, err
}
