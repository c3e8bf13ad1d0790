package bootstrap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/zkboot/zkboot/sysctl"
)

// Kind names a kind of thing that can be wanted on a host.
type Kind string

// The closed set of kinds, in the order in which they are created; deletes run in
// the reverse order.
const (
	KindAptSource Kind = "apt-source"
	KindPackage   Kind = "package"
	KindUser      Kind = "user"
	KindMount     Kind = "mount"
	KindDir       Kind = "dir"
	KindSecret    Kind = "secret"
	KindHostKey   Kind = "host-key"
	KindArchive   Kind = "archive"
	KindFile      Kind = "file"
	KindSysctl    Kind = "sysctl"
	KindKernel    Kind = "kernel"
	// KindRestore is never owned: a backup on its way into a data directory, named by that.
	KindRestore Kind = "restore"
	KindUnit    Kind = "unit"
	// KindZooKeeper is observed only: a ZooKeeper server on the host, named by the
	// path of its zoo.cfg.
	KindZooKeeper Kind = "zookeeper"
	// KindCandidate is observed only: the version of a package that apt would install.
	KindCandidate Kind = "candidate"
	// KindBoot is observed only: the boot that the machine is in.
	KindBoot Kind = "boot"
)

// kinds is the order of creation.
var kinds = []Kind{KindAptSource, KindPackage, KindUser, KindMount, KindDir, KindSecret,
	KindHostKey, KindArchive, KindFile, KindSysctl, KindKernel, KindRestore, KindUnit}

// ID names one thing on one host: its kind and its name within the kind, such as
// "file:/etc/zookeeper/main/zoo.cfg" or "sysctl:vm.swappiness".
type ID string

// NewID builds an ID.
func NewID(k Kind, name string) ID { return ID(string(k) + ":" + name) }

// Kind returns the part before the first colon.
func (id ID) Kind() Kind { k, _, _ := strings.Cut(string(id), ":"); return Kind(k) }

// Name returns the part after the first colon.
func (id ID) Name() string { _, n, _ := strings.Cut(string(id), ":"); return n }

// Observed reports whether ids are all of things that are observed and never wanted: no
// manifest can own them.
func Observed(ids []ID) bool {
	for _, id := range ids {
		if k := id.Kind(); k != KindZooKeeper && k != KindCandidate && k != KindBoot {
			return false
		}
	}
	return len(ids) > 0
}

// Resource is one thing on a host, either as wanted or as seen. The set is closed:
// the types of this file and no others.
type Resource interface {
	// ID names the thing. A wanted and a seen resource with one ID have one type.
	ID() ID
	// Drift compares the wanted receiver with what was seen, which is nil when the
	// thing is absent. No difference means that nothing has to be done.
	Drift(seen Resource) []Difference
}

// Difference is one field in which a wanted resource differs from the seen one, both
// as shown to the operator; secrets never appear.
type Difference struct {
	Field string `json:"field"`
	Was   string `json:"was"`
	Want  string `json:"want"`
}

// AptSource is a deb822 file /etc/apt/sources.list.d/<Name>.sources with the key that
// signs it (armoured, written to /etc/apt/keyrings/<Name>.asc).
type AptSource struct {
	Name       string   `json:"name"`
	URIs       []string `json:"uris"`
	Suites     []string `json:"suites"`
	Components []string `json:"components,omitempty"`
	Key        string   `json:"key"`
}

// Package is a Debian package. An empty wanted Version accepts whichever is
// installed; Hold keeps apt, unattended-upgrades and needrestart from touching it
// outside a member's turn.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Hold    bool   `json:"hold,omitempty"`
}

// User is a system user with a group of the same name.
type User struct {
	Name   string   `json:"name"`
	Home   string   `json:"home,omitempty"`
	Shell  string   `json:"shell,omitempty"`
	Groups []string `json:"groups,omitempty"` // supplementary, sorted; more than wanted is no drift
}

// Mount is a file system that is mounted now and at boot. The device is formatted only
// when it carries no signature at all.
type Mount struct {
	Path    string   `json:"path"`
	Device  string   `json:"device"`
	FSType  string   `json:"fstype"`
	Options []string `json:"options,omitempty"` // wanted options; more than wanted is no drift
}

// Dir is a directory. A delete takes an empty one, or, with Contents, whatever a program
// of ours wrote into it. Data marks one that holds what cannot be made again: it is
// deleted, contents and all, only by a step that wipes.
type Dir struct {
	Path     string `json:"path"`
	Mode     uint32 `json:"mode"` // permission bits
	Owner    string `json:"owner"`
	Group    string `json:"group"`
	Contents bool   `json:"contents,omitempty"`
	Data     bool   `json:"data,omitempty"`
}

// Secret is a file of random bytes in hex that is made on the host and leaves it only
// through Host.Reveal. Seen or wanted, its content is not part of it.
type Secret struct {
	Path  string `json:"path"`
	Bytes int    `json:"bytes"`
	Mode  uint32 `json:"mode"`
	Owner string `json:"owner"`
	Group string `json:"group"`
}

// HostKey is an ed25519 key pair of the SSH server, at Path and Path.pub, that is not one of
// those that others may know: one that is, or is absent, is replaced by a new pair. That is
// made on the host, and its private half never leaves it.
type HostKey struct {
	Path     string   `json:"path"`
	Replaces []string `json:"replaces,omitempty"` // wanted: public keys as PublicKey has them
	Public   string   `json:"public,omitempty"`   // seen: the public half, as PublicKey has it
	// Unannounced is seen: Path.pub is of another key, or absent. A replacement writes it last,
	// so one was cut off, and the SSH server may not have been told of the key at Path.
	Unannounced bool `json:"unannounced,omitempty"`
}

// PublicKey brings a line of authorized_keys form, or of a .pub file, into the form that is
// compared: type and base64, without a comment.
func PublicKey(line string) string {
	fields := strings.Fields(line)
	return strings.Join(fields[:min(2, len(fields))], " ")
}

// Archive is a tar archive (gzip, zstd or plain) unpacked into Dest without its single
// top folder. URL may be http, https, file for a file on the operator's machine, or
// embedded (such as "embedded:zkwatch-linux-amd64") for one that the operator's program
// carries; both are streamed to the host. Seen, SHA512 is that of the archive Dest was made of.
type Archive struct {
	Dest   string `json:"dest"`
	URL    string `json:"url,omitempty"`
	SHA512 string `json:"sha512"`
}

// EmbeddedScheme is the scheme of the URL of an Archive that the operator's program carries.
const EmbeddedScheme = "embedded"

// Compare tells how the content of a File is compared.
type Compare string

// CompareBytes is the zero value. CompareProperties compares key=value lines without
// order, comments and the File's Keep keys: ZooKeeper rewrites its zoo.cfg at every
// reconfig. ComparePresence is satisfied by any content.
const (
	CompareBytes      Compare = ""
	CompareProperties Compare = "properties"
	ComparePresence   Compare = "presence"
)

// File is a regular file. Fills are replaced on the host when it is written and put
// back when it is read, so that Content never holds a secret. Seen, Content is empty
// and Sum alone is set where the file is larger than 256 KiB.
type File struct {
	Path    string   `json:"path"`
	Content string   `json:"content"`
	Sum     string   `json:"sum,omitempty"` // sha256 of Content in hex, always set on a seen file
	Mode    uint32   `json:"mode"`
	Owner   string   `json:"owner"`
	Group   string   `json:"group"`
	Compare Compare  `json:"compare,omitempty"`
	Keep    []string `json:"keep,omitempty"` // CompareProperties: keys whose live value survives a write
	Fill    []Fill   `json:"fill,omitempty"`
}

// Fill replaces Marker in a File's content with something made from a Secret on the host.
type Fill struct {
	Marker string   `json:"marker"`
	Secret string   `json:"secret"` // path of the Secret
	As     FillForm `json:"as"`
}

// FillForm says what is made of a Secret.
type FillForm string

// FillSuperDigest is base64(sha1("super:" + secret)), the form of
// zookeeper.DigestAuthenticationProvider.superDigest after "super:"; see
// https://zookeeper.apache.org/doc/r3.8.0/zookeeperAdmin.html#sc_authOptions
const FillSuperDigest FillForm = "zookeeper-super-digest"

// Sysctl is a live kernel setting. Its drop-in is a File of its own. Seen, HostOwned
// means that it cannot be set from inside this container, which is never drift, and
// OverriddenBy names a later sysctl.d file that sets the key differently.
type Sysctl struct {
	Setting      sysctl.Setting `json:"setting"` // seen: Key and Value only
	HostOwned    bool           `json:"host_owned,omitempty"`
	OverriddenBy string         `json:"overridden_by,omitempty"`
}

// Kernel is a switch outside sysctl: "thp" (always, madvise, never) or "swap" (on, off).
type Kernel struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	HostOwned bool   `json:"host_owned,omitempty"`
}

// Unit is a systemd unit of ours: its file, whether it starts at boot and whether it
// runs. RestartOn names what it must be restarted for; Desired.Seal turns that into
// Rev, which the unit carries as ZKBOOT_REV in its environment, so that a restart that
// a crash prevented is still seen as missing. Turn marks a unit that is stopped or
// restarted only in its host's turn of a rolling wave.
type Unit struct {
	Name      string `json:"name"`
	Content   string `json:"content"`
	Enabled   bool   `json:"enabled"`
	Running   bool   `json:"running"`
	Rev       string `json:"rev,omitempty"` // seen: of the live process
	RestartOn []ID   `json:"restart_on,omitempty"`
	Turn      bool   `json:"turn,omitempty"`
}

// Candidate is what apt would install now, seen where its lists know the package.
type Candidate struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Boot is which boot the machine is in. There is one thing of this kind, "machine".
type Boot struct {
	BootID string `json:"boot_id,omitempty"` // of the kernel, another at every boot; "" in what a step wants
	Up     bool   `json:"up,omitempty"`      // seen: every service has been started
	Why    string `json:"why,omitempty"`     // what a step says for it, for a person
}

// reason is Why in brackets, "" where there is none.
func (r Boot) reason() string {
	if r.Why == "" {
		return ""
	}
	return "(" + r.Why + ")"
}

// ID implements Resource.
func (r Boot) ID() ID { return bootID }

// bootID names the one thing of KindBoot.
const bootID = ID(KindBoot) + ":machine"

// Drift implements Resource; a boot is observed, never wanted.
func (r Boot) Drift(Resource) []Difference { return nil }

// ID implements Resource.
func (r Candidate) ID() ID { return NewID(KindCandidate, r.Name) }

// Drift implements Resource; a candidate is observed, never wanted.
func (r Candidate) Drift(Resource) []Difference { return nil }

// ID implements Resource.
func (r AptSource) ID() ID { return NewID(KindAptSource, r.Name) }

// ID implements Resource.
func (r Package) ID() ID { return NewID(KindPackage, r.Name) }

// ID implements Resource.
func (r User) ID() ID { return NewID(KindUser, r.Name) }

// ID implements Resource.
func (r Mount) ID() ID { return NewID(KindMount, r.Path) }

// ID implements Resource.
func (r Dir) ID() ID { return NewID(KindDir, r.Path) }

// ID implements Resource.
func (r Secret) ID() ID { return NewID(KindSecret, r.Path) }

// ID implements Resource.
func (r HostKey) ID() ID { return NewID(KindHostKey, r.Path) }

// ID implements Resource.
func (r Archive) ID() ID { return NewID(KindArchive, r.Dest) }

// ID implements Resource.
func (r File) ID() ID { return NewID(KindFile, r.Path) }

// ID implements Resource.
func (r Sysctl) ID() ID { return NewID(KindSysctl, r.Setting.Key) }

// ID implements Resource.
func (r Kernel) ID() ID { return NewID(KindKernel, r.Name) }

// ID implements Resource.
func (r Unit) ID() ID { return NewID(KindUnit, r.Name) }

// Hash is the first 16 hex digits of the sha256 of a resource's JSON: it names a wanted
// state in manifests, plans and revisions.
func Hash(r Resource) string {
	switch v := r.(type) {
	case Sysctl: // a better reason is not another setting
		v.Setting.Why, v.Setting.Source = "", ""
		r = v
	case File:
		if v.Compare == ComparePresence {
			v.Content = ""
		}
		r = v
	}
	b, err := json.Marshal(r)
	if err != nil { // every resource is a struct of strings, numbers and slices of them
		return "unhashable"
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
