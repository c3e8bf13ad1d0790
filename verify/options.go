package verify

import "time"

// Options says how much a verification of a site shall do.
type Options struct {
	DiskOnly      bool          `json:"disk_only"`       // the disk part alone
	OnLiveMembers bool          `json:"on_live_members"` // also load the disks of running members
	Duration      time.Duration `json:"duration"`        // of the closed loop of the fsync probe; 0 means 30 s
}
