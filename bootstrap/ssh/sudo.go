package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// sudoPassword asks for the password at most once per connection.
type sudoPassword struct {
	ask func(context.Context) (string, error)

	mu    sync.Mutex
	asked bool
	value string
	err   error
}

func (s *sudoPassword) get(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked {
		s.value, s.err = s.ask(ctx)
		if s.err == nil && strings.ContainsAny(s.value, "\r\n") {
			s.err = errors.New("it holds a line break")
		}
		s.asked = ctx.Err() == nil
	}
	return s.value, s.err
}

// known returns the password if it has been asked for. Until then sudo runs with -n, so
// that nobody is asked for a password that the host does not want.
func (s *sudoPassword) known() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value, s.asked && s.err == nil
}

// errSudoAsks: sudo would go on if it had a password.
var errSudoAsks = errors.New("sudo asks for a password")

// supply asks for the password when that is what err complains about, and reports whether
// it is worth trying again.
func (s *sudoPassword) supply(ctx context.Context, err error) (bool, error) {
	if s.ask == nil || !errors.Is(err, errSudoAsks) {
		return false, err
	}
	if _, known := s.known(); known {
		return false, err
	}
	if _, err := s.get(ctx); err != nil {
		return false, &failure{kind: ErrSudo, cause: fmt.Errorf("sudo password: %w", err)}
	}
	return true, nil
}

func sudoPasswordRejected() error {
	return &failure{kind: ErrSudoPassword, cause: errors.New("sudo asked for it a second time"),
		hint: "supply the right sudo password; it was sent once only"}
}

// sudoFailure recognises why sudo did not run a command, or returns nil. The
// texts are those of sudo 1.8 to 1.9 (plugins/sudoers/{check,logging,parse}.c)
// and of its Rust rewrite, in the C locale.
func sudoFailure(err error) error {
	var exit *exitError
	if !errors.As(err, &exit) {
		return nil
	}
	for _, f := range []struct {
		text, hint string
		asks       bool
	}{
		{text: "you must have a tty", hint: "requiretty is set: add `Defaults:USER !requiretty` to sudoers"},
		{"a password is required", "allow the user NOPASSWD in sudoers, or supply the sudo password", true},
		{"a terminal is required", "allow the user NOPASSWD in sudoers, or supply the sudo password", true},
		{text: "not in the sudoers file", hint: "add the user to sudoers, or connect as root"},
		{text: "is not allowed to execute", hint: "sudoers must allow the user to run any command as root"},
		{text: "may not run sudo", hint: "add the user to sudoers, or connect as root"},
		{text: "no new privileges", hint: "the login runs with no_new_privs (a container?): connect as root"},
		{text: "effective uid is not 0", hint: "sudo lacks its setuid bit, or its file system is mounted nosuid"},
		{text: "'sudo': No such file", hint: "install sudo, or connect as root"},
		{text: "can't execute 'sudo'", hint: "install sudo, or connect as root"},
	} {
		if strings.Contains(exit.stderr, f.text) {
			if f.asks {
				err = fmt.Errorf("%w: %w", errSudoAsks, err)
			}
			return &failure{kind: ErrSudo, cause: err, hint: f.hint}
		}
	}
	if strings.Contains(exit.stderr, "incorrect password") || strings.Contains(exit.stderr, "no password was provided") {
		return &failure{kind: ErrSudoPassword, cause: err, hint: "supply the right sudo password"}
	}
	return nil
}
