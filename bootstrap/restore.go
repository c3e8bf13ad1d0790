package bootstrap

import (
	"fmt"
)

// Backup names a backup on the operator's machine, which was read whole and found right,
// and says what is in it.
type Backup struct {
	URL     string `json:"url"`     // file URL
	SHA512  string `json:"sha512"`  // of the archive, hex: it is put back as it was read, or not at all
	Size    int64  `json:"size"`    // bytes that it takes unpacked
	Taken   string `json:"taken"`   // when, RFC 3339
	Name    string `json:"name"`    // of the ensemble that it was taken of
	Version string `json:"version"` // of the server that wrote the files
	Zxid    uint64 `json:"zxid"`    // of the last transaction in it
	// Znodes and Ephemerals are what the server counted at Zxid. Znodes is 0 where it was
	// counting something else by then, because clients wrote.
	Znodes     int  `json:"znodes"`
	Ephemerals int  `json:"ephemerals"`
	Digest     bool `json:"digest"` // its transactions carry digests, which the server compares
	// Replace says that data which members hold now may be set aside for it.
	Replace bool `json:"replace,omitempty"`
}

// RestoreStage is how far a Restore has come on one host.
type RestoreStage string

// A staged backup lies unpacked beside the data, which is untouched. A placed one is the
// data, and what was there before lies aside. A restore that is done is absent.
const (
	RestoreStaged RestoreStage = "staged"
	RestorePlaced RestoreStage = "placed"
)

// Restore is a backup on its way into the directories of a ZooKeeper server. It is a step of
// its own for each stage, so that no server is stopped before all hosts have the whole
// backup. A delete ends it and leaves the data where it is. No manifest ever owns one: it
// is there while a restore is under way, and tells the next run that one was cut off.
type Restore struct {
	Dir    string       `json:"dir"`     // dataDir; the files go to version-2 below it
	LogDir string       `json:"log_dir"` // dataLogDir; may be Dir
	SHA512 string       `json:"sha512"`  // of the archive
	Stage  RestoreStage `json:"stage"`
	// Epoch is written as acceptedEpoch: no epoch up to it is used again, so that what the
	// members write from now on is later than whatever their clients have seen.
	Epoch uint64 `json:"epoch"`

	Owner string `json:"owner"`
	Group string `json:"group"`

	URL  string `json:"url,omitempty"`  // wanted: file URL on the operator's machine
	Size int64  `json:"size,omitempty"` // wanted: bytes that it takes unpacked
}

// ID implements Resource.
func (r Restore) ID() ID { return NewID(KindRestore, r.Dir) }

// Drift implements Resource.
func (r Restore) Drift(seen Resource) []Difference {
	was, ok := seen.(Restore)
	if !ok {
		return absent()
	}
	var d differ
	d.str("archive", was.SHA512, r.SHA512)
	d.str("stage", string(was.Stage), string(r.Stage))
	return d
}

// restoreWaves are the waves of a converge in which a restore takes the place of the site
// step that would form the ensemble or bring it up, and behind them the proof.
func restoreWaves(s *Spec, all []compiled, now Site, in Intent) ([]Wave, error) {
	if in.Backup == nil {
		return nil, fmt.Errorf("%w: a restore needs a backup", ErrRefused)
	}
	waves, err := buildWaves(s, all, now, in)
	if err != nil {
		return nil, err
	}
	restores := 0
	for _, c := range all {
		proof, found, err := c.role.Next(s, now, Intent{Verb: VerbRestored, Backup: in.Backup})
		if err != nil {
			return nil, err
		}
		if found {
			restores++
			waves = append(waves, Wave{Title: proof.Title, Site: []SiteStep{proof}})
		}
	}
	if restores == 0 {
		return nil, fmt.Errorf("%w: no role of %s can be restored; give the spec an ensemble", ErrRefused, s.Name)
	}
	return waves, nil
}
