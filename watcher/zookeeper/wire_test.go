package zookeeper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// log is a monitor that remembers.
type log struct{ told []string }

func (l *log) greeted(_ *wire, session int64, timeout time.Duration) {
	l.told = append(l.told, fmt.Sprintf("session %x for %s", session, timeout))
}
func (l *log) answered(zxid int64) { l.told = append(l.told, fmt.Sprintf("zxid %x", zxid)) }
func (l *log) closed(*wire)        { l.told = append(l.told, "closed") }

// wired is a wire and the server's end of it.
func wired(t *testing.T, session time.Duration) (*wire, net.Conn, *log) {
	t.Helper()
	client, server := net.Pipe()
	l := &log{}
	w := newWire(client, l, session, false)
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	return w, server, l
}

// greeting answers a session request, and frame is any other message.
func greeting(session int64, timeout time.Duration) []byte {
	b := binary.BigEndian.AppendUint32(nil, 37)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(timeout/time.Millisecond))
	b = binary.BigEndian.AppendUint64(b, uint64(session))
	b = binary.BigEndian.AppendUint32(b, 16)
	return append(b, make([]byte, 17)...)
}

func frame(xid int32, zxid int64, code int32, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(headerSize+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(xid))
	b = binary.BigEndian.AppendUint64(b, uint64(zxid))
	b = binary.BigEndian.AppendUint32(b, uint32(code))
	return append(b, body...)
}

func TestWirePassesFramesAndTellsOfThem(t *testing.T) {
	w, server, l := wired(t, 9*time.Second)
	sent := slices.Concat(greeting(0xabc, 4*time.Second), frame(-2, 7, 0, nil), frame(-1, -1, 0, []byte("an event")), frame(1, 9, 0, []byte("an answer")),
		frame(2, 9, -101, nil))
	go func() {
		for _, b := range sent { // in pieces as small as can be
			if _, err := server.Write([]byte{b}); err != nil {
				return
			}
		}
		_ = server.Close()
	}()
	got, err := io.ReadAll(w)
	if err != nil || !slices.Equal(got, sent) {
		t.Errorf("%v, read %d bytes of %d, or others", err, len(got), len(sent))
	}
	want := []string{"session abc for 4s", "zxid 7", "zxid 9", "zxid 9"}
	if !slices.Equal(l.told, want) {
		t.Errorf("told %q, want %q: events are no answers", l.told, want)
	}
}

// Scenario 13, and memory: a reply that is too long fails alone.
func TestWireSwallowsALongReply(t *testing.T) {
	w, server, _ := wired(t, 9*time.Second)
	sent := slices.Concat(greeting(1, 4*time.Second), frame(1, 9, 0, make([]byte, maxReply)), frame(2, 9, 0, []byte("next")))
	go func() { _, _ = server.Write(sent); _ = server.Close() }()
	got, err := io.ReadAll(w)
	want := slices.Concat(greeting(1, 4*time.Second), frame(1, 9, codeTooLong, nil), frame(2, 9, 0, []byte("next")))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, read %d bytes, want the header with another code and then the next reply, %d", err, len(got), len(want))
	}
}

func TestWireRefusesWhatIsNoZooKeeper(t *testing.T) {
	for name, sent := range map[string]string{"HTTP": "HTTP/1.1 400 Bad Request\r\n\r\n" + strings.Repeat(" ", 100), "nothing": "\x00\x00\x00\x00", "less than nothing": "\xff\xff\xff\xff"} {
		t.Run(name, func(t *testing.T) {
			w, server, l := wired(t, 9*time.Second)
			go func() { _, _ = io.WriteString(server, sent) }()
			if _, err := io.ReadAll(w); err == nil || !strings.Contains(err.Error(), "this is no ZooKeeper server") {
				t.Errorf("got %v", err)
			}
			if len(l.told) != 0 {
				t.Errorf("told %q", l.told)
			}
		})
	}
}

// Scenario 4: whatever deadline the library asks for, or none.
func TestWireDoesNotWaitForASilentServer(t *testing.T) {
	tests := []struct {
		name  string
		asked time.Duration // 0: none
		greet bool          // the server answered the session request with a session of 6 s
		want  time.Duration
	}{
		{"for a session, as long as the library likes", time.Minute, false, 3 * time.Second},
		{"for a session, for ever", 0, false, 3 * time.Second},
		{"for an answer, for ever", 0, true, 4 * time.Second},
		{"for an answer, a day", 24 * time.Hour, true, 4 * time.Second},
		{"for an answer, not for long", time.Second, true, time.Second},
	}
	for _, test := range tests {
		bubble(t, test.name, func(t *testing.T) {
			w, server, _ := wired(t, 9*time.Second)
			if test.greet {
				go func() { _, _ = server.Write(greeting(1, 6*time.Second)) }()
				if _, err := io.ReadFull(w, make([]byte, 41)); err != nil {
					t.Fatal(err)
				}
			}
			var at time.Time
			if test.asked > 0 {
				at = time.Now().Add(test.asked)
			}
			if err := w.SetReadDeadline(at); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err := w.Read(make([]byte, 4))
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != test.want {
				t.Errorf("%v after %s, want a timeout after %s", err, time.Since(start), test.want)
			}
		})
	}
	bubble(t, "to take a request", func(t *testing.T) {
		w, _, _ := wired(t, 9*time.Second)
		if err := w.SetWriteDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := w.Write(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 6*time.Second {
			t.Errorf("%v after %s, want a timeout after 6s", err, time.Since(start))
		}
	})
}

func TestWireThatIsAbandonedDoesNotEndTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, server, l := wired(t, 9*time.Second)
		got := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(server) // ends when the wire is closed
			got <- b
		}()
		request := func(op int32) []byte {
			b := binary.BigEndian.AppendUint32(nil, 8)
			b = binary.BigEndian.AppendUint32(b, 5)
			return binary.BigEndian.AppendUint32(b, uint32(op))
		}
		w.abandoned.Store(true)
		for _, op := range []int32{4, opClose} {
			if n, err := w.Write(request(op)); n != 12 || err != nil {
				t.Errorf("operation %d: %d, %v", op, n, err)
			}
		}
		if b := <-got; !slices.Equal(b, request(4)) {
			t.Errorf("the server got %v, want the other request alone", b)
		}
		if err := w.Close(); err != nil || !slices.Equal(l.told, []string{"closed"}) {
			t.Errorf("close: %v, told %q", err, l.told)
		}
	})
}
