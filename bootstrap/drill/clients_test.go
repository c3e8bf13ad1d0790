package drill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// tree is an ensemble in memory with one session. It refuses what a real one would.
type tree struct {
	znodes map[string]*znode
	zxid   uint64
	lose   func(path string) (done, lost bool) // of a write: it is done, and its answer is lost
	took   atomic.Int64                        // time of each answer, ns
	mu     sync.Mutex

	session atomic.Int64
}

// edit changes the tree behind everybody's back.
func (t *tree) edit(do func()) { t.mu.Lock(); defer t.mu.Unlock(); do() }

type znode struct {
	data    string
	version int32
}

func newTree() *tree { return &tree{znodes: map[string]*znode{}, zxid: 1 << 32} }

func (t *tree) wait() {
	if d := time.Duration(t.took.Load()); d > 0 {
		<-time.After(d)
	}
}

func (t *tree) Create(path string, data []byte) error {
	t.mu.Lock()
	_, there := t.znodes[path]
	t.mu.Unlock()
	if there {
		return zookeeper.ErrNodeExists
	}
	return t.change(path, func() { t.znodes[path] = &znode{data: string(data)} })
}

func (t *tree) change(path string, do func()) error {
	t.wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	done, lost := true, false
	if t.lose != nil {
		done, lost = t.lose(path)
	}
	if done {
		t.zxid++
		do()
	}
	if lost {
		return fmt.Errorf("%w: in this test", zookeeper.ErrUnanswered)
	}
	return nil
}

func (t *tree) Set(path string, data []byte) (zookeeper.Mark, error) {
	t.mu.Lock()
	z, there := t.znodes[path]
	t.mu.Unlock()
	if !there {
		return zookeeper.Mark{}, zookeeper.ErrNoNode
	}
	var m zookeeper.Mark
	err := t.change(path, func() {
		z.data, z.version = string(data), z.version+1
		m = zookeeper.Mark{Version: z.version, Zxid: t.zxid}
	})
	return m, err
}

func (t *tree) Get(path string) ([]byte, zookeeper.Mark, error) {
	z, there := t.znodes[path]
	if !there {
		return nil, zookeeper.Mark{}, zookeeper.ErrNoNode
	}
	return []byte(z.data), zookeeper.Mark{Version: z.version}, nil
}

func (t *tree) CreateEphemeral(path string, data []byte) error { return t.Create(path, data) }

func (t *tree) Session() int64 { return t.session.Load() }

func (t *tree) Sync(string) error { return nil }

func (t *tree) Delete(path string) error {
	if _, there := t.znodes[path]; !there {
		return zookeeper.ErrNoNode
	}
	return t.change(path, func() { delete(t.znodes, path) })
}

func TestAClientKeepsWhatBecameOfEachWrite(t *testing.T) {
	znodes := newTree()
	if err := lay(znodes, []string{"/a", "/b"}); err != nil {
		t.Fatal(err)
	}
	h := newHistory()
	c := &client{id: 3, session: znodes, paths: []string{"/a", "/b"}, key: 0, reads: true, history: h}
	c.step() // reads /b
	znodes.lose = func(string) (bool, bool) { return true, true }
	c.step()
	znodes.lose = nil
	c.step() // reads /b
	delete(znodes.znodes, "/a")
	c.step()
	type short struct {
		key     int
		read    bool
		value   int64
		outcome outcome
		version int32
	}
	var got []short
	for _, o := range h.seen() {
		got = append(got, short{o.key, o.read, o.value, o.outcome, o.version})
		if o.client != 3 || o.ret < o.call {
			t.Errorf("client %d, from %s to %s", o.client, o.call, o.ret)
		}
	}
	want := []short{{0, false, 1, acked, 1}, {1, true, 0, acked, 0}, {0, false, 2, unknown, 0}, {0, false, 3, acked, 3}, {1, true, 0, acked, 0}, {0, false, 4, refused, 0}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestAReadOfAKeyThatIsGoneIsSeen(t *testing.T) {
	znodes := newTree()
	if err := lay(znodes, []string{"/a", "/b"}); err != nil {
		t.Fatal(err)
	}
	delete(znodes.znodes, "/b")
	h := newHistory()
	c := &client{session: znodes, paths: []string{"/a", "/b"}, reads: true, history: h}
	c.step()
	if last := h.seen()[1]; !last.read || last.value != -1 || last.outcome != acked {
		t.Errorf("%+v, want a read that shows what nobody wrote", last)
	}
}

// A client keeps its pace, and what comes after a stall is no burst.
func TestAClientKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		znodes := newTree()
		if err := lay(znodes, []string{"/a"}); err != nil {
			t.Fatal(err)
		}
		h := newHistory()
		znodes.took.Store(int64(time.Millisecond))
		c := start(t.Context(), []*client{{session: znodes, paths: []string{"/a"}, every: 10 * time.Millisecond, history: h}})
		<-time.After(time.Second + 5*time.Millisecond)
		if n := len(h.seen()); n < 99 || n > 101 {
			t.Errorf("%d writes in a second, want 100", n)
		}
		znodes.took.Store(int64(2 * time.Second))
		<-time.After(2*time.Second + 5*time.Millisecond)
		znodes.took.Store(int64(time.Millisecond))
		before := len(h.seen())
		<-time.After(time.Second)
		if n := len(h.seen()) - before; n > 102 {
			t.Errorf("%d writes in the second after a stall", n)
		}
		c.stop()
	})
}

func TestLayAndLift(t *testing.T) {
	paths := []string{"/a", "/b"}
	znodes := newTree()
	znodes.znodes["/b"] = &znode{data: "of a killed run", version: 7}
	if err := lay(znodes, paths); err != nil {
		t.Fatal(err)
	}
	shown, err := show(znodes, paths)
	if err != nil || shown[0] != (final{}) || shown[1] != (final{}) {
		t.Errorf("laid: %v, %v", shown, err)
	}
	znodes.znodes["/b"].data = "by somebody else"
	delete(znodes.znodes, "/a")
	if shown, err = show(znodes, paths); err != nil || !shown[0].missing || shown[1].number != -1 {
		t.Errorf("shown: %v, %v", shown, err)
	}
	if err := lift(znodes, paths); err != nil || len(znodes.znodes) > 0 {
		t.Errorf("lift: %v, left %v", err, znodes.znodes)
	}
}

// The connection is lost in the middle of laying and lifting, whether the member did it or
// not.
func TestLayAndLiftBearALostAnswer(t *testing.T) {
	for _, done := range []bool{true, false} {
		t.Run(fmt.Sprintf("done %t", done), func(t *testing.T) {
			znodes := newTree()
			once := func() {
				first := true
				znodes.lose = func(string) (bool, bool) {
					was := first
					first = false
					return done || !was, was
				}
			}
			once()
			if err := lay(znodes, []string{"/a"}); err != nil {
				t.Errorf("lay: %v", err)
			}
			once()
			if err := lift(znodes, []string{"/a"}); err != nil || len(znodes.znodes) > 0 {
				t.Errorf("lift: %v, left %v", err, znodes.znodes)
			}
		})
	}
	znodes := newTree()
	znodes.znodes["/a"] = &znode{}
	znodes.lose = func(string) (bool, bool) { return false, true }
	if err := lift(znodes, []string{"/a"}); err == nil || !strings.Contains(err.Error(), "/a stays behind; the next run removes it") {
		t.Errorf("lift of what cannot be removed: %v", err)
	}
}

func TestBeater(t *testing.T) {
	for _, tt := range []struct {
		name   string
		befall func(*tree, *znode) // behind the first second of two
		want   PulseResult         // Writes: at least
		most   time.Duration       // of the stall
	}{
		{"nothing", func(*tree, *znode) {}, PulseResult{Writes: 195}, 20 * time.Millisecond},
		{"two writes are forgotten", func(_ *tree, z *znode) { z.version -= 2 }, PulseResult{Writes: 195, Lost: 2}, 20 * time.Millisecond},
		{"the session expires", func(t *tree, _ *znode) { t.session.Add(1); clear(t.znodes) }, PulseResult{Writes: 195, Lapsed: 1}, 20 * time.Millisecond},
		{"the znode is lost", func(t *tree, z *znode) { z.version = 3; clear(t.znodes) }, PulseResult{Writes: 195, Lost: 100}, 20 * time.Millisecond},
		{"an answer takes long", func(t *tree, _ *znode) { t.took.Store(int64(time.Second / 2)) }, PulseResult{Writes: 100, Stall: time.Second / 2}, 520 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				znodes := newTree()
				b := &beater{session: znodes, history: newHistory(), path: "/pulse"}
				if err := b.lay(); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); b.run(ctx, 10*time.Millisecond) }()
				<-time.After(time.Second + 5*time.Millisecond)
				znodes.edit(func() { tt.befall(znodes, znodes.znodes["/pulse"]) })
				<-time.After(time.Second)
				cancel()
				<-done
				r := b.result
				if r.Writes < tt.want.Writes || r.Lost != tt.want.Lost || r.Lapsed != tt.want.Lapsed || r.Stall < tt.want.Stall || r.Stall > tt.most || r.Err != nil {
					t.Errorf("%+v, want at least %d writes, %d lost, %d lapsed, a stall of %s to %s", r, tt.want.Writes, tt.want.Lost, tt.want.Lapsed, tt.want.Stall, tt.most)
				}
			})
		})
	}
}

func TestPulseResultIsOneLine(t *testing.T) {
	for _, tt := range []struct {
		result PulseResult
		want   string
	}{
		{PulseResult{Writes: 512, Stall: 1240 * time.Millisecond}, "512 writes while members changed, longest stall 1.2s, none lost"},
		{PulseResult{Writes: 512, Stall: time.Second, Lost: 3}, "512 writes while members changed, longest stall 1.0s, 3 LOST"},
		{PulseResult{Writes: 5, Stall: time.Second, Err: errors.New("not read through zk2: refused")},
			"5 writes while members changed, longest stall 1.0s, none lost (not read through zk2: refused)"},
		{PulseResult{Err: errors.New("creating /zkboot-pulse: zk: not authenticated")},
			"no write was tried while members changed: creating /zkboot-pulse: zk: not authenticated"},
	} {
		if got := tt.result.String(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
