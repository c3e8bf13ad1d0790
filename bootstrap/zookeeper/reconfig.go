package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap"
)

// configNode holds the live configuration.
const configNode = "/zookeeper/config"

// What the library has no names for: it gives both as an unknown error with the number.
// https://github.com/apache/zookeeper/blob/release-3.8.0/zookeeper-server/src/main/java/org/apache/zookeeper/KeeperException.java
var (
	// ErrNewConfigNoQuorum: no quorum of the new configuration is connected and in sync.
	ErrNewConfigNoQuorum = errors.New("no quorum of the new configuration is connected and in sync with the leader")
	// ErrReconfigInProgress: another reconfig is not over.
	ErrReconfigInProgress = errors.New("another reconfig is in progress")
)

// typed gives those errors their names.
func typed(err error) error {
	if err == nil {
		return nil
	}
	switch err.Error() {
	case "unknown error: -13":
		return ErrNewConfigNoQuorum
	case "unknown error: -14":
		return ErrReconfigInProgress
	}
	return err
}

// join waits until a guest is in sync and makes it a member. reconfig itself would take in a
// server that does not even run (seen on 3.8.0), and the quorum would count it.
func join(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, host string) error {
	m, ok := memberOn(s, host)
	if !ok {
		return fmt.Errorf("%s: %s is no member of the spec", stepJoin, host)
	}
	if err := inSync(ctx, s, h, stepJoin, m); err != nil {
		return err
	}
	return reconfig(ctx, s, h, stepJoin, host, func(d *Dynamic) { d.put1(m.server()) })
}

// swap takes one member in for another in one reconfig.
func swap(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, hosts []string) error {
	if len(hosts) != 2 {
		return fmt.Errorf("%s: want two hosts, found %d", stepSwap, len(hosts))
	}
	m, ok := memberOn(s, hosts[0])
	if !ok {
		return fmt.Errorf("%s: %s is no member of the spec", stepSwap, hosts[0])
	}
	if err := inSync(ctx, s, h, stepSwap, m); err != nil {
		return err
	}
	return reconfig(ctx, s, h, stepSwap, hosts[0], func(d *Dynamic) {
		d.put1(m.server())
		d.drop(s, hosts[1])
	})
}

// leave takes a host's server out of the configuration.
func leave(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, host string) error {
	return reconfig(ctx, s, h, stepLeave, host, func(d *Dynamic) { d.drop(s, host) })
}

// demote makes a voter an observer.
func demote(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, host string) error {
	m, ok := memberOn(s, host)
	if !ok {
		return fmt.Errorf("%s: %s is no member of the spec", stepDemote, host)
	}
	return reconfig(ctx, s, h, stepDemote, host, func(d *Dynamic) { d.put1(m.server()) })
}

// put1 puts one server in the place of the one with its id.
func (d *Dynamic) put1(s Server) {
	d.Servers = append(slices.DeleteFunc(slices.Clone(d.Servers), func(o Server) bool { return o.ID == s.ID }), s)
	d.sort()
}

// drop takes out the servers of a host.
func (d *Dynamic) drop(s *bootstrap.Spec, host string) {
	d.Servers = slices.DeleteFunc(slices.Clone(d.Servers), func(o Server) bool { return o.on(s.Hosts[host].Address) || o.on(host) })
}

// inSync waits until the leader counts the guest among those in sync, or has it as a member
// already.
func inSync(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, name string, m member) error {
	return await(ctx, s, h, name, patience(s), func(vs []view) error {
		found := leaders(vs)
		i := slices.IndexFunc(vs, func(v view) bool { return v.host == m.host })
		if len(found) != 1 || i < 0 {
			return fmt.Errorf("expected one leader, found %d", len(found))
		}
		v := vs[i]
		if !v.follows() {
			return gateError(name, v, "look at `journalctl -u "+v.unit+"` on the host; when old data keeps it from starting, `zkboot replace "+v.host+"` takes that away",
				"expected %s to follow the leader %s, found %s", v.host, found[0].host, v.condition())
		}
		if d, ok := live(vs); ok && slices.ContainsFunc(d.Servers, func(s Server) bool { return s.ID == m.id }) {
			return nil
		}
		if n, ok := found[0].mntr("zk_synced_non_voting_followers"); !ok || n < 1 {
			return gateError(name, found[0], "wait until it has caught up; look at the leader's journal",
				"expected the leader to count a guest in sync, found zk_synced_non_voting_followers %s", firstOf(found[0].z.Mntr["zk_synced_non_voting_followers"], "missing"))
		}
		return nil
	})
}

// reconfigFor bounds one change of the configuration, elections included.
const reconfigFor = time.Minute

// reconfig changes the live configuration to what edit makes of it. The change is asked for on
// condition that the configuration is still the one that was read, so that of two who change
// it one is refused. When the answer is lost nobody knows whether it took effect: then the
// configuration is read again and says so.
func reconfig(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, name, host string, edit func(*Dynamic)) error {
	bounded, cancel := context.WithTimeout(ctx, reconfigFor)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var last error
	for {
		done, err := tryReconfig(bounded, s, h, edit)
		switch {
		case done:
			return nil
		case err != nil && !passing(err):
			return reconfigError(name, host, err)
		case err != nil && bounded.Err() == nil:
			last = err
		}
		select {
		case <-ticker.C:
		case <-bounded.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("%s: %w", name, ctx.Err())
			}
			return reconfigError(name, host, fmt.Errorf("not within %s: %w", reconfigFor, last))
		}
	}
}

// tryReconfig reads the configuration and asks for the change unless it is there already.
func tryReconfig(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, edit func(*Dynamic)) (done bool, err error) {
	found := leaders(survey(ctx, s, h))
	if len(found) != 1 {
		return false, errNoLeader
	}
	lead := found[0].member
	secret, err := h[lead.host].Reveal(ctx, lead.super)
	if err != nil {
		return false, fmt.Errorf("%s: the secret that allows a reconfig: %w", lead.host, err)
	}
	c, err := connect(ctx, lead, h[lead.host])
	if err != nil {
		return false, err
	}
	defer c.close()
	if err := c.conn.AddAuth("digest", []byte("super:"+strings.TrimSpace(secret))); err != nil {
		return false, err
	}
	have, version, err := c.config()
	if err != nil {
		return false, err
	}
	want := have
	edit(&want)
	enter, exit := delta(have, want)
	if len(enter)+len(exit) == 0 {
		return true, nil
	}
	_, err = c.conn.IncrementalReconfig(enter, exit, version)
	return false, typed(err) // done is what the configuration says when it is read again
}

// config reads the live configuration and its version, which is in its text: the version of
// the znode counts something else.
func (s *session) config() (Dynamic, int64, error) {
	if _, err := s.conn.Sync(configNode); err != nil {
		return Dynamic{}, 0, err
	}
	text, _, err := s.conn.Get(configNode)
	if err != nil {
		return Dynamic{}, 0, err
	}
	d, err := ParseDynamic(string(text))
	if err != nil {
		return d, 0, fmt.Errorf("%s: %w", configNode, err)
	}
	version, err := strconv.ParseInt(d.Version, 16, 64)
	if err != nil {
		return d, 0, fmt.Errorf("%s: version %q: %w", configNode, d.Version, err)
	}
	return d, version, nil
}

// delta is what a reconfig is told: the lines of servers that are new or different, and the
// ids of those that go.
func delta(have, want Dynamic) (enter, exit []string) {
	for _, w := range want.Servers {
		if !slices.ContainsFunc(have.Servers, func(s Server) bool { return s.ID == w.ID && s.equal(w) }) {
			enter = append(enter, w.String())
		}
	}
	for _, s := range have.Servers {
		if !slices.ContainsFunc(want.Servers, func(w Server) bool { return s.ID == w.ID }) {
			exit = append(exit, strconv.Itoa(s.ID))
		}
	}
	return enter, exit
}

var errNoLeader = errors.New("no one leader serves")

// passing reports whether an error may be gone at the next try: a lost connection, an
// election, another reconfig, a configuration that changed meanwhile.
func passing(err error) bool {
	for _, e := range []error{errNoLeader, ErrNewConfigNoQuorum, ErrReconfigInProgress, zk.ErrBadVersion, zk.ErrConnectionClosed,
		zk.ErrNoServer, zk.ErrSessionExpired, zk.ErrSessionMoved, zk.ErrClosing} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func reconfigError(name, host string, err error) error {
	f := bootstrap.Finding{Severity: bootstrap.SeverityError, Host: host, Step: name, Err: err, Text: fmt.Sprintf("reconfig: %v", err),
		Hint: "apply again: it goes on from what the live configuration says"}
	switch {
	case errors.Is(err, zk.ErrNoAuth):
		f.Hint = "the leader does not accept its own super secret: apply, so that zoo.cfg has its digest, then again"
	case errors.Is(err, zk.ErrReconfigDisabled):
		f.Hint = "reconfigEnabled must be true on the leader: apply first, so that every member restarts with it"
	}
	return f
}
