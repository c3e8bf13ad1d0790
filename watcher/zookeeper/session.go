package zookeeper

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// configPath is where the ensemble tells its members (zookeeperReconfig.md, 3.5 and later).
const configPath = "/zookeeper/config"

// link is what is known of the connection and its session.
type link struct {
	wire    *wire
	server  string        // host:port of wire
	timeout time.Duration // of the session: as asked, then as granted
	session int64         // 0: none, or it expired
	up      bool          // requests pass
	epoch   int64         // counts the times that it came up
	came    time.Time     // when it came up
	told    string        // what listeners were told last: StateConnected or StateLost
	config  bool          // the list of members is to be read
	closed  bool
}

// listener is who works with a session. Its methods return at once.
type listener interface {
	// begin says that requests pass: in the same session as before, or in a fresh one, in
	// which there are no watches and nothing is announced.
	begin(session int64, fresh bool)
	// lost says that the session has to be taken for gone, and why.
	lost(reason string)
	// changed is the event of a watch.
	changed(path string, t zk.EventType)
	// rearm says that watches may be gone without anybody having told.
	rearm()
}

// event is called by the library, which waits for it: it notes and returns. Watch events
// come here before the answer to any request that shows the change (ZooKeeper's promise to
// one client), so whoever reads after an event was lost can tell that it was.
func (c *Client) event(e zk.Event) {
	switch e.Type {
	case zk.EventSession:
		c.sessionEvent(e.State)
	case zk.EventNodeCreated, zk.EventNodeDeleted, zk.EventNodeDataChanged, zk.EventNodeChildrenChanged:
		c.mu.Lock()
		c.fired(e.Path, e.Type)
		if e.Path == configPath {
			c.link.config = true
			c.poke()
		}
		told := slices.Concat(c.watched[e.Path], c.watched[parent(e.Path)])
		c.mu.Unlock()
		for _, l := range told {
			l.changed(e.Path, e.Type)
		}
	}
}

func (c *Client) sessionEvent(s zk.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case zk.StateHasSession:
		c.link.up, c.link.came = true, time.Now()
		c.link.epoch++
	case zk.StateDisconnected, zk.StateExpired:
		if c.link.up && time.Since(c.link.came) > time.Second {
			c.hosts.lasted()
		}
		c.link.up = false
	}
	if s == zk.StateExpired {
		clear(c.armed)
		c.log.Warn("the session expired; what was announced in it is gone and will be announced again")
	}
	c.poke()
}

// poke wakes greet; the caller holds mu or does not.
func (c *Client) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// greeted implements monitor.
func (c *Client) greeted(w *wire, session int64, timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link.session = session
	if session != 0 {
		c.link.timeout = timeout
		c.replied.Store(int64(time.Since(c.born)))
	}
}

// answered implements monitor.
func (c *Client) answered(zxid int64) {
	c.replied.Store(int64(time.Since(c.born)))
	for {
		old := c.zxid.Load()
		if zxid <= old || c.zxid.CompareAndSwap(old, zxid) {
			return
		}
	}
}

// closed implements monitor.
func (c *Client) closed(w *wire) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link.wire == w {
		c.link.wire = nil
	}
}

// silence returns for how long no answer has come. Events are no answers: they come from a
// server that may not hear us.
func (c *Client) silence() time.Duration { return time.Since(c.born) - time.Duration(c.replied.Load()) }

func (c *Client) timeout() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link.timeout
}

// isUp reports whether requests pass and everybody was told so.
func (c *Client) isUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link.up && c.link.told == StateConnected && !c.link.closed
}

// clock tells that a session is lost, which the library learns from a server alone, and so
// not before it reaches one (the Java client's clock: ZOOKEEPER-4508). 4/3 of a session is
// beyond the moment at which the servers give it up.
func (c *Client) clock() {
	for {
		silent, timeout := c.silence(), c.timeout()
		var next time.Duration
		switch {
		case silent < timeout*2/3:
			next = timeout*2/3 - silent
		case silent < timeout*4/3:
			c.drop("no answer for two thirds of the session")
			next = timeout*4/3 - silent
		default:
			c.drop("no answer for four thirds of the session")
			c.tellLost(silent)
			next = timeout / 3
		}
		if pause(c.ctx, next) != nil {
			return
		}
	}
}

func (c *Client) tellLost(silent time.Duration) {
	c.mu.Lock()
	if c.link.told == StateLost || c.silence() < silent {
		c.mu.Unlock()
		return // or an answer came in the meantime
	}
	c.link.told = StateLost
	told := c.listeners()
	c.mu.Unlock()
	reason := c.lostReason(silent)
	c.log.Error("lost the session", "reason", reason)
	for _, l := range told {
		l.lost(reason)
	}
}

func (c *Client) lostReason(silent time.Duration) string {
	return fmt.Sprintf("no answer from ZooKeeper (%s) for %s", strings.Join(c.o.Servers, ", "), silent.Round(100*time.Millisecond))
}

// drop closes a connection that has a session, so that the library looks for another server.
// The session goes on.
func (c *Client) drop(why string) {
	c.mu.Lock()
	wire, up, server := c.link.wire, c.link.up, c.link.server
	c.mu.Unlock()
	if wire == nil || !up {
		return // the library is looking already
	}
	c.log.Warn("leaving a server", "server", server, "reason", why)
	_ = wire.Conn.Close() // the library finds out and closes the rest
}

// listeners returns all of them; the caller holds mu.
func (c *Client) listeners() []listener {
	out := make([]listener, 0, len(c.all))
	for l := range c.all {
		out = append(out, l)
	}
	return out
}

// attach makes l hear of sessions. What has happened already is told at once.
func (c *Client) attach(l listener) {
	c.mu.Lock()
	c.all[l] = struct{}{}
	told, session := c.link.told, c.link.session
	c.mu.Unlock()
	switch told {
	case StateConnected:
		l.begin(session, true)
	case StateLost:
		l.lost(c.lostReason(c.silence()))
	}
}

// detach ends attach.
func (c *Client) detach(l listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, l)
}

// watch makes l hear of events of a path and of what is right below it.
func (c *Client) watch(l listener, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched[path] = append(c.watched[path], l)
}

// unwatch ends watch.
func (c *Client) unwatch(l listener, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched[path] = slices.DeleteFunc(c.watched[path], func(o listener) bool { return o == l })
	if len(c.watched[path]) == 0 {
		delete(c.watched, path)
	}
}

// rearm makes everybody read again with new watches.
func (c *Client) rearm() {
	c.mu.Lock()
	clear(c.armed)
	told := c.listeners()
	c.mu.Unlock()
	c.log.Warn("watches of the session may be gone; everything is read again")
	for _, l := range told {
		l.rearm()
	}
}

// greet tells listeners of every session that comes up, credentials first.
func (c *Client) greet() {
	g := greeter{Client: c, authed: c.o.Auth == ""}
	for {
		select {
		case <-c.wake:
			g.look()
		case <-c.ctx.Done():
			return
		}
	}
}

// greeter is what greet remembers of sessions.
type greeter struct {
	*Client
	epoch, session   int64
	authed, followed bool
}

func (g *greeter) look() {
	g.mu.Lock()
	now := g.link
	g.link.config = false
	g.mu.Unlock()
	if !now.up {
		return
	}
	if !g.authed {
		// Once it succeeded the library sends them first in every later connection.
		if err := g.conn.AddAuth("digest", []byte(g.o.Auth)); err != nil {
			g.log.Warn("the credentials were not taken; the next connection tries again", "error", err)
			return
		}
		g.authed = true
	}
	if now.config {
		g.followed = false
	}
	if now.epoch != g.epoch {
		if g.epoch == 0 {
			close(g.ready)
		}
		fresh := now.session != g.session
		g.tellBegin(now, fresh)
		g.epoch, g.session, g.followed = now.epoch, now.session, g.followed && !fresh
	}
	if !g.followed {
		g.followed = g.followMembers()
	}
}

func (c *Client) tellBegin(now link, fresh bool) {
	c.mu.Lock()
	c.link.told = StateConnected
	told := c.listeners()
	c.mu.Unlock()
	c.log.Info("connected to ZooKeeper", "server", now.server, "session", sessionID(now.session), "fresh", fresh, "timeout", now.timeout)
	for _, l := range told {
		l.begin(now.session, fresh)
	}
}

// followMembers reads the list of members and watches it; false when it has to be tried
// again. Where that is not allowed the configured servers are all that is known.
func (c *Client) followMembers() bool {
	a, err := c.value(c.conn, configPath)
	if err != nil {
		c.log.Debug("the list of members is not known", "path", configPath, "error", err)
		return !broken(err)
	}
	live := members(a.data)
	c.hosts.follow(live)
	c.log.Debug("members of the ensemble", "clients", live)
	return true
}

// Status returns the state of the connection.
func (c *Client) Status() ConnStatus {
	silent := c.silence()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := ConnStatus{State: StateConnecting, Server: c.link.server, Session: c.link.timeout,
		MissedEvents: c.missed.Load(), WatchErrors: c.watchErrors.Load(), Reconnects: max(0, c.link.epoch-1)}
	if c.link.session != 0 {
		s.SessionID = sessionID(c.link.session)
	}
	if c.link.epoch > 0 {
		s.LastReply = c.born.Add(time.Duration(c.replied.Load()))
	}
	switch {
	case c.link.closed:
		s.State = StateClosed
	case c.link.told == StateLost:
		s.State = StateLost
	case silent >= c.link.timeout*2/3:
		s.State = StateSuspect
	case c.link.up && c.link.told == StateConnected:
		s.State = StateConnected
	}
	return s
}

func sessionID(id int64) string { return fmt.Sprintf("0x%x", uint64(id)) }

// parent returns the path of the znode above, "/" for those at the top.
func parent(path string) string {
	if n := strings.LastIndexByte(path, '/'); n > 0 {
		return path[:n]
	}
	return "/"
}
