package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/agent"
)

// OpenOptions are what one run shares between all hosts of a spec.
type OpenOptions struct {
	// Patience bounds the wait for hosts that are still booting; see Options.Patience.
	// Zero means one attempt.
	Patience time.Duration
	// Keys remembers identity files and passphrases; nil means a new one that cannot ask.
	Keys *Keyring
	// SudoPassword supplies a host's sudo password when sudo asks for it; nil means that
	// sudo must not ask.
	SudoPassword func(ctx context.Context, host string) (string, error)
	// Progress receives what a host is doing, in plain sentences. It must not block. May
	// be nil.
	Progress func(host, note string)
	// Embedded opens archives that this program carries; see agent.ConnectOptions.
	Embedded func(name string) (io.ReadCloser, error)
	// Agents are the builds to put on hosts; empty means Agents().
	Agents []AgentBinary
}

// Opener returns a function for bootstrap.Engine.Open: it connects to a host of a spec,
// puts the agent there when this version of it is not there yet, and speaks to it. Errors
// of a host that could not be reached wrap bootstrap.ErrUnreachable too. The context
// bounds the life of the connection, not only the dialling.
func Opener(o OpenOptions) func(ctx context.Context, s *bootstrap.Spec, host string) (bootstrap.Host, error) {
	if o.Keys == nil {
		o.Keys = NewKeyring(nil)
	}
	if o.Progress == nil {
		o.Progress = func(string, string) {}
	}
	return func(ctx context.Context, s *bootstrap.Spec, host string) (bootstrap.Host, error) {
		h, err := open(ctx, s, host, o)
		if err != nil {
			return nil, finding(host, err)
		}
		return h, nil
	}
}

// finding says host, step, cause and next action once each, in the engine's form.
func finding(host string, err error) error {
	f := bootstrap.Finding{Severity: bootstrap.SeverityError, Host: host, Step: "connect", Text: err.Error(), Err: err}
	var e *Error
	if errors.As(err, &e) {
		f.Step, f.Text, f.Hint = e.Step, e.Err.Error(), e.Hint
	}
	var key *HostKeyError
	if errors.As(err, &key) && errors.Is(key, ErrHostKeyMismatch) && e != nil && e.Host == host { // not that of a jump host
		f.Err = &bootstrap.OtherHostKeyError{Shown: key.Key, Err: err}
	}
	if errors.Is(err, ErrUnreachable) {
		f.Err = fmt.Errorf("%w: %w", bootstrap.ErrUnreachable, err)
	}
	return f
}

func open(ctx context.Context, s *bootstrap.Spec, host string, o OpenOptions) (bootstrap.Host, error) {
	builds := o.Agents
	if len(builds) == 0 {
		var err error
		if builds, err = Agents(); err != nil {
			return nil, err
		}
	}
	note := func(text string) { o.Progress(host, text) }
	target := TargetOf(s, host)
	if o.SudoPassword != nil {
		target.SudoPassword = func(ctx context.Context) (string, error) { return o.SudoPassword(ctx, host) }
	}
	conn, err := Dial(ctx, target, Options{Patience: o.Patience, Events: note, Keys: o.Keys})
	if err != nil {
		return nil, err
	}
	stream, err := conn.StartAgent(ctx, builds...)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	h, err := agent.Connect(ctx, stream, agent.ConnectOptions{Progress: note, Embedded: o.Embedded})
	if err != nil {
		return nil, errors.Join(err, stream.Close(), conn.Close())
	}
	return &remote{Host: h, conn: conn}, nil
}

// remote is a host at the other end of a connection, closed with it.
type remote struct {
	bootstrap.Host
	conn *Conn
	once sync.Once
	err  error
}

// Close implements bootstrap.Host.
func (r *remote) Close() error {
	r.once.Do(func() { r.err = errors.Join(r.Host.Close(), r.conn.Close()) })
	return r.err
}

// TargetOf says how to reach a host of a spec: what the host's own ssh says, then the
// site's, and the rest from the ssh client configuration.
func TargetOf(s *bootstrap.Spec, host string) Target {
	h := s.Hosts[host]
	t := Target{
		Name:           host,
		Address:        cmp.Or(h.SSH.Address, h.Address),
		Port:           cmp.Or(h.SSH.Port, s.SSH.Port),
		User:           cmp.Or(h.SSH.User, s.SSH.User),
		IdentityFiles:  firstList(h.SSH.IdentityFiles, s.SSH.IdentityFiles),
		HostKey:        h.HostKey,
		KnownHostsFile: cmp.Or(h.SSH.KnownHostsFile, s.SSH.KnownHostsFile),
		AcceptNew:      cmp.Or(h.SSH.AcceptNewFile, s.SSH.AcceptNewFile),
		ConfigFile:     cmp.Or(h.SSH.ConfigFile, s.SSH.ConfigFile),
	}
	if j := cmp.Or(h.SSH.Jump, s.SSH.Jump); j != nil {
		t.Jump = &Target{
			Name: "jump host " + j.Address, Address: j.Address, Port: j.Port, User: j.User,
			IdentityFiles: j.IdentityFiles, HostKey: j.HostKey, KnownHostsFile: t.KnownHostsFile,
			AcceptNew: t.AcceptNew, ConfigFile: t.ConfigFile,
		}
	}
	return t
}

func firstList(lists ...[]string) []string {
	for _, l := range lists {
		if len(l) > 0 {
			return l
		}
	}
	return nil
}
