package watcher

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Consumer is a host that sends traffic to the service of a draining instance.
type Consumer struct {
	Host        string `json:"host"`
	Applied     bool   `json:"applied"`     // it has stopped sending new traffic
	Connections int    `json:"connections"` // as it counted last; -1 when it never did
	Gone        bool   `json:"gone"`        // its notice disappeared, or no longer names the service
	Done        bool   `json:"done"`        // no longer waited for
}

// drainRule decides when a drain is over, from what the board shows. It has no clock.
//
// A consumer is done when its notice has the service at a revision in which the instance
// was draining already, and counts 0 connections to it. Both are in one notice, so the
// count cannot be older than the revision; without the revision a 0 could be from before
// the last request. All have to be done in two readings of the board one after the other:
// a consumer that is just starting posts late. One whose notice disappears may be dead or
// cut off while it still sends; it gets the grace time. Where nobody posts the service,
// grace is all there is. It cannot end the drain by an error or by a partial reading.
type drainRule struct {
	service   string
	at        Announced
	grace     time.Duration
	since     time.Time // when the instance was marked draining
	consumers map[string]*Consumer
	gone      map[string]time.Time
	calm      int // readings in a row in which all were done
}

// Why a drain ended.
const (
	DrainedByConsumers = "consumers"     // every consumer has reported no connections
	DrainedByGrace     = "grace"         // nobody posts the service, and the grace time is over
	DrainedByTimeout   = "timeout"       // some were still waited for
	DrainNotAnnounced  = "not announced" // there was nothing to drain, or it left before
	DrainUndone        = "undone"        // the mark was taken away, the instance stays
	DrainInterrupted   = "interrupted"   // zkwatch ended, or gave the registration up
)

// see takes a whole reading of the board and returns why the drain is over, or "".
func (d *drainRule) see(now time.Time, notices []Notice) string {
	if d.consumers == nil {
		d.consumers, d.gone = map[string]*Consumer{}, map[string]time.Time{}
	}
	present := map[string]bool{}
	for _, n := range notices {
		applied, serves := n.Services[d.service]
		if !serves {
			continue
		}
		present[n.Host] = true
		c := &Consumer{Host: n.Host, Applied: applied.Revision >= d.at.Revision, Connections: -1}
		if conns, counted := n.Draining[d.service][d.at.ID]; counted {
			c.Connections = conns
			c.Done = c.Applied && conns == 0
		}
		d.consumers[n.Host] = c
	}
	all := true
	for host, c := range d.consumers {
		if !present[host] {
			if !c.Gone {
				c.Gone, d.gone[host] = true, now
			}
			c.Done = c.Done || now.Sub(d.gone[host]) >= d.grace
		}
		all = all && c.Done
	}
	if len(d.consumers) == 0 {
		if now.Sub(d.since) >= d.grace {
			return DrainedByGrace
		}
		return ""
	}
	if !all {
		d.calm = 0
		return ""
	}
	if d.calm++; d.calm < 2 {
		return ""
	}
	return DrainedByConsumers
}

// seen lists the consumers by host.
func (d *drainRule) seen() []Consumer {
	var out []Consumer
	for _, host := range slices.Sorted(maps.Keys(d.consumers)) {
		out = append(out, *d.consumers[host])
	}
	return out
}

// boardEvery is how old a reading of the board may be, so that a host that drains twenty
// instances reads it once a second and not twenty times.
const boardEvery = time.Second

// boardReader shares readings of one board.
type boardReader struct {
	board   Board
	mu      sync.Mutex
	at      time.Time
	notices []Notice
	err     error
}

// read returns a reading and when it was begun. Two with the same time are the same one.
func (b *boardReader) read(ctx context.Context) ([]Notice, time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); b.at.IsZero() || now.Sub(b.at) >= boardEvery {
		ctx, cancel := context.WithTimeout(ctx, registryTimeout)
		defer cancel()
		b.notices, b.err = b.board.Notices(ctx)
		b.at = now
	}
	return b.notices, b.at, b.err
}
