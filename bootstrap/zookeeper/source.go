package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// BackupSource is a member that a backup may be taken of, as it was seen.
type BackupSource struct {
	Host      string
	Snapshots string // directory of the snapshots
	Logs      string // directory of the transaction logs; may be the same
	Server    bootstrap.ZooKeeper
	Serving   bool
	Mode      string // leader, follower or down
	Version   string // of the server, "" where it does not serve
	Zxid      uint64
	// Znodes and Ephemerals are what the server counts.
	Znodes     int
	Ephemerals int
	// Uptime is how long the server has been running, in milliseconds, 0 where it does not
	// say so. https://zookeeper.apache.org/doc/r3.9.3/zookeeperMonitor.html
	Uptime float64
}

// Restarted reports whether a server that was seen before is another process now, or serves
// another leader. Its logs may have been cut back in between: what it had written and the
// others never agreed on goes when it joins again.
func (b BackupSource) Restarted(before BackupSource) bool {
	if b.Serving != before.Serving || !b.Serving {
		return b.Serving != before.Serving
	}
	return b.Uptime < before.Uptime || epoch(b.Zxid) != epoch(before.Zxid)
}

// BackupSources lists the members that a backup may be taken of, the best first: of those
// that vote, are in sync and count no error that makes their data doubtful, followers before
// the leader and then the highest zxid. With only, that member alone is judged.
//
// Offline takes what lies on the disk of one named member although the ensemble has no
// quorum. What the others agreed on without it is not in such a backup.
func BackupSources(s *bootstrap.Spec, now bootstrap.Site, only string, offline bool) ([]BackupSource, error) {
	if s.Ensemble == nil {
		return nil, errors.New("this spec has no ensemble")
	}
	vs := roster(known(s, now)) // the live configuration says who makes a quorum
	if only != "" && !slices.Contains(s.MemberNames(), only) {
		return nil, fmt.Errorf("%s is no member; members are: %s", only, strings.Join(s.MemberNames(), ", "))
	}
	if offline {
		return offlineSource(views(s, now), only)
	}
	if !quorate(vs) {
		return nil, noQuorum(vs)
	}
	var fit []view
	var why []error
	for _, v := range vs {
		if only != "" && v.host != only || !v.planned {
			continue
		}
		if err := unfitForBackup(vs, v); err != nil {
			why = append(why, err)
			continue
		}
		fit = append(fit, v)
	}
	if len(fit) == 0 && len(why) == 0 {
		return nil, fmt.Errorf("%s is no member of the live configuration yet; apply first", cmp.Or(only, "no member of the spec"))
	}
	if len(fit) == 0 {
		return nil, errors.Join(why...)
	}
	return bestFirst(fit), nil
}

// bestFirst orders members: followers before the leader, who has enough to do, and those
// that are further before the others.
func bestFirst(fit []view) []BackupSource {
	slices.SortStableFunc(fit, func(a, b view) int {
		lead := func(v view) int {
			if v.mode == modeLeader {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(lead(a), lead(b)), cmp.Compare(b.zxid, a.zxid), strings.Compare(a.host, b.host))
	})
	var out []BackupSource
	for _, v := range fit {
		out = append(out, v.source())
	}
	return out
}

// unfitForBackup says why a member's files are not to be trusted with a backup, or nil.
func unfitForBackup(vs []view, v view) error {
	const step = "backup"
	switch lead := leaders(vs)[0]; {
	case !v.voter:
		return gateError(step, v, "name a voter", "an observer may be far behind")
	case !v.votes():
		return gateError(step, v, "take the backup of another member", "expected a member that votes and is in sync, found %s", v.condition())
	case epoch(v.zxid) != epoch(lead.zxid) && counter(lead.zxid) != 0:
		return gateError(step, v, "take the backup of another member", "expected epoch 0x%x of the leader %s, found zxid 0x%x", epoch(lead.zxid), lead.host, v.zxid)
	}
	if why := doubt(vs, v); why != "" {
		return gateError(step, v, "take the backup of another member; `zkboot replace "+v.host+"` puts this one right", "its data is in doubt: it counts %s", why)
	}
	if v.z.Data != bootstrap.DataPresent {
		return gateError(step, v, "write something first", "there is nothing to back up: its directories are %s", cmp.Or(string(v.z.Data), "not readable"))
	}
	return nil
}

// noQuorum is the refusal to take a backup of an ensemble in which nobody can tell which
// member is right.
func noQuorum(vs []view) error {
	var found []string
	for _, v := range vs {
		found = append(found, v.host+": "+v.condition())
	}
	return bootstrap.Finding{Severity: bootstrap.SeverityError, Step: "backup", Err: bootstrap.ErrRefused,
		Text: "expected an ensemble with a quorum, found none (" + strings.Join(found, "; ") + ")",
		Hint: "bring the quorum back, or take what is left on one member with --offline --member HOST, which may lack acknowledged writes"}
}

// offlineSource takes the named member as it lies there.
func offlineSource(vs []view, only string) ([]BackupSource, error) {
	i := slices.IndexFunc(vs, func(v view) bool { return v.host == only })
	if i < 0 {
		return nil, errors.New("--offline needs --member: without a quorum nobody but you can say whose data counts")
	}
	v := vs[i]
	switch {
	case v.err != nil:
		return nil, fmt.Errorf("%s: %w", v.host, v.err)
	case v.z.Data != bootstrap.DataPresent:
		return nil, gateError("backup", v, "name another member", "there is nothing to back up: its directories are %s", cmp.Or(string(v.z.Data), "not readable"))
	}
	return []BackupSource{v.source()}, nil
}

func (v view) source() BackupSource {
	ephemerals, _ := v.mntr("zk_ephemerals_count")
	uptime, _ := v.mntr("zk_uptime")
	return BackupSource{Host: v.host, Snapshots: versionDir(v.member.data), Logs: versionDir(v.dataLog), Server: v.z,
		Serving: v.serving(), Mode: v.mode, Version: v.version, Zxid: v.zxid, Znodes: v.nodes,
		Ephemerals: int(ephemerals), Uptime: uptime}
}

// LookAtSource looks at one member again.
func LookAtSource(ctx context.Context, s *bootstrap.Spec, h bootstrap.Host, host string) (BackupSource, error) {
	m, ok := memberOn(s, host)
	if !ok {
		return BackupSource{}, fmt.Errorf("%s is no member", host)
	}
	_, state, err := h.Look(ctx, m.observed())
	if err != nil {
		return BackupSource{}, err
	}
	return m.look(bootstrap.Seen{State: state}, true).source(), nil
}
