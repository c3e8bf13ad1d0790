package agent

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
)

// operator is the far end of a call that came over a stream. It travels in the
// context of the call, as httptrace.ClientTrace does, because it belongs to the call
// and not to the Host.
type operator struct {
	note func(string)
	blob BlobFunc
}

type operatorKey struct{}

func withOperator(ctx context.Context, o operator) context.Context {
	return context.WithValue(ctx, operatorKey{}, o)
}

// noteFor returns who hears what a call is doing.
func (h *Host) noteFor(ctx context.Context) func(string) {
	if o, ok := ctx.Value(operatorKey{}).(operator); ok {
		return o.note
	}
	return h.note
}

// fromOperator asks the operator's machine for blobs where there is one.
func fromOperator(local BlobFunc) BlobFunc {
	return func(ctx context.Context, sha512, url string) (io.ReadCloser, error) {
		if o, ok := ctx.Value(operatorKey{}).(operator); ok {
			return o.blob(ctx, sha512, url)
		}
		return local(ctx, sha512, url)
	}
}

// OpenFile is the BlobFunc of the machine it runs on: it opens the file that a URL
// such as file:///srv/zookeeper.tar.gz names.
func OpenFile(_ context.Context, _, rawURL string) (io.ReadCloser, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if u.Scheme != "file" || (u.Host != "" && u.Host != "localhost") || u.Path == "" {
		return nil, fmt.Errorf("archive: want a URL such as file:///srv/archive.tar.gz, found %s", u.Redacted())
	}
	f, err := os.Open(u.Path)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return f, nil
}
