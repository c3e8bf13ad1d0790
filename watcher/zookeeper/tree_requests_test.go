package zookeeper

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

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
		return answer{names: childNames(tr.seen(), p), data: n.data, stat: n.stat, exists: true}, nil, nil
	})
}

// treeConn is a connection that can do bulk reads.
type treeConn struct{ tr *tree }

func (tr *tree) bulk() (bulk, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.session == 0 {
		return nil, zk.ErrConnectionClosed
	}
	return tr.conn, nil
}

func (tc *treeConn) read(_ context.Context, parts []part) ([]result, error) {
	tr := tc.tr
	op := "bulk"
	if slices.ContainsFunc(parts, func(p part) bool { return p.names }) {
		op = "bulkList"
	}
	return do(tr, op, parts[0].path(), func() ([]result, []zk.Event, error) {
		if tr.conn != tc {
			return nil, nil, zk.ErrConnectionClosed
		}
		out := make([]result, len(parts))
		for i, p := range parts {
			if tr.fail != nil && tr.fail("part", p.path()) == zk.ErrNothing {
				return nil, nil, zk.ErrNothing
			}
			switch n := tr.seen()[p.path()]; {
			case n == nil:
				out[i].err = zk.ErrNoNode
			case n.denied:
				out[i].err = zk.ErrNoAuth
			case p.names:
				out[i].answer = answer{exists: true, names: childNames(tr.seen(), p.path())}
			default:
				out[i].answer = answer{exists: true, data: n.data, stat: n.stat}
			}
		}
		return out, nil, nil
	})
}

func (tc *treeConn) watchBelow(_ context.Context, p string) error {
	_, err := do(tc.tr, "watch", p, func() (struct{}, []zk.Event, error) {
		switch {
		case tc.tr.conn != tc:
			return struct{}{}, nil, zk.ErrConnectionClosed
		case tc.tr.ancient:
			return struct{}{}, nil, errUnimplemented
		}
		tc.tr.trees[p] = true
		return struct{}{}, nil, nil
	})
	return err
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
	return a.exists, &a.stat, err
}

func (tr *tree) ExistsW(p string) (bool, *zk.Stat, <-chan zk.Event, error) {
	a, err := tr.look("existsW", p, "data")
	if err == zk.ErrNoNode {
		err = nil
	}
	return a.exists, &a.stat, nil, err
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
