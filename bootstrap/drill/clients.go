package drill

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// session is a session as the clients of a drill use it.
type session interface {
	Create(path string, data []byte) error
	Set(path string, data []byte) (zookeeper.Mark, error)
	Get(path string) ([]byte, zookeeper.Mark, error)
	Sync(path string) error
	Delete(path string) error
}

// client works with one session. It writes to one key, to which nobody else writes, and
// waits for each answer, as a program does that means what it writes.
type client struct {
	id      int
	session session
	paths   []string // of all keys
	key     int      // its own, in paths
	every   time.Duration
	reads   bool // behind every write it reads another key, see step
	history *history

	number int64
}

// run writes until ctx ends. A tick that passes while an answer is awaited is left out, so
// that what comes after a stall is no burst.
func (c *client) run(ctx context.Context) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if ctx.Err() != nil {
			return
		}
		c.step()
	}
}

// step writes the next number, and behind an acknowledged write reads: ZooKeeper answers a
// session in the order of its requests, and a write only when a majority has it, so that
// such a read may not miss anything that was acknowledged before it. Behind a sync it might,
// on a deposed leader that has not noticed (ZOOKEEPER-1675).
func (c *client) step() {
	c.number++
	w := op{client: c.id, key: c.key, value: c.number, call: c.history.now()}
	mark, err := c.session.Set(c.paths[c.key], text(c.number))
	w.ret, w.outcome = c.history.now(), outcomeOf(err)
	if err == nil {
		w.version, w.zxid = mark.Version, mark.Zxid
	}
	c.history.add(w)
	if !c.reads || w.outcome != acked {
		return
	}
	key := int(c.number) % len(c.paths)
	// The read is sure because of the write: a register has been asked since the write was.
	r := op{client: c.id, key: key, read: true, call: w.call}
	data, mark, err := c.session.Get(c.paths[key])
	r.ret, r.version, r.zxid, r.outcome = c.history.now(), mark.Version, mark.Zxid, unknown
	if n, ok := number(data); err == nil && ok {
		r.value, r.outcome = n, acked
	} else if errors.Is(err, zookeeper.ErrNoNode) {
		r.value, r.outcome = -1, acked // a key that is gone is a value that nobody wrote
	}
	c.history.add(r)
}

func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return acked
	case errors.Is(err, zookeeper.ErrUnanswered):
		return unknown
	}
	return refused
}

func text(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

func number(data []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(data), 10, 64)
	return n, err == nil
}

// lay makes the znodes anew, each with the number 0. Those of a killed run are removed: they are nobody's.
func lay(s session, paths []string) error {
	for _, p := range paths {
		if err := s.Delete(p); err != nil && !errors.Is(err, zookeeper.ErrNoNode) {
			return fmt.Errorf("removing %s, which an earlier run left: %w", p, err)
		}
		err := s.Create(p, text(0))
		if errors.Is(err, zookeeper.ErrUnanswered) { // once more: what is there now is the first try's
			if err = s.Create(p, text(0)); errors.Is(err, zookeeper.ErrNodeExists) {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("creating %s: %w", p, err)
		}
	}
	return nil
}

// lift removes the znodes; the error names the first that stays behind.
func lift(s session, paths []string) error {
	var first error
	for _, p := range paths {
		err := s.Delete(p)
		if errors.Is(err, zookeeper.ErrUnanswered) { // once more: gone is gone
			err = s.Delete(p)
		}
		if err != nil && !errors.Is(err, zookeeper.ErrNoNode) && first == nil {
			first = fmt.Errorf("%s stays behind; the next run removes it: %w", p, err)
		}
	}
	return first
}

// show is what a member shows of all keys after a sync.
func show(s session, paths []string) ([]final, error) {
	var out []final
	for _, p := range paths {
		if err := s.Sync(p); err != nil {
			return nil, fmt.Errorf("sync: %w", err)
		}
		data, mark, err := s.Get(p)
		switch n, ok := number(data); {
		case errors.Is(err, zookeeper.ErrNoNode):
			out = append(out, final{missing: true})
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", p, err)
		case !ok:
			out = append(out, final{version: mark.Version, number: -1})
		default:
			out = append(out, final{version: mark.Version, number: n})
		}
	}
	return out, nil
}

// crew runs clients until it is stopped.
type crew struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func start(ctx context.Context, clients []*client) *crew {
	ctx, cancel := context.WithCancel(ctx)
	c := &crew{cancel: cancel}
	for _, client := range clients {
		c.wg.Go(func() { client.run(ctx) })
	}
	return c
}

// stop waits for the answers that are under way.
func (c *crew) stop() {
	c.cancel()
	c.wg.Wait()
}
