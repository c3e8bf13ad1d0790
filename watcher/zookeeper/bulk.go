package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"
)

// bulk reads many znodes in one request, and has one watch for a path and all below it: for
// 20 instances two requests where otherwise 21 are needed, and for 5,000 twelve. Servers
// have both since 3.6. It is one connection: its watches end with it, and what changes
// until they are there again nobody tells.
type bulk interface {
	// read answers every part. The error is one of the connection, errUnimplemented, or
	// zk.ErrNothing when the answer is longer than ZooKeeper's limit for a message.
	read(ctx context.Context, parts []part) ([]result, error)
	watchBelow(ctx context.Context, path string) error
}

// read implements bulk.
func (w *wire) read(ctx context.Context, parts []part) ([]result, error) {
	b, err := w.exchange(ctx, opMultiRead, multiRead(parts))
	if err != nil {
		return nil, err
	}
	if len(b) == 0 { // an answer without a body comes from a server that does not know the question
		return nil, errUnimplemented
	}
	return parseMulti(b, len(parts))
}

// watchBelow implements bulk.
func (w *wire) watchBelow(ctx context.Context, path string) error {
	b, err := w.exchange(ctx, opAddWatch, addWatch(path))
	if err == nil && len(b) == 0 {
		err = errUnimplemented
	}
	return err
}

// wired returns the connection that stands.
func (c *Client) wired() (bulk, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link.wire == nil || !c.link.up {
		return nil, zk.ErrConnectionClosed
	}
	return c.link.wire, nil
}

// maxParts bounds how long a server is busy with one request, and what it says: some 100
// bytes a part.
const maxParts = 500

// readAtOnce reads parts, many in a request.
func (c *Client) readAtOnce(ctx context.Context, b bulk, parts []part) ([]result, error) {
	out := make([]result, 0, len(parts))
	for len(parts) > 0 {
		n := min(len(parts), maxParts)
		some, err := c.readSome(ctx, b, parts[:n])
		if err != nil {
			return nil, err
		}
		out, parts = append(out, some...), parts[n:]
	}
	return out, nil
}

// readSome reads parts in one request. Where the answer would be too long it asks for less
// at a time; a part that is too long alone has zk.ErrNothing.
func (c *Client) readSome(ctx context.Context, b bulk, parts []part) ([]result, error) {
	found, err := inTurn(ctx, c, func() ([]result, error) { return b.read(ctx, parts) })
	switch {
	case !errors.Is(err, zk.ErrNothing):
		return found, c.noBulk(err)
	case len(parts) == 1:
		return []result{{err: zk.ErrNothing}}, nil
	}
	half := len(parts) / 2
	first, err := c.readSome(ctx, b, parts[:half])
	if err != nil {
		return nil, err
	}
	second, err := c.readSome(ctx, b, parts[half:])
	return append(first, second...), err
}

func (c *Client) watchBelow(ctx context.Context, b bulk, path string) error {
	_, err := inTurn(ctx, c, func() (struct{}, error) { return struct{}{}, b.watchBelow(ctx, path) })
	return c.noBulk(err)
}

// errOneByOne says that the server knows no bulk reads: the same is tried again without.
var errOneByOne = errors.New("znodes are read one by one")

// noBulk notes when a server knows no bulk reads. The servers of an ensemble may differ while it
// is upgraded, so that is for as long as the client lives.
func (c *Client) noBulk(err error) error {
	if !errors.Is(err, errUnimplemented) && !errors.Is(err, errGarbled) {
		return err
	}
	if !c.oneByOne.Swap(true) {
		c.log.Info("the servers know no bulk reads, which ZooKeeper has since 3.6; znodes are read one by one", "reason", err)
	}
	return fmt.Errorf("%w: %w", errOneByOne, err)
}

// values reads the data of znodes below a path, in bulk where the servers can.
func (c *Client) values(ctx context.Context, path string, names []string) ([]result, error) {
	parts := below(path, names)
	if !c.oneByOne.Load() {
		b, err := c.bulk()
		if err != nil {
			return nil, err
		}
		out, err := c.readAtOnce(ctx, b, parts)
		if !errors.Is(err, errOneByOne) {
			return out, err
		}
	}
	out := make([]result, len(parts))
	for i, p := range parts {
		out[i].answer, out[i].err = read(ctx, c, func(r registry) (answer, error) {
			data, stat, err := r.Get(p.path())
			return answered(answer{data: data}, stat, err)
		})
		if broken(out[i].err) {
			return nil, out[i].err
		}
	}
	return out, nil
}

// below asks for the data of znodes below a path.
func below(path string, names []string) []part {
	parts := make([]part, len(names))
	for i, name := range names {
		parts[i] = part{dir: path, name: name}
	}
	return parts
}

// watch sees to it that all changes are told, and returns what to read with: nil where the
// servers are too old for bulk reads, and each znode is watched as it is read.
func (w *worker) watch(ctx context.Context) (bulk, error) {
	if w.c.oneByOne.Load() {
		w.gap, w.on = w.gap || w.on != nil, nil
		return nil, nil
	}
	b, err := w.c.bulk()
	if err != nil || b == w.on {
		return b, err
	}
	if err := w.c.watchBelow(ctx, b, w.at.Path); err != nil {
		return nil, err
	}
	w.on, w.gap = b, true
	return b, nil
}

// lookAtOnce reads with bulk reads, below one watch.
func (w *worker) lookAtOnce(ctx context.Context, b bulk, t task, start time.Time) error {
	w.forget(t)
	if t.list || t.fresh {
		if err := w.listAtOnce(ctx, b, slices.Sorted(maps.Keys(t.data))); err != nil {
			return err
		}
	}
	unread := w.seen.children.names(false)
	if !w.ever && len(unread) > w.c.o.Limit {
		w.provisional(t.why, start)
	}
	return w.fetchAtOnce(ctx, b, unread)
}

// listAtOnce reads the path, the names of the children, and the data of those of which an
// event told: mostly that is all there is to read.
func (w *worker) listAtOnce(ctx context.Context, b bulk, told []string) error {
	parts := []part{{dir: w.at.Path}, {dir: w.at.Path, names: true}}
	some, err := w.c.readAtOnce(ctx, b, append(parts, below(w.at.Path, told)...))
	if err != nil {
		return err
	}
	self, names := some[0], some[1]
	if errors.Is(self.err, zk.ErrNoNode) || errors.Is(names.err, zk.ErrNoNode) { // the watch tells when it is made
		w.keep(answer{})
		return nil
	}
	if err := cmp.Or(names.err, self.err); err != nil {
		return err
	}
	w.keep(answer{exists: true, names: names.names, stat: self.stat})
	for i, name := range told {
		if _, ok := w.seen.children.find(name); ok {
			if err := w.learn(name, some[len(parts)+i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetchAtOnce reads the data of children.
func (w *worker) fetchAtOnce(ctx context.Context, b bulk, names []string) error {
	some, err := w.c.readAtOnce(ctx, b, below(w.at.Path, names))
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := w.learn(name, some[i]); err != nil {
			return err
		}
	}
	return nil
}
