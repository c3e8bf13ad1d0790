package verify

import "time"

// FactsQuery says what Gather shall read beyond what every host has.
// The zero value is a valid query.
type FactsQuery struct {
	Dirs   []string      `json:"dirs,omitempty"`   // absolute paths, need not exist: the nearest existing ancestor is read
	PIDs   []int         `json:"pids,omitempty"`   // processes whose limits and swap are wanted
	Names  []string      `json:"names,omitempty"`  // host names to resolve beside the host's own
	Sample time.Duration `json:"sample,omitempty"` // how long to watch steal; 0 means the mean since boot
}

// Facts is what a host says about itself. It holds no secret: command lines
// and environments are looked at but never kept.
//
// A fact that could not be read has its zero value and an entry in Unknown.
type Facts struct {
	Hostname       string         `json:"hostname"`
	UserID         int            `json:"user_id"` // effective; 0 is root
	OS             OS             `json:"os"`
	Arch           string         `json:"arch"`   // GOARCH: "amd64", "arm64"
	Kernel         string         `json:"kernel"` // release, as uname -r prints it
	Systemd        Systemd        `json:"systemd"`
	Virtualization Virtualization `json:"virtualization"`
	CPU            CPU            `json:"cpu"`
	Memory         Memory         `json:"memory"`
	Pressure       Pressure       `json:"pressure"`
	THP            string         `json:"thp"`         // transparent huge pages: "always", "madvise" or "never"
	Clocksource    string         `json:"clocksource"` // current one, such as "tsc" or "kvm-clock"
	BootID         string         `json:"boot_id"`     // changes at every boot; equal on two hosts means one kernel
	MachineID      string         `json:"machine_id"`  // /etc/machine-id; equal on two hosts means a cloned image
	ProductUUID    string         `json:"product_uuid,omitempty"`
	Uptime         float64        `json:"uptime_s"`
	Time           TimeSync       `json:"time"`
	Addresses      []Address      `json:"addresses"`  // sorted by interface, then address
	Listeners      []Listener     `json:"listeners"`  // TCP, sorted by port, then address
	Dirs           []Dir          `json:"dirs"`       // in the order of FactsQuery.Dirs
	Java           *Java          `json:"java"`       // nil: none found
	Resolution     []Resolution   `json:"resolution"` // own host name first, then FactsQuery.Names
	Reverse        []Reverse      `json:"reverse"`    // of the host's own addresses, sorted
	CloudInit      string         `json:"cloud_init"` // "done", "running", "error", "disabled", or "" where not installed
	PackageLock    *Process       `json:"package_lock"`
	// Kernels are the releases of the kernels installed in /boot, in the order of their names.
	Kernels []string `json:"kernels,omitempty"`
	// RebootRequired lists the packages that asked for a reboot in /run/reboot-required; nil
	// where nobody did, empty where nobody gave a name.
	RebootRequired []string        `json:"reboot_required"`
	ZooKeepers     []Process       `json:"zookeepers"`         // running ZooKeeper servers, whoever started them
	ZooKeeperPkgs  []string        `json:"zookeeper_packages"` // distribution packages that bring a service of their own
	Processes      []ProcessLimits `json:"processes"`          // in the order of FactsQuery.PIDs

	// Unknown maps a fact, named by its JSON key, to the reason why it could
	// not be read. Print it in sorted order.
	Unknown map[string]string `json:"unknown,omitempty"`
}

// OS is the content of os-release(5).
type OS struct {
	ID        string `json:"id"`                 // "debian", "ubuntu"
	VersionID string `json:"version_id"`         // "12", "24.04"
	Codename  string `json:"codename"`           // "bookworm"
	Like      string `json:"id_like,omitempty"`  // space-separated ids of parents
	Pretty    string `json:"pretty_name"`        // for a person
	BuildID   string `json:"build_id,omitempty"` // rolling releases have no version
}

// Systemd is the service manager. Version 0 means that systemd is not in charge.
type Systemd struct {
	Version int    `json:"version"`
	State   string `json:"state"` // as systemctl is-system-running prints it
}

// Virtualization tells what the host runs on, with the ids of
// systemd-detect-virt(1). Both may be set: a container in a virtual machine.
type Virtualization struct {
	VM        string `json:"vm"`        // "none", "kvm", "qemu" (emulation without KVM), ...
	Container string `json:"container"` // "none", "openvz", "lxc", "docker", "systemd-nspawn", ...

	// Beancounters lists the OpenVZ resources that were refused at least once,
	// sorted; nil where /proc/user_beancounters does not exist.
	Beancounters []Beancounter `json:"beancounters,omitempty"`
	// FsyncEnable is fs.fsync-enable of Virtuozzo kernels: 0 makes fsync a no-op,
	// 1 honours it, 2 filters it. Nil on every other kernel.
	FsyncEnable *int `json:"fsync_enable,omitempty"`
}

// Beancounter is an OpenVZ resource with refused requests.
type Beancounter struct {
	Resource string `json:"resource"`
	Failures uint64 `json:"failures"`
}

// CPU counts what the scheduler may use. Steal is the share of time, in
// percent, in which the hypervisor ran somebody else though this host was ready.
type CPU struct {
	Count int      `json:"count"`
	Steal *float64 `json:"steal_percent"`
}

// Memory is in bytes.
type Memory struct {
	Total     uint64 `json:"total_bytes"`
	Available uint64 `json:"available_bytes"`
	SwapTotal uint64 `json:"swap_total_bytes"`
	SwapUsed  uint64 `json:"swap_used_bytes"`
}

// Pressure is pressure stall information; a nil member is not offered by the kernel.
// https://docs.kernel.org/accounting/psi.html
type Pressure struct {
	CPU    *PSI `json:"cpu"`
	IO     *PSI `json:"io"`
	Memory *PSI `json:"memory"`
}

// PSI is one pressure file: averages in percent over 10, 60 and 300 seconds,
// and the total stall time in microseconds since boot.
type PSI struct {
	Some PSILine `json:"some"`
	Full PSILine `json:"full"`
}

// PSILine is the "some" or the "full" line of a pressure file.
type PSILine struct {
	Avg10   float64 `json:"avg10"`
	Avg60   float64 `json:"avg60"`
	Avg300  float64 `json:"avg300"`
	TotalUS uint64  `json:"total_us"`
}

// TimeSync is the kernel's view of the clock, from adjtimex(2).
type TimeSync struct {
	Synced   bool    `json:"synced"`       // STA_UNSYNC is not set
	OffsetMS float64 `json:"offset_ms"`    // what the kernel still has to slew away
	MaxErrMS float64 `json:"max_error_ms"` // upper bound of the error, grows while unsynchronized
}

// Address is an address of a network interface, as a prefix ("10.0.0.1/24").
type Address struct {
	Interface string `json:"interface"`
	Prefix    string `json:"prefix"`
	MTU       int    `json:"mtu"`
}

// Process names a process. Unit is its systemd unit, "" where it has none.
type Process struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
	Unit string `json:"unit"`
}

// Listener is a listening TCP socket. Process is nil when its owner could not
// be seen, as without root.
type Listener struct {
	Address string   `json:"address"` // without port; "0.0.0.0" and "::" listen everywhere
	Port    int      `json:"port"`
	Process *Process `json:"process"`
}

// Dir describes the file system below a directory, existing or planned.
type Dir struct {
	Path         string   `json:"path"`          // as asked
	Existing     string   `json:"existing"`      // nearest ancestor that exists; Path itself when it does
	MountPoint   string   `json:"mount_point"`   // where its file system is mounted
	Source       string   `json:"source"`        // mount source, such as "/dev/vda1"
	FSType       string   `json:"fs_type"`       // "ext4", "xfs", "overlay", ...
	Options      []string `json:"options"`       // mount and super block options
	FreeBytes    uint64   `json:"free_bytes"`    // for a user who is not root
	TotalInodes  uint64   `json:"total_inodes"`  // 0 where the file system has no fixed number
	FreeInodes   uint64   `json:"free_inodes"`   // of TotalInodes
	Device       string   `json:"device"`        // whole disk below, such as "vda"; "" where there is not exactly one
	WriteCache   string   `json:"write_cache"`   // "write back" or "write through"; "" when unreadable
	Scheduler    string   `json:"scheduler"`     // I/O scheduler in use
	Rotational   *bool    `json:"rotational"`    // as the kernel believes; often wrong in a virtual machine
	UnknownCause string   `json:"unknown_cause"` // why the rest could not be read; usually ""

	// The largest transaction log and the largest snapshot in version-2 below Path, in
	// bytes on the disk: a log is padded sparsely. 0 where there is none.
	LogBytes      uint64 `json:"log_bytes,omitempty"`
	SnapshotBytes uint64 `json:"snapshot_bytes,omitempty"`
	SizesUnknown  string `json:"sizes_unknown,omitempty"` // why these two could not be read
}

// Java is the Java runtime that a service would find.
type Java struct {
	Path    string `json:"path"` // with symbolic links resolved
	Version string `json:"version"`
	Major   int    `json:"major"` // 8, 11, 17, 21
}

// Resolution is what a name resolves to on the host.
type Resolution struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"` // sorted
	Error     string   `json:"error,omitempty"`
}

// Reverse is what an address of the host is called, by /etc/hosts or its PTR record.
type Reverse struct {
	Address string       `json:"address"`
	Names   []Resolution `json:"names"`           // sorted, each with the addresses that it leads to; none is usual for a private address
	Error   string       `json:"error,omitempty"` // why nobody could be asked, such as no resolver
}

// ProcessLimits holds limits and swap of a running process.
type ProcessLimits struct {
	Process
	OpenFiles uint64 `json:"open_files"` // soft limit; math.MaxUint64 is unlimited
	Tasks     uint64 `json:"tasks"`      // soft limit of RLIMIT_NPROC
	SwapBytes uint64 `json:"swap_bytes"`
	Error     string `json:"error,omitempty"` // why it could not be read, such as a process that has ended
}
