package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// seen is what a worker read of its path.
type seen struct {
	exists   bool
	stat     zk.Stat // of the path, when it exists
	children children
}

// found is a snapshot, with what has to be verified before it is believed.
type found struct {
	watcher.Snapshot
	unusable int // znodes that cannot be used
}

// doubtful reports that nothing is there, which is believed only after a sync.
func (f found) doubtful() bool { return len(f.Instances) == 0 && f.unusable == 0 }

// lookAgain asks the server to catch up with the leader first: an older state than was
// seen before, or an empty one, may be that of a server that lags behind.
func (w *worker) lookAgain(ctx context.Context, t task, start time.Time) (found, error) {
	if _, err := read(ctx, w.c, func(r registry) (string, error) { return r.Sync(w.at.Path) }); err != nil {
		return found{}, err
	}
	t.fresh = true
	return w.look(ctx, t, start)
}

// look reads the list when it may have changed, and the data that is not known.
func (w *worker) look(ctx context.Context, t task, start time.Time) (found, error) {
	b, err := w.watch(ctx)
	if err != nil {
		return found{}, err
	}
	t.fresh = t.fresh || w.gap
	if b != nil {
		err = w.lookAtOnce(ctx, b, t, start)
	} else {
		err = w.lookOneByOne(ctx, t, start)
	}
	if err != nil {
		return found{}, err
	}
	w.gap = false
	return w.build(t.why, start), nil
}

// lookOneByOne reads with one request, and one watch, for each znode.
func (w *worker) lookOneByOne(ctx context.Context, t task, start time.Time) error {
	w.forget(t)
	if t.list || t.fresh {
		l, err := w.list(ctx)
		if err != nil {
			return err
		}
		w.keep(l)
	}
	unread := w.seen.children.names(false)
	if !w.ever && len(unread) > w.c.o.Limit {
		w.provisional(t.why, start)
	}
	return w.fetch(ctx, unread)
}

// forget notes what is not known any more.
func (w *worker) forget(t task) {
	for i := range w.seen.children {
		c := &w.seen.children[i]
		if _, told := t.data[c.name]; told || t.fresh {
			c.watched = false
		}
	}
}

// keep takes a list of children.
func (w *worker) keep(l answer) {
	w.seen.exists, w.seen.stat = l.exists, l.stat
	w.seen.children = w.seen.children.replaced(slices.DeleteFunc(l.names, func(name string) bool { return ignored(w.at.Format, name) }))
}

// list reads the names of the children and watches them, or a path that is not there.
func (w *worker) list(ctx context.Context) (answer, error) {
	path := w.at.Path
	for {
		l, err := read(ctx, w.c, func(r registry) (answer, error) { return w.c.listed(r, path) })
		if !errors.Is(err, zk.ErrNoNode) {
			return l, err
		}
		l, err = read(ctx, w.c, func(r registry) (answer, error) { return w.c.found(r, path) })
		if err != nil || !l.exists {
			return answer{}, err
		}
	}
}

// fetch reads the data of children and watches it, many at once. One that has gone since the
// list was read is left out: the list's watch tells of it.
func (w *worker) fetch(ctx context.Context, names []string) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		next int
	)
	for range min(w.c.o.Limit, len(names)) {
		wg.Go(func() {
			for {
				mu.Lock()
				if next == len(names) || len(errs) > 0 {
					mu.Unlock()
					return
				}
				name := names[next]
				next++
				mu.Unlock()
				v, err := read(ctx, w.c, func(r registry) (answer, error) { return w.c.value(r, w.at.Path+"/"+name) })
				mu.Lock()
				if err := w.learn(name, result{v, err}); err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		return errs[0]
	}
	return nil
}

// learn takes the answer for the data of a child. The error is one that leaves the whole
// service in the dark.
func (w *worker) learn(name string, r result) error {
	c := child{name: name, watched: true}
	switch {
	case r.err == nil:
		c.entry, c.mzxid, c.czxid = decode(w.at.Format, name, r.data), r.stat.Mzxid, r.stat.Czxid
	case errors.Is(r.err, zk.ErrNoNode):
		w.seen.children.drop(name)
		return nil
	case errors.Is(r.err, zk.ErrNoAuth):
		c.entry, c.watched = badEntry("its data may not be read (ACL)"), false // no event tells of another ACL
	case errors.Is(r.err, zk.ErrNothing):
		c.entry = badEntry("its data is longer than %d bytes", maxReply)
	case errors.Is(r.err, zk.ErrInvalidPath):
		c.entry = badEntry("its name is no valid path")
	default:
		return r.err
	}
	w.seen.children.put(c)
	return nil
}

// build makes a snapshot of what is known.
func (w *worker) build(why string, start time.Time) found {
	f := found{Snapshot: watcher.Snapshot{Service: w.service, Truth: watcher.Known, Event: why, At: start, Revision: w.revision()}}
	all := w.seen.children
	type addr struct {
		host string
		port int
	}
	at := func(c *child) addr { return addr{c.instance.Host, c.instance.Port} }
	newest := make(map[addr]*child, len(all))
	options, usable := 0, 0
	for i := range all {
		c := &all[i]
		if c.options {
			options++
		}
		if c.bad || c.absent {
			f.reject(c.name, c.why)
			if c.bad {
				f.unusable++
			}
			continue
		}
		usable++
		if other := newest[at(c)]; other == nil || c.czxid > other.czxid {
			newest[at(c)] = c
		}
	}
	f.Instances = make([]watcher.Instance, 0, usable)
	for i := range all {
		c := &all[i]
		switch winner := newest[at(c)]; {
		case c.bad || c.absent:
		case winner != c:
			f.reject(c.name, "the same address as "+legible(winner.name)+", which is newer")
		default:
			f.Instances = append(f.Instances, c.instance)
		}
	}
	slices.SortFunc(f.Instances, func(a, b watcher.Instance) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(f.Rejected, func(a, b watcher.Rejection) int { return strings.Compare(a.ID, b.ID) })
	w.warnOfOptions(options)
	w.judge(&f)
	return f
}

func (f *found) reject(name, why string) {
	f.Rejected = append(f.Rejected, watcher.Rejection{ID: legible(name), Reason: why})
}

// judge says what a set without instances means.
func (w *worker) judge(f *found) {
	switch {
	case len(f.Instances) > 0:
	case f.unusable > 0:
		f.Truth = watcher.Unknown
		f.Reason = fmt.Sprintf("none of %d znodes below %s can be used; %s: %s", len(f.Rejected), w.at.Path, f.Rejected[0].ID, f.Rejected[0].Reason)
	case !w.seen.exists:
		f.Truth, f.Reason = watcher.Empty, w.at.Path+" does not exist"
	case len(f.Rejected) > 0:
		f.Truth, f.Reason = watcher.Empty, fmt.Sprintf("none of %d instances below %s is available", len(f.Rejected), w.at.Path)
	default:
		f.Truth, f.Reason = watcher.Empty, w.at.Path+" has no instances"
	}
}

// provisional publishes what the names alone tell, when they all tell enough. It has no
// revision: a draining instance shows as one that is not, so nobody may take it for proof.
func (w *worker) provisional(why string, start time.Time) {
	if w.at.Format == config.Nerve {
		return
	}
	s := watcher.Snapshot{Service: w.service, Truth: watcher.Known, Provisional: true, Event: why, At: start}
	s.Instances = make([]watcher.Instance, 0, len(w.seen.children))
	for _, c := range w.seen.children {
		i, ok := named(c.name)
		if !ok {
			return
		}
		s.Instances = append(s.Instances, i)
	}
	w.publish(s)
}

// revision is the greatest zxid of the path and of what is below it. That of a path which is
// not there is the one of the answer that said so.
func (w *worker) revision() int64 {
	if !w.seen.exists {
		return w.c.zxid.Load()
	}
	r := max(w.seen.stat.Pzxid, w.seen.stat.Czxid)
	for _, c := range w.seen.children {
		r = max(r, c.mzxid)
	}
	return r
}

// warnOfOptions tells once that options in znodes are not used: whoever may write there
// could otherwise write the proxy's configuration.
func (w *worker) warnOfOptions(n int) {
	if n > 0 && !w.warned {
		w.warned = true
		w.c.log.Warn("haproxy_server_options in znodes are ignored", "service", w.service, "path", w.at.Path, "instances", n)
	}
}

// refusal says why a service cannot be read, and what to do.
func (w *worker) refusal(err error) string {
	switch {
	case errors.Is(err, zk.ErrNoAuth):
		return fmt.Sprintf("%s may not be read: its ACL needs other credentials (auth_file)", w.at.Path)
	case errors.Is(err, zk.ErrNothing):
		return fmt.Sprintf("the list of children of %s is longer than %d bytes, ZooKeeper's limit for a message: split the service over several paths",
			w.at.Path, maxReply)
	case errors.Is(err, zk.ErrInvalidPath):
		return fmt.Sprintf("%q is no path of a znode", w.at.Path)
	}
	return fmt.Sprintf("reading %s: %v", w.at.Path, err)
}
