package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestDialCarriesBytesAndDeadlines(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var echo sync.WaitGroup
	defer echo.Wait()
	echo.Go(func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.Copy(conn, conn)
	})
	l := start(t, newTestHost(t, t.TempDir(), newFakeThings()), ConnectOptions{})
	conn, err := l.DialContext(t.Context(), "tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if conn.RemoteAddr().String() != server.Addr().String() {
		t.Errorf("remote address %s, want %s", conn.RemoteAddr(), server.Addr())
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // more than a window
	go conn.Write(sent)
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("the echo differs: %v", err)
	}
	conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	var timeout net.Error
	if _, err := conn.Read(got); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("want a timeout, got %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestDialReadsEOFWhenTheServerCloses(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() { // as ZooKeeper answers a four letter word
		conn, err := server.Accept()
		if err != nil {
			return
		}
		io.ReadFull(conn, make([]byte, 4))
		io.WriteString(conn, "imok")
		conn.Close()
	}()
	l := start(t, newTestHost(t, t.TempDir(), newFakeThings()), ConnectOptions{})
	conn, err := l.DialContext(t.Context(), "tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "ruok")
	if b, err := io.ReadAll(conn); err != nil || string(b) != "imok" {
		t.Errorf("want imok, got %q, %v", b, err)
	}
}

func TestDialRefusedIsToldApart(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := server.Addr().String()
	server.Close()
	l := start(t, newTestHost(t, t.TempDir(), newFakeThings()), ConnectOptions{})
	_, err = l.DialContext(t.Context(), "tcp", addr)
	if !strings.Contains(fmt.Sprint(err), "connection refused") || errors.Is(err, bootstrap.ErrUnreachable) {
		t.Errorf("want connection refused, got %v", err)
	}
}

func archiveStep(url string) bootstrap.Step {
	a := bootstrap.Archive{Dest: "/opt/zookeeper", URL: url, SHA512: "abc"}
	return bootstrap.Step{Action: bootstrap.ActionCreate, Target: a.ID(), Want: bootstrap.Thing{Resource: a}}
}

func TestBlobsComeFromTheOperator(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zookeeper.tar")
	content := bytes.Repeat([]byte("tar"), 100_000)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	open := fromOperator(func(context.Context, string, string) (io.ReadCloser, error) {
		return nil, errors.New("opened on the host")
	})
	h := &fakeHost{change: func(ctx context.Context, steps ...bootstrap.Step) error {
		a := steps[0].Want.Resource.(bootstrap.Archive)
		r, err := open(context.WithoutCancel(ctx), a.SHA512, a.URL)
		if err != nil {
			return err
		}
		defer r.Close()
		got, err := io.ReadAll(r)
		if err == nil && !bytes.Equal(got, content) {
			err = errors.New("the content differs")
		}
		return err
	}}
	l := start(t, h, ConnectOptions{})
	if err := l.Change(t.Context(), archiveStep("file://"+path)); err != nil {
		t.Error(err)
	}
	if err := l.Change(t.Context(), archiveStep("file://"+path+".missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("want os.ErrNotExist, got %v", err)
	}
}

// What the operator's program carries comes from there, and never from a file of that name.
func TestEmbeddedArchivesComeFromTheOperatorsProgram(t *testing.T) {
	var got []byte
	h := &fakeHost{change: func(ctx context.Context, steps ...bootstrap.Step) error {
		a := steps[0].Want.Resource.(bootstrap.Archive)
		m := &machine{blob: fromOperator(func(context.Context, string, string) (io.ReadCloser, error) {
			return nil, errors.New("opened on the host")
		})}
		r, err := m.fetch(ctx, a)
		if err != nil {
			return err
		}
		defer r.Close()
		got, err = io.ReadAll(r)
		return err
	}}
	carried := func(name string) (io.ReadCloser, error) {
		if name != "zkwatch-linux-arm64" {
			return nil, fmt.Errorf("no archive %s", name)
		}
		return io.NopCloser(strings.NewReader("packed")), nil
	}
	l := start(t, h, ConnectOptions{Embedded: carried})
	if err := l.Change(t.Context(), archiveStep("embedded:zkwatch-linux-arm64")); err != nil || string(got) != "packed" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := l.Change(t.Context(), archiveStep("embedded:zkwatch-linux-riscv64")); err == nil || err.Error() != "no archive zkwatch-linux-riscv64" {
		t.Errorf("an archive that is not carried: %v", err)
	}
	l = start(t, h, ConnectOptions{})
	if err := l.Change(t.Context(), archiveStep("embedded:zkwatch-linux-arm64")); err == nil || !strings.Contains(err.Error(), `carries no archive "zkwatch-linux-arm64"`) {
		t.Errorf("a program that carries none: %v", err)
	}
}

// A host that was broken into must not read the operator's files.
func TestBlobsThatNoStepNamesAreRefused(t *testing.T) {
	open := fromOperator(OpenFile)
	h := &fakeHost{change: func(ctx context.Context, steps ...bootstrap.Step) error {
		_, err := open(ctx, "abc", "file:///etc/hostname")
		return err
	}}
	l := start(t, h, ConnectOptions{})
	err := l.Change(t.Context(), archiveStep("file:///srv/zookeeper.tar"))
	if !errors.Is(err, bootstrap.ErrRefused) || !strings.Contains(err.Error(), "file:///etc/hostname") {
		t.Errorf("want ErrRefused that names the file, got %v", err)
	}
}

type brokenReader struct{ n int }

func (b *brokenReader) Read(p []byte) (int, error) {
	if b.n++; b.n > 2 {
		return 0, errors.New("disk read error")
	}
	return len(p), nil
}

func (b *brokenReader) Close() error { return nil }

func TestABrokenBlobIsNeverWhole(t *testing.T) {
	open := fromOperator(OpenFile)
	h := &fakeHost{change: func(ctx context.Context, steps ...bootstrap.Step) error {
		r, err := open(ctx, "abc", "file:///srv/a.tar")
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(io.Discard, r)
		return err
	}}
	l := start(t, h, ConnectOptions{Blob: func(context.Context, string, string) (io.ReadCloser, error) { return &brokenReader{}, nil }})
	if err := l.Change(t.Context(), archiveStep("file:///srv/a.tar")); err == nil || err.Error() != "disk read error" {
		t.Errorf("want the operator's own error, got %v", err)
	}
}
