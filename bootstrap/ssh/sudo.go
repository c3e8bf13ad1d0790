package ssh

import (
	"context"
	"errors"
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
	for _, f := range []struct{ text, hint string }{
		{"you must have a tty", "requiretty is set: add `Defaults:USER !requiretty` to sudoers"},
		{"a password is required", "allow the user NOPASSWD in sudoers, or supply the sudo password"},
		{"a terminal is required", "allow the user NOPASSWD in sudoers, or supply the sudo password"},
		{"not in the sudoers file", "add the user to sudoers, or connect as root"},
		{"is not allowed to execute", "sudoers must allow the user to run any command as root"},
		{"may not run sudo", "add the user to sudoers, or connect as root"},
		{"no new privileges", "the login runs with no_new_privs (a container?): connect as root"},
		{"effective uid is not 0", "sudo lacks its setuid bit, or its file system is mounted nosuid"},
		{"'sudo': No such file", "install sudo, or connect as root"},
		{"can't execute 'sudo'", "install sudo, or connect as root"},
	} {
		if strings.Contains(exit.stderr, f.text) {
			return &failure{kind: ErrSudo, cause: err, hint: f.hint}
		}
	}
	if strings.Contains(exit.stderr, "incorrect password") || strings.Contains(exit.stderr, "no password was provided") {
		return &failure{kind: ErrSudoPassword, cause: err, hint: "supply the right sudo password"}
	}
	return nil
}
