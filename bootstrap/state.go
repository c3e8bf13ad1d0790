package bootstrap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/verify"
)

// Facts is what a host is; see verify.Facts.
type Facts = verify.Facts

// Site is what was seen on every host of a Spec.
type Site struct {
	Hosts map[string]Seen
}

// Seen is what was seen on one host. Err wraps ErrUnreachable when it could not be
// asked; Facts and State are then empty, which says nothing about the host.
type Seen struct {
	Facts Facts
	State State
	Err   error

	Probed verify.Result // what Verify has measured there; empty for everybody else
}

// Reachable returns the names of the hosts that answered, sorted.
func (s Site) Reachable() []string {
	var names []string
	for name, h := range s.Hosts {
		if h.Err == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// State is what is on one host: the things that were asked for and everything that a
// manifest there owns, the manifests themselves, and what could not be read.
type State struct {
	Things    []Thing             `json:"things"` // present things, sorted by ID
	Manifests map[string]Manifest `json:"manifests,omitempty"`
	Unread    map[ID]string       `json:"unread,omitempty"` // ID -> why its state is not known
}

// Find returns the seen thing of that ID, or nil when it is absent.
func (s State) Find(id ID) Resource {
	i, ok := slices.BinarySearchFunc(s.Things, id, func(t Thing, id ID) int {
		return strings.Compare(string(t.ID()), string(id))
	})
	if !ok {
		return nil
	}
	return s.Things[i].Resource
}

// NewState sorts things into a State. Nil things are dropped.
func NewState(things ...Resource) State {
	var s State
	for _, r := range things {
		if r != nil {
			s.Things = append(s.Things, Thing{r})
		}
	}
	slices.SortFunc(s.Things, func(a, b Thing) int { return strings.Compare(string(a.ID()), string(b.ID())) })
	return s
}

// Fingerprint is a hash of what a plan rests on: everything seen but for live
// observations, which change by themselves.
func (s State) Fingerprint() string {
	kept := State{Manifests: s.Manifests, Unread: s.Unread}
	for _, t := range s.Things {
		if k := t.ID().Kind(); k != KindZooKeeper && k != KindCandidate && k != KindBoot {
			kept.Things = append(kept.Things, t)
		}
	}
	b, err := json.Marshal(kept) // maps marshal with sorted keys
	if err != nil {
		return "unhashable"
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Manifest is what one owner has on one host, stored there in
// /etc/zkboot/manifest.d/<owner>.json. It is the only memory zkboot has: hosts are the
// truth, Terraform state never is.
type Manifest struct {
	Format  int     `json:"format"` // 1
	Owner   Owner   `json:"owner"`
	Cluster string  `json:"cluster"` // cluster id, see ClusterID
	Entries []Entry `json:"entries"` // sorted by ID
}

// Entry is one owned thing.
type Entry struct {
	ID   ID     `json:"id"`
	Hash string `json:"hash"` // of the wanted resource when it was last applied
	// Before is the thing as it was when this owner first touched it, null when it did
	// not exist: a delete puts sysctls and switches back and leaves packages, users and
	// directories alone that were there before.
	Before Thing `json:"before"`
	// Fill is kept from the File that was applied, so that Look can put the markers back
	// without knowing what is wanted.
	Fill []Fill `json:"fill,omitempty"`
	// Compare and Keep are kept from the File that was applied, so that a delete bears what the
	// program that the file is for has written into it.
	Compare Compare  `json:"compare,omitempty"`
	Keep    []string `json:"keep,omitempty"`
	// Data and Contents are kept from the Dir that was applied, see Dir.
	Data     bool `json:"data,omitempty"`
	Contents bool `json:"contents,omitempty"`
}

// Find returns the entry of that ID.
func (m Manifest) Find(id ID) (Entry, bool) {
	for _, e := range m.Entries {
		if e.ID == id {
			return e, true
		}
	}
	return Entry{}, false
}

// Owner names who wants a thing on a host: "<spec name>.<role>".
type Owner string

// OwnerOf builds an Owner.
func OwnerOf(spec, role string) Owner { return Owner(spec + "." + role) }

// ManifestFormat is the format this version writes and reads.
const ManifestFormat = 1

// ZooKeeper is a ZooKeeper server as the agent saw it, named by its zoo.cfg. Everything
// is best effort: what did not answer is empty and Err says why.
type ZooKeeper struct {
	Config     string            `json:"config"`               // path of zoo.cfg
	Properties map[string]string `json:"properties,omitempty"` // of zoo.cfg, secrets taken out
	Dynamic    string            `json:"dynamic,omitempty"`    // content of the dynamic file in use
	MyID       string            `json:"my_id,omitempty"`      // content of myid
	Data       DataState         `json:"data"`
	Srvr       string            `json:"srvr,omitempty"` // answer of the four letter word
	Mntr       map[string]string `json:"mntr,omitempty"`
	// Admin holds the answers of AdminServer by command: zabstate, voting_view, hash,
	// leader, initial_configuration.
	Admin map[string]json.RawMessage `json:"admin,omitempty"`
	// Processes are the JVMs on the host that run with this zoo.cfg.
	Processes []ServerProcess `json:"processes,omitempty"`
	// Names are the addresses of the names in the server lines of zoo.cfg, as this host
	// resolves them.
	Names map[string][]string `json:"names,omitempty"`
	Err   string              `json:"err,omitempty"`
}

// ServerProcess is a running ZooKeeper server.
type ServerProcess struct {
	PID  int      `json:"pid"`
	Unit string   `json:"unit,omitempty"` // of systemd, "" where it has none
	Args []string `json:"args,omitempty"` // of the JVM, up to the class; secrets taken out
}

// DataState tells what lies in a server's data and log directories.
type DataState string

// DataEmpty: no snapshot and no log. DataPristine: at most a snapshot of zxid 0 and
// epochs of 0, which a server leaves that started and never saw a quorum; nothing can be
// lost with it. DataPresent: anything else. DataUnknown: could not be read.
const (
	DataUnknown  DataState = ""
	DataEmpty    DataState = "empty"
	DataPristine DataState = "pristine"
	DataPresent  DataState = "present"
)

// ID implements Resource.
func (z ZooKeeper) ID() ID { return NewID(KindZooKeeper, z.Config) }

// Drift implements Resource; a live server is observed, never wanted.
func (z ZooKeeper) Drift(Resource) []Difference { return nil }
