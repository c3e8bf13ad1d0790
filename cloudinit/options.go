package cloudinit

import "github.com/zkboot/zkboot/bootstrap"

// MaxBytes is the size of user-data, in bytes, that the strictest of the common clouds takes:
// EC2, before base64. OpenStack takes 65,535 characters of base64, so three times that.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
const MaxBytes = 16 << 10

// Options are the facts of a first boot. What does not come from a role is named by its
// field in findings, such as login.keys[0].
type Options struct {
	Host       string // the name that the host gives itself
	InstanceID string // of the NoCloud seed; cloud-init runs anew when it changes. Default Host
	Login      Login
	HostKeys   []HostKey
	// TimeServers are asked for the time by whichever client the image has. Without any, the
	// distribution's own are.
	TimeServers []string
	Mirror      Mirror
	// Installed names packages that the image has. apt is not asked for them, which takes a
	// mirror even where there is nothing to do; first boot still fails where one is missing.
	Installed []string
	// Desired is what the roles want on the host, one of each, sealed, as Take returns it.
	Desired []bootstrap.Desired
	// NetworkConfig is put into the NoCloud seed as it is, see
	// https://cloudinit.readthedocs.io/en/22.4.2/topics/network-config.html
	NetworkConfig []byte
	Limit         int // bytes of user-data; 0 stands for MaxBytes
}

// Login is who may log in over SSH. The user becomes root through sudo without a password,
// as apply needs it.
type Login struct {
	User string   // empty: the image's own user; "root" works too
	Keys []string // lines of an authorized_keys file
}

// HostKey is an SSH host key that is pinned before the host exists, so that the very first
// connection can be checked.
//
// Private lies in user-data as text. Whoever reads that, on the host, in the cloud's
// interface or in a backup of either, can stand in for the host until the key is replaced:
// pin one to get through the first apply, and rotate it then.
type HostKey struct {
	Type    string // ed25519, ecdsa or rsa
	Private string // PEM
	Public  string // one line, as in /etc/ssh/ssh_host_ed25519_key.pub
}

// Mirror is where packages of the distribution come from. Empty fields leave the image's.
type Mirror struct {
	Primary  string // URL
	Security string // URL
}

// Part is one part of the document.
type Part struct {
	Name  string `json:"name"` // a top-level key, or "file " and a path
	Bytes int    `json:"bytes"`
}

// Left is a resource that first boot does not bring, and why.
type Left struct {
	ID   bootstrap.ID   `json:"id"`
	From bootstrap.Path `json:"from"` // place in the spec
	Why  string         `json:"why"`
}

// Document is what a host is booted with.
type Document struct {
	UserData      []byte
	MetaData      []byte
	NetworkConfig []byte // empty: the cloud or the image decides
	Parts         []Part // of UserData, in its order; their sizes add up to its own
	Packed        bool   // files are compressed, because as text they would not have fitted
	Secret        bool   // UserData holds a private key
}

// SeedFile is a file of a NoCloud seed.
type SeedFile struct {
	Name    string
	Content []byte
}

// Seed lists the files of a NoCloud seed: the content of a file system labelled CIDATA, or
// of /var/lib/cloud/seed/nocloud in an image.
// https://cloudinit.readthedocs.io/en/22.4.2/topics/datasources/nocloud.html
func (d Document) Seed() []SeedFile {
	files := []SeedFile{{"user-data", d.UserData}, {"meta-data", d.MetaData}}
	if len(d.NetworkConfig) > 0 {
		files = append(files, SeedFile{"network-config", d.NetworkConfig})
	}
	return files
}
