package agent

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap"
)

// archiveMark is the file in Dest that says of which archive it was made, by sha512 in
// hex. It is written before Dest gets its name.
const archiveMark = ".zkboot-sha512"

// Names beside Dest while an archive is brought; left-overs of a crash are overwritten.
func archiveNames(base string) (download, fresh, old string) {
	return ".zkboot-" + base + ".download", ".zkboot-" + base + ".new", ".zkboot-" + base + ".old"
}

var hexSum = regexp.MustCompile(`^[0-9a-f]{128}$`)

func (m *machine) lookArchives(_ context.Context, g glance, s *sighting) {
	for _, name := range g.names {
		r, err := m.seeArchive(name)
		s.one(bootstrap.NewID(bootstrap.KindArchive, name), r, err)
	}
}

// seeArchive shows a directory that no archive of ours made without a sum.
func (m *machine) seeArchive(name string) (bootstrap.Resource, error) {
	dir, base, err := m.parent(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	info, err := dir.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is a %s, want a directory", name, typeName(info))
	}
	mark, err := m.read(name+"/"+archiveMark, 1024)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return bootstrap.Archive{Dest: name, SHA512: strings.TrimSpace(string(mark))}, nil
}

// putArchive brings an archive, checks its sum, unpacks it beside Dest and only then
// takes Dest's name. What was there before is removed last.
func (m *machine) putArchive(ctx context.Context, want bootstrap.Archive, note func(string)) error {
	if !hexSum.MatchString(want.SHA512) {
		return fmt.Errorf("sha512 %q is not 128 digits of hex in lower case", want.SHA512)
	}
	seen, err := m.seeArchive(want.Dest)
	if err != nil {
		return err
	}
	dir, base, err := m.makeParent(want.Dest)
	if err != nil {
		return err
	}
	defer dir.Close()
	download, fresh, old := archiveNames(base)
	if a, ok := seen.(bootstrap.Archive); ok {
		if a.SHA512 == want.SHA512 {
			return clear(dir, download, fresh, old)
		}
		if err := replaceable(dir, base, a); err != nil {
			return err
		}
	}
	if err := clear(dir, download, fresh); err != nil {
		return err
	}
	err = m.unpack(ctx, dir, want, note)
	if err == nil {
		err = swap(dir, base, fresh, old)
	}
	return errors.Join(spaceHint(want.Dest, err), clear(dir, download, fresh))
}

// replaceable refuses to take the place of a directory with files that are not ours.
func replaceable(dir *os.Root, base string, seen bootstrap.Archive) error {
	if seen.SHA512 != "" {
		return nil
	}
	entries, err := fs.ReadDir(dir.FS(), base)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s exists and was not unpacked by zkboot; move it away", seen.Dest)
	}
	return err
}

func clear(dir *os.Root, names ...string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, dir.RemoveAll(name))
	}
	return errors.Join(errs...)
}

// unpack leaves the finished tree in the fresh name. The sum is checked before the first
// byte is interpreted.
func (m *machine) unpack(ctx context.Context, dir *os.Root, want bootstrap.Archive, note func(string)) error {
	download, fresh, _ := archiveNames(baseName(want.Dest))
	f, err := dir.OpenFile(download, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	shown := shownURL(want.URL)
	note("bringing " + shown)
	src, err := m.fetch(ctx, want)
	if err != nil {
		return fmt.Errorf("bringing %s: %w", shown, err)
	}
	h := sha512.New()
	_, err = io.Copy(io.MultiWriter(f, h), src)
	if err := errors.Join(err, src.Close()); err != nil {
		return fmt.Errorf("bringing %s: %w", shown, err)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != want.SHA512 {
		return fmt.Errorf("%s has sha512 %s, want %s; nothing was unpacked", shown, sum, want.SHA512)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := dir.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	to, err := dir.OpenRoot(fresh)
	if err != nil {
		return err
	}
	defer to.Close()
	note("unpacking " + want.Dest)
	if err := untar(ctx, f, to); err != nil {
		return fmt.Errorf("unpacking %s: %w", shown, err)
	}
	if err := to.WriteFile(archiveMark, []byte(want.SHA512+"\n"), 0o644); err != nil {
		return err
	}
	return syncTree(to)
}

func baseName(p string) string { return p[strings.LastIndex(p, "/")+1:] }

// syncTree makes a whole tree durable with one call instead of one a file.
func syncTree(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}

// swap gives fresh the name base. A crash between the two renames leaves no base, which
// the next run sees as absent.
func swap(dir *os.Root, base, fresh, old string) error {
	if err := clear(dir, old); err != nil {
		return err
	}
	if err := dir.Rename(base, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := dir.Rename(fresh, base); err != nil {
		return errors.Join(err, dir.Rename(old, base))
	}
	return errors.Join(syncRoot(dir), clear(dir, old))
}

// shownURL is a URL without a password.
func shownURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return redact(raw)
	}
	return u.Redacted()
}

const (
	// headerWait is how long a server may take to begin an answer, and stallWait how
	// long it may pause in it. A slow link is no error, a dead one is.
	headerWait = 30 * time.Second
	stallWait  = 60 * time.Second
)

// fetch opens the archive wherever it lies.
func (m *machine) fetch(ctx context.Context, want bootstrap.Archive) (io.ReadCloser, error) {
	u, err := url.Parse(want.URL)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	switch u.Scheme {
	case "http", "https":
		return httpGet(ctx, want.URL)
	case "file", bootstrap.EmbeddedScheme:
		if m.blob == nil {
			return nil, errors.New("the operator's machine cannot be asked for files here")
		}
		return m.blob(ctx, want.SHA512, want.URL)
	}
	return nil, fmt.Errorf("scheme %q, want http, https, file or %s", u.Scheme, bootstrap.EmbeddedScheme)
}

// httpGet follows redirects to any host: the sum decides what is taken.
func httpGet(ctx context.Context, from string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	stall := time.AfterFunc(headerWait, func() { cancel(fmt.Errorf("no answer for %s", headerWait)) })
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	body := &download{stall: stall, stop: func() { cancel(nil); transport.CloseIdleConnections() },
		cause: func() error { return context.Cause(ctx) }}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		err = body.explain(err)
		body.Close()
		return nil, err
	}
	body.ReadCloser = resp.Body
	if resp.StatusCode != http.StatusOK {
		body.Close()
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	}
	return body, nil
}

// download is a body that ends with an error when nothing comes for stallWait.
type download struct {
	io.ReadCloser
	stall *time.Timer
	stop  func()
	cause func() error
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	d.stall.Reset(stallWait)
	n, err := d.ReadCloser.Read(p)
	return n, d.explain(err)
}

func (d *download) explain(err error) error {
	if cause := d.cause(); err != nil && err != io.EOF && cause != nil {
		return cause
	}
	return err
}

// Close implements io.Closer.
func (d *download) Close() error {
	d.stall.Stop()
	defer d.stop()
	if d.ReadCloser == nil {
		return nil
	}
	return d.ReadCloser.Close()
}

// deleteArchive removes what an archive of ours made.
func (m *machine) deleteArchive(name string, note func(string)) error {
	seen, err := m.seeArchive(name)
	if err != nil {
		return err
	}
	if a, ok := seen.(bootstrap.Archive); ok && a.SHA512 == "" {
		note("left " + name + ": it was not unpacked by zkboot")
		return nil
	}
	dir, base, err := m.parent(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	download, fresh, old := archiveNames(base)
	// Renamed first: a tree that is half removed would still carry its mark.
	if err := clear(dir, old); err != nil {
		return err
	}
	if err := dir.Rename(base, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(syncRoot(dir), clear(dir, download, fresh, old))
}
