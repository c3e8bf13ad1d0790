package haproxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	// opTimeout is the time one round trip may take. Most take less than a millisecond; a
	// dump of ten thousand servers some tens.
	opTimeout = 2 * time.Second
	// A line holds up to 16 KiB (tune.bufsize). These leave room and keep an answer small.
	maxBatch     = 50
	maxBatchSize = 8 << 10
	maxAnswer    = 64 << 20
)

// dialer opens a socket of HAProxy.
type dialer func(ctx context.Context, path string) (net.Conn, error)

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	d := net.Dialer{Timeout: time.Second}
	return d.DialContext(ctx, "unix", path)
}

// ask sends one line on a connection of its own and reads until HAProxy closes it. It leaves
// nothing behind that could keep a replaced worker alive.
func ask(ctx context.Context, dial dialer, path, line string, timeout time.Duration) (string, error) {
	conn, err := dial(ctx, path)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := limit(ctx, conn, timeout)
	defer stop()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", fmt.Errorf("%s: %q: %w", path, line, err)
	}
	// A worker closes after one line without a prompt. The master keeps the connection open
	// until its client closes its half.
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return "", fmt.Errorf("%s: %q: %w", path, line, err)
		}
	}
	b, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	if err != nil {
		return string(b), fmt.Errorf("%s: %q: %w", path, line, err)
	}
	return string(b), nil
}

// limit ends what conn does after timeout, or with ctx.
func limit(ctx context.Context, conn net.Conn, timeout time.Duration) (stop func() bool) {
	// An error means a closed connection, which the next read or write says as well.
	_ = conn.SetDeadline(time.Now().Add(timeout))
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// runtime is a connection to the runtime API that stays open.
type runtime struct {
	conn  net.Conn
	buf   []byte // what was read
	used  int    // how much of it was used already
	info  info
	shape string
}

const (
	promptText = "\n> "
	// keepBuffer is how large a buffer may be that waits for the next answer: the dump of
	// everything that a connection begins with has megabytes.
	keepBuffer = 64 << 10
)

// dialPrompt opens a connection that stays.
func dialPrompt(ctx context.Context, dial dialer, path string) (*runtime, error) {
	conn, err := dial(ctx, path)
	if err != nil {
		return nil, err
	}
	r := &runtime{conn: conn}
	// The idle timeout of a connection is 10 s by default; this one is to stay.
	if _, err := r.do(ctx, []command{{text: "prompt"}, {text: "set timeout cli 1h"}}); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// dialRuntime connects, and learns who is at the other end.
func dialRuntime(ctx context.Context, dial dialer, path string) (*runtime, error) {
	r, err := dialPrompt(ctx, dial, path)
	if err != nil {
		return nil, err
	}
	if err := r.greet(ctx); err != nil {
		r.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (r *runtime) greet(ctx context.Context) error {
	text, err := r.text(ctx, "show info")
	if err != nil {
		return err
	}
	if r.info, err = parseInfo(text); err != nil {
		return err
	}
	if r.info.version.before(oldest) {
		return fmt.Errorf("haproxy %s is too old: %s or later is needed", r.info.version, oldest)
	}
	text, err = r.text(ctx, "show env "+shapeVariable)
	if shape, ok := strings.CutPrefix(text, shapeVariable+"="); ok { // else "Variable not found": not our file
		r.shape = strings.TrimSpace(shape)
	}
	return err
}

func (r *runtime) close() { r.conn.Close() }

// text sends one command and returns what it says.
func (r *runtime) text(ctx context.Context, line string) (string, error) {
	answers, err := r.send(ctx, []command{{text: line, want: answerAnyText}})
	if err != nil {
		return "", err
	}
	return answers[0], (command{text: line, want: answerAnyText}).check(answers[0])
}

// do sends commands, several to a line, and returns how many were answered as they must be
// before the first that was not. What was sent after that one may have been done.
func (r *runtime) do(ctx context.Context, cmds []command) (int, error) {
	done := 0
	for done < len(cmds) {
		rest, n, size := cmds[done:], 0, 0
		for n < len(rest) && n < maxBatch && (n == 0 || size+len(rest[n].text) < maxBatchSize) {
			size += len(rest[n].text) + 1
			n++
		}
		answers, err := r.send(ctx, rest[:n])
		for i, got := range answers {
			if err := rest[i].check(got); err != nil {
				return done, err
			}
			done++
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// send writes one line and reads one answer for each command. Answers come with a prompt
// each, also when their commands shared a line.
func (r *runtime) send(ctx context.Context, batch []command) ([]string, error) {
	stop := limit(ctx, r.conn, opTimeout)
	defer stop()
	line := make([]byte, 0, 4096)
	for i, c := range batch {
		if i > 0 {
			line = append(line, ';')
		}
		line = append(line, c.text...)
	}
	if _, err := r.conn.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("%q: %w", batch[0].text, err)
	}
	answers := make([]string, 0, len(batch))
	for _, c := range batch {
		got, err := r.answer()
		if err != nil {
			return answers, fmt.Errorf("%q: %w", c.text, err)
		}
		answers = append(answers, got)
	}
	return answers, nil
}

// ask sends questions in one line, and returns what each was answered.
func (r *runtime) ask(ctx context.Context, lines ...string) ([]string, error) {
	batch := make([]command, len(lines))
	for i, l := range lines {
		batch[i] = command{text: l, want: answerAnyText}
	}
	return r.send(ctx, batch)
}

// answer reads up to the next prompt.
func (r *runtime) answer() (string, error) {
	from := 0 // no prompt begins before
	for {
		unread := r.buf[r.used:]
		if i := bytes.Index(unread[from:], []byte(promptText)); i >= 0 {
			got := string(unread[:from+i])
			r.use(from + i + len(promptText))
			return got, nil
		}
		from = max(0, len(unread)-len(promptText)+1)
		if len(unread) > maxAnswer {
			return "", fmt.Errorf("an answer has more than %d bytes", maxAnswer)
		}
		r.makeRoom()
		n, err := r.conn.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		if err != nil && n == 0 {
			return "", err
		}
	}
}

// use drops n bytes of what was read, and with the last of them a buffer that has grown.
func (r *runtime) use(n int) {
	if r.used += n; r.used < len(r.buf) {
		return
	}
	r.buf, r.used = r.buf[:0], 0
	if cap(r.buf) > keepBuffer {
		r.buf = nil
	}
}

// makeRoom lets more be read behind what was not used yet.
func (r *runtime) makeRoom() {
	const least = 4096
	if cap(r.buf)-len(r.buf) >= least {
		return
	}
	unread := r.buf[r.used:]
	to := r.buf[:0]
	if cap(r.buf)-len(unread) < least {
		to = make([]byte, 0, 2*cap(r.buf)+16<<10)
	}
	r.buf, r.used = append(to, unread...), 0
}
