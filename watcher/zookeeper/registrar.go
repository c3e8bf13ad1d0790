package zookeeper

import (
	"context"
	"fmt"
	"strings"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// registrar implements watcher.Registrar.
type registrar struct{ c *Client }

// Announce implements watcher.Registrar.
func (r *registrar) Announce(ctx context.Context, a watcher.Announcement) (watcher.Announced, error) {
	name, data, err := encode(a.At.Format, a.Instance)
	if err != nil {
		return watcher.Announced{}, fmt.Errorf("announce %s: %w", a.Name, err)
	}
	dir := strings.TrimSuffix(a.At.Path, "/")
	n := node{place: place{dir: dir, name: name, sequence: a.At.Format == config.Nerve}, data: data}
	at, err := r.c.put(ctx, "registration "+a.Name, n)
	if err != nil {
		return watcher.Announced{}, fmt.Errorf("announce %s: %w", a.Name, err)
	}
	return watcher.Announced{ID: name, Revision: at.mzxid}, nil
}

// Withdraw implements watcher.Registrar.
func (r *registrar) Withdraw(ctx context.Context, name string) error {
	if err := r.c.remove(ctx, "registration "+name); err != nil {
		return fmt.Errorf("withdraw %s: %w", name, err)
	}
	return nil
}
