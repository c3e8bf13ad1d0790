package drill

import (
	"slices"
	"sync"
	"time"
)

// outcome is what became of an attempt.
type outcome int

const (
	acked   outcome = iota // the ensemble said yes
	refused                // it said no, or was never asked
	unknown                // the connection was lost before an answer came
)

// op is one attempt of one client. Times are since the begin of the drill.
type op struct {
	client  int
	key     int
	read    bool
	value   int64 // the number that was written, or read
	call    time.Duration
	ret     time.Duration
	outcome outcome
	version int32  // of the znode behind an acknowledged write, or as read
	zxid    uint64 // likewise
}

// maxOps bounds a history: 64 bytes each.
const maxOps = 400_000

// history collects what all clients do. It is bounded: full is set instead of growing on.
type history struct {
	begin time.Time

	mu   sync.Mutex
	ops  []op
	full bool
	wake chan struct{} // closed and replaced with every acknowledged write
}

func newHistory() *history { return &history{begin: time.Now(), wake: make(chan struct{})} }

// now is the time since the begin.
func (h *history) now() time.Duration { return time.Since(h.begin) }

func (h *history) add(o op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ops) >= maxOps {
		h.full = true
		return
	}
	h.ops = append(h.ops, o)
	if !o.read && o.outcome == acked {
		close(h.wake)
		h.wake = make(chan struct{})
	}
}

// seen returns what has been collected so far, in the order of its end.
func (h *history) seen() []op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ops)
}

// changed is closed with the next acknowledged write.
func (h *history) changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wake
}

// writes returns the attempts to write of some clients, in the order of their calls.
func writes(ops []op, of func(op) bool) []op {
	var out []op
	for _, o := range ops {
		if !o.read && of(o) {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b op) int { return int(a.call - b.call) })
	return out
}

// gap is the longest time that one of the clients was without an acknowledged write, from
// its first one until end, and when it began. A client that never wrote has waited for all
// of the time.
func gap(ops []op, clients int, end time.Duration) (longest, since time.Duration) {
	for c := range clients {
		last := time.Duration(0)
		for i, o := range writes(ops, func(o op) bool { return o.client == c && o.outcome == acked }) {
			if i > 0 && o.ret-last > longest {
				longest, since = o.ret-last, last
			}
			last = o.ret
		}
		if end-last > longest {
			longest, since = end-last, last
		}
	}
	return longest, since
}
