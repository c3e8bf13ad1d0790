package verify

// Limit bounds the figure of one check, in the check's unit. A figure beyond
// Warn is a warning, one beyond Fail a failure; nil means no such limit. Beyond
// is above, or below for the checks that CheckInfo marks as Floor.
type Limit struct {
	Warn *float64 `json:"warn"`
	Fail *float64 `json:"fail"`
}

// Thresholds is a profile: the limits by check id, and whether policy bends.
// It is data; copy it with Hardware.Thresholds, never change it in place.
type Thresholds struct {
	Profile string           `json:"profile"`
	Limits  map[string]Limit `json:"limits"`
	// Lenient turns what policy alone refuses (containers, emulation, file
	// systems that are not for data) into warnings. Only profile lab sets it.
	Lenient bool `json:"lenient"`
}

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
