package zookeeper

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"
)

// receive reads a request as a server does: its number, its operation and its body.
func receive(t *testing.T, server net.Conn) (xid, op int32, body []byte) {
	t.Helper()
	head := make([]byte, 12)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	body = make([]byte, binary.BigEndian.Uint32(head)-8)
	if _, err := io.ReadFull(server, body); err != nil {
		t.Fatal(err)
	}
	return int32(binary.BigEndian.Uint32(head[4:])), int32(binary.BigEndian.Uint32(head[8:])), body
}

// asked is what an exchange returned.
type asked struct {
	body []byte
	err  error
}

// exchanging is a wire with a session that the library reads from, and the server's end.
func exchanging(t *testing.T, auth bool) (w *wire, server net.Conn, passed chan []byte, ask func(ctx context.Context, op int32, body string) chan asked) {
	w, server, _ = wired(t, 9*time.Second)
	w.auth = auth
	passed = make(chan []byte, 1)
	go func() {
		first := make([]byte, 41)
		_, _ = io.ReadFull(w, first)       // as the library does it: the answer to its greeting,
		_ = w.SetReadDeadline(time.Time{}) // then frames, each with a deadline
		rest, _ := io.ReadAll(w)           // until the connection ends
		passed <- append(first, rest...)
	}()
	if _, err := server.Write(greeting(1, 6*time.Second)); err != nil {
		t.Fatal(err)
	}
	return w, server, passed, func(ctx context.Context, op int32, body string) chan asked {
		out := make(chan asked, 1)
		go func() {
			b, err := w.exchange(ctx, op, []byte(body))
			out <- asked{b, err}
		}()
		return out
	}
}

// The library's frames and ours share a connection, and neither sees the other's.
func TestExchangesPassBesideTheLibrary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, server, passed, ask := exchanging(t, false)
		first := ask(t.Context(), 22, "first")
		xid1, op1, body1 := receive(t, server)
		second := ask(t.Context(), 106, "second")
		xid2, op2, body2 := receive(t, server)
		if op1 != 22 || string(body1) != "first" || op2 != 106 || string(body2) != "second" || xid1 >= firstXid || xid2 >= firstXid || xid1 == xid2 {
			t.Fatalf("the server got %d %d %q and %d %d %q", xid1, op1, body1, xid2, op2, body2)
		}
		library := frame(7, 9, 0, []byte("of the library"))
		event := frame(-1, -1, 0, []byte("an event"))
		sent := slices.Concat(event, frame(xid2, 9, 0, []byte("2")), library, frame(xid1, 9, -101, nil), frame(xid1, 9, 0, []byte("nobody asked")))
		if _, err := server.Write(sent); err != nil {
			t.Fatal(err)
		}
		if r := <-second; string(r.body) != "2" || r.err != nil {
			t.Errorf("the second was answered %q, %v", r.body, r.err)
		}
		if r := <-first; !errors.Is(r.err, zk.ErrNoNode) {
			t.Errorf("the first was answered %q, %v", r.body, r.err)
		}
		_ = server.Close()
		if got, want := <-passed, slices.Concat(greeting(1, 6*time.Second), event, library); !slices.Equal(got, want) {
			t.Errorf("the library got %q, want %q", got, want)
		}
	})
}

// Scenario 13: an answer beyond the limit fails alone, whosever it is.
func TestExchangeWithALongAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, server, _, ask := exchanging(t, false)
		long := ask(t.Context(), 22, "x")
		xid, _, _ := receive(t, server)
		go func() { _, _ = server.Write(frame(xid, 9, 0, make([]byte, maxReply))) }()
		if r := <-long; !errors.Is(r.err, zk.ErrNothing) {
			t.Errorf("%d bytes, %v", len(r.body), r.err)
		}
		next := ask(t.Context(), 22, "y")
		xid, _, _ = receive(t, server)
		go func() { _, _ = server.Write(frame(xid, 9, 0, []byte("z"))) }()
		if r := <-next; string(r.body) != "z" || r.err != nil {
			t.Errorf("the next was answered %q, %v", r.body, r.err)
		}
	})
}

// What may be read depends on the credentials, so nothing of ours goes before them.
func TestExchangesWaitForCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, server, _, ask := exchanging(t, true)
		answer := ask(t.Context(), 22, "x")
		synctest.Wait()
		auth := slices.Concat([]byte{0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, opAuth})
		go func() { _, _ = w.Write(auth) }()
		if _, op, _ := receive(t, server); op != opAuth {
			t.Fatalf("operation %d came first", op)
		}
		xid, op, _ := receive(t, server)
		if op != 22 {
			t.Fatalf("then operation %d", op)
		}
		go func() { _, _ = server.Write(frame(xid, 9, 0, nil)) }()
		if r := <-answer; r.err != nil {
			t.Error(r.err)
		}
	})
}

func TestExchangesEnd(t *testing.T) {
	for name, test := range map[string]struct {
		auth bool
		end  func(w *wire, server net.Conn, cancel context.CancelFunc)
		want error
	}{
		"with the connection":                     {false, func(_ *wire, s net.Conn, _ context.CancelFunc) { _ = s.Close() }, zk.ErrConnectionClosed},
		"when the library closes it":              {false, func(w *wire, _ net.Conn, _ context.CancelFunc) { _ = w.Close() }, zk.ErrConnectionClosed},
		"when they are given up":                  {false, func(_ *wire, _ net.Conn, c context.CancelFunc) { c() }, context.Canceled},
		"before credentials, when given up":       {true, func(_ *wire, _ net.Conn, c context.CancelFunc) { c() }, context.Canceled},
		"before credentials, with the connection": {true, func(_ *wire, s net.Conn, _ context.CancelFunc) { _ = s.Close() }, zk.ErrConnectionClosed},
		"when the server is silent":               {false, func(*wire, net.Conn, context.CancelFunc) { time.Sleep(time.Minute) }, zk.ErrConnectionClosed},
	} {
		bubble(t, name, func(t *testing.T) {
			w, server, passed, ask := exchanging(t, test.auth)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			answer := ask(ctx, 22, "x")
			if !test.auth {
				receive(t, server)
			}
			synctest.Wait()
			test.end(w, server, cancel)
			if r := <-answer; !errors.Is(r.err, test.want) {
				t.Errorf("%v, want %v", r.err, test.want)
			}
			_ = server.Close()
			<-passed
			if _, err := w.exchange(t.Context(), 22, nil); !errors.Is(err, zk.ErrConnectionClosed) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}
