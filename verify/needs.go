package verify

// HostNeeds is what the roles want of a host. A zero member wants nothing.
type HostNeeds struct {
	Address   string     `json:"address"`    // the host's private address or name, as the other members know it
	Ports     []PortNeed `json:"ports"`      // to listen on
	Dirs      []DirNeed  `json:"dirs"`       // ask for the same in FactsQuery.Dirs
	HeapBytes uint64     `json:"heap_bytes"` // of the JVM
	OpenFiles uint64     `json:"open_files"` // for each running process asked for in FactsQuery.PIDs
	Tasks     uint64     `json:"tasks"`      // likewise
	Units     []string   `json:"units"`      // our systemd units: their processes and ports are not foreign
	JavaMajor []int      `json:"java_major"` // majors that will do; nil where no Java is needed
	JavaComes bool       `json:"java_comes"` // the plan installs Java, so that its absence is no fault
}

// PortNeed is a TCP port to listen on, and what for ("client", "quorum").
type PortNeed struct {
	Port    int    `json:"port"`
	Address string `json:"address"` // to bind; "" means any
	Use     string `json:"use"`
}

// What a directory is used for.
const (
	UseLog  = "log"  // the transaction log: every write waits for its disk
	UseData = "data" // snapshots, and the log where it has no directory of its own
)

// DirNeed is a directory for data.
type DirNeed struct {
	Path       string `json:"path"`
	Use        string `json:"use"`         // UseLog, UseData, or any other word
	MinBytes   uint64 `json:"min_bytes"`   // free; 0 leaves it to the limit disk.free
	Mount      string `json:"mount"`       // mount point that Path must lie on, or below; "" means any
	MountComes bool   `json:"mount_comes"` // the plan makes that mount for the first time, so that its absence is no fault
}
