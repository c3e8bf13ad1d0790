package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/sidecar"
	"github.com/zkboot/zkboot/bootstrap/ssh"
)

// How long to wait for a host that does not answer, where the spec says nothing: plan and
// apply may come right after the host was made, everything else is about hosts that stand.
const (
	firstBoot = 2 * time.Minute
	standing  = 5 * time.Second
)

// Environment variables that answer in place of a person.
const (
	envPassphrase = "ZKBOOT_SSH_PASSPHRASE"
	envSudo       = "ZKBOOT_SUDO_PASSWORD"
)

// overSSH reaches hosts over SSH. All hosts share one keyring and one sudo password.
func (s *session) overSSH() opener {
	ask := &secrets{session: s}
	keys := ssh.NewKeyring(ask.passphrase)
	return func(ctx context.Context, spec *bootstrap.Spec, host string) (bootstrap.Host, error) {
		open := ssh.Opener(ssh.OpenOptions{
			Patience:     cmp.Or(time.Duration(cmp.Or(spec.Hosts[host].SSH.Patience, spec.SSH.Patience)), s.patience),
			Keys:         keys,
			SudoPassword: ask.sudoPassword,
			Embedded:     sidecar.Opener(sidecar.Embedded()),
			Progress: func(host, note string) {
				// The columns name the host already.
				s.engine.Emit(bootstrap.Event{Kind: bootstrap.EventNote, Host: host, Step: strings.TrimPrefix(note, host+": ")})
			},
		})
		h, err := open(ctx, spec, host)
		return h, explained(err)
	}
}

// explained turns an error of package ssh into a finding, so that the next action stands on
// a line of its own.
func explained(err error) error {
	var e *ssh.Error
	if !errors.As(err, &e) {
		return err
	}
	return bootstrap.Finding{Severity: bootstrap.SeverityError, Host: e.Host, Step: e.Step, Text: e.Err.Error(), Hint: e.Hint,
		Err: fmt.Errorf("%w: %w", bootstrap.ErrUnreachable, err)}
}

// secrets answers for the operator: from the environment, else by asking once.
type secrets struct {
	session *session

	mu    sync.Mutex // one question at a time
	sudo  string
	err   error
	asked bool
}

func (q *secrets) passphrase(ctx context.Context, path string) (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.get(ctx, envPassphrase, "passphrase of "+path)
}

// sudoPassword is the same on all hosts, so that it is asked for once.
func (q *secrets) sudoPassword(ctx context.Context, host string) (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.asked {
		q.sudo, q.err = q.get(ctx, envSudo, "sudo password (asked for by "+host+")")
		q.asked = ctx.Err() == nil
	}
	return q.sudo, q.err
}

func (q *secrets) get(ctx context.Context, env, what string) (string, error) {
	app := q.session.app
	if v := app.getenv(env); v != "" {
		return v, nil
	}
	defer q.session.out.hold()()
	v, err := app.askSecret(ctx, what)
	if errors.Is(err, errNoTerminal) {
		err = fmt.Errorf("%w: set %s", err, env)
	}
	return v, err
}
