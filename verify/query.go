package verify

import "time"

// Query asks Run for measurements; a nil member is not measured.
type Query struct {
	Clock  bool         `json:"clock,omitempty"` // stamp the result, for ClockOffset
	Fsync  *FsyncQuery  `json:"fsync,omitempty"`
	Jitter *JitterQuery `json:"jitter,omitempty"`
	Steal  *StealQuery  `json:"steal,omitempty"`
	Net    *NetQuery    `json:"net,omitempty"`
}

// FsyncQuery asks how long the disk below Dir takes to make a small append
// durable, in ZooKeeper's own write pattern. A phase with zero duration is left
// out. Begin from GateFsync or LongFsync.
type FsyncQuery struct {
	Dir         string        `json:"dir"`          // the log directory, existing or planned
	Duration    time.Duration `json:"duration"`     // closed loop: at least this long,
	MinSamples  int           `json:"min_samples"`  // and until so many syncs,
	MaxDuration time.Duration `json:"max_duration"` // but never longer than this
	Window      time.Duration `json:"window"`       // the closed loop is also cut into windows of this length

	Paced        time.Duration `json:"paced"`        // 50 syncs/s, each timed from when it was due
	Interference time.Duration `json:"interference"` // closed loop again beside a large buffered write to DataDir
	DataDir      string        `json:"data_dir"`     // where snapshots go; "" means Dir
	Sizes        time.Duration `json:"sizes"`        // closed loop with each of 85, 2300 and 8192 bytes, for information
}

// JitterQuery asks how late the scheduler wakes a sleeper.
type JitterQuery struct {
	Count int           `json:"count"` // 0 means 1000
	Sleep time.Duration `json:"sleep"` // 0 means 1 ms
}

// StealQuery asks how much CPU time the hypervisor withholds while the other
// probes run, and for at least Duration (0 means 1 s).
type StealQuery struct {
	Duration time.Duration `json:"duration"`
}

// NetQuery asks for the time of a TCP handshake with each target. A refused
// connection counts: the reset has made the same round trip.
type NetQuery struct {
	Targets  []NetTarget   `json:"targets"`
	Count    int           `json:"count"`    // handshakes for each target; 0 means 100, at most 1000
	Interval time.Duration `json:"interval"` // between two of them; 0 means 20 ms
	Timeout  time.Duration `json:"timeout"`  // then it is lost; 0 means 900 ms, under the first SYN retransmission
}

// NetTarget is a peer: the host's name in the spec and "address:port". Burst says
// that a member of ours listens there: 64 KiB that mean nothing may be sent to it,
// to see whether packets of full size arrive. Nobody else gets more than a handshake.
type NetTarget struct {
	Name  string `json:"name"`
	Addr  string `json:"addr"`
	Burst bool   `json:"burst,omitempty"`
}

// Result holds what Run measured; a member that was not asked for, or could
// not be measured, is nil. Unknown maps a probe ("fsync", "jitter", "steal",
// "net") to the reason.
type Result struct {
	Clock   *time.Time        `json:"clock,omitempty"`
	Fsync   *FsyncResult      `json:"fsync,omitempty"`
	Jitter  *Latency          `json:"jitter,omitempty"`
	Steal   *StealResult      `json:"steal,omitempty"`
	Net     []NetResult       `json:"net,omitempty"` // in the order of NetQuery.Targets
	Unknown map[string]string `json:"unknown,omitempty"`
}

// Latency is a distribution in milliseconds. P999 is nil below 10,000 samples,
// where it would rest on fewer than ten of them.
type Latency struct {
	Samples int64    `json:"samples"`
	P50     float64  `json:"p50_ms"`
	P90     float64  `json:"p90_ms"`
	P95     float64  `json:"p95_ms"`
	P99     float64  `json:"p99_ms"`
	P999    *float64 `json:"p999_ms"`
	Max     float64  `json:"max_ms"`
	Mean    float64  `json:"mean_ms"`
	Over10  int64    `json:"over_10ms"`  // samples above 10 ms
	Over100 int64    `json:"over_100ms"` // samples above 100 ms
	Over1s  int64    `json:"over_1s"`    // samples above 1 s, where ZooKeeper itself warns
}

// FsyncResult is the outcome of the fsync probe; its own Latency is the closed
// loop. Latencies are those of fdatasync(2) alone, without the write before it.
type FsyncResult struct {
	Latency
	OpsPerSecond float64  `json:"ops_per_s"`
	Flushes      *float64 `json:"flushes_per_op"` // cache flushes the disk was sent; nil where the disk is not known
	Writes       *float64 `json:"writes_per_op"`  // write requests the disk was sent
	Windows      []Window `json:"windows"`        // of the closed loop, in order

	Paced        *Latency      `json:"paced"`        // no coordinated omission: shows the stalls that a closed loop hides
	Interference *Interference `json:"interference"` // nil: left out
	Sizes        []SizeLatency `json:"sizes"`

	Dir         Dir      `json:"dir"`                    // what lies below the probe file
	FsyncEnable *int     `json:"fsync_enable,omitempty"` // see Virtualization.FsyncEnable
	IOPressure  *float64 `json:"io_pressure_percent"`    // share of the closed loop in which all tasks waited for I/O
	SyncError   string   `json:"sync_error,omitempty"`   // a write or sync that failed and ended the probe
}

// Window is a slice of the closed loop.
type Window struct {
	Start   float64 `json:"start_s"` // since the loop began
	Samples int64   `json:"n"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

// Interference is the closed loop while a snapshot-sized file is written.
// Ratio is its p99 divided by the undisturbed one.
type Interference struct {
	Latency
	Ratio float64 `json:"ratio"`
}

// SizeLatency is the closed loop with records of another size.
type SizeLatency struct {
	Bytes int `json:"bytes"`
	Latency
}

// StealResult is in percent of the time of all CPUs.
type StealResult struct {
	Mean float64 `json:"mean_percent"`
	Max  float64 `json:"max_percent"` // worst single second
}

// NetResult is what one target answered. Its latencies are zero when nothing
// came back.
type NetResult struct {
	NetTarget
	Latency
	Sent    int    `json:"sent"`
	Lost    int    `json:"lost"`
	Refused int    `json:"refused"`         // answered by a reset: reachable, nobody listening
	Error   string `json:"error,omitempty"` // of the last lost one

	Path *PathResult `json:"path,omitempty"` // nil when nothing came back
}

// PathResult says whether packets of full size reach a target: a burst over TCP where
// a member of ours listens, elsewhere a datagram to the closed UDP port of that number.
// The way back is measured from the other end.
type PathResult struct {
	Passed  bool   `json:"passed"`
	MTU     int    `json:"mtu"`             // bytes: of the path, as the kernel knew it afterwards
	LinkMTU int    `json:"link_mtu"`        // bytes: of the interface it leaves by; 0 when not known
	Error   string `json:"error,omitempty"` // why it could not be measured
}
