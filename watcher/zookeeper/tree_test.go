package zookeeper

import (
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// tree is a registry in memory with one client, for tests in fake time. It keeps ZooKeeper's
// promises that the code leans on: one-shot watches, whose events come before the answers
// that show the change; ephemerals that end with their session; zxids that grow.
type tree struct {
	c *Client

	mu      sync.Mutex
	zxid    int64
	nodes   map[string]*tnode
	old     map[string]*tnode // what reads see until the next sync, when set
	session int64             // of the client; 0 while there is no connection
	watches map[string]bool   // kind and path
	trees   map[string]bool   // paths with a watch of all below them, of this connection
	conn    *treeConn
	ops     []string // requests, such as "getW /a"
	auth    string
	stop    chan struct{}

	ancient bool // it knows no bulk reads

	delay time.Duration               // of each answer
	fail  func(op, path string) error // instead of doing it
	lose  func(op, path string) bool  // do it, and lose the connection before the answer
	then  func(op, path string)       // after it was done, before the answer
}

type tnode struct {
	data     []byte
	stat     zk.Stat
	sequence int32
	denied   bool
}

// newTree returns a registry with a client that is not connected yet. It must run in a bubble.
// Its server knows bulk reads in tests whose names say so, see eachWay.
func newTree(t *testing.T, o Options) *tree {
	t.Helper()
	if o.Session == 0 {
		o.Session = 9 * time.Second
	}
	if o.Host == "" {
		o.Host = "host1"
	}
	o.Servers = []string{"192.0.2.1:2181"}
	h, err := newHosts(o.Servers)
	if err != nil {
		t.Fatal(err)
	}
	tr := &tree{zxid: 100, nodes: map[string]*tnode{"/": {}, "/zookeeper": {}, configPath: {data: []byte("version=100000000")}},
		watches: map[string]bool{}, stop: make(chan struct{})}
	tr.c = newClient(o, h)
	tr.c.bulk = tr.bulk
	tr.c.oneByOne.Store(!strings.HasSuffix(t.Name(), "at_once"))
	tr.c.run(tr)
	t.Cleanup(func() {
		tr.c.Close()
		close(tr.stop)
	})
	return tr
}

// connect brings up a session, which is the one before or a new one, and keeps it alive.
func (tr *tree) connect(session int64) {
	tr.mu.Lock()
	tr.session, tr.conn, tr.trees = session, &treeConn{tr}, map[string]bool{}
	tr.mu.Unlock()
	tr.c.greeted(nil, session, tr.c.timeout())
	tr.c.event(zk.Event{Type: zk.EventSession, State: zk.StateHasSession})
	go func() {
		for tick := time.NewTicker(tr.c.timeout() / 3); ; {
			select {
			case <-tick.C:
				tr.mu.Lock()
				same := tr.session == session
				tr.mu.Unlock()
				if !same {
					return
				}
				tr.c.answered(0)
			case <-tr.stop:
				return
			}
		}
	}()
}

// disconnect ends the connection and not the session.
func (tr *tree) disconnect() {
	tr.mu.Lock()
	tr.session = 0
	tr.mu.Unlock()
	tr.c.event(zk.Event{Type: zk.EventSession, State: zk.StateDisconnected})
}

// expire ends a session: its ephemerals and its watches are gone.
func (tr *tree) expire(session int64) {
	tr.mu.Lock()
	tr.watches = map[string]bool{}
	for p, n := range tr.nodes {
		if n.stat.EphemeralOwner == session {
			tr.drop(p)
		}
	}
	tr.mu.Unlock()
	tr.c.greeted(nil, 0, 0)
	tr.c.event(zk.Event{Type: zk.EventSession, State: zk.StateExpired})
}

// forgetWatches is a server that lost them.
func (tr *tree) forgetWatches() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.watches, tr.trees = map[string]bool{}, map[string]bool{}
}

// lag makes reads see the state of now until the next sync.
func (tr *tree) lag() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.old = map[string]*tnode{}
	for p, n := range tr.nodes {
		c := *n
		tr.old[p] = &c
	}
}

// put makes a znode of another session (0: none), with its parents.
func (tr *tree) put(p, data string, owner int64) {
	tr.mu.Lock()
	var events []zk.Event
	for _, above := range ancestors(p) {
		if tr.nodes[above] == nil {
			events = append(events, tr.add(above, nil, 0)...)
		}
	}
	events = append(events, tr.add(p, []byte(data), owner)...)
	tr.mu.Unlock()
	tr.tell(events)
}

// hook changes one of the hooks while requests may come.
func hook[T any](tr *tree, at *T, to T) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	*at = to
}

func (tr *tree) set(p, data string) {
	tr.mu.Lock()
	events := tr.write(p, []byte(data))
	tr.mu.Unlock()
	tr.tell(events)
}

func (tr *tree) delete(p string) {
	tr.mu.Lock()
	events := tr.drop(p)
	tr.mu.Unlock()
	tr.tell(events)
}

// at returns a znode's data and owner; false when it is not there.
func (tr *tree) at(p string) (string, int64, bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if n := tr.nodes[p]; n != nil {
		return string(n.data), n.stat.EphemeralOwner, true
	}
	return "", 0, false
}

func (tr *tree) below(dir string) []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return childNames(tr.nodes, dir)
}

// count returns how many requests had this prefix, and forgets them all.
func (tr *tree) count(prefixes ...string) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	n := 0
	for _, op := range tr.ops {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(op, p) }) {
			n++
		}
	}
	tr.ops = nil
	return n
}

func ancestors(p string) []string {
	var out []string
	for p = parent(p); p != "/"; p = parent(p) {
		out = append([]string{p}, out...)
	}
	return out
}

func childNames(nodes map[string]*tnode, dir string) []string {
	var out []string
	for p := range nodes {
		if p != "/" && parent(p) == dir {
			out = append(out, path.Base(p))
		}
	}
	slices.Sort(out)
	return out
}

// add, write and drop change the tree; the caller holds mu and tells the events afterwards.
func (tr *tree) add(p string, data []byte, owner int64) []zk.Event {
	tr.zxid++
	tr.nodes[p] = &tnode{data: data, stat: zk.Stat{Czxid: tr.zxid, Mzxid: tr.zxid, Pzxid: tr.zxid, EphemeralOwner: owner}}
	up := tr.nodes[parent(p)]
	up.stat.Pzxid, up.stat.Cversion = tr.zxid, up.stat.Cversion+1
	return []zk.Event{{Type: zk.EventNodeCreated, Path: p}, {Type: zk.EventNodeChildrenChanged, Path: parent(p)}}
}

func (tr *tree) write(p string, data []byte) []zk.Event {
	tr.zxid++
	n := *tr.nodes[p]
	n.data, n.stat.Mzxid, n.stat.Version = data, tr.zxid, n.stat.Version+1
	tr.nodes[p] = &n
	return []zk.Event{{Type: zk.EventNodeDataChanged, Path: p}}
}

func (tr *tree) drop(p string) []zk.Event {
	tr.zxid++
	delete(tr.nodes, p)
	up := tr.nodes[parent(p)]
	up.stat.Pzxid, up.stat.Cversion = tr.zxid, up.stat.Cversion+1
	return []zk.Event{{Type: zk.EventNodeDeleted, Path: p}, {Type: zk.EventNodeChildrenChanged, Path: parent(p)}}
}

// tell delivers events that are watched, as the client's library would.
func (tr *tree) tell(events []zk.Event) {
	for _, e := range events {
		kinds := map[zk.EventType][]string{zk.EventNodeCreated: {"data"}, zk.EventNodeDataChanged: {"data"},
			zk.EventNodeChildrenChanged: {"kids"}, zk.EventNodeDeleted: {"data", "kids"}}[e.Type]
		told := false
		tr.mu.Lock()
		for _, kind := range kinds {
			told = told || tr.watches[kind+e.Path]
			delete(tr.watches, kind+e.Path)
		}
		told = told || e.Type != zk.EventNodeChildrenChanged && tr.isBelow(e.Path)
		told = told && tr.session != 0
		tr.mu.Unlock()
		if told {
			tr.c.event(e)
		}
	}
}

// isBelow tells whether a watch of all below a path is for this one; the caller holds mu.
func (tr *tree) isBelow(p string) bool {
	for ; ; p = parent(p) {
		if tr.trees[p] {
			return true
		}
		if p == "/" {
			return false
		}
	}
}

// shop is where the service of the tests is.
func shop(format string) map[string]config.Service {
	return map[string]config.Service{"shop": {Path: "/shop", Format: format}}
}

// heard collects what a source publishes.
type heard struct {
	mu  sync.Mutex
	all []watcher.Snapshot
}

func (h *heard) add(s watcher.Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, s)
}

// take returns what came since the last call.
func (h *heard) take() []watcher.Snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.all
	h.all = nil
	return all
}
