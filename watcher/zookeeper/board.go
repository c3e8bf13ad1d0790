package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
)

// board implements watcher.Board: a znode for each host below path.
type board struct {
	c    *Client
	path string
}

// Post implements watcher.Board.
func (b *board) Post(ctx context.Context, n watcher.Notice) error {
	if !hostname(n.Host) {
		return fmt.Errorf("post a notice: host %q is no name", clip(n.Host))
	}
	data, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("post a notice: %w", err)
	}
	if _, err := b.c.put(ctx, "notice "+b.path, node{place: place{dir: b.path, name: n.Host}, data: data}); err != nil {
		return fmt.Errorf("post a notice: %w", err)
	}
	return nil
}

// Notices implements watcher.Board. A notice that does not parse, or is another host's, is
// left out and logged: one broken host must not hide the others.
func (b *board) Notices(ctx context.Context) ([]watcher.Notice, error) {
	names, err := read(ctx, b.c, func(r registry) ([]string, error) {
		names, _, err := r.Children(b.path)
		return names, err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil // nobody has posted yet
	}
	if err != nil {
		return nil, fmt.Errorf("read the notices below %s: %w", b.path, err)
	}
	slices.Sort(names)
	found, err := b.c.values(ctx, b.path, names)
	if err != nil {
		return nil, fmt.Errorf("read the notices below %s: %w", b.path, err)
	}
	var out []watcher.Notice
	for i, r := range found {
		switch n, err := parseNotice(names[i], r.data); {
		case errors.Is(r.err, zk.ErrNoNode): // it has gone meanwhile
		case r.err != nil:
			return nil, fmt.Errorf("read the notice %s/%s: %w", b.path, names[i], r.err)
		case err != nil:
			b.c.log.Warn("a notice is left out", "path", b.path+"/"+names[i], "error", err)
		default:
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b watcher.Notice) int { return strings.Compare(a.Host, b.Host) })
	return out, nil
}

func parseNotice(host string, data []byte) (n watcher.Notice, err error) {
	if err := json.Unmarshal(data, &n); err != nil {
		return n, fmt.Errorf("it is no notice: %w", err)
	}
	if n.Host != host {
		return n, fmt.Errorf("it is the notice of host %q", clip(n.Host))
	}
	return n, nil
}
