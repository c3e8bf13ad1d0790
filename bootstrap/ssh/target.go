package ssh

import (
	"context"
	"time"
)

// Target says how to reach one host. Fields left empty are looked up in the
// ssh client configuration under Address, as ssh(1) would; fields that are set
// always win.
type Target struct {
	Name    string // used in messages; Address when empty
	Address string // what one would type after ssh: name, alias or IP; Name when empty
	Port    int    // default: configuration, then 22
	User    string // default: configuration, then the local user

	// IdentityFiles are private keys; ~ is expanded. Each must exist. When
	// empty: IdentityFile of the configuration, then ssh's default names.
	IdentityFiles []string
	// AgentSocket is the ssh-agent's socket; "none" means no agent. When empty:
	// IdentityAgent of the configuration, then $SSH_AUTH_SOCK.
	AgentSocket string

	// HostKey pins the host's keys: lines of "type base64 [comment]", as in
	// /etc/ssh/ssh_host_*_key.pub. With pins nothing else is asked, except that
	// @revoked in a known_hosts file still counts.
	HostKey string
	// KnownHostsFile must exist when set. When empty: UserKnownHostsFile of the
	// configuration, then ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts as far
	// as they exist, and only when ConfigFile is not "none".
	KnownHostsFile string
	// AcceptNew is a file of ours in which the key of a host that nothing else
	// knows is recorded once we have logged in. Empty: unknown keys are refused.
	AcceptNew string

	// Jump is the host to go through, with its own user, keys and host key. One
	// hop only. When nil: ProxyJump of the configuration.
	Jump *Target

	// SudoPassword supplies the password of sudo when a command needs it. It
	// is called at most once per connection. Nil means sudo -n. No sudo is used
	// when User is root.
	SudoPassword func(ctx context.Context) (string, error)

	// ConfigFile is the ssh client configuration; "" means ~/.ssh/config if it
	// exists, "none" means that neither it nor the default known_hosts files
	// are read.
	ConfigFile string

	Timeouts Timeouts
}

// Timeouts bound the single waits within a connection. Zero fields take the
// default given with each.
type Timeouts struct {
	Dial      time.Duration // one TCP connect, also from the jump host; 10 s
	Handshake time.Duration // version exchange to logged in; 15 s
	Keepalive time.Duration // between keepalives, three missed ones close; 10 s
	Start     time.Duration // from exec to the agent's preamble; 30 s
}

func (t Timeouts) withDefaults() Timeouts {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Dial, 10 * time.Second},
		{&t.Handshake, 15 * time.Second},
		{&t.Keepalive, 10 * time.Second},
		{&t.Start, 30 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return t
}

// Options are what one run shares between all its targets.
type Options struct {
	// Patience bounds the waiting for a host that is still booting: refused,
	// timed out, reset and not yet authorized are retried until it is used up.
	// Zero means one attempt.
	Patience time.Duration
	// Events receives progress in plain sentences, for instance every 10 s what
	// is being waited for. It must not block. May be nil.
	Events func(string)
	// Keys remembers identity files and passphrases. Share one between all
	// calls of Dial, so that each passphrase is asked for once. Nil means a new
	// one that cannot ask.
	Keys *Keyring

	pace pace // shortened by tests
}

// pace is the rhythm of retries: exponential from first to max, a word every say.
type pace struct{ first, max, say time.Duration }

func (o Options) withDefaults() Options {
	if o.Events == nil {
		o.Events = func(string) {}
	}
	if o.Keys == nil {
		o.Keys = NewKeyring(nil)
	}
	if o.pace == (pace{}) {
		o.pace = pace{first: 500 * time.Millisecond, max: 5 * time.Second, say: 10 * time.Second}
	}
	return o
}
