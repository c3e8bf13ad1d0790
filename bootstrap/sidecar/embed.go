package sidecar

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// watchbin holds zkwatch-linux-ARCH.tar.zst and .sha512 for every architecture, put there by
// `make build`. Its committed .gitignore lets a clean checkout compile without them.
//
//go:embed all:watchbin
var watchbin embed.FS

// Archive is zkwatch for one architecture, packed as a tar archive with one top folder.
type Archive struct {
	Arch   string // GOARCH
	SHA512 string // of the archive, 128 hex digits
	Open   func() (io.ReadCloser, error)
}

// name is the archive's, behind "embedded:" in a URL.
func (a Archive) name() string { return "zkwatch-linux-" + a.Arch }

// Embedded returns the archives that this program carries, none when it was built without.
func Embedded() []Archive {
	var out []Archive
	for _, arch := range []string{"amd64", "arm64"} {
		a := Archive{Arch: arch}
		base := "watchbin/" + a.name()
		sum, err := watchbin.ReadFile(base + ".sha512")
		if err != nil {
			continue // it is not there: nothing else goes wrong with files of the program itself
		}
		a.SHA512 = strings.TrimSpace(string(sum))
		a.Open = func() (io.ReadCloser, error) {
			b, err := watchbin.ReadFile(base + ".tar.zst")
			return io.NopCloser(bytes.NewReader(b)), err
		}
		out = append(out, a)
	}
	return out
}

// Opener returns what opens the archives by the name behind "embedded:" in their URL, for
// bootstrap/ssh.
func Opener(archives []Archive) func(name string) (io.ReadCloser, error) {
	return func(name string) (io.ReadCloser, error) {
		for _, a := range archives {
			if a.name() == name {
				return a.Open()
			}
		}
		return nil, fmt.Errorf("this program carries no archive %.80q: use a release, or build with `make build`", name)
	}
}

// software is zkwatch for a host of the architecture.
func software(archives []Archive, arch string) (bootstrap.Archive, error) {
	for _, a := range archives {
		if a.Arch == arch {
			return bootstrap.Archive{Dest: home, URL: bootstrap.EmbeddedScheme + ":" + a.name(), SHA512: a.SHA512}, nil
		}
	}
	return bootstrap.Archive{}, fmt.Errorf("this program carries no zkwatch for linux/%s: use a release, or build with `make build`", arch)
}
