// Package ssh brings zkboot to a host: it dials, checks the host key, goes
// through a jump host, becomes root, puts the agent in place and hands over
// the agent's standard input and output as one stream.
//
//	conn, err := ssh.Dial(ctx, target, ssh.Options{Patience: 5 * time.Minute})
//	...
//	stream, err := conn.StartAgent(ctx, agent)
//
// Host keys are always checked; there is no option to ignore them. A key is
// trusted because it is pinned, because a known_hosts file holds it, or because
// the caller named a record file of ours in which new keys may be kept.
//
// The package refuses to write to ~/.ssh, to run ProxyCommand, to allocate a
// terminal, to quote words for a shell (a word that would need quoting is an
// error), and to put a password or a passphrase into an argument, an event or
// an error. It knows nothing of what travels over the stream.
package ssh
