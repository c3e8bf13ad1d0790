package zookeeper

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/zkboot/zkboot/watcher"
)

// sample is how many children an audit looks at, others each time. The list is always
// compared whole, by one number.
const sample = 8

// audit proves that what was published is what the registry has: watches are one-shot, and
// have been lost by servers, by libraries and between them (prometheus #1895, #2758). It
// costs one small request and a sample of the children.
func (w *worker) audit(ctx context.Context) {
	start := time.Now()
	w.auditAt = start.Add(w.auditPause())
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
		w.misses = 0
		w.confirm(start)
		return
	}
	w.misses++
	w.c.missed.Add(1)
	w.c.disarm(w.at.Path, w.seen.children)
	w.c.log.Warn("an audit found a change of which no watch had told", "service", w.service, "path", w.at.Path, "in a row", w.misses)
	w.now.note("audit: a change that no watch had told")
	w.now.fresh = true
	w.notBefore = start
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

// compare asks for the numbers that change with the list and with data.
func (w *worker) compare(ctx context.Context) (bool, error) {
	exists := func(path string) (answer, error) {
		return read(ctx, w.c, func(r registry) (answer, error) { return look(r, path) })
	}
	a, err := exists(w.at.Path)
	if err != nil {
		return false, err
	}
	if a.exists != w.seen.exists || a.exists && (a.stat.Pzxid != w.seen.stat.Pzxid || a.stat.Cversion != w.seen.stat.Cversion || a.stat.Czxid != w.seen.stat.Czxid) {
		return false, nil
	}
	for _, name := range w.pick() {
		a, err := exists(w.at.Path + "/" + name)
		if err != nil {
			return false, err
		}
		if c := w.seen.children[name]; !a.exists || a.stat.Mzxid != c.mzxid {
			return false, nil
		}
	}
	return true, nil
}

// pick returns the next children to look at, one after the other in turns.
func (w *worker) pick() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(w.seen.children)) {
		if w.seen.children[name].watched {
			names = append(names, name)
		}
	}
	if len(names) <= sample {
		return names
	}
	from := w.picked % len(names)
	w.picked = from + sample
	return append(names[from:min(from+sample, len(names))], names[:max(0, from+sample-len(names))]...)
}
