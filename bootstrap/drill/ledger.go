package drill

import "slices"

// maxEntries bounds a ledger to 4 MB; what is older is no longer watched.
const maxEntries = 1 << 18

// ledger holds the acknowledged writes of the one client that writes to a znode, in their
// order. ZooKeeper counts the writes to a znode in its version and tells the client which
// one was its own. So a version that is given out again, or taken back, belonged to a write
// that is no longer there: that write was acknowledged and is lost. This also finds one
// that later writes covered, which its value alone would not show.
type ledger struct {
	entries []entry // versions grow
}

type entry struct {
	version int32
	number  int64
}

// ack notes an acknowledged write and returns how many acknowledged before it are lost.
func (l *ledger) ack(version int32, number int64) (lost int) {
	for n := len(l.entries); n > 0 && l.entries[n-1].version >= version; n-- {
		l.entries = l.entries[:n-1]
		lost++
	}
	if len(l.entries) >= maxEntries {
		l.entries = slices.Clone(l.entries[maxEntries/2:])
	}
	l.entries = append(l.entries, entry{version, number})
	return lost
}

// final is what a member shows of a znode in the end.
type final struct {
	missing bool
	version int32
	number  int64 // -1: not a number of ours
}

// missingFrom returns how many acknowledged writes what a member shows leaves out: those
// of higher versions, all of them where the znode is not there, and the one whose version
// has another value.
func (l *ledger) missingFrom(f final) (lost int) {
	for _, e := range slices.Backward(l.entries) {
		switch {
		case f.missing || e.version > f.version || e.version == f.version && e.number != f.number:
			lost++
		default:
			return lost
		}
	}
	return lost
}

// lostAcks counts the acknowledged writes of a history that are lost, given what every
// member shows of every key in the end. A write that one member alone lacks is lost too:
// whoever reads there does not find it.
func lostAcks(ops []op, finals map[string][]final) int {
	ledgers := map[int]*ledger{}
	lost := 0
	for _, o := range writes(ops, func(o op) bool { return o.outcome == acked }) {
		if ledgers[o.key] == nil {
			ledgers[o.key] = &ledger{}
		}
		lost += ledgers[o.key].ack(o.version, o.value)
	}
	for key, l := range ledgers {
		worst := 0
		for _, shown := range finals {
			if key < len(shown) {
				worst = max(worst, l.missingFrom(shown[key]))
			}
		}
		lost += worst
	}
	return lost
}
