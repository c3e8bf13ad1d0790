package watcher

import (
	"fmt"
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

// Of the actions of an entry the first and the last are kept: one set of 10,000 instances takes
// 30,000 commands, which nobody reads and which are 4 MB. What matters besides the commands,
// such as a reload, comes last.
const (
	firstActions = 24
	lastActions  = 8
)

// shorten copies the actions of an entry, so that it keeps no more than those.
func shorten(all []Action) []Action {
	between := len(all) - firstActions - lastActions
	if between <= 0 {
		return append([]Action(nil), all...)
	}
	out := make([]Action, 0, firstActions+1+lastActions)
	out = append(out, all[:firstActions]...)
	out = append(out, Action{Kind: "more", Text: fmt.Sprintf("%d actions between these are not kept", between), Service: all[0].Service})
	return append(out, all[len(all)-lastActions:]...)
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

// Add appends an entry; the oldest one goes when there is no room. Of many actions the journal
// keeps the first and the last, and says how many are left out.
func (j *Journal) Add(e Entry) {
	e.Actions = shorten(e.Actions)
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
