package ssh

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// agentbin holds zkagent-linux-ARCH.zst and .sha256 for every architecture, put there by
// `make build`. Its committed .gitignore lets a clean checkout compile without them.
//
//go:embed all:agentbin
var agentbin embed.FS

// agentArchs are the architectures that agents are built for. The first is tried first.
var agentArchs = []string{"amd64", "arm64"}

// Embedded returns the agents that this program carries, none when it was built without.
func Embedded() ([]AgentBinary, error) {
	var out []AgentBinary
	for _, arch := range agentArchs {
		base := "agentbin/zkagent-linux-" + arch
		sum, err := agentbin.ReadFile(base + ".sha256")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the embedded agent for %s: %w", arch, err)
		}
		out = append(out, AgentBinary{SHA256: strings.TrimSpace(string(sum)), Arch: arch, Bytes: sync.OnceValues(func() ([]byte, error) {
			return unpack(base + ".zst")
		})})
	}
	return out, nil
}

func unpack(name string) ([]byte, error) {
	packed, err := agentbin.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the embedded agent: %w", err)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1)) // each more has buffers of its own
	if err != nil {
		return nil, fmt.Errorf("unpacking the embedded agent: %w", err)
	}
	defer d.Close()
	return d.DecodeAll(packed, nil)
}

// Self returns the running program as an agent for hosts of its own architecture: a
// program from `go install` has none embedded, and understands "serve" itself.
func Self() (AgentBinary, error) {
	if runtime.GOOS != "linux" {
		return AgentBinary{}, fmt.Errorf("this zkboot has no agent embedded and cannot be one on Linux hosts itself, being built for %s: use a release or `make build`", runtime.GOOS)
	}
	path, err := os.Executable()
	if err != nil {
		return AgentBinary{}, fmt.Errorf("finding this program: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return AgentBinary{}, fmt.Errorf("reading this program: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return AgentBinary{}, fmt.Errorf("reading this program: %w", err)
	}
	return AgentBinary{SHA256: hex.EncodeToString(sum.Sum(nil)), Arch: runtime.GOARCH, Bytes: sync.OnceValues(func() ([]byte, error) {
		return os.ReadFile(path)
	})}, nil
}

// agents are found and unpacked once a process: many hosts may need them at the same time,
// and unpacked an agent takes 9 MB.
var agents = sync.OnceValues(func() ([]AgentBinary, error) {
	embedded, err := Embedded()
	if err != nil || len(embedded) > 0 {
		return embedded, err
	}
	self, err := Self()
	if err != nil {
		return nil, err
	}
	return []AgentBinary{self}, nil
})

// Agents returns what to put on hosts: the embedded agents, or this program itself. The
// slice and what its Bytes return are shared and not to be changed.
func Agents() ([]AgentBinary, error) { return agents() }
