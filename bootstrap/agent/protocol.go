package agent

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// Protocol is the version of the wire. It is the digit in the greeting and part of the
// handshake; peers of different versions do not speak to each other.
const Protocol = 1

// pace is how often a side asks whether the other is there, and how long it waits for
// an answer or for a write. Their sum is the silence after which an agent ends.
type pace struct{ ask, wait time.Duration }

// usualPace stands where a pace is zero.
func usualPace() pace { return pace{ask: 10 * time.Second, wait: 20 * time.Second} }

// The methods. The operator calls all but blob, which the agent calls.
const (
	methodHello  = "hello"
	methodLook   = "look"
	methodChange = "change"
	methodProbe  = "probe"
	methodDial   = "dial"
	methodLock   = "lock"
	methodReveal = "reveal"
	methodList   = "list"
	methodRead   = "read"
	methodClose  = "close"
	methodBlob   = "blob"
)

type none struct{}

type helloArgs struct {
	Protocol int `json:"protocol"`
}

type lookArgs struct {
	IDs []bootstrap.ID `json:"ids"`
}

type lookResult struct {
	Facts verify.Facts    `json:"facts"`
	State bootstrap.State `json:"state"`
}

type changeArgs struct {
	Steps []bootstrap.Step `json:"steps"`
}

type dialArgs struct {
	Network string `json:"network"`
	Addr    string `json:"addr"`
}

type lockArgs struct {
	Who string `json:"who"`
}

type revealArgs struct {
	Path string `json:"path"`
}

type listArgs struct {
	Dir string `json:"dir"`
}

type readArgs struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
}

type blobArgs struct {
	SHA512 string `json:"sha512"`
	URL    string `json:"url"`
}

// muxConfig is the same on both sides. Nothing is logged: what ends a session is
// returned.
func muxConfig(p pace) *yamux.Config {
	if p == (pace{}) {
		p = usualPace()
	}
	c := yamux.DefaultConfig()
	c.EnableKeepAlive = true
	c.KeepAliveInterval = p.ask
	c.ConnectionWriteTimeout = p.wait
	c.StreamOpenTimeout = p.wait
	c.StreamCloseTimeout = time.Minute
	// What an SSH channel of x/crypto lets fly. The 256 KiB of yamux would hold an archive
	// down to 2.5 MB/s where a round trip takes 100 ms.
	c.MaxStreamWindowSize = 2 << 20
	c.LogOutput = io.Discard
	return c
}

// greeting is the line before everything else.
func greeting(sha256 string) string { return fmt.Sprintf("zkagent/%d %s\n", Protocol, sha256) }

// greetingLimit bounds the greeting, in bytes.
const greetingLimit = 128

// greeted is a stream whose other end may begin with a greeting. It is taken off with
// the first read, so that nobody waits for one that somebody else has taken already.
// What yamux sends begins with its version, a zero byte.
type greeted struct {
	io.ReadWriteCloser
	r    *bufio.Reader
	done bool
	err  error
}

func newGreeted(rw io.ReadWriteCloser) *greeted {
	return &greeted{ReadWriteCloser: rw, r: bufio.NewReaderSize(rw, greetingLimit)}
}

// Read implements io.Reader.
func (g *greeted) Read(p []byte) (int, error) {
	if !g.done {
		g.done = true
		g.err = g.take()
	}
	if g.err != nil {
		return 0, g.err
	}
	return g.r.Read(p)
}

func (g *greeted) take() error {
	first, err := g.r.Peek(1)
	if err != nil || first[0] == 0 {
		return err
	}
	line, err := g.r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("want the greeting of an agent, found %.80q: %w", line, err)
	}
	version, _, ok := strings.Cut(string(line), " ")
	if want := fmt.Sprintf("zkagent/%d", Protocol); !ok || version != want {
		return fmt.Errorf("want an agent that greets with %s, found %.80q", want, line)
	}
	return nil
}
