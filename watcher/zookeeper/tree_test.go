package zookeeper

import (
	"fmt"
	"maps"
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
	ops     []string          // requests, such as "getW /a"
	auth    string
	stop    chan struct{}

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
	tr.session = session
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
	tr.watches = map[string]bool{}
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
	return children(tr.nodes, dir)
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

func children(nodes map[string]*tnode, dir string) []string {
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
		told = told && tr.session != 0
		tr.mu.Unlock()
		if told {
			tr.c.event(e)
		}
	}
}

// do is one request: the hooks, the deed, the events and the answer.
func do[T any](tr *tree, op, p string, deed func() (T, []zk.Event, error)) (T, error) {
	var none T
	tr.mu.Lock()
	tr.ops = append(tr.ops, op+" "+p)
	session, fail, lose, then, delay := tr.session, tr.fail, tr.lose, tr.then, tr.delay
	tr.mu.Unlock()
	if session == 0 {
		return none, zk.ErrConnectionClosed
	}
	if fail != nil {
		if err := fail(op, p); err != nil {
			return none, err
		}
	}
	time.Sleep(delay / 2)
	tr.mu.Lock()
	v, events, err := deed()
	zxid := tr.zxid
	tr.mu.Unlock()
	tr.tell(events)
	if then != nil {
		then(op, p)
	}
	if lose != nil && lose(op, p) {
		return none, zk.ErrConnectionClosed
	}
	time.Sleep(delay / 2)
	tr.c.answered(zxid)
	return v, err
}

func (tr *tree) seen() map[string]*tnode {
	if tr.old != nil {
		return tr.old
	}
	return tr.nodes
}

type answer struct {
	names []string
	data  []byte
	stat  zk.Stat
	ok    bool
}

func (tr *tree) look(op, p, watch string) (answer, error) {
	return do(tr, op, p, func() (answer, []zk.Event, error) {
		n := tr.seen()[p]
		if n == nil {
			if op == "existsW" {
				tr.watches["data"+p] = true
			}
			return answer{}, nil, zk.ErrNoNode
		}
		if n.denied && !strings.HasPrefix(op, "exists") {
			return answer{}, nil, zk.ErrNoAuth
		}
		if watch != "" {
			tr.watches[watch+p] = true
		}
		return answer{names: children(tr.seen(), p), data: n.data, stat: n.stat, ok: true}, nil, nil
	})
}

func (tr *tree) Children(p string) ([]string, *zk.Stat, error) {
	a, err := tr.look("children", p, "")
	return a.names, &a.stat, err
}

func (tr *tree) ChildrenW(p string) ([]string, *zk.Stat, <-chan zk.Event, error) {
	a, err := tr.look("childrenW", p, "kids")
	return a.names, &a.stat, nil, err
}

func (tr *tree) Get(p string) ([]byte, *zk.Stat, error) {
	a, err := tr.look("get", p, "")
	return a.data, &a.stat, err
}

func (tr *tree) GetW(p string) ([]byte, *zk.Stat, <-chan zk.Event, error) {
	a, err := tr.look("getW", p, "data")
	return a.data, &a.stat, nil, err
}

func (tr *tree) Exists(p string) (bool, *zk.Stat, error) {
	a, err := tr.look("exists", p, "")
	if err == zk.ErrNoNode {
		err = nil
	}
	return a.ok, &a.stat, err
}

func (tr *tree) ExistsW(p string) (bool, *zk.Stat, <-chan zk.Event, error) {
	a, err := tr.look("existsW", p, "data")
	if err == zk.ErrNoNode {
		err = nil
	}
	return a.ok, &a.stat, nil, err
}

func (tr *tree) Create(p string, data []byte, flags int32, acl []zk.ACL) (string, error) {
	return do(tr, "create", p, func() (string, []zk.Event, error) {
		return tr.make(&zk.CreateRequest{Path: p, Data: data, Flags: flags, Acl: acl})
	})
}

// make carries out a create; the caller holds mu.
func (tr *tree) make(r *zk.CreateRequest) (string, []zk.Event, error) {
	p, up := r.Path, tr.nodes[parent(r.Path)]
	if up == nil {
		return "", nil, zk.ErrNoNode
	}
	if r.Flags&zk.FlagSequence != 0 {
		p += fmt.Sprintf("%010d", up.sequence)
		up.sequence++
	}
	if tr.nodes[p] != nil {
		return "", nil, zk.ErrNodeExists
	}
	owner := int64(0)
	if r.Flags&zk.FlagEphemeral != 0 {
		owner = tr.session
	}
	return p, tr.add(p, r.Data, owner), nil
}

func (tr *tree) Set(p string, data []byte, version int32) (*zk.Stat, error) {
	return do(tr, "set", p, func() (*zk.Stat, []zk.Event, error) {
		n := tr.nodes[p]
		if n == nil {
			return nil, nil, zk.ErrNoNode
		}
		if version != -1 && version != n.stat.Version {
			return nil, nil, zk.ErrBadVersion
		}
		events := tr.write(p, data)
		return &tr.nodes[p].stat, events, nil
	})
}

func (tr *tree) Delete(p string, version int32) error {
	_, err := do(tr, "delete", p, func() (string, []zk.Event, error) { return tr.remove(&zk.DeleteRequest{Path: p, Version: version}) })
	return err
}

func (tr *tree) remove(r *zk.DeleteRequest) (string, []zk.Event, error) {
	n := tr.nodes[r.Path]
	if n == nil {
		return "", nil, zk.ErrNoNode
	}
	if r.Version != -1 && r.Version != n.stat.Version {
		return "", nil, zk.ErrBadVersion
	}
	return "", tr.drop(r.Path), nil
}

func (tr *tree) Multi(ops ...any) ([]zk.MultiResponse, error) {
	var last string
	return do(tr, "multi", fmt.Sprint(len(ops)), func() ([]zk.MultiResponse, []zk.Event, error) {
		before := maps.Clone(tr.nodes)
		var all []zk.Event
		for _, op := range ops {
			var events []zk.Event
			var err error
			switch op := op.(type) {
			case *zk.DeleteRequest:
				_, events, err = tr.remove(op)
			case *zk.CreateRequest:
				last, events, err = tr.make(op)
			}
			if err != nil {
				tr.nodes = before
				return []zk.MultiResponse{{Error: err}}, nil, nil
			}
			all = append(all, events...)
		}
		return []zk.MultiResponse{{String: last}}, all, nil
	})
}

func (tr *tree) Sync(p string) (string, error) {
	return do(tr, "sync", p, func() (string, []zk.Event, error) {
		tr.old = nil
		return p, nil, nil
	})
}

func (tr *tree) AddAuth(scheme string, auth []byte) error {
	_, err := do(tr, "auth", scheme, func() (string, []zk.Event, error) {
		tr.auth = scheme + " " + string(auth)
		return "", nil, nil
	})
	return err
}

func (tr *tree) Close() {}

var _ registry = (*tree)(nil)

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
