package verify

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listen accepts and does what a test says until its end; with a buffer it takes in no
// more than that.
func listen(t *testing.T, buffer int, serve func(*net.TCPConn)) string {
	t.Helper()
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if buffer == 0 {
			return nil
		}
		outer := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, buffer) })
		return errors.Join(outer, err)
	}}
	l, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	done := make(chan struct{})
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
				<-done
			})
		}
	})
	t.Cleanup(func() { l.Close(); close(done); served.Wait() })
	return l.Addr().String()
}

func TestBurst(t *testing.T) {
	for _, tt := range []struct {
		name   string
		buffer int // of the peer; 0 is the kernel's own
		serve  func(*net.TCPConn)
		want   bool
	}{
		{"a server that does not read", 0, func(*net.TCPConn) {}, true},
		{"a server that closes on the first words, as ZooKeeper does", 0, func(c *net.TCPConn) {
			head := make([]byte, 8)
			if n, err := c.Read(head); err != nil || string(head[:n]) != strings.Repeat("\xff", 8) {
				t.Errorf("the burst begins with %x, %v; want -1", head[:n], err)
			}
			c.Close()
		}, true},
		{"what arrives is not acknowledged", 2048, func(*net.TCPConn) {}, false},
		{"a server that ends at once, and what arrives is not acknowledged", 2048, func(c *net.TCPConn) {
			_ = c.CloseWrite()
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr := listen(t, tt.buffer, tt.serve)
			r, err := burst(t.Context(), addr, 300*time.Millisecond)
			if err != nil || r.Passed != tt.want || r.MTU <= 0 || r.LinkMTU <= 0 {
				t.Errorf("%+v, %v; want passed %t, and both MTUs", r, err, tt.want)
			}
		})
	}
}

func TestBurstStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	addr := listen(t, 2048, func(*net.TCPConn) {})
	if _, err := burst(ctx, addr, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestDatagrams(t *testing.T) {
	for _, network := range []string{"127.0.0.1:0", "[::1]:0"} {
		silent, err := net.ListenPacket("udp", network)
		if err != nil {
			if strings.Contains(network, "::1") && (errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT)) {
				continue // IPv6 is switched off here, and loopback with it
			}
			t.Fatal(err)
		}
		addr := silent.LocalAddr().String()
		if r, err := datagrams(t.Context(), addr); !errors.Is(err, errSilent) || r.Passed {
			t.Errorf("a port that swallows everything: %+v, %v; want %v", r, err, errSilent)
		}
		silent.Close()
		r, err := datagrams(t.Context(), addr)
		if err != nil || !r.Passed || r.MTU <= 0 || r.LinkMTU > r.MTU {
			t.Errorf("a closed port: %+v, %v; want passed with the MTU of loopback", r, err)
		}
	}
}

// deaf answers small datagrams alone, with a datagram of its own, as a way that swallows
// big packets would let through.
func deaf(t *testing.T, answers int) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if n == 1 && answers > 0 {
				answers--
				_, _ = conn.WriteTo(b[:1], from) // the test times out without it
			}
		}
	})
	t.Cleanup(func() { conn.Close(); served.Wait() })
	return conn.LocalAddr().String()
}

func TestDatagramsThatVanish(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answers int
		want    error
	}{"only the big ones": {9, nil}, "at last all of them, as with rationed errors": {1, errSilent}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r, err := datagrams(t.Context(), deaf(t, tt.answers)); r.Passed || !errors.Is(err, tt.want) {
				t.Errorf("%+v, %v; want not passed, and %v", r, err, tt.want)
			}
		})
	}
}

func TestProbeNetLooksAtThePath(t *testing.T) {
	open := listen(t, 0, func(*net.TCPConn) {})
	shut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shut.Close()
	for _, r := range probeNet(t.Context(), NetQuery{Count: 2, Interval: time.Millisecond, Targets: []NetTarget{
		{Name: "member", Addr: open, Burst: true}, {Name: "nobody yet", Addr: shut.Addr().String()},
	}}) {
		if r.Path == nil || !r.Path.Passed || r.Path.Error != "" {
			t.Errorf("%s: %+v, want passed", r.Name, r.Path)
		}
	}
}
