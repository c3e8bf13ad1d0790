package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// The names of the site steps of a restore.
const (
	stepRestore  = "restore"
	stepRestored = "restored"
)

// systemZnodes is how many znodes an ensemble has that holds nothing of anybody: the root,
// which the server counts twice, and /zookeeper with its config and quota.
const systemZnodes = 5

func (m member) restoreID() bootstrap.ID { return bootstrap.NewID(bootstrap.KindRestore, m.data) }

// restoring is the restore that is under way on the member's host.
func (m member) restoring(have bootstrap.State) (bootstrap.Restore, bool) {
	r, ok := have.Find(m.restoreID()).(bootstrap.Restore)
	return r, ok
}

// cutOff refuses to go on with an ensemble of which some members may have the data of a
// backup and others what was there before: together they would serve one or the other.
func cutOff(s *bootstrap.Spec, now bootstrap.Site) error {
	for _, m := range members(s) {
		if r, ok := m.restoring(now.Hosts[m.host].State); ok {
			return refusedf(view{member: m}, "run `zkboot restore` with the same backup again; it goes on from here",
				"a restore was cut off (the backup with sha512 %.12s is %s here)", r.SHA512, r.Stage)
		}
	}
	return nil
}

// planRestore decides whether a backup may be put in the place of what the members hold.
func planRestore(s *bootstrap.Spec, now bootstrap.Site, b *bootstrap.Backup) (bootstrap.SiteStep, bool, error) {
	none := bootstrap.SiteStep{}
	vs := views(s, now)
	goesOn := slices.ContainsFunc(vs, func(v view) bool {
		r, ok := v.restoring(now.Hosts[v.host].State)
		return ok && r.SHA512 == b.SHA512
	})
	for _, v := range known(s, now) {
		if !v.planned {
			return none, false, refusedf(v, "apply first, so that the members are those of the spec",
				"the host has server %s of this ensemble, which the spec does not want: it would go on beside the restored ones", v.z.MyID)
		}
	}
	for _, v := range vs {
		if v.err != nil {
			return none, false, refusedf(v, "bring it back, or take it out of the members", "a backup is put back on every member at once, and this one cannot be reached: %v", v.err)
		}
		if err := sameOrLater(s, now.Hosts[v.host], v, b); err != nil {
			return none, false, err
		}
		if b.Replace || goesOn {
			continue
		}
		if r, ok := v.restoring(now.Hosts[v.host].State); ok {
			return none, false, refusedf(v, "go on with that one, or give --replace-data", "the restore of another backup was cut off here (sha512 %.12s)", r.SHA512)
		}
		if v.data != bootstrap.DataEmpty && v.data != bootstrap.DataPristine && !(v.serving() && v.nodes <= systemZnodes) {
			return none, false, refusedf(v, "give --replace-data; what is there is moved aside and never deleted",
				"it holds data (%s)", v.holds())
		}
	}
	return bootstrap.SiteStep{Role: roleName, Name: stepRestore, Hosts: hostsOf(membersOf(vs)), Backup: b,
		Title: fmt.Sprintf("stop every member and put back the backup of %s taken %s (last zxid 0x%x) on %s; what is there now is kept aside",
			b.Name, b.Taken, b.Zxid, strings.Join(hostsOf(membersOf(vs)), ", "))}, true, nil
}

// holds tells in a few words what a member has.
func (v view) holds() string {
	if v.serving() {
		return fmt.Sprintf("%d znodes, zxid 0x%x", v.nodes, v.zxid)
	}
	if v.data == bootstrap.DataUnknown {
		return "nobody could look: " + firstOf(v.z.Err, "no reason given")
	}
	return "snapshots or logs; no server answers"
}

// sameOrLater refuses a server that is older than the one that wrote the backup: files of a
// later version may have in them what an older one does not know.
func sameOrLater(s *bootstrap.Spec, seen bootstrap.Seen, v view, b *bootstrap.Backup) error {
	wrote, err := ParseVersion(b.Version)
	if err != nil {
		return nil // taken of a member that did not serve
	}
	runs, err := versionOn(s, seen)
	if err != nil {
		return err
	}
	if runs.Major < wrote.Major || runs.Major == wrote.Major && runs.Minor < wrote.Minor {
		return refusedf(v, "restore it into an ensemble of that version or a later one", "the backup was written by ZooKeeper %s, this member is to run %s", wrote, runs)
	}
	return nil
}

// planProof is the step behind the start of the members.
func planProof(s *bootstrap.Spec, b *bootstrap.Backup) bootstrap.SiteStep {
	return bootstrap.SiteStep{Role: roleName, Name: stepRestored, Hosts: s.MemberNames(), Backup: b,
		Title: "prove that every member serves what is in the backup"}
}

// putBack puts the backup on every member. The old ensemble serves until all members have
// the whole backup beside their data; then all stop, and only when none serves any more is
// the first directory exchanged. So there is no moment in which some serve the one data and
// some the other, and nothing has happened when a disk is too small.
//
// A run that was cut off begins again, but for one case: when no member has a backup that
// is staged only, then all were placed before, and may serve already.
func putBack(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, b *bootstrap.Backup) error {
	if b == nil {
		return errors.New("the step does not say which backup; plan again")
	}
	ms := members(s)
	before, err := lookAtAll(ctx, ms, h)
	if err != nil {
		return err
	}
	if allPlaced(ms, before, b) {
		return nil
	}
	epoch := nextEpoch(ms, before, b)
	err = changeAll(ctx, ms, h, func(m member, have bootstrap.State) []bootstrap.Step {
		return []bootstrap.Step{m.staging(have, b, epoch)}
	})
	if err != nil {
		return err
	}
	if err := changeAll(ctx, ms, h, member.stopping); err != nil {
		return err
	}
	for _, v := range survey(ctx, s, h) {
		if v.err != nil || v.serving() {
			return gateError(stepRestore, v, "see what starts it, then restore again", "expected every member to be stopped, found %s", v.condition())
		}
	}
	if err := changeAll(ctx, ms, h, member.placing); err != nil {
		return err
	}
	was := map[string]bool{}
	for i, m := range ms {
		unit, _ := m.unitIn(before[i])
		was[m.host] = unit.Running
	}
	return changeAll(ctx, ms, h, func(m member, have bootstrap.State) []bootstrap.Step {
		if !was[m.host] {
			return nil // the plan starts it
		}
		return m.starting(have)
	})
}

// restoreIDs is what a restore looks at.
func (m member) restoreIDs() []bootstrap.ID {
	ids := []bootstrap.ID{m.observed(), m.restoreID(), bootstrap.NewID(bootstrap.KindUnit, m.unit)}
	for _, f := range []string{m.dynamic, m.zooCfg, m.nextDynamic(), initialize(m.dataLog), m.acceptedEpoch()} {
		ids = append(ids, bootstrap.NewID(bootstrap.KindFile, f))
	}
	return ids
}

// nextDynamic is where a server keeps a configuration that was proposed and is not agreed on
// yet: one that is left over would be taken for later than ours. See QuorumPeerConfig.
func (m member) nextDynamic() string { return m.zooCfg + ".dynamic.next" }

// acceptedEpoch is the file of the epoch below which a server follows nobody any more.
func (m member) acceptedEpoch() string { return versionDir(m.data) + "/acceptedEpoch" }

func (m member) unitIn(have bootstrap.State) (bootstrap.Unit, bool) {
	u, ok := have.Find(bootstrap.NewID(bootstrap.KindUnit, m.unit)).(bootstrap.Unit)
	return u, ok
}

func lookAtAll(ctx context.Context, ms []member, h bootstrap.Hosts) ([]bootstrap.State, error) {
	states := make([]bootstrap.State, len(ms))
	err := parallel(ctx, ms, func(ctx context.Context, i int, m member) error {
		host, ok := h[m.host]
		if !ok {
			return bootstrap.Finding{Severity: bootstrap.SeverityError, Host: m.host, Step: stepRestore,
				Text: "a backup is put back only when every member is reachable", Err: bootstrap.ErrUnreachable}
		}
		var err error
		_, states[i], err = host.Look(ctx, m.restoreIDs()...)
		if err != nil {
			return fmt.Errorf("%s: look before the restore: %w", m.host, err)
		}
		return nil
	})
	return states, err
}

// changeAll looks at every member and changes it, all at once, and waits for all.
func changeAll(ctx context.Context, ms []member, h bootstrap.Hosts, steps func(member, bootstrap.State) []bootstrap.Step) error {
	states, err := lookAtAll(ctx, ms, h)
	if err != nil {
		return err
	}
	return parallel(ctx, ms, func(ctx context.Context, i int, m member) error {
		todo := steps(m, states[i])
		if len(todo) == 0 {
			return nil
		}
		if err := h[m.host].Change(ctx, todo...); err != nil {
			return bootstrap.Finding{Severity: bootstrap.SeverityError, Host: m.host, Step: stepRestore, Text: err.Error(),
				Hint: "run the restore again; it goes on from here", Err: err}
		}
		return nil
	})
}

// allPlaced reports whether an earlier run came as far as to exchange the data everywhere.
// Staging ends on all before placing begins on one, so that then nobody is staged, and who
// has no restore any more has been proven.
func allPlaced(ms []member, states []bootstrap.State, b *bootstrap.Backup) bool {
	placed := false
	for i, m := range ms {
		r, ok := m.restoring(states[i])
		switch {
		case !ok:
		case r.SHA512 != b.SHA512 || r.Stage != bootstrap.RestorePlaced:
			return false
		default:
			placed = true
		}
	}
	return placed
}

// nextEpoch is the latest epoch that anybody has seen: the members go on behind it. Clients
// that have seen a later zxid than a server has are sent away by it, until they are restarted.
func nextEpoch(ms []member, states []bootstrap.State, b *bootstrap.Backup) uint64 {
	latest := epoch(b.Zxid)
	for i, m := range ms {
		r, _ := m.restoring(states[i])
		latest = max(latest, r.Epoch, epoch(m.look(bootstrap.Seen{State: states[i]}, true).zxid))
		f, _ := states[i].Find(bootstrap.NewID(bootstrap.KindFile, m.acceptedEpoch())).(bootstrap.File)
		if n, err := strconv.ParseUint(strings.TrimSpace(f.Content), 10, 31); err == nil {
			latest = max(latest, n)
		}
	}
	return latest
}

// staging puts the backup beside the data.
func (m member) staging(have bootstrap.State, b *bootstrap.Backup, epoch uint64) bootstrap.Step {
	return stepTo(have, bootstrap.Restore{Dir: m.data, LogDir: m.dataLog, SHA512: b.SHA512, Stage: bootstrap.RestoreStaged, Epoch: epoch,
		URL: b.URL, Size: b.Size, Owner: account, Group: account})
}

// stepTo is the step that makes a thing as wanted, over whatever was seen of it.
func stepTo(have bootstrap.State, want bootstrap.Resource) bootstrap.Step {
	was := have.Find(want.ID())
	st := bootstrap.Step{Action: bootstrap.ActionCreate, Target: want.ID(), Was: bootstrap.Thing{Resource: was}, Want: bootstrap.Thing{Resource: want}}
	if was != nil {
		st.Action = bootstrap.ActionUpdate
	}
	return st
}

// stopping stops the server, where there is one.
func (m member) stopping(have bootstrap.State) []bootstrap.Step {
	unit, ok := m.unitIn(have)
	if !ok || !unit.Running {
		return nil
	}
	unit.Running, unit.Rev = false, ""
	return []bootstrap.Step{stepTo(have, unit)}
}

// starting starts a server that stopping stopped.
func (m member) starting(have bootstrap.State) []bootstrap.Step {
	unit, ok := m.unitIn(have)
	if !ok || unit.Running {
		return nil
	}
	unit.Running = true
	return []bootstrap.Step{stepTo(have, unit)}
}

// placing writes the list of members that the spec has, as for a formation, and exchanges
// the data. The backup's own list, in its znode /zookeeper/config, is of no account: a
// server starts by its files, and the first leader writes what it started by into the znode.
// The exchange comes last: a backup that is placed has its configuration.
func (m member) placing(have bootstrap.State) []bootstrap.Step {
	var steps []bootstrap.Step
	if z, ok := m.seen(have); ok && z.Properties["dynamicConfigFile"] != m.dynamic {
		fresh := m.zooCfgFile()
		fresh.Keep = nil // its live value belongs to the data that goes
		steps = append(steps, put(have, fresh))
	}
	steps = append(steps, put(have, bootstrap.File{Path: m.dynamic, Content: Founding(m.spec).String(), Mode: 0o640, Owner: account, Group: account}))
	for _, f := range []string{m.nextDynamic(), initialize(m.dataLog)} {
		id := bootstrap.NewID(bootstrap.KindFile, f)
		if was := have.Find(id); was != nil {
			steps = append(steps, bootstrap.Step{Action: bootstrap.ActionDelete, Target: id, Was: bootstrap.Thing{Resource: was}})
		}
	}
	if r, ok := m.restoring(have); ok {
		r.Stage = bootstrap.RestorePlaced
		steps = append(steps, stepTo(have, r))
	}
	return steps
}

// proveRestored waits until every member serves the backup, and then ends the restore.
func proveRestored(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, b *bootstrap.Backup) error {
	if b == nil {
		return errors.New("the step does not say which backup; plan again")
	}
	err := await(ctx, s, h, stepRestored, patience(s), func(vs []view) error {
		vs = roster(vs)
		if err := together(vs); err != nil {
			return err
		}
		return holdsBackup(vs, b)
	})
	if err != nil {
		return err
	}
	return changeAll(ctx, members(s), h, func(m member, have bootstrap.State) []bootstrap.Step {
		r, ok := m.restoring(have)
		if !ok {
			return nil
		}
		return []bootstrap.Step{{Action: bootstrap.ActionDelete, Target: r.ID(), Was: bootstrap.Thing{Resource: r}}}
	})
}

// holdsBackup wants the members to stand at least where the backup ends. That they hold the
// same tree as the member it was taken of is what the digests say, which a server compares
// with its own at every transaction that it replays; that it found none wrong is checked
// with the rest of the data (see sameData). Without digests the number of znodes has to do:
// only those of ephemerals may be missing, whose sessions have ended since.
func holdsBackup(vs []view, b *bootstrap.Backup) error {
	for _, v := range vs {
		if v.zxid < b.Zxid {
			return gateError(stepRestored, v, "look at `journalctl -u "+v.unit+"` on the host", "expected zxid 0x%x or later, found 0x%x", b.Zxid, v.zxid)
		}
		_, compares := v.mntr("zk_digest_mismatches_count")
		if b.Digest && compares {
			continue
		}
		if least := b.Znodes - b.Ephemerals; v.nodes < least {
			return diverged(v, "expected the backup's %d znodes, %d of them ephemeral, found %d", b.Znodes, b.Ephemerals, v.nodes)
		}
	}
	return nil
}
