package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/agent"
	"github.com/zkboot/zkboot/bootstrap/ssh"
)

// reach opens hosts with zkboot's own parts and counts what goes over the wire.
type reach struct {
	keys   *ssh.Keyring
	agents []ssh.AgentBinary
	sent   atomic.Int64 // bytes of agents that had to be put on hosts

	mu    sync.Mutex
	wires map[string]*wire
}

func newReach() (*reach, error) {
	builds, err := ssh.Agents()
	if err != nil {
		return nil, err
	}
	r := &reach{keys: ssh.NewKeyring(nil), wires: map[string]*wire{}}
	for _, a := range builds {
		read := a.Bytes // is called only when the agent must be sent
		a.Bytes = func() ([]byte, error) {
			b, err := read()
			r.sent.Add(int64(len(b)))
			return b, err
		}
		r.agents = append(r.agents, a)
	}
	return r, nil
}

// open is bootstrap.Engine.Open. What it exchanges itself, up to the agent's answer to the
// greeting, belongs to connecting and is not counted.
func (r *reach) open(ctx context.Context, s *bootstrap.Spec, host string) (bootstrap.Host, error) {
	conn, err := ssh.Dial(ctx, ssh.TargetOf(s, host), ssh.Options{Keys: r.keys})
	if err != nil {
		return nil, err
	}
	stream, err := conn.StartAgent(ctx, r.agents...)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	w := &wire{ReadWriteCloser: stream}
	h, err := agent.Connect(ctx, w, agent.ConnectOptions{})
	if err != nil {
		return nil, errors.Join(err, stream.Close(), conn.Close())
	}
	w.reset()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wires[host] = w
	return opened{h, conn}, nil
}

// calls returns the largest number of calls that a host has seen since it was opened.
func (r *reach) calls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := 0
	for _, w := range r.wires {
		most = max(most, w.count())
	}
	return most
}

// opened closes the connection below a host with it.
type opened struct {
	bootstrap.Host
	conn *ssh.Conn
}

// Close implements bootstrap.Host.
func (o opened) Close() error { return errors.Join(o.Host.Close(), o.conn.Close()) }

// The frames of yamux, https://github.com/hashicorp/yamux/blob/v0.1.2/spec.md: version,
// type, flags (2), stream (4), length (4); only data frames have a body.
const (
	muxHeader = 12
	muxData   = 0
	muxSYN    = 1 // the flag with which a stream begins
)

// wire counts the streams that our side opens on an agent's stream. Each is one call: a
// request, and its result once the host has answered; nothing is sent ahead to wait for.
// So a stream is a round trip.
type wire struct {
	io.ReadWriteCloser

	mu    sync.Mutex
	head  []byte // of a frame that is not complete yet
	body  uint32 // bytes to come that belong to the frame before
	calls int
}

// Write implements io.Writer.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.ReadWriteCloser.Write(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scan(p[:n])
	return n, err
}

// scan follows the frames, wherever writes cut them.
func (w *wire) scan(p []byte) {
	for len(p) > 0 {
		if w.body > 0 {
			n := min(int(w.body), len(p))
			w.body -= uint32(n)
			p = p[n:]
			continue
		}
		n := min(muxHeader-len(w.head), len(p))
		w.head, p = append(w.head, p[:n]...), p[n:]
		if len(w.head) < muxHeader {
			return
		}
		flags, stream := binary.BigEndian.Uint16(w.head[2:]), binary.BigEndian.Uint32(w.head[4:])
		if flags&muxSYN != 0 && stream != 0 { // stream 0 carries pings
			w.calls++
		}
		if w.head[1] == muxData {
			w.body = binary.BigEndian.Uint32(w.head[8:])
		}
		w.head = w.head[:0]
	}
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = 0
}
