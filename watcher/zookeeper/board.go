package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

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
	found := make([]*watcher.Notice, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { found[i], errs[i] = b.notice(ctx, name) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("read the notices below %s: %w", b.path, err)
	}
	var out []watcher.Notice
	for _, n := range found {
		if n != nil {
			out = append(out, *n)
		}
	}
	slices.SortFunc(out, func(a, b watcher.Notice) int { return strings.Compare(a.Host, b.Host) })
	return out, nil
}

func (b *board) notice(ctx context.Context, name string) (*watcher.Notice, error) {
	path := b.path + "/" + name
	data, err := read(ctx, b.c, func(r registry) ([]byte, error) {
		data, _, err := r.Get(path)
		return data, err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var n watcher.Notice
	if err := json.Unmarshal(data, &n); err != nil || n.Host != name {
		b.c.log.Warn("a notice is left out: it is no notice of its host", "path", path, "error", err)
		return nil, nil
	}
	return &n, nil
}
