//go:build !linux

package machine

import (
	"context"
	"errors"
)

// RunIsolated needs Linux; labs refuse another system before it is reached.
func RunIsolated(context.Context, string, ...string) error { return errors.ErrUnsupported }

// UnmountBelow needs Linux likewise.
func UnmountBelow(string) error { return errors.ErrUnsupported }
