package zookeeper

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Frames of ZooKeeper's protocol: a length, then the body. The first body from a server
// answers the session request; all others begin with xid, zxid and error code
// (org.apache.zookeeper.proto.ConnectResponse and ReplyHeader, 3.8).
const (
	lengthSize = 4
	headerSize = 16
	// maxReply is jute.maxbuffer, ZooKeeper's own limit for one message. A list of children
	// can outgrow it, because servers do not apply it to what they send.
	maxReply = 0xfffff
	// maxRequest is the library's buffer for one: it sets watches 128 KiB at a time, and
	// znodes of ours are smaller (maxData; a notice of 1,000 services has about 100 kB).
	maxRequest = 512 << 10
	// xidEvent marks a message that is no answer: the event of a watch.
	xidEvent = -1
	// codeTooLong takes the place of the code in the header of a reply that was too long.
	// Servers do not send it (KeeperException "NOTHING"); the library makes ErrNothing of it.
	codeTooLong = -117
)

// Requests of the library that have a meaning for the wire (ZooDefs.OpCode).
const (
	opClose = -11 // ends a session, and with it everything that was announced in it
	opAuth  = 100 // presents credentials
)

// monitor is told what passes on a wire.
type monitor interface {
	greeted(w *wire, session int64, timeout time.Duration) // the server accepted or refused (session 0)
	answered(zxid int64)                                   // an answer came, pings included
	closed(w *wire)
}

// wire is a connection to a server that cannot hang: every read has a deadline, whatever the
// library asks for. go-zookeeper/zk 1.0.4 waits for the answer to its session request for
// 6.7 sessions, and for the second half of it for ever. A reply beyond maxReply is
// swallowed and its request alone fails, where the library would close the connection and,
// with every later try, do so again.
type wire struct {
	net.Conn
	monitor   monitor
	greet     time.Duration // most that the answer to a session request may take
	patience  atomic.Int64  // most that any other read may take; a time.Duration
	abandoned atomic.Bool   // a session is left to end by itself
	ours      *exchanges    // requests that are not the library's
	auth      bool          // they have to wait for the library's credentials

	in    *bufio.Reader
	known bool   // the session request was answered
	head  []byte // header of a frame that was not passed on yet
	left  int    // what is left of the frame after it
}

func newWire(c net.Conn, m monitor, session time.Duration, auth bool) *wire {
	w := &wire{Conn: c, monitor: m, greet: session / 3, in: bufio.NewReaderSize(c, 64<<10), ours: newExchanges(), auth: auth}
	w.patience.Store(int64(session * 2 / 3))
	return w
}

// Read passes frames on.
func (w *wire) Read(p []byte) (int, error) {
	for len(w.head) == 0 && w.left == 0 {
		if err := w.next(); err != nil {
			w.ours.end()
			return 0, err
		}
	}
	if len(w.head) > 0 {
		n := copy(p, w.head)
		w.head = w.head[n:]
		return n, nil
	}
	n, err := w.in.Read(p[:min(len(p), w.left)])
	w.left -= n
	if err != nil {
		w.ours.end()
	}
	return n, err
}

// next reads the header of the next frame, and the whole of one that the library did not ask for.
func (w *wire) next() error {
	buf := make([]byte, lengthSize+headerSize)
	if _, err := io.ReadFull(w.in, buf[:lengthSize]); err != nil {
		return err
	}
	length := int(int32(binary.BigEndian.Uint32(buf)))
	if length < headerSize {
		return fmt.Errorf("a reply of %d bytes: this is no ZooKeeper server", length)
	}
	if _, err := io.ReadFull(w.in, buf[lengthSize:]); err != nil {
		return err
	}
	body := buf[lengthSize:]
	if !w.known {
		w.head, w.left = buf, length-headerSize
		return w.greeting(body, length)
	}
	xid := int32(binary.BigEndian.Uint32(body))
	if xid != xidEvent {
		w.monitor.answered(int64(binary.BigEndian.Uint64(body[4:])))
	}
	if xid < firstXid {
		if err := w.answer(xid, int32(binary.BigEndian.Uint32(body[12:])), length-headerSize); err != nil {
			return err
		}
		return w.SetReadDeadline(time.Time{}) // the library set one for a frame of its own
	}
	w.head, w.left = buf, length-headerSize
	if length > maxReply {
		binary.BigEndian.PutUint32(buf, headerSize)
		binary.BigEndian.PutUint32(body[12:], codeTooLong&0xffffffff)
		_, err := io.CopyN(io.Discard, w.in, int64(w.left))
		w.left = 0
		return err
	}
	return nil
}

// greeting reads the answer to the session request: protocol version, timeout, session.
func (w *wire) greeting(body []byte, length int) error {
	if length > maxReply {
		return fmt.Errorf("a first reply of %d bytes: this is no ZooKeeper server", length)
	}
	w.known = true
	timeout := time.Duration(int32(binary.BigEndian.Uint32(body[4:]))) * time.Millisecond
	session := int64(binary.BigEndian.Uint64(body[8:]))
	if session != 0 {
		w.patience.Store(int64(timeout * 2 / 3))
		if !w.auth {
			w.ours.begin()
		}
	}
	w.monitor.greeted(w, session, timeout)
	return nil
}

// Write passes on what the library sends. Once the wire is abandoned the library's word
// that the session is over is swallowed: the session and what it announced stay until the
// server's time for it is up, so that a quick restart is not seen by anybody.
func (w *wire) Write(p []byte) (int, error) {
	op := int32(0)
	if len(p) >= lengthSize+8 {
		op = int32(binary.BigEndian.Uint32(p[lengthSize+4:]))
	}
	if op == opClose && w.abandoned.Load() {
		return len(p), w.Conn.Close()
	}
	n, err := w.Conn.Write(p)
	if op == opAuth && err == nil {
		w.ours.begin() // servers take requests in their order
	}
	return n, err
}

// SetReadDeadline lets no read wait for longer than the session allows.
func (w *wire) SetReadDeadline(t time.Time) error {
	most := time.Now().Add(w.greet)
	if w.known {
		most = time.Now().Add(time.Duration(w.patience.Load()))
	}
	if t.IsZero() || t.After(most) {
		t = most
	}
	return w.Conn.SetReadDeadline(t)
}

// SetWriteDeadline does the same for writes.
func (w *wire) SetWriteDeadline(t time.Time) error {
	most := time.Now().Add(time.Duration(w.patience.Load()))
	if t.IsZero() || t.After(most) {
		t = most
	}
	return w.Conn.SetWriteDeadline(t)
}

// Close closes the connection; the session goes on.
func (w *wire) Close() error {
	w.ours.end()
	w.monitor.closed(w)
	err := w.Conn.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil // the library closes what it has lost already
	}
	return err
}
