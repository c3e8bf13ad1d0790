package watchertest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// echo answers every byte with itself until the test ends.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // ends with the connection
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// say sends a word and returns what comes back within the limit.
func say(c net.Conn, word string, limit time.Duration) (string, error) {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, word); err != nil {
		return "", err
	}
	buf := make([]byte, len(word))
	n, err := io.ReadFull(c, buf)
	return string(buf[:n]), err
}

const (
	soon   = 5 * time.Second        // for what must come
	silent = 100 * time.Millisecond // for what must not
)

func mustEcho(t *testing.T, c net.Conn, word string) {
	t.Helper()
	if got, err := say(c, word, soon); err != nil || got != word {
		t.Fatalf("say %q: %q, %v; want it back", word, got, err)
	}
}

func TestProxyPassesAndDelays(t *testing.T) {
	p := NewProxy(t, echo(t))
	c := dial(t, p)
	mustEcho(t, c, "one")
	p.Delay(50 * time.Millisecond)
	start := time.Now()
	mustEcho(t, c, "two")
	if took := time.Since(start); took < 100*time.Millisecond {
		t.Errorf("the answer took %s, want 50ms each way", took)
	}
	if p.Accepted() != 1 || p.Open() != 1 {
		t.Errorf("accepted %d, open %d; want 1 and 1", p.Accepted(), p.Open())
	}
}

func TestProxyKeepsWhatABlackholeSwallows(t *testing.T) {
	for name, mode := range map[string]Mode{"both": Blackhole, "up": BlackholeUp, "down": BlackholeDown, "hang": Hang} {
		t.Run(name, func(t *testing.T) {
			p := NewProxy(t, echo(t))
			c := dial(t, p)
			mustEcho(t, c, "one")
			p.Set(mode)
			if got, err := say(c, "two", silent); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("an answer came through: %q, %v", got, err)
			}
			p.Set(Pass)
			if err := c.SetDeadline(time.Now().Add(soon)); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 3)
			if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "two" {
				t.Errorf("after the blackhole: %q, %v; want what was sent in it", buf, err)
			}
		})
	}
}

func TestProxyHangAcceptsAndStaysSilentForEver(t *testing.T) {
	p := NewProxy(t, echo(t))
	p.Set(Hang)
	c := dial(t, p)
	if got, err := say(c, "one", silent); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("an answer came through: %q, %v", got, err)
	}
	p.Set(Pass)
	if got, err := say(c, "two", silent); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it speaks again: %q, %v", got, err)
	}
	mustEcho(t, dial(t, p), "three")
}

func TestProxyRefusesAndResets(t *testing.T) {
	p := NewProxy(t, echo(t))
	standing := dial(t, p)
	mustEcho(t, standing, "one")
	p.Set(Refuse)
	refused, err := net.Dial("tcp", p.Addr()) // the reset may be quicker than connect returns
	if err == nil {
		defer refused.Close()
		_, err = say(refused, "x", soon)
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a new connection: %v, want a reset", err)
	}
	mustEcho(t, standing, "two")
	p.Set(Reset)
	if _, err := say(standing, "three", soon); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a standing connection: %v, want a reset", err)
	}
}
