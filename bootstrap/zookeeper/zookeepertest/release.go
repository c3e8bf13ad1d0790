package zookeepertest

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// cacheDir keeps the archive between runs; take it away to get what Debian offers now.
const cacheDir = "/var/cache/zkboot/zookeeper"

// recipe is the name of the description of what is in the cache. It is counted up when the
// same packages make another archive.
const recipe = "release-1.json"

// buildWithin bounds two downloads of package lists and some 15 MB of packages.
const buildWithin = 8 * time.Minute

// Archive is a release archive on this machine.
type Archive struct {
	Version zookeeper.Version `json:"version"`
	File    string            `json:"file"`   // absolute path of a .tar.gz with one folder at its top
	SHA512  string            `json:"sha512"` // of the file, in lower-case hex
}

// Source is the archive as `ensemble.source` of a spec, a YAML flow mapping. url is where
// hosts find it; "" stands for the file on this machine.
func (a Archive) Source(url string) string {
	if url == "" {
		url = "file://" + a.File
	}
	return fmt.Sprintf("{tarball: {url: %q, sha512: %s}}", url, a.SHA512)
}

// Release returns the archive of a release without a fault that zkboot refuses, 3.9.5 or
// later. The first call on a machine builds it, which needs root, apt and Debian's mirror
// and takes about a minute; tests of other processes that ask meanwhile wait for it.
func Release(t testing.TB) Archive {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildWithin)
	defer cancel()
	a, err := cached(ctx, cacheDir, build)
	if err != nil {
		t.Fatalf("a ZooKeeper release for tests: %v", err)
	}
	return a
}

// cached returns what the cache holds, and builds it first where it holds nothing whole. One
// process builds at a time.
func cached(ctx context.Context, dir string, build func(ctx context.Context, dir string) (Archive, error)) (Archive, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Archive{}, err
	}
	unlock, err := lock(ctx, dir)
	if err != nil {
		return Archive{}, err
	}
	defer unlock()
	a, err := recall(dir)
	if err == nil {
		return a, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNotWhole) {
		return Archive{}, err
	}
	if a, err = build(ctx, dir); err != nil {
		return Archive{}, err
	}
	b, err := json.Marshal(a)
	if err != nil {
		return Archive{}, err
	}
	return a, replace(filepath.Join(dir, recipe), append(b, '\n'))
}

// errNotWhole is about an archive that is not what its description says.
var errNotWhole = errors.New("the cached archive is not whole")

// recall reads the description in the cache and holds the archive against it.
func recall(dir string) (Archive, error) {
	b, err := os.ReadFile(filepath.Join(dir, recipe))
	if err != nil {
		return Archive{}, err
	}
	var a Archive
	if err := json.Unmarshal(b, &a); err != nil {
		return Archive{}, fmt.Errorf("%w: %w", errNotWhole, err)
	}
	content, err := os.ReadFile(a.File)
	if err != nil {
		return Archive{}, err
	}
	if sum := sumOf(content); sum != a.SHA512 {
		return Archive{}, fmt.Errorf("%w: %s has the sum %.12s..., want %.12s...", errNotWhole, a.File, sum, a.SHA512)
	}
	return a, nil
}

// build assembles the archive: the jars of the server itself from Debian unstable, what they
// depend on from Debian 12, since unstable builds some of that for a later Java than Debian
// 12 has.
func build(ctx context.Context, dir string) (Archive, error) {
	work, err := os.MkdirTemp(dir, ".build-")
	if err != nil {
		return Archive{}, err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil { // apt downloads as a user of its own
		return Archive{}, err
	}
	version, jars, err := serverJars(ctx, filepath.Join(work, "unstable"))
	if err != nil {
		return Archive{}, err
	}
	others, err := otherJars(ctx, filepath.Join(work, "bookworm"))
	if err != nil {
		return Archive{}, err
	}
	content, err := pack(version, slices.Concat(jars, others))
	if err != nil {
		return Archive{}, err
	}
	a := Archive{Version: version, File: filepath.Join(dir, top(version)+".tar.gz"), SHA512: sumOf(content)}
	return a, replace(a.File, content)
}

// fixed reports whether a release has none of the faults that zkboot refuses. 3.9.5 is the
// oldest that tests are meant for.
func fixed(v zookeeper.Version) bool {
	return !v.Less(zookeeper.Version{Major: 3, Minor: 9, Patch: 5}) &&
		!slices.ContainsFunc(zookeeper.KnownIssues(), func(k zookeeper.KnownIssue) bool { return k.Refuse && k.In(v) })
}

func sumOf(content []byte) string {
	sum := sha512.Sum512(content)
	return hex.EncodeToString(sum[:])
}

// replace writes a file so that it is there whole or not at all.
func replace(path string, content []byte) error {
	next := path + ".next"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// lock takes the lock of the cache; it goes with the process, too.
func lock(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing releases it
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(&os.PathError{Op: "flock", Path: f.Name(), Err: err}, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("waiting for the lock %s: %w", f.Name(), context.Cause(ctx)), f.Close())
		case <-tick.C:
		}
	}
}
