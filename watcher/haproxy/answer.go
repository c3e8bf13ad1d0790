package haproxy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// answer says which text a command must be answered with.
type answer int

const (
	answerNone    answer = iota // nothing at all
	answerAddr                  // the new address, or that it was there already
	answerNew                   // a server was added
	answerAnyText               // the text itself is what was asked for
)

// command is one line of the runtime API with what it must be answered.
type command struct {
	text string
	want answer
	addr netip.AddrPort // of answerAddr
}

// check returns an error unless got is, word by word, what a success looks like. Texts are
// those of 2.6.12 and 3.0.11; anything else is a failure, as HAProxy has no result codes
// (jcmoraisjr/haproxy-ingress does the same in cmdResponseOK).
func (c command) check(got string) error {
	got = strings.TrimSuffix(got, "\n")
	ok := false
	switch c.want {
	case answerNone:
		ok = got == ""
	case answerAddr:
		ok = addressChanged(got, c.addr)
	case answerNew:
		ok = got == "New server registered."
	case answerAnyText:
		ok = !unknownCommand(got)
	}
	if ok {
		return nil
	}
	return &answerError{command: c.text, got: got}
}

// answerError is an answer that is not the one of a success.
type answerError struct{ command, got string }

func (e *answerError) Error() string {
	got := e.got
	if line, _, more := strings.Cut(got, "\n"); more {
		got = line + " ..."
	}
	return fmt.Sprintf("haproxy answered %s to %q", strconv.Quote(got), e.command)
}

func unknownCommand(got string) bool {
	return strings.HasPrefix(got, "Unknown command") || strings.HasPrefix(got, "Permission denied") || strings.HasPrefix(got, "Can't find")
}

// addressChanged reads the answer to "set server addr port": "IP changed from 'a' to 'b',
// port changed from 'c' to 'd' by 'stats socket command'", either half replaced by "no
// need to change the addr" and "no need to change the port" (2.6) or missing (3.0), and
// "nothing changed" when both are.
func addressChanged(got string, to netip.AddrPort) bool {
	if got == "nothing changed" {
		return true
	}
	got, ok := strings.CutSuffix(got, " by 'stats socket command'")
	if !ok {
		return false
	}
	for _, part := range strings.Split(got, ", ") {
		switch {
		case part == "no need to change the addr", part == "no need to change the port":
		case changed(part, "IP", to.Addr().String()):
		case changed(part, "port", strconv.Itoa(int(to.Port()))):
		default:
			return false
		}
	}
	return true
}

// changed reads "<what> changed from '...' to '<to>'".
func changed(part, what, to string) bool {
	rest, ok := strings.CutPrefix(part, what+" changed from '")
	if !ok {
		return false
	}
	_, rest, ok = strings.Cut(rest, "' to '")
	return ok && rest == to+"'"
}
