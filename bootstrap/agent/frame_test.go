package agent

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"context"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestFramesThatAreRefused(t *testing.T) {
	huge := binary.BigEndian.AppendUint32(nil, frameLimit+1)
	for _, tc := range []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"half a length", []byte{0, 0}, io.ErrUnexpectedEOF},
		{"half a frame", []byte{0, 0, 0, 9, 'x'}, io.ErrUnexpectedEOF},
		{"a length alone", []byte{0, 0, 0, 9}, io.ErrUnexpectedEOF},
		{"too large", huge, errFrame},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := readFrame(bytes.NewReader(tc.in)); !errors.Is(err, tc.want) {
				t.Errorf("want %v, got %v", tc.want, err)
			}
		})
	}
	if err := writeFrame(io.Discard, make([]byte, frameLimit+1)); !errors.Is(err, errFrame) {
		t.Errorf("sending too much: want errFrame, got %v", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, '{'})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		b, err := readFrame(r)
		if err != nil {
			if b != nil {
				t.Errorf("%v, and yet %q", err, b)
			}
			return
		}
		var out bytes.Buffer
		if err := writeFrame(&out, b); err != nil {
			t.Fatal(err)
		}
		if read := in[:len(in)-r.Len()]; !bytes.Equal(out.Bytes(), read) {
			t.Errorf("%x was read, %x written", read, out.Bytes())
		}
	})
}

// exchangeBytes plays raw bytes to a server as one stream and returns what it answers.
func exchangeBytes(t *testing.T, h bootstrap.Host, in []byte) []byte {
	t.Helper()
	operator, agent := net.Pipe()
	defer operator.Close()
	go func() {
		operator.Write(in)
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		server{host: h}.handle(context.Background(), agent)
	}()
	out, err := io.ReadAll(operator)
	if err != nil {
		t.Fatal(err)
	}
	<-done
	return out
}

func frames(t *testing.T, documents ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, d := range documents {
		if err := writeFrame(&b, []byte(d)); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestRequestsThatAreRefused(t *testing.T) {
	for _, tc := range []struct{ name, request, want string }{
		{"unknown method", `{"method":"reboot","args":{}}`,
			`{"error":{"code":"method","text":"unknown method \"reboot\": this agent is of another version than the operator"}}`},
		{"another protocol", `{"method":"hello","args":{"protocol":2}}`,
			`{"error":{"text":"the operator speaks protocol 2, this agent 1; use one version of zkboot"}}`},
		{"unknown argument", `{"method":"lock","args":{"who":"anna","force":true}}`,
			`{"error":{"code":"frame","text":"bad frame: arguments of lock: json: unknown field \"force\""}}`},
		{"no arguments", `{"method":"lock"}`,
			`{"error":{"code":"frame","text":"bad frame: arguments of lock: EOF"}}`},
		{"unknown field", `{"method":"lock","deadline":3}`,
			`{"error":{"code":"frame","text":"bad frame: json: unknown field \"deadline\""}}`},
		{"no JSON", `hello`,
			`{"error":{"code":"frame","text":"bad frame: invalid character 'h' looking for beginning of value"}}`},
		{"unknown kind", `{"method":"change","args":{"steps":[{"action":"create","target":"vm:x","was":null,"want":{"kind":"vm","is":{}}}]}}`,
			`{"error":{"code":"frame","text":"bad frame: arguments of change: resource of unknown kind \"vm\""}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := exchangeBytes(t, &fakeHost{}, frames(t, tc.request))
			if want := frames(t, tc.want); !bytes.Equal(got, want) {
				t.Errorf("want %s\n got %s", want, got)
			}
		})
	}
}

func TestOversizedFrames(t *testing.T) {
	in := binary.BigEndian.AppendUint32(nil, frameLimit+1)
	want := frames(t, `{"error":{"code":"frame","text":"bad frame: 16777217 bytes announced, at most 16777216 may come"}}`)
	if got := exchangeBytes(t, &fakeHost{}, in); !bytes.Equal(got, want) {
		t.Errorf("request: want %s\n got %s", want, got)
	}

	l := start(t, &fakeHost{reveal: func(context.Context, string) (string, error) {
		return strings.Repeat("x", frameLimit), nil
	}}, ConnectOptions{})
	if _, err := l.Reveal(t.Context(), "/x"); !errors.Is(err, errFrame) || errors.Is(err, bootstrap.ErrUnreachable) {
		t.Errorf("result: want errFrame, got %v", err)
	}
	big := createStep("/etc/a")
	big.Want.Resource = bootstrap.File{Path: "/etc/a", Content: strings.Repeat("x", frameLimit)}
	if err := l.Change(t.Context(), big); !errors.Is(err, errFrame) || errors.Is(err, bootstrap.ErrUnreachable) {
		t.Errorf("arguments: want errFrame, got %v", err)
	}
}

// The bytes of one call, as they stand in a stream. They change only with Protocol.
func TestWireGolden(t *testing.T) {
	h := &fakeHost{change: func(ctx context.Context, steps ...bootstrap.Step) error {
		(&Host{}).noteFor(ctx)("waiting for the package lock")
		return &bootstrap.StepError{Index: 0, Step: steps[0], Err: fmt.Errorf("%w: mode was 0644, is 0600; plan again", bootstrap.ErrStale)}
	}}
	in := frames(t, `{"method":"change","args":{"steps":[{"action":"create","owner":"main.zookeeper","cluster":"c0ffee","target":"file:/etc/a",`+
		`"was":null,"want":{"kind":"file","is":{"path":"/etc/a","content":"x","mode":420,"owner":"root","group":"root"}},"from":"ensemble"}]}}`)
	got := "operator\n" + hex.Dump(in) + "agent\n" + hex.Dump(exchangeBytes(t, h, in))
	path := filepath.Join("testdata", "wire.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the wire changed; if that is meant, raise Protocol and run with -update\nwant\n%s\ngot\n%s", want, got)
	}
}
