package ssh

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	xssh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"github.com/zkboot/zkboot/bootstrap"
)

// hostKeys decides about the key of one host: pin, then known_hosts, then our
// record. The first of them that knows the host has the word.
type hostKeys struct {
	addr     string // host:port
	pins     []xssh.PublicKey
	known    *knownhosts.HostKeyDB // nil without files
	recorded []xssh.PublicKey
	record   string // empty: nothing new is accepted

	fresh xssh.PublicKey // accepted as new, to be recorded after login
}

func newHostKeys(r *route) (*hostKeys, error) {
	h := &hostKeys{addr: r.keyAddr, pins: r.pins, record: r.record}
	if len(r.knownHosts) > 0 {
		db, err := knownhosts.NewDB(r.knownHosts...)
		if err != nil {
			return nil, err
		}
		h.known = db
	}
	if h.record != "" {
		pins, err := ReadPins(h.record)
		if err != nil {
			return nil, err
		}
		h.recorded = pinnedKeys(pins, knownhosts.Normalize(h.addr))
	}
	return h, nil
}

// algorithms are those that can prove a key on record. Without them a server
// with several keys may show one that we do not hold, which would look like a
// mismatch: https://go.dev/issue/29286.
func (h *hostKeys) algorithms() []string {
	var algos []string
	switch {
	case len(h.pins) > 0:
		algos = keyAlgorithms(h.pins)
	case h.known != nil && len(h.known.HostKeyAlgorithms(h.addr)) > 0:
		algos = h.known.HostKeyAlgorithms(h.addr)
	case len(h.recorded) > 0:
		algos = keyAlgorithms(h.recorded)
	default: // plain keys only: a certificate of an unknown authority cannot be recorded
		algos = slices.DeleteFunc(xssh.SupportedAlgorithms().HostKeys, func(a string) bool {
			return strings.Contains(a, "-cert-")
		})
	}
	// SHA-1 signatures are not proof: OpenSSH 8.8 switched them off.
	return slices.DeleteFunc(algos, func(a string) bool {
		return a == xssh.KeyAlgoRSA || a == xssh.CertAlgoRSAv01
	})
}

// keyAlgorithms maps key types to signature algorithms: one key format
// "ssh-rsa" has two of them (RFC 8332).
func keyAlgorithms(keys []xssh.PublicKey) []string {
	var algos []string
	for _, k := range keys {
		of := []string{k.Type()}
		if k.Type() == xssh.KeyAlgoRSA {
			of = []string{xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256}
		}
		for _, a := range of {
			if !slices.Contains(algos, a) {
				algos = append(algos, a)
			}
		}
	}
	return algos
}

// check is an xssh.HostKeyCallback.
func (h *hostKeys) check(_ string, _ net.Addr, key xssh.PublicKey) error {
	h.fresh = nil
	knownErr := h.checkKnown(key)
	var revoked *xknownhosts.RevokedError
	if errors.As(knownErr, &revoked) {
		return h.verdict(ErrHostKeyRevoked, key, nil)
	}
	if len(h.pins) > 0 {
		return h.checkAgainst(h.pins, "pinned", key)
	}
	var keyErr *xknownhosts.KeyError
	switch {
	case knownErr == nil:
		return nil
	case !errors.As(knownErr, &keyErr): // a certificate that does not hold
		return fmt.Errorf("%w (%w)", h.verdict(ErrHostKeyMismatch, key, nil), knownErr)
	case len(keyErr.Want) > 0:
		var expected []string
		for _, k := range keyErr.Want {
			expected = append(expected, fmt.Sprintf("%s (%s:%d)", describeKey(k.Key), k.Filename, k.Line))
		}
		return h.verdict(ErrHostKeyMismatch, key, expected)
	case len(h.recorded) > 0:
		return h.checkAgainst(h.recorded, h.record, key)
	case h.record != "":
		h.fresh = key
		return nil
	}
	return h.verdict(ErrHostKeyUnknown, key, nil)
}

// checkKnown asks the known_hosts files; without any the host is unknown. The
// remote address is left out on purpose: through a jump host it is 0.0.0.0:0,
// and the name on record is what the operator wrote.
func (h *hostKeys) checkKnown(key xssh.PublicKey) error {
	if h.known == nil {
		return &xknownhosts.KeyError{}
	}
	return h.known.HostKeyCallback()(h.addr, &net.TCPAddr{IP: net.IPv4zero}, key)
}

func (h *hostKeys) checkAgainst(keys []xssh.PublicKey, source string, key xssh.PublicKey) error {
	if containsKey(keys, key) {
		return nil
	}
	return h.verdict(ErrHostKeyMismatch, key, describeKeys(keys, source))
}

func (h *hostKeys) verdict(kind error, seen xssh.PublicKey, expected []string) error {
	return &HostKeyError{Addr: h.addr, Expected: expected, Seen: describeKey(seen),
		Key: bootstrap.PublicKey(string(xssh.MarshalAuthorizedKey(seen))), Err: kind}
}

// notOffered turns a failed negotiation into a mismatch: the host has no key of
// a kind that is on record.
func (h *hostKeys) notOffered(offered []string) *HostKeyError {
	e := &HostKeyError{Addr: h.addr, Seen: "only keys for " + strings.Join(offered, ", "), Err: ErrHostKeyMismatch}
	switch {
	case len(h.pins) > 0:
		e.Expected = describeKeys(h.pins, "pinned")
	case h.known != nil && len(h.known.HostKeys(h.addr)) > 0:
		for _, k := range h.known.HostKeys(h.addr) {
			e.Expected = append(e.Expected, describeKey(k.PublicKey)+" (known_hosts)")
		}
	default:
		e.Expected = describeKeys(h.recorded, h.record)
	}
	return e
}

// commit records a key that check accepted as new. It runs after login, not
// before: a host whose first boot is still replacing its keys would otherwise
// be recorded with one that is about to vanish.
func (h *hostKeys) commit() error {
	if h.fresh == nil {
		return nil
	}
	return recordNew(h.record, knownhosts.Normalize(h.addr), h.fresh)
}
