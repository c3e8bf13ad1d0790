package bootstrap

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/zkboot/zkboot/verify"
)

// Load reads a Spec from YAML and validates it. Reading is strict: unknown and double
// keys are errors. Every finding has its path and its place in the file called name. The
// Spec is nil when the report failed.
func Load(name string, src []byte) (*Spec, Report) {
	d := &decoder{src: &source{
		name:  name,
		lines: strings.Split(strings.ReplaceAll(string(src), "\r\n", "\n"), "\n"),
		pos:   map[Path]Pos{},
	}}
	root, err := parse(src)
	if err != nil {
		d.report.Add(Finding{Severity: SeverityError, Pos: Pos{File: name, Line: 1, Col: 1}, Text: err.Error(), Err: err})
		return nil, d.report
	}
	s := &Spec{source: d.src}
	object(s.fields())(d, "", root)
	report := d.src.locate(d.report)
	report.Merge(s.Validate())
	if report.Failed() {
		return nil, report
	}
	return s, report
}

func parse(src []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty; `zkboot init` writes one to start from")
		}
		return nil, err
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("want one YAML document, found more")
	}
	return doc.Content[0], nil
}

func (s *Spec) fields() fields {
	return fields{
		"name":       str(&s.Name),
		"ssh":        object(s.SSH.fields()),
		"hardware":   object(hardwareFields(&s.Hardware)),
		"placement":  object(fields{"countries": list(&s.Placement.Countries)}),
		"hosts":      entries(&s.Hosts, func(h *HostSpec) reader { return object(h.fields()) }),
		"tuning":     object(s.Tuning.fields()),
		"ensemble":   optional(&s.Ensemble, func(e *Ensemble) reader { return object(e.fields()) }),
		"registries": entries(&s.Registries, func(r *Registry) reader { return object(r.fields()) }),
		"services":   entries(&s.Services, func(v *Service) reader { return object(serviceFields(v)) }),
		"sidecars":   entries(&s.Sidecars, func(v *Sidecar) reader { return object(v.fields()) }),
	}
}

func (s *SSH) fields() fields {
	return fields{
		"address":          str(&s.Address),
		"port":             integer(&s.Port),
		"user":             str(&s.User),
		"identity_files":   list(&s.IdentityFiles),
		"known_hosts_file": str(&s.KnownHostsFile),
		"accept_new_file":  str(&s.AcceptNewFile),
		"config_file":      str(&s.ConfigFile),
		"patience":         text(&s.Patience),
		"jump": optional(&s.Jump, func(j *Jump) reader {
			return object(fields{
				"address":        str(&j.Address),
				"port":           integer(&j.Port),
				"user":           str(&j.User),
				"identity_files": list(&j.IdentityFiles),
				"host_key":       str(&j.HostKey),
			})
		}),
	}
}

func hardwareFields(h *verify.Hardware) fields {
	limit := func(o *verify.Override) reader {
		return object(fields{"warn": str(&o.Warn), "fail": str(&o.Fail)})
	}
	return fields{
		"profile": str(&h.Profile),
		"fsync": object(fields{
			"p50": limit(&h.Fsync.P50), "p99": limit(&h.Fsync.P99), "p999": limit(&h.Fsync.P999), "max": limit(&h.Fsync.Max),
			"rate": limit(&h.Fsync.Rate), "spread": limit(&h.Fsync.Spread), "interference": limit(&h.Fsync.Interference),
		}),
		"disk":   object(fields{"free": limit(&h.Disk.Free), "inodes": limit(&h.Disk.Inodes)}),
		"cpu":    object(fields{"count": limit(&h.CPU.Count), "steal": limit(&h.CPU.Steal), "jitter": limit(&h.CPU.Jitter)}),
		"memory": object(fields{"total": limit(&h.Memory.Total), "heap": limit(&h.Memory.Heap)}),
		"psi":    object(fields{"io": limit(&h.PSI.IO), "memory": limit(&h.PSI.Memory)}),
		"time":   object(fields{"offset": limit(&h.Time.Offset)}),
		"net":    object(fields{"rtt": limit(&h.Net.RTT), "loss": limit(&h.Net.Loss)}),
	}
}

func (h *HostSpec) fields() fields {
	return fields{
		"address":  str(&h.Address),
		"ssh":      object(h.SSH.fields()),
		"host_key": str(&h.HostKey),
		"country":  str(&h.Country),
		"mounts": entries(&h.Mounts, func(m *MountSpec) reader {
			return object(fields{"device": str(&m.Device), "fstype": str(&m.FSType), "options": list(&m.Options)})
		}),
	}
}

func (t *Tuning) fields() fields {
	return fields{
		"disabled": boolean(&t.Disabled),
		"sysctl":   entries(&t.Sysctl, str),
		"thp":      str(&t.THP),
		"swap":     str(&t.Swap),
	}
}

func (e *Ensemble) fields() fields {
	return fields{
		"members": entries(&e.Members, func(m *Member) reader {
			return object(fields{"id": integer(&m.ID), "role": str(&m.Role)})
		}),
		"source":              object(e.Source.fields()),
		"accept_known_issues": list(&e.AcceptKnownIssues),
		"heap":                text(&e.Heap),
		"jvm_flags":           list(&e.JVMFlags),
		"ports": object(fields{
			"client": integer(&e.Ports.Client), "quorum": integer(&e.Ports.Quorum), "election": integer(&e.Ports.Election),
			"admin": integer(&e.Ports.Admin), "metrics": integer(&e.Ports.Metrics),
		}),
		"data_dir":     str(&e.DataDir),
		"data_log_dir": str(&e.DataLogDir),
		"config":       entries(&e.Config, str),
	}
}

func (s *Source) fields() fields {
	return fields{
		"apt": optional(&s.Apt, func(a *AptPackages) reader { return object(fields{"version": str(&a.Version)}) }),
		"tarball": optional(&s.Tarball, func(t *Tarball) reader {
			return object(fields{"url": str(&t.URL), "sha512": str(&t.SHA512), "version": str(&t.Version)})
		}),
	}
}

func (r *Registry) fields() fields {
	return fields{
		"ensemble": boolean(&r.Ensemble),
		"zookeeper": optional(&r.ZooKeeper, func(z *ZooKeeperServers) reader {
			return object(fields{"servers": list(&z.Servers)})
		}),
		"etcd": optional(&r.Etcd, func(e *EtcdEndpoints) reader {
			return object(fields{"endpoints": list(&e.Endpoints)})
		}),
		"consul": optional(&r.Consul, func(c *ConsulAgent) reader {
			return object(fields{"address": str(&c.Address)})
		}),
	}
}

func serviceFields(s *Service) fields {
	return fields{"registry": str(&s.Registry), "path": str(&s.Path), "format": str(&s.Format)}
}

func (s *Sidecar) fields() fields {
	return fields{
		"routes": entries(&s.Routes, func(r *Route) reader {
			return object(fields{
				"service": str(&r.Service), "bind": str(&r.Bind), "mode": str(&r.Mode), "balance": str(&r.Balance),
				"check": object(fields{
					"http": str(&r.Check.HTTP), "inter": text(&r.Check.Inter), "rise": integer(&r.Check.Rise), "fall": integer(&r.Check.Fall),
				}),
			})
		}),
		"register": entries(&s.Register, func(r *Registration) reader {
			return object(fields{
				"service": str(&r.Service), "port": integer(&r.Port),
				"check": object(fields{
					"http": str(&r.Check.HTTP), "tcp": str(&r.Check.TCP), "exec": list(&r.Check.Exec),
					"interval": text(&r.Check.Interval), "timeout": text(&r.Check.Timeout),
					"rise": integer(&r.Check.Rise), "fall": integer(&r.Check.Fall),
				}),
			})
		}),
	}
}
