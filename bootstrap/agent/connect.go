package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hashicorp/yamux"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// closeTime is how long Close waits for the agent to give the lock back. Only a step
// that may not be cut off takes longer.
const closeTime = 5 * time.Second

// ConnectOptions configure Connect.
type ConnectOptions struct {
	// Blob opens archives on this machine for the agent, which gets only those that
	// the steps of a running Change name; nil means OpenFile.
	Blob BlobFunc
	// Embedded opens an archive that this program carries, by the name behind "embedded:"
	// in its URL; nil means that it carries none.
	Embedded func(name string) (io.ReadCloser, error)
	// Progress hears what a Change or a Probe is doing on the host; may be nil.
	Progress func(string)

	pace pace // shorter in tests
}

// Connect speaks to an agent on rw, whether or not its greeting has been taken off the
// stream, and returns the host it runs on. It owns rw from then on: Close ends it, and
// so does an error.
//
// When the connection is lost, the errors of the Host wrap bootstrap.ErrUnreachable; a
// Change may then have been carried out in part. The end of a call's context cancels
// it on the host and returns at once.
func Connect(ctx context.Context, rw io.ReadWriteCloser, o ConnectOptions) (bootstrap.Host, error) {
	if o.Blob == nil {
		o.Blob = OpenFile
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	stream := newGreeted(rw)
	session, err := yamux.Client(stream, muxConfig(o.pace))
	if err != nil {
		rw.Close()
		return nil, err
	}
	c := &remote{session: session, o: o, named: map[blobArgs]int{}}
	c.serving.Go(c.serveBlobs)
	if err := c.call(ctx, methodHello, helloArgs{Protocol: Protocol}, &helloArgs{}); err != nil {
		c.shut()
		if stream.err != nil { // after shut nobody reads any more
			err = errors.Join(stream.err, err)
		}
		return nil, fmt.Errorf("greeting the agent: %w", err)
	}
	return c, nil
}

// remote is a host at the other end of a stream.
type remote struct {
	session *yamux.Session
	o       ConnectOptions
	serving sync.WaitGroup

	mu    sync.Mutex
	named map[blobArgs]int // archives that running Changes name, with how many do
}

var _ bootstrap.Host = (*remote)(nil)

// Look implements bootstrap.Host.
func (c *remote) Look(ctx context.Context, ids ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
	var r lookResult
	err := c.call(ctx, methodLook, lookArgs{IDs: ids}, &r)
	return r.Facts, r.State, err
}

// Change implements bootstrap.Host.
func (c *remote) Change(ctx context.Context, steps ...bootstrap.Step) error {
	c.name(steps, 1)
	defer c.name(steps, -1)
	err := c.call(ctx, methodChange, changeArgs{Steps: steps}, &none{})
	var f *fault
	if errors.As(err, &f) {
		return f.restore(steps)
	}
	return err
}

// Probe implements bootstrap.Host.
func (c *remote) Probe(ctx context.Context, q verify.Query) (verify.Result, error) {
	var r verify.Result
	err := c.call(ctx, methodProbe, q, &r)
	return r, err
}

// Lock implements bootstrap.Host.
func (c *remote) Lock(ctx context.Context, who string) error {
	return c.call(ctx, methodLock, lockArgs{Who: who}, &none{})
}

// Reveal implements bootstrap.Host.
func (c *remote) Reveal(ctx context.Context, path string) (string, error) {
	var secret string
	err := c.call(ctx, methodReveal, revealArgs{Path: path}, &secret)
	return secret, err
}

// ListData implements bootstrap.Host.
func (c *remote) ListData(ctx context.Context, dir string) ([]bootstrap.DataFile, error) {
	var files []bootstrap.DataFile
	err := c.call(ctx, methodList, listArgs{Dir: dir}, &files)
	return files, err
}

// ReadData implements bootstrap.Host.
func (c *remote) ReadData(ctx context.Context, path string, size int64) (io.ReadCloser, error) {
	conn, err := exchange(ctx, c.session, methodRead, readArgs{Path: path, Size: size}, &none{}, nil)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // lets go of what blocks
		conn.Close()                          // and tells the host
	})
	return &dataReader{blobReader: blobReader{ReadCloser: conn}, ctx: ctx, stop: stop}, nil
}

// dataReader is a file that a host streams. What breaks the stream says why it ended.
type dataReader struct {
	blobReader
	ctx  context.Context
	stop func() bool
}

// Read implements io.Reader.
func (r *dataReader) Read(p []byte) (int, error) {
	n, err := r.blobReader.Read(p)
	var told *fault
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.As(err, &told):
		return n, err
	case r.ctx.Err() != nil:
		return n, fmt.Errorf("%s: %w", methodRead, context.Cause(r.ctx))
	}
	return n, lost(methodRead, err)
}

// Close implements io.Closer.
func (r *dataReader) Close() error {
	r.stop()
	return r.blobReader.Close()
}

// DialContext implements bootstrap.Host.
func (c *remote) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := exchange(ctx, c.session, methodDial, dialArgs{Network: network, Addr: addr}, &none{}, nil)
	if err != nil {
		return nil, err
	}
	return dialed{Conn: conn, to: address{network, addr}}, nil
}

// Close implements bootstrap.Host. It first asks for the lock to be given back, so
// that the next run does not find it taken by an agent that is about to end.
func (c *remote) Close() error {
	if c.session.IsClosed() {
		c.shut()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	err := c.call(ctx, methodClose, none{}, &none{})
	c.shut()
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: the host still finishes a step and keeps its lock until that is done", err)
	}
	return err
}

func (c *remote) shut() {
	c.session.Close() // returns nil always
	c.serving.Wait()
}

// call carries out one method and reads its result into the value at out.
func (c *remote) call(ctx context.Context, method string, args, out any) error {
	conn, err := exchange(ctx, c.session, method, args, out, c.o.Progress)
	if err != nil {
		return err
	}
	return conn.Close()
}

// exchange opens a stream, sends a request and reads frames up to the result. The
// stream is returned open, for what may follow.
func exchange(ctx context.Context, session *yamux.Session, method string, args, out any, note func(string)) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := session.Open()
	if err != nil {
		return nil, lost(method, err)
	}
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // lets go of what blocks below
		conn.Close()
	})
	err = converse(conn, method, args, out, note)
	if !stop() {
		err = fmt.Errorf("%s: %w", method, context.Cause(ctx))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func converse(conn net.Conn, method string, args, out any, note func(string)) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if err := writeJSON(conn, request{Method: method, Args: raw}); err != nil {
		return lost(method, err)
	}
	for {
		var r reply
		if err := readJSON(conn, &r); err != nil {
			return lost(method, err)
		}
		switch {
		case r.Error != nil:
			r.Error.Text = plain(r.Error.Text)
			return r.Error
		case r.OK != nil:
			if err := unmarshal(r.OK, out); err != nil {
				return fmt.Errorf("%w: result of %s: %w", errFrame, method, err)
			}
			return nil
		case note != nil:
			note(plain(r.Note))
		}
	}
}

// plain takes out of a host's text what would steer the operator's terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}

// lost is the error of a connection that broke during a call.
func lost(method string, err error) error {
	if errors.Is(err, errFrame) {
		return fmt.Errorf("%s: %w", method, err)
	}
	return fmt.Errorf("%w: the connection to the agent was lost during %s: %w", bootstrap.ErrUnreachable, method, err)
}

// name counts the archives that steps take from this machine.
func (c *remote) name(steps []bootstrap.Step, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range steps {
		switch a := s.Want.Resource.(type) {
		case bootstrap.Archive:
			c.named[blobArgs{SHA512: a.SHA512, URL: a.URL}] += n
		case bootstrap.Restore:
			if a.Stage == bootstrap.RestoreStaged {
				c.named[blobArgs{SHA512: a.SHA512, URL: a.URL}] += n
			}
		}
	}
}

// serveBlobs answers the agent's own calls until the session ends.
func (c *remote) serveBlobs() {
	ctx, cancel := context.WithCancel(context.Background())
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel() // before waiting
	for {
		stream, err := c.session.AcceptStream()
		if err != nil {
			return // whoever calls next learns it
		}
		calls.Go(func() {
			defer stream.Close()
			c.serveBlob(ctx, stream)
		})
	}
}

func (c *remote) serveBlob(ctx context.Context, conn net.Conn) {
	r, err := c.openBlob(ctx, conn)
	if werr := writeJSON(conn, result(none{}, err)); err != nil || werr != nil {
		if err == nil {
			r.Close()
		}
		return
	}
	defer r.Close()
	_ = sendBlob(conn, r) // the agent sees that the end is missing
}

// openBlob reads which archive the agent wants. A host is not trusted with more of
// this machine's files than the steps it was sent name.
func (c *remote) openBlob(ctx context.Context, conn net.Conn) (io.ReadCloser, error) {
	var req request
	if err := readJSON(conn, &req); err != nil {
		return nil, err
	}
	if req.Method != methodBlob {
		return nil, fmt.Errorf("%w %.40q: the agent is of another version", errMethod, req.Method)
	}
	var a blobArgs
	if err := unmarshal(req.Args, &a); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	c.mu.Lock()
	named := c.named[a] > 0
	c.mu.Unlock()
	if !named {
		return nil, fmt.Errorf("%w: no step on its way names the archive %.200s", bootstrap.ErrRefused, a.URL)
	}
	name, carried := strings.CutPrefix(a.URL, bootstrap.EmbeddedScheme+":")
	switch {
	case carried && c.o.Embedded == nil:
		return nil, fmt.Errorf("this program carries no archive %.80q: use a release, or `make build`", name)
	case carried:
		return c.o.Embedded(name)
	}
	return c.o.Blob(ctx, a.SHA512, a.URL)
}

// dialed is a connection from the host. yamux streams know deadlines; the address is
// the one dialed, not that of the stream below.
type dialed struct {
	net.Conn
	to address
}

// RemoteAddr implements net.Conn.
func (d dialed) RemoteAddr() net.Addr { return d.to }

type address struct{ network, addr string }

// Network implements net.Addr.
func (a address) Network() string { return a.network }

// String implements net.Addr.
func (a address) String() string { return a.addr }
