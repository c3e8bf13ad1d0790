package haproxy

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Check has `haproxy -c` judge the file that a Sink of these options begins with, together
// with those that HAProxy reads before it. It changes nothing and needs no running HAProxy.
func Check(ctx context.Context, o Options) (err error) {
	s, err := New(o)
	if err != nil {
		return err
	}
	content, _ := s.wantedFile(false)
	f, err := os.CreateTemp("", "zkwatch-check-*.cfg")
	if err != nil {
		return fmt.Errorf("a file for haproxy -c: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	if err := errors.Join(content(f), f.Close()); err != nil {
		return fmt.Errorf("a file for haproxy -c: %w", err)
	}
	return s.checkWhole(ctx, f.Name())
}
