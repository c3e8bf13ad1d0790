package watcher

import (
	"context"
	"maps"
	"math/rand/v2"
	"time"
)

const (
	boardGather = 250 * time.Millisecond // between a change and the post, and up to twice that
	countEvery  = time.Second            // between two counts of connections while something drains
)

// noticeboard decides when this host posts: at most once in every, and only what differs
// from the last post. A change waits a moment for others of its kind, and a random one so that
// a thousand hosts that saw the same change do not write in the same instant.
type noticeboard struct {
	every    time.Duration
	posted   *Notice
	earliest time.Time // of the next post
	dirty    time.Time // when what changed may be posted; zero: nothing changed
	busy     bool
	failed   bool // the last post

	draining map[string]*service // services with instances that drain, as the proxy serves them
	counts   map[InstanceKey]int // of their connections, as of the last count
	counted  bool                // since the proxy was last told something
	countAt  time.Time           // not before this
}

// changed notes that there may be something new to post.
func (b *noticeboard) changed(now time.Time) {
	if b.dirty.IsZero() {
		b.dirty = now.Add(boardGather + rand.N(boardGather))
	}
}

// applied notes what the proxy was told. Connections are counted anew after it: what was
// counted before says nothing about an instance that gets no new traffic from now on only.
func (b *noticeboard) applied(s *service) {
	delete(b.draining, s.name)
	if !s.out.owed && live(s.out.sent) < len(s.out.sent) {
		b.draining[s.name] = s
		b.counted, b.countAt = false, time.Time{}
	}
}

// countDue tells when connections are to be counted: just before a post, while something drains.
func (b *noticeboard) countDue() (time.Time, bool) {
	if len(b.draining) == 0 || b.busy {
		return time.Time{}, false
	}
	if b.earliest.After(b.countAt) {
		return b.earliest, true
	}
	return b.countAt, true
}

func (b *noticeboard) wantsCount(now time.Time) bool {
	at, ok := b.countDue()
	return ok && !now.Before(at)
}

// postDue tells when to look whether there is something to post.
func (b *noticeboard) postDue() (time.Time, bool) {
	switch {
	case b.busy || b.dirty.IsZero() || len(b.draining) > 0 && !b.counted:
		return time.Time{}, false
	case b.earliest.After(b.dirty):
		return b.earliest, true
	}
	return b.dirty, true
}

func (b *noticeboard) next(sinkBusy bool) (time.Time, bool) {
	post, ok := b.postDue()
	if count, due := b.countDue(); due && !sinkBusy && (!ok || count.Before(post)) {
		return count, true
	}
	return post, ok
}

// count asks the sink for the connections to draining instances.
func (l *loop) count(ctx context.Context, now time.Time) {
	l.sinkBusy, l.board.countAt = true, now.Add(countEvery)
	l.beside(func() func(time.Time) {
		ctx, cancel := context.WithTimeout(ctx, sinkTimeout)
		defer cancel()
		counts, err := l.d.Sink.Conns(ctx)
		return func(now time.Time) {
			l.sinkBusy = false
			if err != nil {
				l.d.Log.Warn("connections to draining instances could not be counted", "error", err)
				counts = nil // nobody may take silence for zero
			}
			if !l.board.counted || !maps.Equal(counts, l.board.counts) {
				l.board.changed(now)
			}
			l.board.counted, l.board.counts = true, counts
		}
	})
}

// post puts a notice on the board when that is due and it says something new.
func (l *loop) post(ctx context.Context, now time.Time) {
	if l.d.Board == nil {
		return
	}
	if at, ok := l.board.postDue(); !ok || now.Before(at) {
		return
	}
	l.board.dirty = time.Time{}
	notice := l.notice()
	if l.board.posted != nil && sameNotice(*l.board.posted, notice) {
		return
	}
	l.board.busy, l.board.earliest = true, now.Add(l.board.every)
	l.beside(func() func(time.Time) {
		ctx, cancel := context.WithTimeout(ctx, boardTimeout)
		defer cancel()
		err := l.d.Board.Post(ctx, notice)
		return func(now time.Time) { l.postedNotice(notice, err, now) }
	})
}

func (l *loop) postedNotice(notice Notice, err error, now time.Time) {
	l.board.busy = false
	if err == nil {
		l.board.posted = &notice
	} else {
		l.board.changed(now)
		if !l.board.failed {
			l.d.Log.Warn("what this host serves could not be posted; it is tried again", "error", err)
		}
	}
	l.board.failed = err != nil
}

// notice says what this host serves.
func (l *loop) notice() Notice {
	n := Notice{Host: l.d.Config.Host, Version: l.d.Version, Services: make(map[string]Applied, len(l.d.services))}
	for name, s := range l.d.services {
		n.Services[name] = s.notice()
	}
	for name, s := range l.board.draining {
		for _, i := range s.out.sent {
			count, known := l.board.counts[InstanceKey{name, i.ID}]
			if !i.Draining || !known {
				continue
			}
			if n.Draining == nil {
				n.Draining = map[string]map[string]int{}
			}
			if n.Draining[name] == nil {
				n.Draining[name] = map[string]int{}
			}
			n.Draining[name][i.ID] = count
		}
	}
	return n
}

func sameNotice(a, b Notice) bool {
	return maps.Equal(a.Services, b.Services) && maps.EqualFunc(a.Draining, b.Draining, func(x, y map[string]int) bool { return maps.Equal(x, y) })
}
