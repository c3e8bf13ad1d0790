package drill

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkFor bounds the search for an order: it is exponential in the unknown writes, of which
// a client that waits for each answer makes one a lost connection.
const checkFor = time.Minute

// register is one znode: a write puts its number there, a read shows the number that stands
// there. The numbers of a key are different, so that a read tells which write it saw.
func register() porcupine.Model {
	return porcupine.Model{
		Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
			keys := map[int][]porcupine.Operation{}
			for _, o := range ops {
				k := o.Input.(op).key
				keys[k] = append(keys[k], o)
			}
			var out [][]porcupine.Operation
			for _, part := range keys {
				out = append(out, part)
			}
			return out
		},
		Init: func() any { return int64(0) },
		Step: func(state, input, output any) (bool, any) {
			o := input.(op)
			if o.read {
				return o.value == state.(int64), state
			}
			return true, o.value
		},
	}
}

// linearizable looks for an order of all operations that one register could have seen: each
// between its call and its answer, one whose answer was lost at any time after its call. It
// is Unknown when the time is over before one was found or ruled out.
func linearizable(ops []op) porcupine.CheckResult {
	var all []porcupine.Operation
	for _, o := range ops {
		if o.outcome == refused || o.read && o.outcome == unknown {
			continue
		}
		p := porcupine.Operation{ClientId: o.client, Input: o, Call: int64(o.call), Return: int64(o.ret)}
		if o.outcome == unknown {
			p.Return = math.MaxInt64
		}
		all = append(all, p)
	}
	return porcupine.CheckOperationsTimeout(register(), all, checkFor)
}

// epochOf is the epoch of the leader that took the write with that zxid.
func epochOf(zxid uint64) uint64 { return zxid >> 32 }

// twoLeaders counts the acknowledged writes that prove two leaders: those that a leader
// took although one of a later epoch had acknowledged a write before they were even asked
// for, and those that share their zxid with another. A deposed leader that has not noticed
// yet is none as long as nobody gets an answer from it.
func twoLeaders(ops []op) int {
	byCall := writes(ops, func(o op) bool { return o.outcome == acked })
	byReturn := slices.Clone(byCall)
	slices.SortStableFunc(byReturn, func(a, b op) int { return cmp.Compare(a.ret, b.ret) })
	count, ended, latest := 0, 0, uint64(0)
	taken := map[uint64]bool{}
	for _, o := range byCall {
		for ended < len(byReturn) && byReturn[ended].ret < o.call {
			latest = max(latest, epochOf(byReturn[ended].zxid))
			ended++
		}
		if epochOf(o.zxid) < latest || taken[o.zxid] {
			count++
		}
		taken[o.zxid] = true
	}
	return count
}
