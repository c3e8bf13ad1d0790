package ssh

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	xssh "golang.org/x/crypto/ssh"
)

// errLost is how commands end whose connection has gone.
var errLost = errors.New("connection lost")

// command is what to run: argv through env, as root if asked, or else a line
// that the login shell gets as it is.
type command struct {
	argv []string
	root bool
	line string
}

// process is one remote command. Its stdin and stdout go through pipes, which,
// unlike an SSH channel, can be closed under a reader or writer.
type process struct {
	c       *Conn
	sess    *xssh.Session
	release func()
	unwatch func() bool // stops watching ctx

	stdin  *io.PipeWriter // ours to write
	stdout *io.PipeReader // ours to read
	in     *io.PipeReader // other end of stdin
	out    *io.PipeWriter // other end of stdout
	stderr *tail

	exit  error         // what Wait returned; valid after ended
	ended chan struct{} // closed when nothing of it is left running here

	mu   sync.Mutex
	fate error // why we ended it ourselves: ctx, wrong password
}

// start runs cmd on the host. The process lives until it exits, close is
// called, or ctx ends.
func (c *Conn) start(ctx context.Context, cmd command) (*process, error) {
	p := &process{c: c, stderr: &tail{}, ended: make(chan struct{})}
	line, err := p.commandLine(cmd)
	if err != nil {
		return nil, err
	}
	if p.sess, p.release, err = c.session(ctx); err != nil {
		return nil, err
	}
	if err := p.wire(ctx, line); err != nil {
		_ = p.sess.Close()
		p.release()
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	return p, nil
}

// wire starts the command and the goroutines that join it to our pipes.
func (p *process) wire(ctx context.Context, line string) error {
	p.sess.Stderr = p.stderr
	in, err := p.sess.StdinPipe()
	if err != nil {
		return err
	}
	out, err := p.sess.StdoutPipe()
	if err != nil {
		return err
	}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	p.stdin, p.stdout, p.in, p.out = inW, outR, inR, outW
	if err := p.sess.Start(line); err != nil {
		return err
	}
	fed := make(chan struct{})
	go func() { // the only one to touch in, whose Write and Close may not overlap
		defer close(fed)
		_, err := io.Copy(in, inR)
		_ = inR.CloseWithError(err) // later writers learn it; nil reads as a closed pipe
		_ = in.Close()
	}()
	go func() {
		defer close(p.ended)
		_, _ = io.Copy(outW, out)       // ends at EOF, or when our reader is gone,
		_, _ = io.Copy(io.Discard, out) // in which case the host must not block on us
		p.exit = p.sess.Wait()          // stderr is complete now
		end := p.verdict(ctx)
		_ = outW.CloseWithError(end)
		_ = inR.CloseWithError(end)
		<-fed
		p.release()
	}()
	go func() { // Conn.Close must end a pump whose reader has gone away without closing
		select {
		case <-p.c.done:
			p.kill(errLost)
		case <-p.ended:
		}
	}()
	p.unwatch = context.AfterFunc(ctx, func() { p.kill(context.Cause(ctx)) })
	return nil
}

// commandLine builds what the login shell reads. LC_ALL=C because we tell
// sudo's complaints apart by their English words.
func (p *process) commandLine(cmd command) (string, error) {
	if cmd.line != "" {
		return cmd.line, nil
	}
	words := []string{"env", "LC_ALL=C"}
	if cmd.root && p.c.user != "root" {
		secret, known := p.c.sudo.known()
		if !known {
			words = append(words, "sudo", "-n", "--")
		} else {
			nonce := make([]byte, 16)
			_, _ = rand.Read(nonce) // never fails since Go 1.24
			marker := "zkboot-" + hex.EncodeToString(nonce) + ":"
			p.stderr.watch(marker, secret, p.prompted)
			words = append(words, "sudo", "-S", "-p", marker, "--")
		}
	}
	return shellWords(append(words, cmd.argv...))
}

// shellWords joins words that mean the same to every login shell. It refuses
// what would need quoting instead of quoting it: shells differ.
func shellWords(words []string) (string, error) {
	for _, w := range words {
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-=:+@,") != "" || w[0] == '=' {
			return "", fmt.Errorf("%.80q cannot be sent to a shell without quoting", w)
		}
	}
	return strings.Join(words, " "), nil
}

// prompted is called from the stderr copier each time sudo asks.
func (p *process) prompted(times int, secret string) {
	if times > 1 { // the first answer was wrong
		p.kill(sudoPasswordRejected())
		return
	}
	// An error means that sudo is gone, which its exit status tells better.
	_, _ = io.WriteString(p.stdin, secret+"\n")
}

// kill ends the process at once and makes pending reads return why.
func (p *process) kill(why error) {
	p.mu.Lock()
	p.fate = cmp.Or(p.fate, why)
	p.mu.Unlock()
	_ = p.out.CloseWithError(why)
	_ = p.in.CloseWithError(why)
	_ = p.sess.Signal(xssh.SIGTERM) // OpenSSH before 7.9 ignores it; closing stdin does the rest
	_ = p.sess.Close()
}

// verdict is nil for exit status 0, else an error with the tail of stderr. An
// ended ctx closes the session too, perhaps before kill has noted it as fate.
func (p *process) verdict(ctx context.Context) error {
	p.mu.Lock()
	fate := p.fate
	p.mu.Unlock()
	if p.exit == nil {
		return fate
	}
	if why := cmp.Or(fate, context.Cause(ctx)); why != nil {
		return why
	}
	return &exitError{status: exitStatus(p.exit), cause: p.exit, stderr: p.stderr.String()}
}

// exitError is a command that ended otherwise than with status 0.
type exitError struct {
	status int // -1: killed by a signal, or the connection was lost
	cause  error
	stderr string
}

func (e *exitError) Error() string {
	s := fmt.Sprintf("exit status %d", e.status)
	if e.status < 0 {
		s = e.cause.Error()
		var missing *xssh.ExitMissingError
		if errors.As(e.cause, &missing) {
			s = errLost.Error()
		}
	}
	return s + quoteRemote(e.stderr)
}

func (e *exitError) Unwrap() error { return e.cause }

func exitStatus(err error) int {
	var exit *xssh.ExitError
	if errors.As(err, &exit) && exit.Signal() == "" {
		return exit.ExitStatus()
	}
	return -1
}

// run executes argv to its end and returns up to 64 KiB of its stdout. A status
// other than 0 is an *exitError.
func (c *Conn) run(ctx context.Context, root bool, argv ...string) (string, error) {
	return c.finish(ctx, command{argv: argv, root: root}, nil)
}

// finish executes cmd to its end, with stdin as input.
func (c *Conn) finish(ctx context.Context, cmd command, stdin io.Reader) (string, error) {
	p, err := c.start(ctx, cmd)
	if err != nil {
		return "", err
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		if stdin != nil {
			_, _ = io.Copy(p.stdin, stdin) // a command that stops reading tells why itself
		}
		if !cmd.root { // sudo may still want to read the password
			_ = p.stdin.Close()
		}
	}()
	out, err := io.ReadAll(io.LimitReader(p.stdout, scanLimit))
	if err == nil {
		_, err = io.Copy(io.Discard, p.stdout)
	}
	<-p.ended
	p.unwatch()
	<-fed
	return string(out), err
}

// tail keeps the end of a stderr and watches it for sudo's prompt.
type tail struct {
	mu      sync.Mutex
	buf     []byte
	marker  []byte
	secret  string
	prompts int
	prompt  func(times int, secret string)
}

const tailLimit = 4 << 10 // bytes of stderr that Stream.Stderr and errors show

func (t *tail) watch(marker, secret string, prompt func(times int, secret string)) {
	t.marker, t.secret, t.prompt = []byte(marker), secret, prompt
}

// Write never fails. It calls prompt without holding the lock.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.buf = append(t.buf, b...)
	asked := 0
	for len(t.marker) > 0 {
		i := bytes.Index(t.buf, t.marker)
		if i < 0 {
			break
		}
		t.buf = append(t.buf[:i], t.buf[i+len(t.marker):]...)
		t.prompts++
		asked = t.prompts
	}
	// Twice the limit, so that a secret that the cut splits lies in the half
	// that String drops.
	if over := len(t.buf) - 2*tailLimit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	t.mu.Unlock()
	if asked > 0 {
		t.prompt(asked, t.secret)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := string(t.buf)
	if t.secret != "" {
		s = strings.ReplaceAll(s, t.secret, "[redacted]")
	}
	return s[max(0, len(s)-tailLimit):]
}
