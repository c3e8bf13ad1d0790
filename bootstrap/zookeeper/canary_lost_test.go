package zookeeper

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap"
)

// The requests that canaries make, by their numbers in ZooDefs.OpCode.
const (
	opCreate = 1
	opDelete = 2
	opGet    = 4
	opSync   = 9
)

func opName(op int32) string {
	return map[int32]string{opCreate: "create", opDelete: "delete", opGet: "get", opSync: "sync"}[op]
}

// befalls says what becomes of a request.
type befalls int

const (
	nothing    befalls = iota
	lostBefore         // the connection is closed before it is done
	lostAfter          // it is done, and the connection closed before the answer
	muted              // nothing is heard over that connection any more
	ignored            // it is never answered, while everything else is
	denied             // the answer is the fault's code
	lostLater          // the connection is closed as soon as the answer is out
	staysAway          // the connection is closed, and dials are refused from then on
)

// fault is what befalls a request of one kind, as often as count says.
type fault struct {
	op    int32
	kind  befalls
	code  int32 // of an answer that is denied
	count int
}

// tree is what the members of a fake ensemble share.
type tree struct {
	mu     sync.Mutex
	znodes map[string]string
	wg     sync.WaitGroup
}

// fake is a member that does what canaries ask for, but for its faults, taken in order.
type fake struct {
	bootstrap.Host
	tree   *tree
	faults []fault  // the lock of the tree guards this and the next two
	asked  []string // requests that arrived
	away   bool
}

func (m *fake) DialContext(context.Context, string, string) (net.Conn, error) {
	m.tree.mu.Lock()
	defer m.tree.mu.Unlock()
	if m.away {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	m.tree.wg.Go(func() {
		defer theirs.Close()
		_ = m.serve(theirs) // the client tells how it ended
	})
	return ours, nil
}

// serve speaks the protocol: length, then ConnectRequest, or xid, kind and record.
// https://github.com/apache/zookeeper/blob/release-3.9.4/zookeeper-jute/src/main/resources/zookeeper.jute
func (m *fake) serve(conn net.Conn) error {
	answers := true
	for first := true; ; first = false {
		var size uint32
		if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
			return err
		}
		request := make([]byte, size)
		if _, err := io.ReadFull(conn, request); err != nil {
			return err
		}
		answer, what := session1007(), nothing
		if !first {
			answer, what = m.answer(request)
		}
		switch what {
		case lostBefore, lostAfter, staysAway:
			return nil
		case muted:
			answers = false
		}
		if !answers || what == ignored {
			continue
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)); err != nil || what == lostLater {
			return err
		}
	}
}

// session1007 is a ConnectResponse.
func session1007() []byte {
	answer := binary.BigEndian.AppendUint32(nil, 0) // protocol
	answer = binary.BigEndian.AppendUint32(answer, uint32(canarySession/time.Millisecond))
	answer = append(binary.BigEndian.AppendUint64(answer, 0x1007), 0, 0, 0, 16) // session, size of the password
	return append(answer, make([]byte, 16)...)
}

// answer does what a request asks for, unless something befalls it.
func (m *fake) answer(request []byte) ([]byte, befalls) {
	m.tree.mu.Lock()
	defer m.tree.mu.Unlock()
	op := int32(binary.BigEndian.Uint32(request[4:]))
	if name := opName(op); name != "" {
		m.asked = append(m.asked, name)
	}
	var f fault
	if len(m.faults) > 0 && m.faults[0].op == op {
		f = m.faults[0]
		if m.faults[0].count--; m.faults[0].count == 0 {
			m.faults = m.faults[1:]
		}
	}
	m.away = m.away || f.kind == staysAway
	code, record := f.code, []byte(nil)
	if f.kind == nothing || f.kind == lostAfter || f.kind == lostLater {
		code, record = m.tree.do(op, request[8:])
	}
	answer := binary.BigEndian.AppendUint64(slices.Clone(request[:4]), 1) // xid, zxid
	return append(binary.BigEndian.AppendUint32(answer, uint32(code)), record...), f.kind
}

// do takes the first field of a record, the path, and of a create the second, the data.
func (t *tree) do(op int32, record []byte) (code int32, answer []byte) {
	field := func() string {
		size := binary.BigEndian.Uint32(record)
		text := string(record[4 : 4+size])
		record = record[4+size:]
		return text
	}
	text := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	if opName(op) == "" { // a ping, or the end
		return 0, nil
	}
	path := field()
	_, there := t.znodes[path]
	switch {
	case op == opCreate && there:
		return -110, nil
	case op == opCreate:
		t.znodes[path] = field()
		return 0, text(path)
	case op == opSync:
		return 0, text(path)
	case !there:
		return -101, nil
	case op == opDelete:
		delete(t.znodes, path)
		return 0, nil
	}
	return 0, append(text(t.znodes[path]), make([]byte, 68)...) // Stat
}

// fakes is an ensemble of three, of which zk1 and zk2 have faults, with a session each.
func fakes(t *testing.T, ctx context.Context, one, two []fault) (*tree, []*fake, []*session) {
	t.Helper()
	tr := &tree{znodes: map[string]string{}}
	ms := []*fake{{tree: tr, faults: one}, {tree: tr, faults: two}, {tree: tr}}
	var sessions []*session
	for i, m := range members(testSpec(3)) {
		c, err := connect(ctx, m, ms[i])
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, c)
	}
	return tr, ms, sessions
}

// fly lets the canary of zk1 fly: zk1 is asked to create and delete, the others to sync and
// read. It returns when that was over.
func fly(t *testing.T, one, two []fault) (tr *tree, ms []*fake, took time.Duration, err error) {
	t.Helper()
	tr, ms, sessions := fakes(t, t.Context(), one, two)
	start := time.Now()
	err = sing(t.Context(), sessions, 0)
	took = time.Since(start)
	for _, c := range sessions {
		c.close()
	}
	tr.wg.Wait()
	return tr, ms, took, err
}

// A canary bears that its connection to a member is lost once, wherever that happens; a
// step that may have been done is not taken for a failure, nor done to somebody else.
func TestCanaryBearsOneLostConnection(t *testing.T) {
	usualTwo := "sync get"
	for _, tt := range []struct {
		name     string
		one, two []fault
		oneAsked string
		twoAsked string
	}{
		{name: "none lost", oneAsked: "create delete", twoAsked: usualTwo},
		{name: "create, not done", one: []fault{{op: opCreate, kind: lostBefore, count: 1}}, oneAsked: "create create delete", twoAsked: usualTwo},
		{name: "create, done", one: []fault{{op: opCreate, kind: lostAfter, count: 1}}, oneAsked: "create create get delete", twoAsked: usualTwo},
		{name: "create, silent", one: []fault{{op: opCreate, kind: muted, count: 1}}, oneAsked: "create create delete", twoAsked: usualTwo},
		{name: "sync", two: []fault{{op: opSync, kind: lostBefore, count: 1}}, oneAsked: "create delete", twoAsked: "sync sync get"},
		{name: "sync, silent", two: []fault{{op: opSync, kind: muted, count: 1}}, oneAsked: "create delete", twoAsked: "sync sync get"},
		{name: "read", two: []fault{{op: opGet, kind: lostBefore, count: 1}}, oneAsked: "create delete", twoAsked: "sync get sync get"},
		{name: "read, silent", two: []fault{{op: opGet, kind: muted, count: 1}}, oneAsked: "create delete", twoAsked: "sync get sync get"},
		{name: "delete, not done", one: []fault{{op: opDelete, kind: lostBefore, count: 1}}, oneAsked: "create delete delete", twoAsked: usualTwo},
		{name: "delete, done", one: []fault{{op: opDelete, kind: lostAfter, count: 1}}, oneAsked: "create delete delete", twoAsked: usualTwo},
		{name: "delete, silent", one: []fault{{op: opDelete, kind: muted, count: 1}}, oneAsked: "create delete delete", twoAsked: usualTwo},
		{name: "both members lost once", one: []fault{{op: opCreate, kind: lostAfter, count: 1}}, two: []fault{{op: opGet, kind: lostAfter, count: 1}},
			oneAsked: "create create get delete", twoAsked: "sync get sync get"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr, ms, took, err := fly(t, tt.one, tt.two)
				if err != nil {
					t.Errorf("got %v, want the canary to bear it", err)
				}
				if took > canarySession {
					t.Errorf("took %s, and a session lasts %s", took, canarySession)
				}
				for i, want := range []string{tt.oneAsked, tt.twoAsked, "sync get"} {
					if got := strings.Join(ms[i].asked, " "); got != want {
						t.Errorf("zk%d was asked to %s; want %s", i+1, got, want)
					}
				}
				if left := slices.Sorted(maps.Keys(tr.znodes)); len(left) > 0 {
					t.Errorf("%v are left", left)
				}
			})
		})
	}
}

// A second loss, an answer that says no and a member that does not come back are final:
// they are told with the member and the step, and nothing is asked once more.
func TestCanaryTakesNoForAnAnswer(t *testing.T) {
	const noAuth, noNode, exists = -102, -101, -110
	lost := func(op int32, count int) []fault { return []fault{{op: op, kind: lostBefore, count: count}} }
	says := func(op, code int32) []fault { return []fault{{op: op, kind: denied, code: code, count: 1}} }
	for _, tt := range []struct {
		name     string
		one, two []fault
		is       error
		host     string
		says     string
		asked    string // the member that failed
	}{
		{"create lost twice", lost(opCreate, 2), nil, zk.ErrConnectionClosed, "zk1", "write: expected to lose the connection once at most, lost it twice", "create create"},
		{"create and delete lost", slices.Concat(lost(opCreate, 1), lost(opDelete, 1)), nil, zk.ErrConnectionClosed, "zk1", "delete: expected to lose the connection once", "create create delete"},
		{"sync lost twice", nil, lost(opSync, 2), zk.ErrConnectionClosed, "zk2", "sync: expected to lose the connection once", "sync sync"},
		{"sync and read lost", nil, slices.Concat(lost(opSync, 1), lost(opGet, 1)), zk.ErrConnectionClosed, "zk2", "read what was written through zk1: expected to lose", "sync sync get"},
		{"create refused", says(opCreate, noAuth), nil, zk.ErrNoAuth, "zk1", "write: zk: not authenticated", "create"},
		{"create lost, then refused", slices.Concat(lost(opCreate, 1), says(opCreate, noAuth)), nil, zk.ErrNoAuth, "zk1", "write: zk: not authenticated", "create create"},
		{"there is one of that name", says(opCreate, exists), nil, zk.ErrNodeExists, "zk1", "write: zk: node already exists", "create"},
		{"create lost, exists, cannot be read", slices.Concat(lost(opCreate, 1), says(opCreate, exists)), nil, zk.ErrNoNode, "zk1", "write: zk: node does not exist", "create create get"},
		{"sync refused", nil, says(opSync, noAuth), zk.ErrNoAuth, "zk2", "sync: ", "sync"},
		{"not on the other member", nil, says(opGet, noNode), zk.ErrNoNode, "zk2", "read what was written through zk1: zk: node does not exist", "sync get"},
		{"read lost, then not there", nil, slices.Concat(lost(opGet, 1), says(opGet, noNode)), zk.ErrNoNode, "zk2", "read what was written through zk1: ", "sync get sync get"},
		{"gone before it was deleted", says(opDelete, noNode), nil, zk.ErrNoNode, "zk1", "delete: zk: node does not exist", "create delete"},
		{"delete lost, then refused", slices.Concat(lost(opDelete, 1), says(opDelete, noAuth)), nil, zk.ErrNoAuth, "zk1", "delete: ", "create delete delete"},
		{"stays away", nil, []fault{{op: opGet, kind: staysAway, count: 1}}, zk.ErrNoServer, "zk2", "connection refused", "sync get"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, ms, took, err := fly(t, tt.one, tt.two)
				if !errors.Is(err, tt.is) {
					t.Fatalf("got %v, want %v", err, tt.is)
				}
				var f bootstrap.Finding
				if !errors.As(err, &f) || f.Host != tt.host || f.Step != stepCanary || !strings.Contains(f.Text, tt.says) {
					t.Errorf("%v: want one about %s that says %q", err, tt.host, tt.says)
				}
				if took > reachFor+2*time.Second {
					t.Errorf("took %s", took)
				}
				failed := ms[map[string]int{"zk1": 0, "zk2": 1}[tt.host]]
				if got := strings.Join(failed.asked, " "); got != tt.asked {
					t.Errorf("%s was asked to %s; want %s", tt.host, got, tt.asked)
				}
			})
		})
	}
}

// All canaries together bear that every member closes its connections, as each does when
// a leader is elected, and a member that never answers holds nobody longer than the limit.
func TestCanariesEndWithinTheirLimit(t *testing.T) {
	s := testSpec(3)
	const farewell = 3 * time.Second // what the library gives a session to end
	onTwo := func(f fault) func(int) []fault {
		return func(i int) []fault {
			if i != 1 {
				return nil
			}
			return []fault{f}
		}
	}
	for _, tt := range []struct {
		name   string
		faults func(i int) []fault
		is     error
		most   time.Duration
	}{
		{"all close once", func(int) []fault { return []fault{{op: opCreate, kind: lostAfter, count: 1}} }, nil, canarySession},
		{"all close after an answer", func(int) []fault { return []fault{{op: opCreate, kind: lostLater, count: 1}} }, nil, canarySession},
		{"one falls silent again and again", onTwo(fault{op: opSync, kind: muted, count: 100}), zk.ErrConnectionClosed, 2 * canarySession},
		{"one closes again and again", onTwo(fault{op: opSync, kind: lostBefore, count: 100}), zk.ErrConnectionClosed, canarySession},
		{"one never answers and stays connected", onTwo(fault{op: opSync, kind: ignored, count: 100}), context.DeadlineExceeded, patience(s) + farewell},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &tree{znodes: map[string]string{}}
				h := bootstrap.Hosts{}
				for i, m := range members(s) {
					h[m.host] = &fake{tree: tr, faults: tt.faults(i)}
				}
				start := time.Now()
				err := canaries(t.Context(), s, h, members(s))
				if took := time.Since(start); took > tt.most {
					t.Errorf("took %s, want %s at most", took, tt.most)
				}
				if !errors.Is(err, tt.is) {
					t.Errorf("got %v, want %v", err, tt.is)
				}
				tr.wg.Wait()
				if err == nil && len(tr.znodes) > 0 {
					t.Errorf("%v are left", slices.Sorted(maps.Keys(tr.znodes)))
				}
			})
		})
	}
}

// The library hands a failed write on under its own name, and a failed read under this one.
func TestAFailedWriteIsALostConnection(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := (&boundConn{Conn: ours, limit: time.Second}).Write([]byte("x"))
	if !errors.Is(err, zk.ErrConnectionClosed) || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, want zk.ErrConnectionClosed and the reason", err)
	}
}
