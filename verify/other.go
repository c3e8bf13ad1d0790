//go:build !linux

package verify

import (
	"context"
	"errors"
)

// errLinux is returned by everything that looks at the host itself. Judging and
// reporting work everywhere.
var errLinux = errors.New("verify: hosts can be examined on Linux only")

// host stands for the machine, of which nothing is known here.
type host struct{}

func thisHost() host { return host{} }

// Gather works on Linux only.
func Gather(context.Context, FactsQuery) (Facts, error) { return Facts{}, errLinux }

func (host) cpuTimes() (cpuTimes, error) { return cpuTimes{}, errLinux }

func (host) probeFsync(context.Context, FsyncQuery, func(string)) (*FsyncResult, error) {
	return nil, errLinux
}

func probePath(context.Context, NetTarget) *PathResult {
	return &PathResult{Error: errLinux.Error()}
}

func probeJitter(context.Context, JitterQuery) (*Latency, error) { return nil, errLinux }
