package drill

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"
)

// a history is written as one line an operation: who, from, to (in ms), what.
func write(client, from, to int, number int64, out outcome) op {
	return op{client: client, value: number, outcome: out, call: time.Duration(from) * time.Millisecond, ret: time.Duration(to) * time.Millisecond}
}

func read(client, from, to int, number int64) op {
	o := write(client, from, to, number, acked)
	o.read = true
	return o
}

func TestLinearizable(t *testing.T) {
	for _, tt := range []struct {
		name string
		ops  []op
		want porcupine.CheckResult
	}{
		{"nothing", nil, porcupine.Ok},
		{"the begin is 0", []op{read(1, 0, 1, 0)}, porcupine.Ok},
		{"a write is read", []op{write(0, 0, 1, 1, acked), read(1, 2, 3, 1)}, porcupine.Ok},
		{"a stale read", []op{write(0, 0, 1, 1, acked), write(0, 2, 3, 2, acked), read(1, 4, 5, 1)}, porcupine.Illegal},
		{"a lost ack", []op{write(0, 0, 1, 1, acked), read(1, 2, 3, 0)}, porcupine.Illegal},
		{"a value that nobody wrote", []op{write(0, 0, 1, 1, acked), read(1, 2, 3, 9)}, porcupine.Illegal},
		{"a znode that is gone", []op{write(0, 0, 1, 1, acked), read(1, 2, 3, -1)}, porcupine.Illegal},
		{"while it is written, either is right", []op{write(0, 0, 9, 1, acked), read(1, 1, 2, 0), read(2, 3, 4, 1)}, porcupine.Ok},
		{"but not back again", []op{write(0, 0, 9, 1, acked), read(1, 1, 2, 1), read(2, 3, 4, 0)}, porcupine.Illegal},
		{"an unknown write was done", []op{write(0, 0, 1, 1, unknown), read(1, 2, 3, 1)}, porcupine.Ok},
		{"an unknown write was not done", []op{write(0, 0, 1, 1, unknown), read(1, 2, 3, 0)}, porcupine.Ok},
		{"an unknown write comes late", []op{write(0, 0, 1, 1, unknown), write(0, 2, 3, 2, acked), read(1, 4, 5, 2), read(1, 6, 7, 1)}, porcupine.Ok},
		{"but not twice", []op{write(0, 0, 1, 1, unknown), write(0, 2, 3, 2, acked), read(1, 4, 5, 1), read(1, 6, 7, 2), read(1, 8, 9, 1)}, porcupine.Illegal},
		{"a refused write was not done", []op{write(0, 0, 1, 1, refused), read(1, 2, 3, 1)}, porcupine.Illegal},
		{"a read without an answer says nothing", []op{write(0, 0, 1, 1, acked), with(read(1, 2, 3, 7), func(o *op) { o.outcome = unknown })}, porcupine.Ok},
		{"keys are apart", []op{write(0, 0, 1, 1, acked), with(read(1, 2, 3, 0), func(o *op) { o.key = 1 })}, porcupine.Ok},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := linearizable(tt.ops); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// Whatever one register answers to clients is linearizable, however long answers take and
// whichever of them are lost on the way.
func TestARegisterIsLinearizable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ops []op
		state, now := int64(0), 0
		for number := int64(1); number <= 40; number++ {
			now += rapid.IntRange(1, 3).Draw(t, "pause")
			from := now - rapid.IntRange(0, 1).Draw(t, "asked")
			to := now + rapid.IntRange(1, 6).Draw(t, "answered")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				ops = append(ops, write(0, from, to, number, unknown))
				if rapid.Bool().Draw(t, "done") {
					state = number
				}
			case 1, 2:
				ops = append(ops, write(0, from, to, number, acked))
				state = number
			default:
				ops = append(ops, read(1, from, to, state))
			}
		}
		if got := linearizable(ops); got != porcupine.Ok {
			t.Fatalf("%s: %+v", got, ops)
		}
	})
}

func TestTwoLeaders(t *testing.T) {
	took := func(client, from, to int, epoch, counter uint64) op {
		return with(write(client, from, to, 1, acked), func(o *op) { o.zxid = epoch<<32 | counter })
	}
	for _, tt := range []struct {
		name string
		ops  []op
		want int
	}{
		{"one leader", []op{took(0, 0, 1, 1, 1), took(1, 2, 3, 1, 2)}, 0},
		{"one after the other", []op{took(0, 0, 1, 1, 1), took(1, 2, 3, 2, 1), took(0, 4, 5, 2, 2)}, 0},
		{"the old one takes a write behind the new one", []op{took(0, 0, 1, 2, 1), took(1, 2, 3, 1, 7)}, 1},
		{"the old one's answer is late", []op{took(0, 2, 3, 2, 1), took(1, 1, 9, 1, 7)}, 0},
		{"twice", []op{took(0, 0, 1, 2, 1), took(1, 2, 3, 1, 7), took(1, 4, 5, 1, 8)}, 2},
		{"two of one epoch", []op{took(0, 0, 1, 1, 5), took(1, 0, 1, 1, 5)}, 1},
		{"unknown writes prove nothing", []op{took(0, 0, 1, 2, 1), with(took(1, 2, 3, 1, 7), func(o *op) { o.outcome = unknown })}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := twoLeaders(tt.ops); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

func TestGap(t *testing.T) {
	const end = 20 * time.Millisecond
	for _, tt := range []struct {
		name           string
		ops            []op
		longest, since int
	}{
		{"nobody ever wrote", nil, 20, 0},
		{"before the first write nobody waits", []op{write(0, 8, 9, 1, acked), write(0, 18, 19, 2, acked)}, 10, 9},
		{"an unanswered write ends no wait", []op{write(0, 0, 1, 1, acked), write(0, 4, 5, 2, unknown), write(0, 15, 16, 3, acked)}, 15, 1},
		{"the end counts", []op{write(0, 0, 1, 1, acked), write(0, 2, 3, 2, acked)}, 17, 3},
		{"others do not help a client that waits", []op{write(0, 0, 1, 1, acked), write(1, 5, 6, 1, acked), write(1, 10, 11, 2, acked), write(0, 18, 19, 2, acked), write(1, 18, 19, 3, acked)}, 18, 1},
		{"clients of one member do not count", []op{write(0, 0, 1, 1, acked), write(0, 18, 19, 2, acked), write(2, 0, 1, 1, acked)}, 18, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clients := 1
			if tt.name == "others do not help a client that waits" {
				clients = 2
			}
			longest, since := gap(tt.ops, clients, end)
			if longest != time.Duration(tt.longest)*time.Millisecond || since != time.Duration(tt.since)*time.Millisecond {
				t.Errorf("%s from %s on, want %dms from %dms on", longest, since, tt.longest, tt.since)
			}
		})
	}
}
