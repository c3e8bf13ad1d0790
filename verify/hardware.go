package verify

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Override is one limit as written in a spec: figures with their unit ("10ms",
// "2%", "4GiB", "500/s", "3x"). An empty one leaves the profile's in place.
type Override struct {
	Warn string `yaml:"warn,omitempty" json:"warn,omitempty"`
	Fail string `yaml:"fail,omitempty" json:"fail,omitempty"`
}

// Hardware is the spec's section of that name: a profile and what is changed in
// it. The zero value is profile ssd-kvm.
type Hardware struct {
	Profile string         `yaml:"profile,omitempty" json:"profile,omitempty"`
	Fsync   FsyncLimits    `yaml:"fsync,omitempty" json:"fsync,omitzero"`
	Disk    DiskLimits     `yaml:"disk,omitempty" json:"disk,omitzero"`
	CPU     CPULimits      `yaml:"cpu,omitempty" json:"cpu,omitzero"`
	Memory  MemoryLimits   `yaml:"memory,omitempty" json:"memory,omitzero"`
	PSI     PressureLimits `yaml:"psi,omitempty" json:"psi,omitzero"`
	Time    TimeLimits     `yaml:"time,omitempty" json:"time,omitzero"`
	Net     NetLimits      `yaml:"net,omitempty" json:"net,omitzero"`
}

// FsyncLimits overrides the checks "disk.fsync.*".
type FsyncLimits struct {
	P50          Override `yaml:"p50,omitempty" json:"p50,omitzero"`
	P99          Override `yaml:"p99,omitempty" json:"p99,omitzero"`
	P999         Override `yaml:"p999,omitempty" json:"p999,omitzero"`
	Max          Override `yaml:"max,omitempty" json:"max,omitzero"`
	Rate         Override `yaml:"rate,omitempty" json:"rate,omitzero"`
	Spread       Override `yaml:"spread,omitempty" json:"spread,omitzero"`
	Interference Override `yaml:"interference,omitempty" json:"interference,omitzero"`
}

// DiskLimits overrides disk.free and disk.inodes.
type DiskLimits struct {
	Free   Override `yaml:"free,omitempty" json:"free,omitzero"`
	Inodes Override `yaml:"inodes,omitempty" json:"inodes,omitzero"`
}

// CPULimits overrides cpu.count, cpu.steal and cpu.jitter.
type CPULimits struct {
	Count  Override `yaml:"count,omitempty" json:"count,omitzero"`
	Steal  Override `yaml:"steal,omitempty" json:"steal,omitzero"`
	Jitter Override `yaml:"jitter,omitempty" json:"jitter,omitzero"`
}

// MemoryLimits overrides host.memory and host.heap.
type MemoryLimits struct {
	Total Override `yaml:"total,omitempty" json:"total,omitzero"`
	Heap  Override `yaml:"heap,omitempty" json:"heap,omitzero"`
}

// PressureLimits overrides psi.io and psi.memory.
type PressureLimits struct {
	IO     Override `yaml:"io,omitempty" json:"io,omitzero"`
	Memory Override `yaml:"memory,omitempty" json:"memory,omitzero"`
}

// TimeLimits overrides time.offset.
type TimeLimits struct {
	Offset Override `yaml:"offset,omitempty" json:"offset,omitzero"`
}

// NetLimits overrides net.rtt.p99 and net.loss.
type NetLimits struct {
	RTT  Override `yaml:"rtt,omitempty" json:"rtt,omitzero"` // of the p99
	Loss Override `yaml:"loss,omitempty" json:"loss,omitzero"`
}

// FieldError is a finding about one field of Hardware.
type FieldError struct {
	Path string // within the section: "profile", "fsync.p99.warn"
	Err  error
}

func (e FieldError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e FieldError) Unwrap() error { return e.Err }

// overrides lists the fields with their path and the check each belongs to.
func (h Hardware) overrides() []struct {
	path, id string
	Override
} {
	return []struct {
		path, id string
		Override
	}{
		{"fsync.p50", "disk.fsync.p50", h.Fsync.P50},
		{"fsync.p99", "disk.fsync.p99", h.Fsync.P99},
		{"fsync.p99", "ensemble.flush.p99", h.Fsync.P99}, // the same question, asked of a live member
		{"fsync.p999", "disk.fsync.p999", h.Fsync.P999},
		{"fsync.max", "disk.fsync.max", h.Fsync.Max},
		{"fsync.rate", "disk.fsync.rate", h.Fsync.Rate},
		{"fsync.spread", "disk.fsync.spread", h.Fsync.Spread},
		{"fsync.interference", "disk.fsync.interference", h.Fsync.Interference},
		{"disk.free", "disk.free", h.Disk.Free},
		{"disk.inodes", "disk.inodes", h.Disk.Inodes},
		{"cpu.count", "cpu.count", h.CPU.Count},
		{"cpu.steal", "cpu.steal", h.CPU.Steal},
		{"cpu.jitter", "cpu.jitter", h.CPU.Jitter},
		{"memory.total", "host.memory", h.Memory.Total},
		{"memory.heap", "host.heap", h.Memory.Heap},
		{"psi.io", "psi.io", h.PSI.IO},
		{"psi.memory", "psi.memory", h.PSI.Memory},
		{"time.offset", "time.offset", h.Time.Offset},
		{"net.rtt", "net.rtt.p99", h.Net.RTT},
		{"net.loss", "net.loss", h.Net.Loss},
	}
}

// Thresholds applies the overrides to the profile. It returns every finding at
// once, in the order of the fields; with any, the thresholds are not to be used.
func (h Hardware) Thresholds() (Thresholds, []FieldError) {
	var findings []FieldError
	t, ok := Profile(h.Profile)
	if !ok {
		findings = append(findings, FieldError{"profile", fmt.Errorf("unknown profile %q, want one of %s", h.Profile, strings.Join(Profiles(), ", "))})
		t, _ = Profile("")
	}
	reported := map[string]bool{} // one field may set two checks
	for _, o := range h.overrides() {
		limit, wrong := o.apply(o.id, t.Limits[o.id])
		t.Limits[o.id] = limit
		if !reported[o.path] {
			for _, w := range wrong {
				findings = append(findings, FieldError{join(o.path, w.Path), w.Err})
			}
			reported[o.path] = true
		}
	}
	return t, findings
}

func join(path, field string) string {
	if field == "" {
		return path
	}
	return path + "." + field
}

// apply overrides a limit. A lone override that contradicts the profile's other
// limit moves that one along: who allows a p99 of 80 ms before the warning does
// not want to be refused at 50.
func (o Override) apply(id string, l Limit) (Limit, []FieldError) {
	about, _ := info(id)
	var wrong []FieldError
	parse := func(field, text string, to **float64) bool {
		if text == "" {
			return false
		}
		v, err := parseFigure(about.Unit, text)
		if err != nil {
			wrong = append(wrong, FieldError{field, err})
			return false
		}
		*to = &v
		return true
	}
	warn, fail := parse("warn", o.Warn, &l.Warn), parse("fail", o.Fail, &l.Fail)
	if l.Warn == nil || l.Fail == nil {
		return l, wrong
	}
	ordered := *l.Warn <= *l.Fail
	if about.Floor {
		ordered = *l.Warn >= *l.Fail
	}
	switch {
	case ordered:
	case warn && fail:
		wrong = append(wrong, FieldError{"", fmt.Errorf("warn %s lies beyond fail %s", o.Warn, o.Fail)})
	case warn:
		l.Fail = l.Warn
	case fail:
		l.Warn = l.Fail
	}
	return l, wrong
}

// parseFigure reads a figure with its unit: "10ms" or "1.5s", "2%", "4GiB",
// "500/s", "3x", "2". Only a latency must name its unit, because a bare number
// could be seconds as well.
func parseFigure(unit, text string) (float64, error) {
	var v float64
	var err error
	switch unit {
	case unitMS:
		var d time.Duration
		if d, err = time.ParseDuration(text); err != nil {
			return 0, fmt.Errorf("%q is not a duration such as 10ms", text)
		}
		v = milliseconds(d)
	case unitBytes:
		v, err = parseBytes(text)
	default:
		v, err = strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(text, unit)), 64)
	}
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a figure in %s", text, unitName(unit))
	}
	if v < 0 {
		return 0, fmt.Errorf("%q is negative", text)
	}
	return v, nil
}

func parseBytes(text string) (float64, error) {
	for _, u := range binaryUnits {
		if number, ok := strings.CutSuffix(text, u.name); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			return v * u.size, err
		}
	}
	return strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(text, "B")), 64)
}

func unitName(unit string) string {
	if unit == unitCount {
		return "plain numbers"
	}
	return unit
}
