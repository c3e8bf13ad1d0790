package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	xssh "golang.org/x/crypto/ssh"
)

// Dial connects and logs in to t, waiting up to o.Patience for a host that is
// still booting. ctx bounds the dialling only; the connection lives until
// [Conn.Close]. The error is an [*Error] that wraps ErrUnreachable, ErrAuth or
// one of the host key sentinels, or ctx's error.
func Dial(ctx context.Context, t Target, o Options) (*Conn, error) {
	r, err := resolve(t, false)
	if err != nil {
		return nil, &Error{Host: cmp.Or(t.Name, t.Address), Step: "reading the SSH settings", Err: err}
	}
	d := &dialer{r: r, o: o.withDefaults()}
	return d.dial(ctx)
}

// dialer makes one connection. It keeps the jump host's connection between
// attempts, so that patience does not mean a hundred logins on the bastion.
type dialer struct {
	r    *route
	o    Options
	jump *Conn
}

func (d *dialer) dial(ctx context.Context) (*Conn, error) {
	start, said := time.Now(), time.Time{}
	wait := d.o.pace.first
	for try := 1; ; try++ {
		conn, err := d.attempt(ctx)
		if err == nil {
			return conn, nil
		}
		var locked *lockedError
		if errors.As(err, &locked) {
			if err = d.o.Keys.unlock(ctx, locked.file); err == nil {
				continue
			}
			err = &localError{err}
		}
		f := d.classify(err)
		spent := time.Since(start)
		if !f.retry || ctx.Err() != nil || spent+wait > d.o.Patience {
			d.jump.Close()
			return nil, d.giveUp(ctx, f, err, try, spent)
		}
		if time.Since(said) >= d.o.pace.say {
			d.o.Events(fmt.Sprintf("%s: waiting for SSH at %s, %s of %s: %v", d.r.name, d.r.addr,
				spent.Round(time.Second), d.o.Patience, f))
			said = time.Now()
		}
		pause(ctx, wait)
		wait = min(wait*8/5, d.o.pace.max)
	}
}

func (d *dialer) giveUp(ctx context.Context, f *failure, err error, try int, spent time.Duration) error {
	var inner *Error
	if errors.As(err, &inner) { // the jump host has already told its own story
		return inner
	}
	step := fmt.Sprintf("connecting to %s as %s", d.r.addr, d.r.user)
	if try > 1 {
		step += fmt.Sprintf(" (%d attempts in %s)", try, spent.Round(time.Second/10))
	}
	if ctx.Err() != nil {
		return &Error{Host: d.r.name, Step: step, Err: fmt.Errorf("%w; last seen: %w", context.Cause(ctx), f)}
	}
	return &Error{Host: d.r.name, Step: step, Err: f, Hint: f.hint}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// authError marks what failed after the host key had been accepted.
type authError struct {
	err    error
	banner string
}

func (e *authError) Error() string { return e.err.Error() + e.banner }
func (e *authError) Unwrap() error { return e.err }

// attempt dials, shakes hands and logs in once.
func (d *dialer) attempt(ctx context.Context) (*Conn, error) {
	keys, err := newHostKeys(d.r)
	if err != nil {
		return nil, unreadableRecord(err)
	}
	signers, agentConn, err := d.o.Keys.signers(ctx, d.r)
	if err != nil {
		return nil, err
	}
	if agentConn != nil {
		defer agentConn.Close()
	}
	raw, err := d.transport(ctx)
	if err != nil {
		return nil, err
	}
	var hostOK bool
	var banner string
	cfg := &xssh.ClientConfig{
		User:              d.r.user,
		Auth:              []xssh.AuthMethod{xssh.PublicKeys(signers...)},
		HostKeyAlgorithms: keys.algorithms(),
		HostKeyCallback: func(host string, remote net.Addr, key xssh.PublicKey) error {
			err := keys.check(host, remote, key)
			hostOK = err == nil
			return err
		},
		BannerCallback: func(msg string) error {
			banner = quoteRemote(msg)
			return nil
		},
	}
	client, err := handshake(ctx, raw, d.r.keyAddr, cfg, d.r.target.Timeouts.Handshake, agentConn)
	if err != nil {
		return nil, d.explain(err, keys, hostOK, banner)
	}
	if err := keys.commit(); err != nil {
		client.Close()
		return nil, d.recordError(err)
	}
	if keys.fresh != nil {
		d.o.Events(fmt.Sprintf("%s: recorded new host key %s in %s", d.r.name, describeKey(keys.fresh), keys.record))
	}
	return newConn(d.r, client, d.jump), nil
}

func (d *dialer) recordError(err error) error {
	var mismatch *HostKeyError
	if errors.As(err, &mismatch) {
		return err
	}
	return unreadableRecord(fmt.Errorf("recording the host key: %w", err))
}

// unreadableRecord is trouble with the files that say which key to expect.
// There is no going on without them, and waiting does not mend them.
func unreadableRecord(err error) error {
	return &failure{kind: ErrHostKeyUnknown, cause: err, hint: "mend the file, or pin the key as host_key"}
}

// explain adds to a handshake error what only the attempt knows.
func (d *dialer) explain(err error, keys *hostKeys, hostOK bool, banner string) error {
	var none *xssh.AlgorithmNegotiationError
	if errors.As(err, &none) && strings.Contains(none.What, "host key") {
		if e := keys.notOffered(none.RequestedAlgorithms); len(e.Expected) > 0 {
			return e
		}
	}
	if hostOK && !isTransient(err) {
		return &authError{err, banner}
	}
	return err
}

// transport opens the byte stream to the host, through the jump host if any.
func (d *dialer) transport(ctx context.Context) (net.Conn, error) {
	if err := d.openJump(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.r.target.Timeouts.Dial)
	defer cancel()
	if d.jump != nil {
		return d.jump.client.DialContext(ctx, "tcp", d.r.addr)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", d.r.addr)
}

// openJump makes sure that the connection to the jump host, if there is one,
// is alive.
func (d *dialer) openJump(ctx context.Context) error {
	if d.r.jump == nil || d.jump != nil && !d.jump.dead() {
		return nil
	}
	d.jump.Close()
	hop := &dialer{r: d.r.jump, o: d.o}
	hop.o.Patience = 0 // ours covers both hops
	var err error
	d.jump, err = hop.dial(ctx)
	return err
}

// handshake logs in over raw, which it closes on failure. Channels through a
// jump host know no deadlines, so time is kept by closing, for both kinds.
func handshake(ctx context.Context, raw net.Conn, addr string, cfg *xssh.ClientConfig, limit time.Duration, agentConn net.Conn) (*xssh.Client, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &timeoutError{limit})
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		raw.Close()
		if agentConn != nil {
			agentConn.Close()
		}
	})
	conn, chans, reqs, err := xssh.NewClientConn(raw, addr, cfg)
	if !stop() {
		raw.Close()
		return nil, context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return xssh.NewClient(conn, chans, reqs), nil
}

// timeoutError is a net.Error, so that it is classified like the kernel's.
type timeoutError struct{ limit time.Duration }

func (e *timeoutError) Error() string {
	return fmt.Sprintf("SSH handshake did not end within %s", e.limit)
}
func (e *timeoutError) Timeout() bool   { return true }
func (e *timeoutError) Temporary() bool { return true }

// isTransient holds for what a host does that is still booting or restarting
// its sshd.
func isTransient(err error) bool {
	for _, t := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded, context.DeadlineExceeded,
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.ETIMEDOUT,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ECONNABORTED,
	} {
		if errors.Is(err, t) {
			return true
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsTimeout || dns.IsTemporary // an unknown name is a typing error
	}
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// classify decides which sentinel err belongs to and whether to try again.
func (d *dialer) classify(err error) *failure {
	var (
		hostKey *HostKeyError
		local   *localError
		auth    *authError
		refused *xssh.OpenChannelError
		hop     *Error
		inner   *failure
	)
	switch {
	case errors.As(err, &hop) && errors.As(hop.Err, &inner), errors.As(err, &inner):
		return inner // classified already, by the jump host's dialler or by the attempt
	case errors.As(err, &hostKey):
		return &failure{kind: hostKey.Err, cause: err, hint: hostKeyHint(hostKey, d.r)}
	case errors.As(err, &local):
		return &failure{kind: ErrAuth, cause: err, hint: "check identity_files and ssh-agent on this machine"}
	case errors.As(err, &auth):
		return &failure{kind: ErrAuth, cause: err, retry: true,
			hint: fmt.Sprintf("check that %s exists there and that its authorized_keys has one of our keys", d.r.user)}
	case errors.As(err, &refused):
		f := &failure{kind: ErrUnreachable, cause: fmt.Errorf("through jump host %s: %w", d.r.jump.name, err)}
		f.retry = refused.Reason == xssh.ConnectionFailed
		f.hint = "check that the jump host can reach this address"
		if refused.Reason == xssh.Prohibited {
			f.hint = "set AllowTcpForwarding yes in sshd_config of the jump host"
		}
		return f
	}
	return &failure{kind: ErrUnreachable, cause: err, retry: isTransient(err),
		hint: "check address, port and firewall, and that the host has booted"}
}

func hostKeyHint(e *HostKeyError, r *route) string {
	switch e.Err {
	case ErrHostKeyUnknown:
		return "compare the fingerprint with the provider's console, then pin it as host_key (zkboot hostkeys shows all keys)"
	case ErrHostKeyRevoked:
		return "give the host a new key, or take the @revoked line out of the known_hosts file"
	}
	return fmt.Sprintf("if %s was rebuilt, re-pin it with zkboot hostkeys; if not, do not connect", r.name)
}

// quoteRemote makes text of a remote machine safe to print: one line, no
// control characters, the last 300 bytes.
func quoteRemote(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)), " ")
	if s == "" {
		return ""
	}
	if cut := len(s) - 300; cut > 0 {
		s = "..." + strings.ToValidUTF8(s[cut:], "")
	}
	return " (the host says: " + s + ")"
}
