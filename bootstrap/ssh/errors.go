package ssh

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels for errors.Is. Each error of this package that has one of these
// causes wraps it inside an [Error], which adds host, step and next action.
var (
	// ErrUnreachable: no SSH conversation came about: name not found, refused,
	// timed out, reset, or ended during the handshake. Says nothing about
	// whether the host still exists. Retried within Options.Patience; after
	// that check address, firewall and whether the host has booted.
	ErrUnreachable = errors.New("host cannot be reached")

	// ErrAuth: the host accepted none of our keys, or we have none to offer.
	// Refusals are retried within Options.Patience, because sshd answers
	// before cloud-init has written authorized_keys; a local cause (missing
	// file, wrong passphrase) is not. Check user name and identity files.
	ErrAuth = errors.New("no key is accepted")

	// ErrHostKeyMismatch: the host showed another key than the one on record.
	// Never retried. Either the host was rebuilt (then re-pin it with
	// `zkboot hostkeys`) or somebody is in between.
	ErrHostKeyMismatch = errors.New("host key is not the one on record")

	// ErrHostKeyUnknown: nothing on record says which key the host has, or the
	// record cannot be read or written. Never retried. Compare the fingerprint with the provider's console and pin it.
	ErrHostKeyUnknown = errors.New("host key is unknown")

	// ErrHostKeyRevoked: a known_hosts file marks the key @revoked, which
	// outranks every pin. Never retried. Give the host a new key.
	ErrHostKeyRevoked = errors.New("host key is revoked")

	// ErrSudo: the user may not become root without a terminal or without a
	// password that we do not have. Never retried. Allow NOPASSWD, or supply
	// Target.SudoPassword, or connect as root.
	ErrSudo = errors.New("sudo refuses")

	// ErrSudoPassword: sudo rejected the password. Sent once only, so that a
	// typing error does not lock the account. Supply the right one.
	ErrSudoPassword = errors.New("sudo rejects the password")

	// ErrDiskFull: the agent does not fit on the host. What was written has
	// been removed. Free some space and run again.
	ErrDiskFull = errors.New("no space left on the host")

	// ErrNotExecutable: the agent is in place and the kernel will not run it:
	// noexec mount, security module or wrong architecture.
	ErrNotExecutable = errors.New("agent cannot be executed")

	// ErrAgent: the agent ran and did not greet as agreed, or ended early.
	// The error carries its exit status and the tail of its stderr.
	ErrAgent = errors.New("agent did not answer")
)

// Error is what every exported function of this package returns on failure.
type Error struct {
	Host string // name of the host as the caller knows it
	Step string // what was being done: "dialling 10.0.0.1:22"
	Err  error  // cause; wraps a sentinel of this package where one fits
	Hint string // next action for the operator; may be empty
}

// Error formats e as "host: step: cause; next: hint".
func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s: %v", e.Host, e.Step, e.Err)
	if e.Hint != "" {
		s += "; next: " + e.Hint
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// HostKeyError tells which key was expected and which one was seen. It wraps
// ErrHostKeyMismatch, ErrHostKeyUnknown or ErrHostKeyRevoked.
type HostKeyError struct {
	Addr     string   // host:port under which the key was looked up
	Expected []string // "ssh-ed25519 SHA256:... (known_hosts:3)"; empty when unknown
	Seen     string   // "ssh-ed25519 SHA256:..." or what the host offers instead
	Key      string   // the key that was seen, as bootstrap.PublicKey has it; empty when none was
	Err      error    // one of the three sentinels
}

// Error formats e on one line, expected keys first.
func (e *HostKeyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %s shows %s", e.Err, e.Addr, e.Seen)
	if len(e.Expected) > 0 {
		fmt.Fprintf(&b, ", expected %s", strings.Join(e.Expected, " or "))
	}
	return b.String()
}

// Unwrap returns the sentinel.
func (e *HostKeyError) Unwrap() error { return e.Err }

// failure is a classified cause: the sentinel it belongs to, whether waiting
// can help, and what the operator should do.
type failure struct {
	kind  error
	cause error
	retry bool
	hint  string
}

func (f *failure) Error() string   { return fmt.Sprintf("%v: %v", f.kind, f.cause) }
func (f *failure) Unwrap() []error { return []error{f.kind, f.cause} }
