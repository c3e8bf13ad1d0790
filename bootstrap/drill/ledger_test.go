package drill

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// wrote is an acknowledged write of the client of a key, one after the other in time.
func wrote(at int, key int, number int64, version int32) op {
	return op{client: key, key: key, value: number, version: version, zxid: 1<<32 | uint64(at), outcome: acked,
		call: time.Duration(at) * time.Second, ret: time.Duration(at)*time.Second + time.Millisecond}
}

func with(o op, edit func(*op)) op { edit(&o); return o }

func TestLostAcks(t *testing.T) {
	unanswered := func(at int, number int64) op {
		return with(wrote(at, 0, number, 0), func(o *op) { o.outcome = unknown })
	}
	everywhere := func(f final) map[string][]final { return map[string][]final{"zk1": {f}, "zk2": {f}, "zk3": {f}} }
	for _, tt := range []struct {
		name   string
		ops    []op
		finals map[string][]final
		want   int
	}{
		{"nothing was written", nil, everywhere(final{}), 0},
		{"the last one is there", []op{wrote(1, 0, 1, 1), wrote(2, 0, 2, 2)}, everywhere(final{version: 2, number: 2}), 0},
		{"the last one is gone", []op{wrote(1, 0, 1, 1), wrote(2, 0, 2, 2)}, everywhere(final{version: 1, number: 1}), 1},
		{"the znode is gone", []op{wrote(1, 0, 1, 1), wrote(2, 0, 2, 2)}, everywhere(final{missing: true}), 2},
		{"another value stands in its version", []op{wrote(1, 0, 1, 1), wrote(2, 0, 2, 2)}, everywhere(final{version: 2, number: 7}), 1},
		{"one member alone lacks it", []op{wrote(1, 0, 1, 1), wrote(2, 0, 2, 2)},
			map[string][]final{"zk1": {{version: 2, number: 2}}, "zk2": {{version: 1, number: 1}}, "zk3": {{version: 2, number: 2}}}, 1},
		{"lost and written over", []op{wrote(1, 0, 1, 1), wrote(2, 0, 2, 2), wrote(3, 0, 3, 2)}, everywhere(final{version: 2, number: 3}), 1},
		{"two lost and written over", []op{wrote(1, 0, 1, 1), wrote(2, 0, 2, 2), wrote(3, 0, 3, 1)}, everywhere(final{version: 1, number: 3}), 2},
		{"an unknown one was done", []op{wrote(1, 0, 1, 1), unanswered(2, 2), wrote(3, 0, 3, 3)}, everywhere(final{version: 3, number: 3}), 0},
		{"an unknown one was not done", []op{wrote(1, 0, 1, 1), unanswered(2, 2), wrote(3, 0, 3, 2)}, everywhere(final{version: 2, number: 3}), 0},
		{"an unknown one is the last", []op{wrote(1, 0, 1, 1), unanswered(2, 2)}, everywhere(final{version: 2, number: 2}), 0},
		{"an unknown one comes later than one that was acknowledged", []op{unanswered(1, 1), wrote(2, 0, 2, 1)}, everywhere(final{version: 2, number: 1}), 0},
		{"keys do not mix", []op{wrote(1, 0, 1, 1), wrote(2, 1, 1, 1)},
			map[string][]final{"zk1": {{version: 1, number: 1}, {version: 1, number: 1}}}, 0},
		{"a member that was not read says nothing", []op{wrote(1, 0, 1, 1)}, map[string][]final{"zk1": {{version: 1, number: 1}}}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := lostAcks(tt.ops, tt.finals); got != tt.want {
				t.Errorf("%d lost, want %d", got, tt.want)
			}
		})
	}
}

// An ensemble that forgets: writes are acknowledged, and now and then the last few are
// undone, whoever wrote them. What the ledger finds is what was acknowledged and undone,
// also when later writes have covered it.
func TestLedgerFindsWhatWasForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type write struct {
			number int64
			acked  bool
		}
		var znode []write // by version-1
		var l ledger
		lost, found := 0, 0
		for number := int64(1); number <= 60; number++ {
			if rapid.IntRange(0, 9).Draw(t, "event") == 0 {
				back := rapid.IntRange(0, min(3, len(znode))).Draw(t, "forgets")
				for _, w := range znode[len(znode)-back:] {
					if w.acked {
						lost++
					}
				}
				znode = znode[:len(znode)-back]
			}
			answered := rapid.IntRange(0, 4).Draw(t, "answer") > 0
			if !answered && rapid.Bool().Draw(t, "not done") {
				continue
			}
			znode = append(znode, write{number, answered})
			if answered {
				found += l.ack(int32(len(znode)), number)
			}
		}
		f := final{version: int32(len(znode))}
		if len(znode) > 0 {
			f.number = znode[len(znode)-1].number
		}
		found += l.missingFrom(f)
		if found > lost {
			t.Fatalf("found %d lost, %d are", found, lost)
		}
		// A forgotten version that an unanswered write took again shows nowhere when nobody
		// was told of it and it was covered: all others are found.
		hidden := 0
		for _, w := range znode {
			if !w.acked {
				hidden++
			}
		}
		if found < lost-hidden {
			t.Fatalf("found %d lost, %d are, of which at most %d can hide", found, lost, hidden)
		}
	})
}

func TestLedgerIsBounded(t *testing.T) {
	var l ledger
	for i := range int32(maxEntries + 10) {
		if lost := l.ack(i, int64(i)); lost > 0 {
			t.Fatalf("%d lost at %d", lost, i)
		}
	}
	if len(l.entries) > maxEntries {
		t.Errorf("%d entries", len(l.entries))
	}
	if lost := l.missingFrom(final{version: maxEntries + 8, number: maxEntries + 8}); lost != 1 {
		t.Errorf("%d lost behind the bound, want 1", lost)
	}
}
