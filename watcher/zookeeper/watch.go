package zookeeper

import (
	"github.com/go-zookeeper/zk"
)

// watchKey is a watch of this session, as the server has it: one for the children of a path,
// one for its data, its making and its end.
type watchKey struct {
	children bool
	path     string
}

// arm tells whether a request has to ask for a watch, because none is there. The library adds
// one for every request that asks, and drops them only when they fire: a service that is
// read again and again without a change would pile them up.
func (c *Client) arm(k watchKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed[k] {
		return false
	}
	c.armed[k] = false // asked for; an event that comes before the answer takes it away
	return true
}

// answeredWatch notes what came of a request that asked for a watch.
func (c *Client) answeredWatch(k watchKey, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.armed[k]; !ok {
		return
	}
	if c.armed[k] = err == nil; err != nil {
		delete(c.armed, k)
	}
}

// fired notes that an event took watches away; the caller holds mu.
func (c *Client) fired(path string, t zk.EventType) {
	if t != zk.EventNodeChildrenChanged {
		delete(c.armed, watchKey{false, path})
	}
	if t == zk.EventNodeChildrenChanged || t == zk.EventNodeDeleted {
		delete(c.armed, watchKey{true, path})
	}
}

// disarm makes the next requests ask for watches again, whatever is there.
func (c *Client) disarm(path string, all children) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.armed, watchKey{true, path})
	delete(c.armed, watchKey{false, path})
	for i := range all {
		delete(c.armed, watchKey{false, path + "/" + all[i].name})
	}
}

// answer is what a request for a path returned.
type answer struct {
	exists bool
	names  []string
	data   []byte
	stat   zk.Stat
}

// listed reads the children of a path, and watches them.
func (c *Client) listed(r registry, path string) (answer, error) {
	k := watchKey{true, path}
	if !c.arm(k) {
		names, stat, err := r.Children(path)
		return answered(answer{names: names}, stat, err)
	}
	names, stat, _, err := r.ChildrenW(path)
	c.answeredWatch(k, err)
	return answered(answer{names: names}, stat, err)
}

// value reads the data of a path, and watches it.
func (c *Client) value(r registry, path string) (answer, error) {
	k := watchKey{false, path}
	if !c.arm(k) {
		data, stat, err := r.Get(path)
		return answered(answer{data: data}, stat, err)
	}
	data, stat, _, err := r.GetW(path)
	c.answeredWatch(k, err)
	return answered(answer{data: data}, stat, err)
}

// found tells whether a path exists, and watches it.
func (c *Client) found(r registry, path string) (answer, error) {
	k := watchKey{false, path}
	if !c.arm(k) {
		return look(r, path)
	}
	ok, stat, _, err := r.ExistsW(path)
	c.answeredWatch(k, err)
	a, err := answered(answer{}, stat, err)
	a.exists = ok
	return a, err
}

// look tells whether a path exists.
func look(r registry, path string) (answer, error) {
	ok, stat, err := r.Exists(path)
	a, err := answered(answer{}, stat, err)
	a.exists = ok
	return a, err
}

func answered(a answer, stat *zk.Stat, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	a.exists, a.stat = true, *stat
	return a, nil
}
