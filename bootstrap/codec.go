package bootstrap

import (
	"encoding/json"
	"fmt"
)

// Thing carries a Resource through JSON as {"kind": ..., "is": {...}}; nil is null.
type Thing struct{ Resource }

type wire struct {
	Kind Kind            `json:"kind"`
	Is   json.RawMessage `json:"is"`
}

// MarshalJSON implements json.Marshaler.
func (t Thing) MarshalJSON() ([]byte, error) {
	if t.Resource == nil {
		return []byte("null"), nil
	}
	is, err := json.Marshal(t.Resource)
	if err != nil {
		return nil, err
	}
	return json.Marshal(wire{Kind: t.ID().Kind(), Is: is})
}

// UnmarshalJSON implements json.Unmarshaler; an unknown kind is an error, because a
// peer of another version must not be half understood.
func (t *Thing) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		t.Resource = nil
		return nil
	}
	var w wire
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	read, ok := readers[w.Kind]
	if !ok {
		return fmt.Errorf("resource of unknown kind %q", w.Kind)
	}
	r, err := read(w.Is)
	if err != nil {
		return fmt.Errorf("resource of kind %q: %w", w.Kind, err)
	}
	t.Resource = r
	return nil
}

var readers = map[Kind]func(json.RawMessage) (Resource, error){
	KindAptSource: read[AptSource],
	KindPackage:   read[Package],
	KindUser:      read[User],
	KindMount:     read[Mount],
	KindDir:       read[Dir],
	KindSecret:    read[Secret],
	KindHostKey:   read[HostKey],
	KindArchive:   read[Archive],
	KindFile:      read[File],
	KindSysctl:    read[Sysctl],
	KindKernel:    read[Kernel],
	KindRestore:   read[Restore],
	KindUnit:      read[Unit],
	KindZooKeeper: read[ZooKeeper],
	KindCandidate: read[Candidate],
	KindBoot:      read[Boot],
}

func read[R Resource](b json.RawMessage) (Resource, error) {
	var r R
	err := json.Unmarshal(b, &r)
	return r, err
}
