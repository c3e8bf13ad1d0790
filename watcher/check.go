package watcher

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/zkboot/zkboot/watcher/config"
)

// checkBody is how much of an answer a check looks at.
const checkBody = 64 << 10

// A check asks a local service once whether it can serve. nil is yes. The error is for
// people: it names what was asked and what was seen, in one line and without the headers,
// the query or the body, which may hold secrets.
type check func(ctx context.Context) error

// newCheck makes the check that c describes. One that is not valid is an error here too,
// because the regular expression has to be compiled anyway.
func newCheck(c config.ServiceCheck) (check, error) {
	switch {
	case c.HTTP != "" && c.TCP == "" && len(c.Exec) == 0:
		return httpCheck(c)
	case c.TCP != "" && c.HTTP == "" && len(c.Exec) == 0:
		return tcpCheck(c.TCP), nil
	case len(c.Exec) > 0 && c.HTTP == "" && c.TCP == "":
		return execCheck(c.Exec), nil
	}
	return nil, errors.New("a check has exactly one of http, tcp and exec")
}

// tcpCheck passes when a connection can be made. Nothing is sent.
func tcpCheck(addr string) check {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return fmt.Errorf("tcp %s: %w", addr, plain(err))
		}
		return conn.Close()
	}
}

// httpProbe is a check by one GET request.
type httpProbe struct {
	client http.Client
	url    *url.URL
	shown  string // the URL without user, query and fragment
	host   string
	header http.Header
	status []int
	body   *regexp.Regexp
}

func httpCheck(c config.ServiceCheck) (check, error) {
	u, err := url.Parse(c.HTTP)
	if err != nil {
		return nil, errors.New("the url of the http check cannot be read") // err repeats it, with the password
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the url of the http check has the scheme %q and the host %q; it needs http or https and a host", u.Scheme, u.Host)
	}
	p := &httpProbe{url: u, status: c.Status, header: http.Header{"User-Agent": {"zkwatch"}},
		shown: (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()}
	if c.Body != "" {
		if p.body, err = regexp.Compile(c.Body); err != nil {
			return nil, fmt.Errorf("body of the http check: %w", err)
		}
	}
	for k, v := range c.Headers {
		if http.CanonicalHeaderKey(k) == "Host" { // net/http takes it from the request alone
			p.host = v
			continue
		}
		p.header.Set(k, v)
	}
	p.client = http.Client{
		// A check that followed a redirect would judge another service.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		// A connection of its own each time: a pooled one says nothing of whether the
		// service still accepts, and a proxy from the environment is never the local service.
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: checkBody,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: c.Insecure}},
	}
	return p.check, nil
}

func (p *httpProbe) check(ctx context.Context) error {
	req := (&http.Request{Method: http.MethodGet, URL: p.url, Host: p.host, Header: p.header.Clone()}).WithContext(ctx)
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("GET %s: %w", p.shown, plain(err))
	}
	defer resp.Body.Close()
	if len(p.status) == 0 && (resp.StatusCode < 200 || resp.StatusCode > 399) {
		return fmt.Errorf("GET %s: status %d, want 200 to 399", p.shown, resp.StatusCode)
	}
	if len(p.status) > 0 && !slices.Contains(p.status, resp.StatusCode) {
		return fmt.Errorf("GET %s: status %d, want one of %v", p.shown, resp.StatusCode, p.status)
	}
	if p.body == nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, checkBody))
	if err != nil {
		return fmt.Errorf("GET %s: status %d, then reading the body: %w", p.shown, resp.StatusCode, plain(err))
	}
	if !p.body.Match(body) {
		return fmt.Errorf("GET %s: status %d, but the body (%d bytes looked at) does not match %q", p.shown, resp.StatusCode, len(body), p.body)
	}
	return nil
}

// plain takes the layers off a network error that repeat the address, or the whole URL.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errTimeout
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		if errno, ok := errors.AsType[syscall.Errno](op.Err); ok {
			return errno
		}
		if op.Timeout() {
			return errTimeout
		}
	}
	return err
}

// errTimeout is the one failure that a starved machine can make up by itself; see doubt.
var errTimeout = errors.New("no answer in time")

// ours tells whether a check failed for want of something that this process lacks, which
// says nothing about the service.
func ours(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// line makes one short printable line of what a program said.
func line(b []byte) string {
	first, _, more := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
	s := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(first), "?"))
	if runes := []rune(s); len(runes) > 200 {
		s, more = string(runes[:200]), true
	}
	if s = strings.TrimSpace(s); more {
		s = strings.TrimSpace(s + " ...")
	}
	return s
}
