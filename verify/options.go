package verify

import (
	"slices"
	"strings"
	"time"
)

// Options says how much a verification of a site shall do.
type Options struct {
	DiskOnly      bool          `json:"disk_only"`       // the disk part alone
	OnLiveMembers bool          `json:"on_live_members"` // also load the disks of running members
	Duration      time.Duration `json:"duration"`        // of the closed loop of the fsync probe; 0 means 30 s
}

// Query returns what to measure on a host with these needs. The disk of a live
// member is left alone unless asked for: its own flush times tell as much.
func (o Options) Query(n HostNeeds, live bool) Query {
	var q Query
	if log, data := n.dataDirs(); log != "" && (!live || o.OnLiveMembers) {
		q.Fsync = LongFsync(log, data, o.Duration)
	}
	if !o.DiskOnly {
		q.Jitter, q.Steal = &JitterQuery{}, &StealQuery{}
	}
	return q
}

// Keep returns the checks that these options ask for.
func (o Options) Keep(checks []Check) []Check {
	if !o.DiskOnly {
		return checks
	}
	return slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return !strings.HasPrefix(c.ID, "disk.") })
}

// GateQuery returns what to measure before the first change to a host: seconds,
// not minutes.
func GateQuery(n HostNeeds) Query {
	// Jitter is sampled while everybody waits: a third of a second shows a bad host.
	q := Query{Jitter: &JitterQuery{Count: 300}, Steal: &StealQuery{}}
	if log, _ := n.dataDirs(); log != "" {
		q.Fsync = GateFsync(log)
	}
	return q
}

// dataDirs returns the directory of the transaction log and that of the
// snapshots, which may be the same one.
func (n HostNeeds) dataDirs() (log, data string) {
	for _, d := range n.Dirs {
		switch d.Use {
		case UseLog:
			log = d.Path
		case UseData:
			data = d.Path
		}
	}
	if log == "" { // ZooKeeper keeps the log with the snapshots when not told otherwise
		log = data
	}
	return log, data
}
