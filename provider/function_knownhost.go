package provider

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/function"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Positions of the arguments of known_host.
const (
	knownAddress = iota
	knownPort
	knownKey
)

// knownHostFunction is known_host.
func knownHostFunction() function.Function {
	return &pureFunction{name: "known_host", run: runKnownHost, definition: function.Definition{
		Summary: "A line for a known_hosts file.",
		MarkdownDescription: "Makes the line of a known_hosts file that pins the public key of one host, in the form that OpenSSH writes: the address alone " +
			"at port 22, `[address]:port` elsewhere. A comment behind the key is dropped.\n\n" +
			"With `host_key`, zkboot needs no such file; it is for other programs that connect to the same hosts.",
		Parameters: []function.Parameter{
			function.StringParameter{Name: "address", MarkdownDescription: "IP address or host name, as it is written where one connects to it."},
			function.Int64Parameter{Name: "port", MarkdownDescription: "SSH port, usually 22."},
			function.StringParameter{Name: "key", MarkdownDescription: "Public host key, such as `ssh-ed25519 AAAA...`."},
		},
		Return: function.StringReturn{},
	}}
}

func runKnownHost(ctx context.Context, args function.ArgumentsData) (any, *function.FuncError) {
	var address, text string
	var port int64
	if err := args.Get(ctx, &address, &port, &text); err != nil {
		return nil, err
	}
	// Patterns have no place here: a line for "*" would let any host in.
	if !isHost(address) {
		return nil, function.NewArgumentFuncError(knownAddress, fmt.Sprintf("want an IP address or a host name, without a port, found %q", address))
	}
	if !isPort(port) {
		return nil, function.NewArgumentFuncError(knownPort, fmt.Sprintf("want a port from 1 to 65535, found %d", port))
	}
	key, err := publicKey(text)
	if err != nil {
		return nil, function.NewArgumentFuncError(knownKey, err.Error())
	}
	return knownhosts.Line([]string{net.JoinHostPort(address, strconv.FormatInt(port, 10))}, key), nil
}

// publicKey reads one public key. Its errors do not show the text, which by mistake may be
// a private key.
func publicKey(text string) (ssh.PublicKey, error) {
	const want = `want one public key such as "ssh-ed25519 AAAA..."`
	text = strings.TrimSpace(text)
	switch {
	case strings.Contains(text, "PRIVATE KEY"):
		return nil, fmt.Errorf("%s, found a private key: give the content of its .pub file", want)
	case strings.Contains(text, "\n"):
		// ParseAuthorizedKey passes over lines that it cannot read.
		return nil, fmt.Errorf("%s, found %d lines: call the function for each", want, strings.Count(text, "\n")+1)
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(text))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s, found text that is none: %w", want, err)
	case len(options) > 0:
		return nil, fmt.Errorf("%s, found %d words before it: leave them out", want, len(options))
	}
	if _, is := key.(*ssh.Certificate); is {
		return nil, fmt.Errorf("%s, found a certificate: give the key that it is for", want)
	}
	return key, nil
}
