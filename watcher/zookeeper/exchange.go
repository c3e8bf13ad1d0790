package zookeeper

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// firstXid is the number of our first request; others are below it. The library counts its
// own from 1 up, and servers number what nobody asked for -1 to -8.
const firstXid = -1000

// exchanges are the requests of ours on a wire, which the library knows nothing of.
type exchanges struct {
	open chan struct{} // closed when they may be sent: credentials come first
	gone chan struct{} // closed with the connection

	mu     sync.Mutex
	ended  bool
	opened bool
	xid    int32
	wait   map[int32]chan reply
}

type reply struct {
	body []byte
	err  error
}

func newExchanges() *exchanges {
	return &exchanges{open: make(chan struct{}), gone: make(chan struct{}), xid: firstXid, wait: map[int32]chan reply{}}
}

// begin lets requests pass.
func (x *exchanges) begin() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.opened {
		x.opened = true
		close(x.open)
	}
}

// end tells all that wait that no answer will come.
func (x *exchanges) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		x.ended = true
		close(x.gone)
	}
}

func (x *exchanges) expect() (int32, chan reply) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.xid--
	if x.xid >= firstXid { // it went round
		x.xid = firstXid - 1
	}
	answer := make(chan reply, 1)
	x.wait[x.xid] = answer
	return x.xid, answer
}

// answered hands an answer over. One that nobody waits for any more is dropped.
func (x *exchanges) answered(xid int32, r reply) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if answer, ok := x.wait[xid]; ok {
		delete(x.wait, xid)
		answer <- r
	}
}

func (x *exchanges) forget(xid int32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.wait, xid)
}

// exchange sends a request and returns the body of the answer.
func (w *wire) exchange(ctx context.Context, op int32, body []byte) ([]byte, error) {
	select {
	case <-w.ours.open:
	case <-w.ours.gone:
		return nil, zk.ErrConnectionClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	xid, answer := w.ours.expect()
	defer w.ours.forget(xid)
	b := make([]byte, 0, lengthSize+8+len(body))
	b = binary.BigEndian.AppendUint32(b, uint32(8+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(xid))
	b = binary.BigEndian.AppendUint32(b, uint32(op))
	if err := w.SetWriteDeadline(time.Time{}); err != nil {
		return nil, zk.ErrConnectionClosed
	}
	// Conn writes whole frames of several writers one after the other.
	if _, err := w.Conn.Write(append(b, body...)); err != nil {
		_ = w.Conn.Close() // a part of it may have gone out; the library finds out
		return nil, zk.ErrConnectionClosed
	}
	select {
	case r := <-answer:
		return r.body, r.err
	case <-w.ours.gone:
		return nil, zk.ErrConnectionClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answer reads the rest of a frame that answers a request of ours.
func (w *wire) answer(xid, code int32, left int) error {
	r := reply{err: codeError(code)}
	if left+headerSize > maxReply {
		r.err = zk.ErrNothing
		if _, err := io.CopyN(io.Discard, w.in, int64(left)); err != nil {
			return err
		}
	} else {
		r.body = make([]byte, left)
		if _, err := io.ReadFull(w.in, r.body); err != nil {
			return err
		}
	}
	w.ours.answered(xid, r)
	return nil
}
