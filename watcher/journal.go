package watcher

import (
	"sync"
	"time"
)

// Entry is one thing that happened and what was done about it.
type Entry struct {
	At      time.Time     `json:"at"`
	Service string        `json:"service,omitempty"` // empty: about no service alone
	Event   string        `json:"event"`             // what brought it about, such as "children changed"
	Rule    string        `json:"rule,omitempty"`    // why it was decided as it was
	Actions []Action      `json:"actions,omitempty"`
	Took    time.Duration `json:"took,omitempty"` // nanoseconds
	Error   string        `json:"error,omitempty"`
}

// Journal remembers the last entries, so that "why did it do that" has an answer. It may be
// used by many goroutines.
type Journal struct {
	mu   sync.Mutex
	size int
	ring []Entry
	next int // where the next entry goes once the ring is full
}

// NewJournal returns a journal of the last size entries, at least one.
func NewJournal(size int) *Journal { return &Journal{size: max(1, size)} }

// Add appends an entry; the oldest one goes when there is no room.
func (j *Journal) Add(e Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.ring) < j.size {
		j.ring = append(j.ring, e)
		return
	}
	j.ring[j.next] = e
	j.next = (j.next + 1) % j.size
}

// Entries returns the entries of a service, or all when service is empty, newest first. It
// returns at most limit of them; 0 or less is no limit. Entries about no service
// alone belong to all, not to each.
func (j *Journal) Entries(service string, limit int) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []Entry
	for n := range j.ring {
		e := j.ring[(j.next+len(j.ring)-1-n)%len(j.ring)]
		if service != "" && e.Service != service {
			continue
		}
		if out = append(out, e); limit > 0 && len(out) == limit {
			break
		}
	}
	return out
}
