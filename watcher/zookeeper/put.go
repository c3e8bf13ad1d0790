package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// tries bounds how often one attempt starts again because the registry changed under it.
const tries = 5

// errMoving is what an attempt ends with when every try found something else.
var errMoving = errors.New("the znode changes faster than it can be put")

// converge makes the registry have want, and nothing of ours anywhere else.
func (k *keeper) converge(ctx context.Context, want *node) (placed, error) {
	var at placed
	if want != nil {
		k.remember(want.place)
		var err error
		if at, err = k.put(ctx, *want); err != nil {
			return placed{}, fmt.Errorf("put %s: %w", want.place, err)
		}
	}
	for _, p := range slices.Clone(k.places) {
		if want != nil && p == want.place {
			continue
		}
		if err := k.clear(ctx, p); err != nil {
			return placed{}, fmt.Errorf("remove %s: %w", p, err)
		}
		k.places = slices.DeleteFunc(k.places, func(o place) bool { return o == p })
	}
	return at, nil
}

func (k *keeper) remember(p place) {
	if !slices.Contains(k.places, p) {
		k.places = append(k.places, p)
	}
}

// session returns the one that requests are made in now. What is made in it is ours from
// before it is made: the answer may get lost.
func (k *keeper) session() int64 {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if s := k.c.link.session; s != 0 && !slices.Contains(k.sessions, s) {
		k.sessions = append(k.sessions, s)
	}
	return k.c.link.session
}

// owned is a znode with its owner.
type owned struct {
	path string
	stat zk.Stat
}

// put looks, acts and looks again, until what it finds is what is wanted. So an answer that
// was lost costs another look, and never a second znode.
func (k *keeper) put(ctx context.Context, n node) (placed, error) {
	for range tries {
		session := k.session()
		mine, others, err := k.find(ctx, n.place, session)
		if err != nil {
			return placed{}, err
		}
		if mine == nil {
			if err := k.make(ctx, n, session, others); err != nil {
				return placed{}, err
			}
			continue
		}
		if len(others) > 0 { // of sessions of ours that ended, or twice in this one
			if err := k.delete(ctx, others); err != nil {
				return placed{}, err
			}
		}
		at, ok, err := k.write(ctx, n, *mine, session)
		if ok || err != nil {
			return at, err
		}
	}
	return placed{}, errMoving
}

// find returns the znode that is ours in this session, and others at the same place, which are of a
// session that ended or that nobody will miss: the address is this host's, and its service
// was found healthy a moment ago.
func (k *keeper) find(ctx context.Context, p place, session int64) (mine *owned, others []owned, err error) {
	paths := []string{p.path()}
	if p.sequence {
		if paths, err = k.numbered(ctx, p); err != nil {
			return nil, nil, err
		}
	}
	for _, path := range paths {
		stat, ok, err := k.exists(ctx, path)
		switch {
		case err != nil:
			return nil, nil, err
		case !ok:
		case stat.EphemeralOwner == 0:
			return nil, nil, fmt.Errorf("%s is there and is not ephemeral: somebody made it by hand, remove it", path)
		case stat.EphemeralOwner == session && mine == nil:
			mine = &owned{path, stat}
		default:
			others = append(others, owned{path, stat})
		}
	}
	return mine, others, nil
}

// numbered returns the paths that a sequence has in a directory, the newest first. A prefix
// _c_<32 digits>- is that of a client that marks what it makes.
func (k *keeper) numbered(ctx context.Context, p place) ([]string, error) {
	names, err := call(ctx, k.c, func(r registry) ([]string, error) {
		names, _, err := r.Children(p.dir)
		return names, err
	})
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		return nil, err
	}
	var out []string
	for _, name := range names {
		bare := name
		if rest, ok := strings.CutPrefix(name, "_c_"); ok && len(rest) > 33 && rest[32] == '-' {
			bare = rest[33:]
		}
		digits, ok := strings.CutPrefix(bare, p.name+"_")
		if ok && len(digits) == 10 && strings.Trim(digits, "0123456789") == "" {
			out = append(out, p.dir+"/"+name)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(b[len(b)-10:], a[len(a)-10:]) })
	return out, nil
}

// exists looks at a path. The one that is followed is watched too.
func (k *keeper) exists(ctx context.Context, path string) (zk.Stat, bool, error) {
	ask := look
	if path == k.watching { // not asked in the call: one that is given up goes on beside what comes next
		ask = k.c.found
	}
	a, err := call(ctx, k.c, func(r registry) (answer, error) { return ask(r, path) })
	return a.stat, a.exists, err
}

// make creates the znode in place of the others, in one step: readers see no gap.
func (k *keeper) make(ctx context.Context, n node, session int64, others []owned) error {
	if err := k.taken(n.place, session, others); err != nil {
		return err
	}
	path, flags := n.path(), int32(zk.FlagEphemeral)
	if n.sequence {
		path, flags = path+"_", flags|zk.FlagSequence
	}
	var ops []any
	for _, o := range others {
		k.c.log.Info("taking over a registration of this address", "path", o.path, "session", sessionID(o.stat.EphemeralOwner), "since zxid", o.stat.Czxid)
		ops = append(ops, &zk.DeleteRequest{Path: o.path, Version: o.stat.Version})
	}
	ops = append(ops, &zk.CreateRequest{Path: path, Data: n.data, Acl: k.c.acl(), Flags: flags})
	err := k.multi(ctx, ops)
	if errors.Is(err, zk.ErrNoNode) && len(others) == 0 {
		return k.parents(ctx, n.dir)
	}
	if err == nil {
		k.putAt = time.Now()
	}
	return err
}

// taken refuses to fight: it is the error of a znode that was put in this session a moment
// ago and was taken away by somebody else, and that waits until it is put again.
func (k *keeper) taken(p place, session int64, others []owned) error {
	k.mu.Lock()
	was := k.at
	k.mu.Unlock()
	if was.place != p || was.session != session {
		return nil
	}
	by := "somebody deleted it"
	if len(others) > 0 {
		by = "session " + sessionID(others[0].stat.EphemeralOwner) + " announces the same address"
	}
	wait, since := min(time.Second<<min(k.fights, 6), fightMost), time.Since(k.putAt)
	switch {
	case since < wait:
		return fmt.Errorf("%s; put again in %s", by, (wait - since).Round(time.Millisecond))
	case since < wait+fightTime:
		k.fights++
	default:
		k.fights = 0
	}
	k.c.log.Warn("a registration was taken away and is put again", "path", was.znode, "by", by)
	return nil
}

// multi carries out all of the operations or none. What the registry had changed meanwhile
// is no error: the caller looks again.
func (k *keeper) multi(ctx context.Context, ops []any) error {
	answers, err := call(ctx, k.c, func(r registry) ([]zk.MultiResponse, error) { return r.Multi(ops...) })
	for _, a := range answers {
		if err == nil {
			err = a.Error
		}
	}
	switch {
	case errors.Is(err, zk.ErrNodeExists), errors.Is(err, zk.ErrBadVersion), len(ops) > 1 && errors.Is(err, zk.ErrNoNode):
		return nil
	}
	return err
}

// parents makes the znodes above, which stay.
func (k *keeper) parents(ctx context.Context, dir string) error {
	ok, err := call(ctx, k.c, func(r registry) (bool, error) {
		ok, _, err := r.Exists(dir)
		return ok, err
	})
	if err != nil || ok || dir == "/" {
		return err
	}
	if err := k.parents(ctx, parent(dir)); err != nil {
		return err
	}
	_, err = call(ctx, k.c, func(r registry) (string, error) { return r.Create(dir, nil, 0, k.c.acl()) })
	if errors.Is(err, zk.ErrNodeExists) {
		return nil
	}
	return err
}

// write makes the znode that is ours have the data, and watches it. Not ok is that it changed
// meanwhile.
func (k *keeper) write(ctx context.Context, n node, mine owned, session int64) (placed, bool, error) {
	if mine.path != k.watching {
		k.follow(mine.path)
		return placed{}, false, nil // look again, with a watch
	}
	data, err := call(ctx, k.c, func(r registry) ([]byte, error) {
		data, _, err := r.Get(mine.path)
		return data, err
	})
	if err == nil && !slices.Equal(data, n.data) {
		_, err = call(ctx, k.c, func(r registry) (*zk.Stat, error) { return r.Set(mine.path, n.data, mine.stat.Version) })
		if err == nil {
			return placed{}, false, nil // look again, for the zxid
		}
	}
	if errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrBadVersion) {
		return placed{}, false, nil
	}
	return placed{place: n.place, znode: mine.path, session: session, mzxid: mine.stat.Mzxid, data: n.data}, err == nil, err
}

// clear removes what is ours at a place: of this session, or of an earlier one of this process.
func (k *keeper) clear(ctx context.Context, p place) error {
	session := k.session()
	paths := []string{p.path()}
	if p.sequence {
		var err error
		if paths, err = k.numbered(ctx, p); err != nil {
			return err
		}
	}
	for _, path := range paths {
		stat, ok, err := k.exists(ctx, path)
		if err != nil {
			return err
		}
		if !ok || stat.EphemeralOwner != session && !slices.Contains(k.sessions, stat.EphemeralOwner) {
			continue
		}
		if err := k.delete(ctx, []owned{{path, stat}}); err != nil {
			return err
		}
	}
	if !p.sequence && k.watching == p.path() || p.sequence && parent(k.watching) == p.dir {
		k.follow("")
	}
	return nil
}

func (k *keeper) delete(ctx context.Context, all []owned) error {
	for _, o := range all {
		_, err := call(ctx, k.c, func(r registry) (struct{}, error) { return struct{}{}, r.Delete(o.path, o.stat.Version) })
		if err != nil && !errors.Is(err, zk.ErrNoNode) {
			return err
		}
	}
	return nil
}

// acl lets everybody read. Without credentials everybody may write too, which is what ZooKeeper
// itself does; with credentials whoever has the same.
func (c *Client) acl() []zk.ACL {
	if c.o.Auth == "" {
		return zk.WorldACL(zk.PermAll)
	}
	return append(zk.AuthACL(zk.PermAll), zk.WorldACL(zk.PermRead)...)
}
