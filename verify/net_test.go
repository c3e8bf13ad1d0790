package verify

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestProbeNet(t *testing.T) {
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := open.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	})
	defer served.Wait()
	defer open.Close()
	shut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shut.Close()

	got := probeNet(t.Context(), NetQuery{
		Targets: []NetTarget{
			{Name: "open", Addr: open.Addr().String()}, {Name: "refused", Addr: shut.Addr().String()}, {Name: "nonsense", Addr: "127.0.0.1:no-such-service"},
		},
		Count: 5, Interval: time.Millisecond,
	})
	for i, want := range []struct {
		samples       int64
		lost, refused int
		err           string
	}{{5, 0, 0, ""}, {5, 0, 5, ""}, {0, 5, 0, "no-such-service"}} {
		r := got[i]
		if r.Sent != 5 || r.Samples != want.samples || r.Lost != want.lost || r.Refused != want.refused || !strings.Contains(r.Error, want.err) {
			t.Errorf("%s: %+v, want %+v of 5", r.Name, r, want)
		}
		if want.samples > 0 && r.P50 <= 0 {
			t.Errorf("%s: median of %v ms", r.Name, r.P50)
		}
	}
}

func TestProbeNetStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := probeNet(ctx, NetQuery{Targets: []NetTarget{{Name: "any", Addr: "127.0.0.1:1"}}})
	if r[0].Sent != 0 || r[0].Lost != 0 {
		t.Errorf("%+v, want nothing sent and nothing lost", r[0])
	}
}

func TestClockOffset(t *testing.T) {
	sent := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := ClockReading{Sent: sent, Remote: sent.Add(130 * time.Millisecond), Received: sent.Add(60 * time.Millisecond)}
	offset, uncertainty := c.Offset()
	if offset != 100*time.Millisecond || uncertainty != 30*time.Millisecond {
		t.Errorf("offset %v give or take %v, want 100ms and 30ms", offset, uncertainty)
	}
}

// With two hosts of three switched off, verify once spent 83 s on saying so.
func TestProbeNetGivesUpOnADeadPeer(t *testing.T) {
	r := probeNet(t.Context(), NetQuery{Targets: []NetTarget{{Name: "dead", Addr: "127.0.0.1:no-such-service"}}, Count: 100, Interval: time.Millisecond})[0]
	if r.Sent != netGiveUp || r.Lost != netGiveUp {
		t.Errorf("sent %d and lost %d of 100, want %d", r.Sent, r.Lost, netGiveUp)
	}
}
