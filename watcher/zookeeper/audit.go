package zookeeper

import (
	"context"
	"errors"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
)

// sample is how many children an audit looks at where znodes are read one by one, others each
// time. The list is always compared whole, by one number.
const sample = 8

// audit proves that what was published is what the registry has: watches have been lost by
// servers, by libraries and between them (prometheus #1895, #2758). It costs one request,
// or a small one and a sample of the children.
func (w *worker) audit(ctx context.Context) {
	start := time.Now()
	w.auditAt = w.nextAudit()
	same, err := w.compare(ctx)
	if err != nil {
		w.auditFailed(ctx, err)
		return
	}
	// What was told in the meantime is no miss: its event came before the answers.
	if w.pending() {
		return
	}
	if same {
		w.misses, w.gap = 0, false
		w.confirm(start)
		return
	}
	w.now.fresh = true
	w.notBefore = start
	if w.gap {
		w.now.note("reconnected")
		return
	}
	w.missed()
}

// missed is an audit that found a change. Two in a row, and the server is left.
func (w *worker) missed() {
	w.misses++
	w.c.missed.Add(1)
	w.c.disarm(w.at.Path, w.seen.children)
	w.on = nil
	w.c.log.Warn("an audit found a change of which no watch had told", "service", w.service, "path", w.at.Path, "in a row", w.misses)
	w.now.note("audit: a change that no watch had told")
	if w.misses > 1 {
		w.misses = 0
		w.c.drop("two audits in a row found changes of which no watch had told")
	}
}

// confirm publishes the last snapshot again: it is what the registry had at this time.
func (w *worker) confirm(at time.Time) {
	snap := w.last
	snap.Event, snap.At = "audit", at
	w.dark = ""
	if snap.Truth == watcher.Unknown {
		w.dark = snap.Reason
	}
	w.publish(snap)
}

func (w *worker) auditFailed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if broken(err) {
		w.auditAt = time.Now().Add(retryFirst)
		return
	}
	w.unknown(w.refusal(err), "audit")
}

// compare asks for the numbers that change with the list and with data: of everything, or
// of the list and a sample.
func (w *worker) compare(ctx context.Context) (bool, error) {
	b, err := w.watch(ctx)
	if err != nil {
		return false, err
	}
	if b != nil {
		return w.compareAtOnce(ctx, b)
	}
	exists := func(path string) (answer, error) {
		return read(ctx, w.c, func(r registry) (answer, error) { return look(r, path) })
	}
	a, err := exists(w.at.Path)
	if err != nil {
		return false, err
	}
	if !w.sameList(a) {
		return false, nil
	}
	for _, name := range w.pick() {
		a, err := exists(w.at.Path + "/" + name)
		if err != nil {
			return false, err
		}
		if !w.same(name, result{answer: a}) {
			return false, nil
		}
	}
	return true, nil
}

// sameList compares the numbers that change with the list.
func (w *worker) sameList(a answer) bool {
	if !a.exists || !w.seen.exists {
		return a.exists == w.seen.exists
	}
	return a.stat.Pzxid == w.seen.stat.Pzxid && a.stat.Cversion == w.seen.stat.Cversion && a.stat.Czxid == w.seen.stat.Czxid
}

func (w *worker) compareAtOnce(ctx context.Context, b bulk) (bool, error) {
	names := w.seen.children.names(true)
	some, err := w.c.readAtOnce(ctx, b, append([]part{{dir: w.at.Path}}, below(w.at.Path, names)...))
	if err != nil {
		return false, err
	}
	if err := some[0].err; err != nil && !errors.Is(err, zk.ErrNoNode) {
		return false, err
	}
	if !w.sameList(some[0].answer) {
		return false, nil
	}
	for i, name := range names {
		if !w.same(name, some[1+i]) {
			return false, nil
		}
	}
	return true, nil
}

// same compares a child with the answer for it. One that cannot be read any more, or is too
// long, cannot be compared.
func (w *worker) same(name string, r result) bool {
	i, ok := w.seen.children.find(name)
	if r.err != nil {
		return !errors.Is(r.err, zk.ErrNoNode)
	}
	return ok && r.exists && r.stat.Mzxid == w.seen.children[i].mzxid
}

// pick returns the next children to look at, one after the other in turns.
func (w *worker) pick() []string {
	names := w.seen.children.names(true)
	if len(names) <= sample {
		return names
	}
	from := w.picked % len(names)
	w.picked = from + sample
	return append(names[from:min(from+sample, len(names))], names[:max(0, from+sample-len(names))]...)
}
