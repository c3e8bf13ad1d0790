package ssh

import (
	"context"
	"errors"
	"net"
	"strings"

	xssh "golang.org/x/crypto/ssh"
)

// errScanned ends a handshake once the key has been seen, before any login.
var errScanned = errors.New("host key scanned")

// ScanHostKeys returns the host keys that t offers, one of each type, in our
// order of preference. It logs in to the jump host, if any, and never to t, and
// trusts nothing it sees: what to do with the keys is for a human to decide.
// Every key has proven, by signature, that the host holds its private half.
func ScanHostKeys(ctx context.Context, t Target, o Options) ([]xssh.PublicKey, error) {
	r, err := resolve(t, false)
	if err != nil {
		return nil, &Error{Host: t.Name, Step: "reading the SSH settings", Err: err}
	}
	d := &dialer{r: r, o: o.withDefaults()}
	defer func() { d.jump.Close() }()
	var keys []xssh.PublicKey
	for _, algos := range scanAlgorithms() {
		key, err := d.scan(ctx, algos)
		if err != nil {
			f := d.classify(err)
			return nil, d.giveUp(ctx, f, err, 1, 0)
		}
		if key != nil {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// scanAlgorithms groups signature algorithms by key type: RSA has two.
func scanAlgorithms() [][]string {
	var groups [][]string
	rsa := -1
	for _, a := range xssh.SupportedAlgorithms().HostKeys {
		switch {
		case strings.Contains(a, "-cert-"):
		case strings.HasPrefix(a, "rsa-") && rsa >= 0:
			groups[rsa] = append(groups[rsa], a)
		default:
			if strings.HasPrefix(a, "rsa-") {
				rsa = len(groups)
			}
			groups = append(groups, []string{a})
		}
	}
	return groups
}

// scan returns the key for one of algos, or nil if the host has none such.
func (d *dialer) scan(ctx context.Context, algos []string) (xssh.PublicKey, error) {
	raw, err := d.transport(ctx)
	if err != nil {
		return nil, err
	}
	var seen xssh.PublicKey
	cfg := &xssh.ClientConfig{
		User:              d.r.user,
		HostKeyAlgorithms: algos,
		HostKeyCallback: func(_ string, _ net.Addr, key xssh.PublicKey) error {
			seen = key
			return errScanned
		},
	}
	client, err := handshake(ctx, raw, d.r.keyAddr, cfg, d.r.target.Timeouts.Handshake, nil)
	var none *xssh.AlgorithmNegotiationError
	switch {
	case err == nil: // cannot happen: the callback never agrees
		return seen, client.Close()
	case errors.Is(err, errScanned):
		return seen, nil
	case errors.As(err, &none) && strings.Contains(none.What, "host key"):
		return nil, nil
	}
	return nil, err
}
