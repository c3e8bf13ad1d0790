package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// ServeOptions configure Serve.
type ServeOptions struct {
	// SHA256 of the agent's executable, 64 hex digits, for the greeting.
	SHA256 string

	pace pace // shorter in tests
}

// Serve offers h on rw until the other end closes it, goes silent for 30 seconds or
// ctx ends. Then it cancels the calls that still run, waits for them to end and closes
// both h and rw. It returns nil when the other end closed the stream.
func Serve(ctx context.Context, rw io.ReadWriteCloser, h bootstrap.Host, o ServeOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := serve(ctx, cancel, rw, h, o)
	return errors.Join(err, h.Close())
}

func serve(ctx context.Context, cancel context.CancelFunc, rw io.ReadWriteCloser, h bootstrap.Host, o ServeOptions) error {
	defer rw.Close()
	stop := context.AfterFunc(ctx, func() { rw.Close() })
	defer stop()
	if _, err := io.WriteString(rw, greeting(o.SHA256)); err != nil {
		return fmt.Errorf("greeting the operator: %w", err)
	}
	session, err := yamux.Server(rw, muxConfig(o.pace))
	if err != nil {
		return err
	}
	defer session.Close()
	s := server{host: h, session: session}
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel() // before waiting
	for {
		stream, err := session.AcceptStream()
		switch {
		case err == nil:
			calls.Go(func() { s.handle(ctx, stream) })
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case gone(err):
			return nil
		default:
			return fmt.Errorf("connection to the operator: %w", err)
		}
	}
}

// gone reports whether err is that of a stream that the other end has closed; which one
// it is depends on whether a read, a write or yamux came upon it first.
func gone(err error) bool {
	for _, is := range []error{io.EOF, io.ErrClosedPipe, syscall.EPIPE, syscall.ECONNRESET, yamux.ErrSessionShutdown} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

type server struct {
	host    bootstrap.Host
	session *yamux.Session
}

// handle answers one call. It returns when the call has ended, which after a cancel
// may take as long as the step under way.
func (s server) handle(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	var req request
	if err := readJSON(conn, &req); err != nil {
		_ = writeJSON(conn, result(nil, err)) // the other end may be gone
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	unwatch := watch(conn, cancel)
	out := &answer{conn: conn}
	ctx = withOperator(ctx, operator{note: out.note, blob: s.blob})

	switch req.Method {
	case methodDial:
		s.dial(ctx, conn, req, unwatch)
		return
	case methodRead:
		s.read(ctx, conn, req)
		unwatch()
		return
	}
	v, err := s.call(ctx, req)
	out.end(result(v, err))
	unwatch()
}

// watch cancels a call when the other end closes its stream or sends anything more.
// The returned function ends the watch and leaves the stream readable.
func watch(conn net.Conn, cancel context.CancelFunc) (unwatch func()) {
	ended := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(ended)
		_, err := conn.Read(make([]byte, 1))
		select {
		case <-stopped:
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return
			}
		default:
		}
		cancel()
	}()
	return func() {
		close(stopped)
		_ = conn.SetReadDeadline(time.Unix(1, 0)) // a stream that is gone ends the read as well
		<-ended
		_ = conn.SetReadDeadline(time.Time{})
	}
}

// answer writes the frames of one call, also when several goroutines have notes.
type answer struct {
	mu    sync.Mutex
	conn  net.Conn
	ended bool
}

func (a *answer) note(text string) { a.write(reply{Note: text}, false) }

func (a *answer) end(r reply) { a.write(r, true) }

// write drops what cannot be sent: when the other end is gone, the call is cancelled.
func (a *answer) write(r reply, last bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || (r.Note == "" && !last) {
		return
	}
	a.ended = last
	err := writeJSON(a.conn, r)
	if last && errors.Is(err, errFrame) { // too large: say so
		_ = writeJSON(a.conn, reply{Error: faultOf(err)})
	}
}

// call carries out every method but dial and read.
func (s server) call(ctx context.Context, req request) (any, error) {
	switch req.Method {
	case methodHello:
		return with(req, func(a helloArgs) (any, error) {
			if a.Protocol != Protocol {
				return nil, fmt.Errorf("the operator speaks protocol %d, this agent %d; use one version of zkboot", a.Protocol, Protocol)
			}
			return helloArgs{Protocol: Protocol}, nil
		})
	case methodLook:
		return with(req, func(a lookArgs) (any, error) {
			facts, state, err := s.host.Look(ctx, a.IDs...)
			return lookResult{Facts: facts, State: state}, err
		})
	case methodChange:
		return with(req, func(a changeArgs) (any, error) { return none{}, s.host.Change(ctx, a.Steps...) })
	case methodProbe:
		return with(req, func(a verify.Query) (any, error) { return s.host.Probe(ctx, a) })
	case methodLock:
		return with(req, func(a lockArgs) (any, error) { return none{}, s.host.Lock(ctx, a.Who) })
	case methodReveal:
		return with(req, func(a revealArgs) (any, error) { return s.host.Reveal(ctx, a.Path) })
	case methodList:
		return with(req, func(a listArgs) (any, error) { return s.host.ListData(ctx, a.Dir) })
	case methodClose:
		return with(req, func(none) (any, error) { return none{}, s.host.Close() })
	}
	return nil, fmt.Errorf("%w %.40q: this agent is of another version than the operator", errMethod, req.Method)
}

func with[A any](req request, f func(A) (any, error)) (any, error) {
	var a A
	if err := unmarshal(req.Args, &a); err != nil {
		return nil, fmt.Errorf("%w: arguments of %s: %w", errFrame, req.Method, err)
	}
	return f(a)
}

// dial connects and then carries bytes both ways until the operator closes its end.
func (s server) dial(ctx context.Context, conn net.Conn, req request, unwatch func()) {
	v, err := with(req, func(a dialArgs) (any, error) { return s.host.DialContext(ctx, a.Network, a.Addr) })
	unwatch() // what comes from here on belongs to the connection
	if err == nil && ctx.Err() != nil {
		v.(net.Conn).Close()
		err = ctx.Err()
	}
	if werr := writeJSON(conn, result(none{}, err)); err != nil || werr != nil {
		if err == nil {
			v.(net.Conn).Close()
		}
		return
	}
	target := v.(net.Conn)
	stop := context.AfterFunc(ctx, func() { target.Close(); conn.Close() })
	defer stop()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(conn, target)
		conn.Close() // the operator reads EOF, and its own bytes still flow
	})
	_, _ = io.Copy(target, conn)
	target.Close()
	back.Wait()
}

// read streams a file of data. The operator closes its end, which the watch of the call
// sees, when it wants no more: yamux would keep the writer waiting for it.
func (s server) read(ctx context.Context, conn net.Conn, req request) {
	v, err := with(req, func(a readArgs) (any, error) { return s.host.ReadData(ctx, a.Path, a.Size) })
	if werr := writeJSON(conn, result(none{}, err)); err != nil || werr != nil {
		if err == nil {
			v.(io.ReadCloser).Close()
		}
		return
	}
	file := v.(io.ReadCloser)
	defer file.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = sendBlob(conn, file) // the operator sees that the end is missing
}

// blob opens an archive on the operator's machine.
func (s server) blob(ctx context.Context, sha512, url string) (io.ReadCloser, error) {
	r, err := exchange(ctx, s.session, methodBlob, blobArgs{SHA512: sha512, URL: url}, &none{}, nil)
	if err != nil {
		return nil, err
	}
	return &blobReader{ReadCloser: r}, nil
}
