package zookeeper

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// source implements watcher.Source.
type source struct{ c *Client }

// Run has one worker for each service.
func (s *source) Run(ctx context.Context, services map[string]config.Service, publish func(watcher.Snapshot)) error {
	var wg sync.WaitGroup
	for name, at := range services {
		w := newWorker(s.c, name, at, publish)
		s.c.watch(w, at.Path)
		s.c.attach(w)
		wg.Go(func() {
			w.run(ctx)
			s.c.detach(w)
			s.c.unwatch(w, at.Path)
		})
	}
	wg.Wait()
	return nil
}

// Pauses of a worker.
const (
	// pace is the least time between two readings of a service, longer where reading takes
	// long: the first event acts at once, and those that pile up meanwhile cost one more.
	pace     = 10 * time.Millisecond
	mostPace = time.Second
	// retryFirst and retryMost are between readings that fail.
	retryFirst = 200 * time.Millisecond
	retryMost  = 30 * time.Second
)

// task is what a worker has to do. Events that come before it is done melt into it.
type task struct {
	why     string              // the first event
	list    bool                // read the list of children
	fresh   bool                // and all data, with new watches: none of the old ones counts
	data    map[string]struct{} // read the data of these children
	session bool                // a session came up
	begun   bool                // and it is a fresh one
	lost    string              // the session is lost
}

func (t *task) note(why string) {
	if t.why == "" {
		t.why = why
	}
}

// reading reports whether there is anything to read.
func (t *task) reading() bool { return t.list || t.fresh || len(t.data) > 0 }

// worker reads one service, in one goroutine.
type worker struct {
	c       *Client
	service string
	at      config.Service
	publish func(watcher.Snapshot)
	kick    chan struct{}

	mu   sync.Mutex
	todo task

	// What follows belongs to run.
	now       task
	begun     bool // it was told of a session
	on        bulk // has a watch of the path and all below it; nil: none, or one for each znode
	gap       bool // that watch is younger than what was read
	seen      seen
	last      watcher.Snapshot // the last whole one
	ever      bool             // there was one
	dark      string           // why it was published as unknown after that, or before
	notBefore time.Time        // of reading
	auditAt   time.Time
	failures  int
	misses    int  // audits in a row that found a change of which nobody told
	picked    int  // children that audits looked at
	warned    bool // of options in znodes
}

func newWorker(c *Client, service string, at config.Service, publish func(watcher.Snapshot)) *worker {
	w := &worker{c: c, service: service, at: at, publish: publish, kick: make(chan struct{}, 1)}
	w.now = task{why: "first read", list: true}
	return w
}

// tell changes what is to be done, and wakes the worker.
func (w *worker) tell(change func(*task)) {
	w.mu.Lock()
	change(&w.todo)
	w.mu.Unlock()
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// begin implements listener.
func (w *worker) begin(_ int64, fresh bool) {
	w.tell(func(t *task) { t.session, t.begun, t.lost = true, t.begun || fresh, "" })
}

// lost implements listener.
func (w *worker) lost(reason string) {
	w.tell(func(t *task) { t.lost = reason })
}

// rearm implements listener.
func (w *worker) rearm() {
	w.tell(func(t *task) {
		t.note("watches were not taken")
		t.fresh = true
	})
}

// changed implements listener.
func (w *worker) changed(path string, e zk.EventType) {
	name, below := strings.CutPrefix(path, w.at.Path+"/")
	switch {
	case !below && e != zk.EventNodeDataChanged:
		w.tell(func(t *task) {
			t.note("children changed")
			t.list = true
		})
	case below && (e == zk.EventNodeCreated || e == zk.EventNodeDataChanged || e == zk.EventNodeDeleted):
		// A deleted child may be back by now under the same name, without a watch. The one watch
		// of a bulk read does not tell that the list changed, but which child came or went.
		w.tell(func(t *task) {
			if e == zk.EventNodeDataChanged {
				t.note("data changed")
			} else {
				t.note("children changed")
				t.list = true
			}
			if t.data == nil {
				t.data = map[string]struct{}{}
			}
			t.data[name] = struct{}{}
		})
	}
}

// take moves what was told into what is to be done now.
func (w *worker) take() {
	w.mu.Lock()
	t := w.todo
	w.todo = task{}
	w.mu.Unlock()
	w.now.note(t.why)
	w.now.list, w.now.fresh = w.now.list || t.list, w.now.fresh || t.fresh
	if w.now.data == nil {
		w.now.data = map[string]struct{}{}
	}
	for name := range t.data {
		w.now.data[name] = struct{}{}
	}
	if t.session {
		w.begun = true
		w.session(t.begun)
	}
	if t.lost != "" {
		w.unknown(t.lost, "session lost")
	}
}

// pending reports whether something to read was told that take has not taken.
func (w *worker) pending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.todo.reading()
}

// session decides when to read after a session came up. In a fresh one everything is read,
// at a time that is this host's own. In one that goes on an audit is enough: servers have
// taken its watches and tell what was missed (DataTree.setWatches). The watch of bulk reads
// they drop with the connection, so there the audit comes sooner, and soonest where the
// service counts as unknown.
func (w *worker) session(fresh bool) {
	w.failures = 0
	now := time.Now()
	wait := w.c.spread(w.service, w.c.o.Splay)
	switch {
	case !w.ever:
		w.notBefore = now
	case fresh:
		w.now.note("new session")
		w.now.fresh = true
		w.notBefore = now.Add(wait)
	case w.dark != "":
		w.notBefore, w.auditAt = now, now.Add(wait)
	case w.on != nil:
		w.notBefore, w.auditAt = now, now.Add(w.c.spread(w.service, w.c.catchUp()))
	default:
		w.notBefore = now
		soon := now.Add(w.c.spread(w.service, max(w.c.o.Audit/4, w.c.o.Splay)))
		if soon.Before(w.auditAt) {
			w.auditAt = soon
		}
	}
}

func (w *worker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.kick:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		w.take()
		timer.Reset(w.step(ctx))
	}
}

// idle is how long a worker waits that only an event can give something to do.
const idle = time.Hour

// step does what is due and returns how long until the next step.
func (w *worker) step(ctx context.Context) time.Duration {
	if !w.begun || !w.c.isUp() {
		return idle // begin wakes it
	}
	if w.now.reading() {
		if wait := time.Until(w.notBefore); wait > 0 {
			return wait
		}
		w.read(ctx)
		return 0
	}
	if wait := time.Until(w.auditAt); wait > 0 {
		return wait
	}
	w.audit(ctx)
	return 0
}

// read reads what is to be read and publishes what came of it.
func (w *worker) read(ctx context.Context) {
	start := time.Now()
	t := w.now
	w.now = task{}
	found, err := w.look(ctx, t, start)
	if err == nil && (found.doubtful() || w.ever && found.Revision < w.last.Revision) {
		found, err = w.lookAgain(ctx, t, start)
	}
	took := time.Since(start)
	w.notBefore = time.Now().Add(min(max(pace, 2*took), mostPace))
	if err != nil {
		w.failed(ctx, t, err)
		return
	}
	w.failures = 0
	if t.list || t.fresh { // data alone proves nothing of the list
		w.auditAt = w.nextAudit()
	}
	w.last, w.ever, w.dark = found.Snapshot, true, ""
	if found.Truth == watcher.Unknown {
		w.dark = found.Reason
	}
	w.publish(found.Snapshot)
}

// failed keeps the task for another try. An answer that is a refusal makes the service
// unknown; without an answer, the session clock will.
func (w *worker) failed(ctx context.Context, t task, err error) {
	if ctx.Err() != nil {
		return
	}
	t.list = true
	w.now = t
	wait := min(retryFirst<<min(w.failures, 10), retryMost)
	w.failures++
	w.notBefore = time.Now().Add(wait/2 + rand.N(wait/2+1))
	if broken(err) {
		return
	}
	w.unknown(w.refusal(err), t.why)
}

// unknown publishes that nothing is known, once for each reason.
func (w *worker) unknown(reason, event string) {
	if w.dark == reason {
		return
	}
	w.dark = reason
	w.publish(watcher.Snapshot{Service: w.service, Truth: watcher.Unknown, Reason: reason, Revision: w.last.Revision, Event: event, At: time.Now()})
}

// catchUp is over how long the services of this host are compared after a reconnect. The more
// there are the longer it takes, so that a fleet that lost one server does not fall upon the
// next one: a thousand hosts with 500 services each ask 50,000 times a second, and not five
// times as often.
func (c *Client) catchUp() time.Duration {
	c.mu.Lock()
	n := len(c.watched)
	c.mu.Unlock()
	return min(c.o.Splay*time.Duration(max(1, n/100)), max(c.o.Audit/4, c.o.Splay))
}

// nextAudit is around the configured time from now, so that audits of a fleet do not meet. Those
// of one host do, every five seconds: what wakes it up for one is spared for the others.
func (w *worker) nextAudit() time.Time {
	pause := w.c.o.Audit/2 + rand.N(w.c.o.Audit+1)
	return w.c.born.Add((time.Since(w.c.born) + pause).Round(min(5*time.Second, w.c.o.Audit/8)))
}
