package drill

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

const (
	// lookEvery is how often members are asked which part they have.
	lookEvery = 250 * time.Millisecond
	// lookFor is how long a member has for its answer. One that is paused gives none.
	lookFor = time.Second
)

// poll is what the members said of themselves in one round, by host.
type poll map[string]zookeeper.Standing

// leader is the member that leads in the latest epoch, "" when none does. Of two that claim
// one epoch it is the first by name.
func (p poll) leader() string {
	host, epoch := "", uint64(0)
	for _, h := range slices.Sorted(maps.Keys(p)) {
		if s := p[h]; s.Leader && (host == "" || s.Epoch > epoch) {
			host, epoch = h, s.Epoch
		}
	}
	return host
}

// follower is the first by name that serves and does not lead, "" when there is none.
func (p poll) follower() string {
	for _, h := range slices.Sorted(maps.Keys(p)) {
		if p[h].Serves && !p[h].Leader {
			return h
		}
	}
	return ""
}

// tally counts over all polls.
type tally struct {
	polls   int
	two     int // polls with two leaders of one epoch
	deposed int // polls with leaders of two epochs: the older has not noticed, and cannot commit
	changes int // of the leader
	before  poll
	last    string

	first, latest uint64 // epochs of leaders
}

// epochs is how many leaders came after the first that was seen.
func (t tally) epochs() int { return int(t.latest - t.first) }

// add takes one poll in. A member that becomes leader shows the zxid of the epoch before for
// a moment while it starts, so that a claim counts when the poll before had it too.
func (t *tally) add(p poll) {
	t.polls++
	claims := map[uint64]int{}
	leaders := 0
	for h, s := range p {
		if !s.Leader {
			continue
		}
		leaders++
		if was := t.before[h]; was.Leader && was.Epoch == s.Epoch {
			claims[s.Epoch]++
		}
	}
	switch {
	case slices.ContainsFunc(slices.Collect(maps.Values(claims)), func(n int) bool { return n > 1 }):
		t.two++
	case leaders > 1:
		t.deposed++
	}
	if now := p.leader(); now != "" {
		if t.last != "" && now != t.last {
			t.changes++
		}
		t.last = now
		if t.first == 0 {
			t.first = p[now].Epoch
		}
		t.latest = max(t.latest, p[now].Epoch)
	}
	t.before = p
}

// watcher asks all members over and over.
type watcher struct {
	spec  *bootstrap.Spec
	lines *lines

	mu  sync.Mutex
	now poll
	sum tally
}

func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		p := w.ask(ctx)
		if ctx.Err() != nil {
			return // a round that was cut short says nothing
		}
		w.mu.Lock()
		w.now = p
		w.sum.add(p)
		w.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask asks all members at once. One that does not answer is missing.
func (w *watcher) ask(ctx context.Context) poll {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := poll{}
	for host, d := range w.lines.dialers() {
		wg.Go(func() {
			s, err := zookeeper.Ask(ctx, w.spec, host, d)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[host] = s
		})
	}
	wg.Wait()
	return out
}

func (w *watcher) latest() poll {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *watcher) total() tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sum
}
