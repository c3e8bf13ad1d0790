//go:build !linux

package lab

import (
	"context"
	"errors"
	"net"
)

// Elsewhere the package compiles, so that the operator's tool does; checkMachine refuses
// before any of these is reached.

func runIsolated(context.Context, string, ...string) error { return errors.ErrUnsupported }

func unmountBelow(string) error { return errors.ErrUnsupported }

func dialFrom(context.Context, int, string, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}
