package main

import (
	"io"
	"net"
	"testing"

	"github.com/hashicorp/yamux"
)

// cutting hands every write on in pieces, as a transport may.
type cutting struct {
	io.ReadWriteCloser
	wire *wire
	size int
}

func (c cutting) Write(p []byte) (int, error) {
	for at := 0; at < len(p); at += c.size {
		if _, err := c.wire.Write(p[at:min(at+c.size, len(p))]); err != nil {
			return at, err
		}
	}
	return len(p), nil
}

// TestWireCountsStreams lets a real yamux write the frames: only streams that this side
// opens count, whatever they carry and however the frames are cut.
func TestWireCountsStreams(t *testing.T) {
	for _, size := range []int{1, 7, muxHeader, 1 << 20} {
		here, there := net.Pipe()
		w := &wire{ReadWriteCloser: here}
		config := yamux.DefaultConfig()
		config.LogOutput = io.Discard
		client, err := yamux.Client(cutting{here, w, size}, config)
		if err != nil {
			t.Fatal(err)
		}
		server, err := yamux.Server(there, config)
		if err != nil {
			t.Fatal(err)
		}
		go echo(server)
		for range 3 {
			say(t, client, make([]byte, 5000)) // zeros and a SYN look alike to a scanner that lost its place
		}
		if _, err := client.Ping(); err != nil { // no call
			t.Fatal(err)
		}
		if got := w.count(); got != 3 {
			t.Errorf("writes of %d bytes: %d calls, want 3", size, got)
		}
		w.reset()
		say(t, client, []byte{0, 1, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0}) // a body that is itself a SYN frame
		if got := w.count(); got != 1 {
			t.Errorf("writes of %d bytes: %d calls after reset, want 1", size, got)
		}
		client.Close()
		server.Close()
	}
}

// echo sends back what comes, on a stream of its own for each, until the session ends.
func echo(s *yamux.Session) {
	for {
		stream, err := s.Accept()
		if err != nil {
			return
		}
		go func() {
			defer stream.Close()
			io.Copy(stream, stream)
		}()
	}
}

func say(t *testing.T, s *yamux.Session, what []byte) {
	t.Helper()
	stream, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := stream.Write(what); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stream, make([]byte, len(what))); err != nil {
		t.Fatal(err)
	}
}
