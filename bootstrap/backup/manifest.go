package backup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap/zookeeper/txnlog"
)

// Format is the format of archives that this version writes and reads.
const Format = 1

// The names in an archive. Snapshots and logs are below dataDir, under the names that they
// have on the host.
const (
	manifestName = "backup.json"
	dataDir      = "version-2/"
)

// Hex is a number that is written as text such as "0x100000002": JSON's own numbers are not
// exact beyond 53 bits.
type Hex uint64

// String is the number with its prefix.
func (h Hex) String() string { return fmt.Sprintf("0x%x", uint64(h)) }

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(b []byte) error {
	digits, ok := strings.CutPrefix(string(b), "0x")
	n, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil {
		return fmt.Errorf("%q is no hex number with 0x before it", b)
	}
	*h = Hex(n)
	return nil
}

// Manifest says what is in an archive.
type Manifest struct {
	Format  int       `json:"format"`
	Name    string    `json:"name"` // of the ensemble
	Taken   time.Time `json:"taken"`
	Member  string    `json:"member"`  // host that it was taken of
	Mode    string    `json:"mode"`    // leader, follower, or down where it was taken offline
	Version string    `json:"version"` // of the server, "" where it did not serve
	Offline bool      `json:"offline,omitempty"`

	Zxid Hex `json:"zxid"` // of the last transaction
	// Digest is that of the data tree behind the last transaction, DigestVersion 0 where the
	// server keeps none.
	Digest        Hex   `json:"digest"`
	DigestVersion int32 `json:"digest_version"`
	// Znodes and Ephemerals are what the server counted at Zxid; 0 where clients wrote, so
	// that it was counting something later. SnapshotZnodes is what the snapshot alone holds.
	Znodes         int    `json:"znodes"`
	Ephemerals     int    `json:"ephemerals"`
	SnapshotZnodes int    `json:"snapshot_znodes"`
	Files          []File `json:"files"` // in the order of the archive, without the manifest
}

// File is one file of an archive.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
	// First and Last are the zxids of the transactions in a log.
	First Hex `json:"first,omitempty"`
	Last  Hex `json:"last,omitempty"`
}

// DataSize is how many bytes the files take that a restore puts into data directories.
func (m Manifest) DataSize() int64 {
	var sum int64
	for _, f := range m.Files {
		if strings.HasPrefix(f.Name, dataDir) {
			sum += f.Size
		}
	}
	return sum
}

func (m Manifest) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

func decodeManifest(b []byte) (Manifest, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return Manifest{}, err
	}
	if head.Format != Format {
		return Manifest{}, fmt.Errorf("it is of format %d, this zkboot reads format %d: use the zkboot that wrote it", head.Format, Format)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(&m)
	return m, err
}

// chain follows the transactions of a backup from its snapshot through its logs.
type chain struct {
	last   uint64
	digest txnlog.Digest
	torn   string // what stands behind last in its log that is no transaction
	at     string // the file that last is of
}

// follows reports whether a transaction may come next: by one more in its epoch, or as the
// first of a later one.
func follows(last, next uint64) bool {
	return next == last+1 || next>>32 > last>>32 && next&0xffffffff == 1
}

// link adds a log. The first may begin before the end of the snapshot.
func (c *chain) link(name string, x txnlog.Extent, first bool) error {
	switch {
	case x.Records == 0:
		return nil
	case first && x.First <= c.last:
		if x.Last <= c.last { // the snapshot holds more than this log: the next one begins behind it
			c.torn, c.at = x.Why, name
			if x.Last == c.last {
				c.digest = x.Digest
			}
			return nil
		}
	case x.First <= c.last:
		return fmt.Errorf("it begins with zxid 0x%x, and %s before it ends with 0x%x", x.First, c.at, c.last)
	case !follows(c.last, x.First) && (first || c.torn != ""):
		text := fmt.Sprintf("the transactions between 0x%x (%s) and 0x%x are missing", c.last, c.at, x.First)
		if c.torn != "" {
			text += ": " + c.at + " has " + c.torn
		}
		return fmt.Errorf("%s", text)
	}
	c.last, c.digest, c.torn, c.at = x.Last, x.Digest, x.Why, name
	return nil
}
