package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// endless is a file without an end; it knows how much of it was read.
type endless struct {
	read   atomic.Int64
	closed chan struct{}
}

func (e *endless) Read(p []byte) (int, error) { e.read.Add(int64(len(p))); return len(p), nil }
func (e *endless) Close() error               { close(e.closed); return nil }

func TestDataIsStreamedWhole(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	h := &fakeHost{
		list: func(_ context.Context, dir string) ([]bootstrap.DataFile, error) {
			return []bootstrap.DataFile{{Name: dir, Size: 9, Used: 4}}, nil
		},
		read: func(_ context.Context, path string, size int64) (io.ReadCloser, error) {
			if path != "/data/log.1" {
				return nil, bootstrap.ErrRefused
			}
			return io.NopCloser(bytes.NewReader(content[:size])), nil
		},
	}
	l := start(t, h, ConnectOptions{})
	files, err := l.ListData(t.Context(), "/data")
	wantEqual(t, files, []bootstrap.DataFile{{Name: "/data", Size: 9, Used: 4}})
	if err != nil {
		t.Error(err)
	}
	for _, size := range []int{0, 1, len(content)} {
		r, err := l.ReadData(t.Context(), "/data/log.1", int64(size))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, content[:size]) {
			t.Errorf("%d bytes, %v; want %d", len(got), err, size)
		}
	}
	if _, err := l.ReadData(t.Context(), "/etc/shadow", 1); !errors.Is(err, bootstrap.ErrRefused) {
		t.Errorf("got %v, want the host's refusal", err)
	}
}

// An error in the middle of a file is told, and what came before it is not the whole file.
func TestAFileThatBreaksOffIsNeverWhole(t *testing.T) {
	h := &fakeHost{read: func(context.Context, string, int64) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(make([]byte, 100_000)), iotest.ErrReader(errors.New("it became shorter")))), nil
	}}
	l := start(t, h, ConnectOptions{})
	r, err := l.ReadData(t.Context(), "/data/log.1", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = io.ReadAll(r)
	wantError(t, err, "it became shorter")
	if errors.Is(err, bootstrap.ErrUnreachable) {
		t.Errorf("%v says that the host is away", err)
	}
}

// A reader that does not read holds the host back: no more travels than the window of the
// stream. And it ends on the host when the reader, the call or the connection does.
func TestStreamsHoldBackAndEnd(t *testing.T) {
	for name, end := range map[string]func(io.Closer, context.CancelFunc, *line){
		"the reader is closed":     func(r io.Closer, _ context.CancelFunc, _ *line) { r.Close() },
		"the call is cancelled":    func(_ io.Closer, cancel context.CancelFunc, _ *line) { cancel() },
		"the connection is closed": func(_ io.Closer, _ context.CancelFunc, l *line) { l.operator.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			file := &endless{closed: make(chan struct{})}
			h := &fakeHost{read: func(context.Context, string, int64) (io.ReadCloser, error) { return file, nil }}
			l := start(t, h, ConnectOptions{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := l.ReadData(ctx, "/data/log.1", 1<<40)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.CopyN(io.Discard, r, 1<<20); err != nil {
				t.Fatal(err)
			}
			still := file.read.Load()
			for tries := 0; tries < 3; { // until it has stood still for a while
				time.Sleep(20 * time.Millisecond)
				if now := file.read.Load(); now == still {
					tries++
				} else {
					still, tries = now, 0
				}
				if still > 64<<20 {
					t.Fatalf("%d bytes were read although nobody took them", still)
				}
			}
			end(r, cancel, l)
			select {
			case <-file.closed:
			case <-time.After(20 * time.Second):
				t.Fatal("the host still reads")
			}
			if _, err := io.Copy(io.Discard, r); err == nil {
				t.Error("the stream ended as if the file were whole")
			}
		})
	}
}
