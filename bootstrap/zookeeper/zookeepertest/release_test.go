package zookeepertest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// builder counts its calls and writes an archive of one word.
func builder(calls *atomic.Int32) func(context.Context, string) (Archive, error) {
	return func(_ context.Context, dir string) (Archive, error) {
		calls.Add(1)
		a := Archive{Version: zookeeper.Version{Major: 3, Minor: 9, Patch: 5}, File: filepath.Join(dir, "a.tar.gz"), SHA512: sumOf([]byte("whole"))}
		return a, replace(a.File, []byte("whole"))
	}
}

func TestCacheBuildsOnce(t *testing.T) {
	dir := t.TempDir()
	var calls atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := cached(t.Context(), dir, builder(&calls)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := calls.Load(); n != 1 {
		t.Errorf("built %d times, want once", n)
	}
}

func TestCacheReplacesWhatIsNotWhole(t *testing.T) {
	for name, harm := range map[string]func(dir string) error{
		"archive cut short":      func(dir string) error { return os.WriteFile(filepath.Join(dir, "a.tar.gz"), []byte("who"), 0o644) },
		"archive gone":           func(dir string) error { return os.Remove(filepath.Join(dir, "a.tar.gz")) },
		"description cut short":  func(dir string) error { return os.WriteFile(filepath.Join(dir, recipe), []byte(`{"vers`), 0o644) },
		"description taken away": func(dir string) error { return os.Remove(filepath.Join(dir, recipe)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var calls atomic.Int32
			for range 2 {
				if _, err := cached(t.Context(), dir, builder(&calls)); err != nil {
					t.Fatal(err)
				}
			}
			if err := harm(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := cached(t.Context(), dir, builder(&calls)); err != nil {
				t.Fatal(err)
			}
			if n := calls.Load(); n != 2 {
				t.Errorf("built %d times, want twice", n)
			}
		})
	}
}

func TestCacheKeepsNothingOfAFailedBuild(t *testing.T) {
	dir, cause := t.TempDir(), errors.New("no network")
	_, err := cached(t.Context(), dir, func(context.Context, string) (Archive, error) { return Archive{}, cause })
	if !errors.Is(err, cause) {
		t.Fatalf("found %v, want %v", err, cause)
	}
	var calls atomic.Int32
	if _, err := cached(t.Context(), dir, builder(&calls)); err != nil || calls.Load() != 1 {
		t.Errorf("%v after %d builds, want one", err, calls.Load())
	}
}

func TestTreeFollowsLinks(t *testing.T) {
	files := tree{
		"/a.jar": {link: "/b.jar"}, "/b.jar": {link: "/c.jar"}, "/c.jar": {content: []byte("c")},
		"/x.jar": {link: "/y.jar"}, "/y.jar": {link: "/x.jar"}, "/lost.jar": {link: "/nowhere.jar"},
	}
	if got, err := files.read("/a.jar"); err != nil || string(got) != "c" {
		t.Errorf("/a.jar: %q, %v", got, err)
	}
	for at, want := range map[string]string{"/x.jar": "circle", "/lost.jar": "/nowhere.jar", "/none.jar": "none of the packages"} {
		if _, err := files.read(at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", at, err, want)
		}
	}
}

func TestPackIsAnArchiveAsApachePublishesThem(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range []string{"META-INF/MANIFEST.MF", "a/A.class"} {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	jars := []jar{{"zookeeper", b.Bytes()}, {"another", b.Bytes()}}
	v := zookeeper.Version{Major: 3, Minor: 9, Patch: 5}
	content, err := pack(v, jars)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := pack(v, jars); err != nil || !bytes.Equal(again, content) {
		t.Errorf("the same jars made other bytes (%v)", err)
	}
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for archive := tar.NewReader(r); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, head.Name)
		inner, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(inner), int64(len(inner)))
		if err != nil {
			t.Fatalf("%s: %v", head.Name, err)
		}
		if len(z.File) != 1 || !strings.HasSuffix(z.File[0].Name, ".class") {
			t.Errorf("%s holds %d files, want one class and no manifest", head.Name, len(z.File))
		}
	}
	const lib = "apache-zookeeper-3.9.5-bin/lib/"
	if want := []string{lib + "another.jar", lib + "prometheus-stub.jar", lib + "zookeeper.jar"}; !slices.Equal(names, want) {
		t.Errorf("found %q, want %q", names, want)
	}
}

func TestFixed(t *testing.T) {
	for text, want := range map[string]bool{"3.8.0": false, "3.8.6": false, "3.9.3": false, "3.9.4": false, "3.9.5": true, "3.10.0": true} {
		v, err := zookeeper.ParseVersion(text)
		if err != nil {
			t.Fatal(err)
		}
		if fixed(v) != want {
			t.Errorf("%s: %t, want %t", text, !want, want)
		}
	}
}

func TestVersionOfAPackage(t *testing.T) {
	if v, err := versionOf("/x/libzookeeper-java_1%3a3.9.5-1_all.deb"); err != nil || v.String() != "3.9.5" {
		t.Errorf("%s, %v", v, err)
	}
	if _, err := versionOf("/x/libzookeeper-java_new_all.deb"); err == nil {
		t.Error("a package without a version was taken")
	}
}
