package zookeeper

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// node is an ephemeral znode that is to be there.
type node struct {
	place
	data []byte
}

// place is where a keeper's znode is. With sequence the name is the beginning of it, and the
// registry adds _ and ten digits.
type place struct {
	dir, name string
	sequence  bool
}

// String returns the path, for messages.
func (p place) String() string {
	if p.sequence {
		return p.dir + "/" + p.name + "_*"
	}
	return p.path()
}

func (p place) path() string { return p.dir + "/" + p.name }

// placed is a znode that was seen to be there and ours.
type placed struct {
	place
	znode   string // its path
	session int64
	mzxid   int64
	data    []byte
}

// Pauses of a keeper.
const (
	putFirst = 100 * time.Millisecond
	putMost  = 5 * time.Second
	// A znode that was taken away within fightTime of being put is put again later and
	// later: two hosts may announce the same address.
	fightTime = 10 * time.Second
	fightMost = time.Minute
)

// keeper keeps one znode in the registry for as long as somebody wants it, over any number
// of sessions, and takes it away after that. One goroutine makes all of its requests, one
// after the other, so that none that was given up can be carried out after a later one.
type keeper struct {
	c    *Client
	key  string
	kick chan struct{}

	mu    sync.Mutex
	want  *node         // nil: nothing is to be there
	asked int           // counts changes of want
	tried int           // the last one that was attempted
	done  int           // the last one that was achieved
	err   error         // of the last attempt
	at    placed        // when done
	doubt bool          // it may not be there any more
	news  chan struct{} // closed after each attempt
	over  bool          // run has ended

	// What follows belongs to run.
	places   []place // where something of ours may be
	sessions []int64 // in which something was put
	watching string  // the path whose events come here
	failures int
	fights   int
	putAt    time.Time // when it was put last
}

// keeper returns the one for a key, which is made when there is none.
func (c *Client) keeper(key string) (*keeper, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link.closed {
		return nil, errClosed
	}
	k := c.keepers[key]
	if k == nil {
		k = &keeper{c: c, key: key, kick: make(chan struct{}, 1), news: make(chan struct{})}
		c.keepers[key] = k
		c.wg.Go(k.run)
	}
	return k, nil
}

// put makes n be there from now on, and returns when it was attempted once.
func (c *Client) put(ctx context.Context, key string, n node) (placed, error) {
	for {
		k, err := c.keeper(key)
		if err != nil {
			return placed{}, err
		}
		if turn, ok := k.ask(&n); ok {
			return k.await(ctx, turn, false)
		}
	}
}

// remove makes nothing be there from now on, and returns when that is so.
func (c *Client) remove(ctx context.Context, key string) error {
	c.mu.Lock()
	k := c.keepers[key]
	c.mu.Unlock()
	if k == nil {
		return nil
	}
	turn, ok := k.ask(nil)
	if !ok {
		return nil // it has ended: everything was removed
	}
	_, err := k.await(ctx, turn, true)
	return err
}

// ask changes what is wanted and returns the number to wait for; false when the keeper has ended.
func (k *keeper) ask(n *node) (int, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return 0, false
	}
	same := n != nil && k.want != nil && n.place == k.want.place && slices.Equal(n.data, k.want.data)
	if !same || k.done != k.asked {
		k.asked++
	}
	k.want = n
	k.wake()
	return k.asked, true
}

func (k *keeper) wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// await waits for an attempt, or with achieved for success.
func (k *keeper) await(ctx context.Context, turn int, achieved bool) (placed, error) {
	for {
		k.mu.Lock()
		tried, done, doubt, err, at, news, over := k.tried, k.done, k.doubt, k.err, k.at, k.news, k.over
		k.mu.Unlock()
		switch {
		case done >= turn && (achieved || !doubt && k.c.isUp()):
			return at, nil
		case over:
			return at, errClosed
		case !achieved && tried >= turn && err != nil:
			return placed{}, err
		}
		select {
		case <-news:
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("ZooKeeper has not answered (%s)", k.c.Status().State)
			}
			return placed{}, fmt.Errorf("%w; it is still being tried: %w", err, ctx.Err())
		}
	}
}

// begin implements listener.
func (k *keeper) begin(int64, bool) {
	k.lost("")
	k.wake()
}

// lost implements listener.
func (k *keeper) lost(string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.doubt = true
}

// rearm implements listener.
func (k *keeper) rearm() { k.begin(0, true) }

// changed implements listener.
func (k *keeper) changed(string, zk.EventType) { k.begin(0, true) }

func (k *keeper) run() {
	k.c.attach(k)
	defer k.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-k.kick:
		case <-timer.C:
			k.mu.Lock()
			k.doubt = true // an audit, or another try
			k.mu.Unlock()
		case <-k.c.ctx.Done():
			return
		}
		wait, over := k.work()
		if over {
			return
		}
		timer.Reset(wait)
	}
}

// end leaves nobody waiting.
func (k *keeper) end() {
	k.c.detach(k)
	k.follow("")
	k.mu.Lock()
	k.retire()
	close(k.news)
	k.news = make(chan struct{})
	k.mu.Unlock()
}

// retire makes room for another keeper of the same key; the caller holds mu.
func (k *keeper) retire() {
	k.over = true
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if k.c.keepers[k.key] == k {
		delete(k.c.keepers, k.key)
	}
}

// follow makes events of a path come here.
func (k *keeper) follow(path string) {
	if path == k.watching {
		return
	}
	if k.watching != "" {
		k.c.unwatch(k, k.watching)
	}
	if k.watching = path; path != "" {
		k.c.watch(k, path)
	}
}

// work makes the registry have what is wanted. It returns how long to wait if nothing
// happens, and whether there is nothing left to keep.
func (k *keeper) work() (time.Duration, bool) {
	k.mu.Lock()
	want, turn := k.want, k.asked
	settled := k.done == k.asked && !k.doubt
	if want == nil && len(k.places) == 0 {
		k.done = k.asked
		k.retire() // under the lock: nobody can ask for more
		k.mu.Unlock()
		return 0, true
	}
	if settled || !k.c.isUp() {
		k.mu.Unlock()
		return k.c.o.Audit/2 + rand.N(k.c.o.Audit+1), false
	}
	k.doubt = false
	k.mu.Unlock()

	at, err := k.converge(k.c.ctx, want)

	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried, k.err = turn, err
	close(k.news)
	k.news = make(chan struct{})
	if err == nil {
		k.done, k.at, k.failures = turn, at, 0
		k.wake() // for what was asked meanwhile, and to end
		return idle, false
	}
	k.doubt = true
	if broken(err) && !k.c.isUp() {
		return idle, false // begin wakes it
	}
	wait := min(putFirst<<min(k.failures, 10), putMost)
	k.failures++
	return wait/2 + rand.N(wait/2+1), false
}
