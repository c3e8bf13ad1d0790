package watcher

import (
	"sync"
	"time"
)

// inbox is where the loop finds what others have for it. Of every service it keeps the
// newest snapshot alone, so that neither a storm of events nor a slow sink makes it grow.
type inbox struct {
	wake chan struct{} // has one element when there may be something

	mu      sync.Mutex
	letters map[string]letter // by service
	calls   []func(*loop, time.Time)
}

// letter is the newest of a service that was read, and the newest Unknown that came after it.
type letter struct{ good, unknown *Snapshot }

func (i *inbox) put(snap Snapshot) {
	i.mu.Lock()
	l := i.letters[snap.Service]
	switch snap.Truth {
	case Known:
		l = letter{good: &snap}
	case Empty:
		snap.Instances = nil
		l = letter{good: &snap}
	default: // whatever a source means, it did not read it
		l.unknown = &snap
	}
	i.letters[snap.Service] = l
	i.mu.Unlock()
	i.ring()
}

// call has f called by the loop, in the order in which they came.
func (i *inbox) call(f func(*loop, time.Time)) {
	i.mu.Lock()
	i.calls = append(i.calls, f)
	i.mu.Unlock()
	i.ring()
}

func (i *inbox) ring() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

func (i *inbox) take() (map[string]letter, []func(*loop, time.Time)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	letters, calls := i.letters, i.calls
	if len(letters) > 0 {
		i.letters = map[string]letter{}
	} else {
		letters = nil
	}
	i.calls = nil
	return letters, calls
}
