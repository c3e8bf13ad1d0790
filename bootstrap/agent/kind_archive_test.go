package agent

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/zkboot/zkboot/bootstrap"
)

// tarball packs entries; a file's content is its Linkname.
func tarball(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func entry(kind byte, name, content string) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Linkname: content, Mode: 0o644}
}

func release(t *testing.T) []byte {
	run := entry(tar.TypeReg, "apache-zookeeper/bin/zkServer.sh", "#!/bin/sh\n")
	run.Mode = 0o6775
	return tarball(t, entry(tar.TypeDir, "apache-zookeeper/", ""),
		run,
		entry(tar.TypeReg, "apache-zookeeper/lib/zookeeper.jar", "jar"),
		entry(tar.TypeSymlink, "apache-zookeeper/lib/zk.jar", "zookeeper.jar"),
		entry(tar.TypeSymlink, "apache-zookeeper/lib/up", "../bin/zkServer.sh"),
		entry(tar.TypeLink, "apache-zookeeper/lib/hard.jar", "apache-zookeeper/lib/zookeeper.jar"))
}

func sumOf(b []byte) string {
	sum := sha512.Sum512(b)
	return hex.EncodeToString(sum[:])
}

// archiveOf wants b, which the sandbox's operator has.
func (s *sandbox) archiveOf(b []byte) bootstrap.Archive {
	s.blob = func(context.Context, string, string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	return bootstrap.Archive{Dest: "/opt/zkboot/zookeeper", URL: "file:///x.tar.gz", SHA512: sumOf(b)}
}

func gzipped(t *testing.T, b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t *testing.T, b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func TestArchiveIsUnpackedWithoutItsTopFolder(t *testing.T) {
	plain := release(t)
	for name, b := range map[string][]byte{"plain": plain, "gzip": gzipped(t, plain), "zstd": zstded(t, plain)} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			a := s.archiveOf(b)
			s.settle(a)
			wantEqual(t, s.files("/opt/zkboot"), []string{"zookeeper"})
			wantEqual(t, s.files(a.Dest), []string{archiveMark, "bin", "lib"})
			wantEqual(t, s.get(a.Dest+"/lib/zk.jar"), "jar")
			wantEqual(t, s.get(a.Dest+"/lib/up"), "#!/bin/sh\n")
			wantEqual(t, s.get(a.Dest+"/lib/hard.jar"), "jar")
			for p, want := range map[string]os.FileMode{"/bin/zkServer.sh": 0o755, "/lib/zookeeper.jar": 0o644, "/lib": 0o755 | os.ModeDir} {
				info, err := os.Stat(s.under(a.Dest + p))
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, info.Mode(), want)
			}
			s.must(removes(a))
			wantEqual(t, s.files("/opt/zkboot"), nil)
		})
	}
}

func TestArchiveReplacesTheOldVersionAsAWhole(t *testing.T) {
	s := newSandbox(t)
	s.settle(s.archiveOf(release(t)))
	s.put("/opt/zkboot/.zkboot-zookeeper.new/half", "of a run that died")
	s.put("/opt/zkboot/.zkboot-zookeeper.download", "of a run that died")
	s.put("/opt/zkboot/.zkboot-zookeeper.old/half", "of a run that died")
	next := s.archiveOf(tarball(t, entry(tar.TypeReg, "./v2/README", "two")))
	s.settle(next)
	wantEqual(t, s.files("/opt/zkboot"), []string{"zookeeper"})
	wantEqual(t, s.files(next.Dest), []string{archiveMark, "README"})
}

func TestArchiveThatIsRefusedLeavesNothing(t *testing.T) {
	long := strings.Repeat("a/", 20)
	tests := map[string]struct {
		entries []tar.Header
		want    string
	}{
		"empty":           {nil, "the archive is empty"},
		"absolute":        {[]tar.Header{entry(tar.TypeReg, "/etc/cron.d/x", "x")}, `"/etc/cron.d/x" leads out of the archive`},
		"parent":          {[]tar.Header{entry(tar.TypeReg, "a/../../x", "x")}, `"a/../../x" leads out of the archive`},
		"two tops":        {[]tar.Header{entry(tar.TypeReg, "a/x", "x"), entry(tar.TypeReg, "b/x", "x")}, "the folders a and b at its top"},
		"file on top":     {[]tar.Header{entry(tar.TypeReg, "x", "x")}, "x lies at the top of the archive"},
		"absolute link":   {[]tar.Header{entry(tar.TypeSymlink, "a/x", "/etc/passwd")}, `symbolic link to "/etc/passwd" leads out`},
		"parent link":     {[]tar.Header{entry(tar.TypeSymlink, "a/b/x", "../../x")}, `symbolic link to "../../x" leads out`},
		"winding link":    {[]tar.Header{entry(tar.TypeSymlink, "a/x", "y/../../z")}, `symbolic link to "y/../../z" leads out`},
		"through a link":  {[]tar.Header{entry(tar.TypeSymlink, "a/x", "."), entry(tar.TypeSymlink, "a/x/y", "../z")}, "x is a symbolic link, want a folder"},
		"hard link":       {[]tar.Header{entry(tar.TypeLink, "a/x", "../etc/passwd")}, `hard link to "../etc/passwd" leads out`},
		"device":          {[]tar.Header{entry(tar.TypeChar, "a/null", "")}, "want files, folders and links"},
		"same name twice": {[]tar.Header{entry(tar.TypeSymlink, "a/x", "y"), entry(tar.TypeReg, "a/x", "x")}, "a/x: "},
		"cut":             {[]tar.Header{entry(tar.TypeReg, "a/"+long+"x", strings.Repeat("x", 9000))}, "unexpected EOF"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			b := tarball(t, tt.entries...)
			if name == "cut" {
				b = b[:4096]
			}
			err := s.do(creates(s.archiveOf(b)))
			wantError(t, err, tt.want)
			wantEqual(t, s.files("/opt/zkboot"), nil)
		})
	}
}

func TestArchiveOfAnotherSumIsNotEvenRead(t *testing.T) {
	s := newSandbox(t)
	old := s.archiveOf(release(t))
	s.settle(old)
	bad := s.archiveOf([]byte("not a tar archive"))
	sum := bad.SHA512
	bad.SHA512 = strings.Repeat("0", 128)
	wantError(t, s.do(creates(bad)), "file:///x.tar.gz has sha512 "+sum+", want "+bad.SHA512+"; nothing was unpacked")
	wantEqual(t, s.see(old.ID()), bootstrap.Resource(bootstrap.Archive{Dest: old.Dest, SHA512: old.SHA512}))
	wantEqual(t, s.files("/opt/zkboot"), []string{"zookeeper"})
}

func TestArchiveDoesNotTakeTheFilesOfOthers(t *testing.T) {
	s := newSandbox(t)
	a := s.archiveOf(release(t))
	s.put(a.Dest+"/theirs", "x")
	wantError(t, s.do(creates(a)), a.Dest+" exists and was not unpacked by zkboot; move it away")
	s.must(removes(a))
	wantEqual(t, s.get(a.Dest+"/theirs"), "x")
	wantEqual(t, s.notes, []string{"left " + a.Dest + ": it was not unpacked by zkboot"})
}

func TestArchiveErrorsOnTheWay(t *testing.T) {
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cut":
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "short")
		default:
			http.NotFound(w, r)
		}
	}))
	defer mirror.Close()
	host := strings.TrimPrefix(mirror.URL, "http://")
	tests := map[string]struct{ url, want string }{
		"not found":      {mirror.URL + "/none", "bringing " + mirror.URL + "/none: the server answered 404 Not Found"},
		"cut":            {mirror.URL + "/cut", "unexpected EOF"},
		"login is hid":   {"http://joe:geheim@" + host + "/none", "http://joe:xxxxx@" + host},
		"unknown scheme": {"ftp://x/y", `scheme "ftp", want http, https, file or embedded`},
		"no operator":    {"file:///x", "the operator's machine cannot be asked for files here"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			err := s.do(creates(bootstrap.Archive{Dest: "/opt/zk", URL: tt.url, SHA512: sumOf(nil)}))
			wantError(t, err, tt.want)
			if strings.Contains(err.Error(), "geheim") {
				t.Errorf("error tells the password: %v", err)
			}
			wantEqual(t, s.files("/opt"), nil)
		})
	}
}

func TestArchiveOverHTTP(t *testing.T) {
	b := gzipped(t, release(t))
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }))
	defer mirror.Close()
	s := newSandbox(t)
	s.settle(bootstrap.Archive{Dest: "/opt/zk", URL: mirror.URL + "/zk.tar.gz", SHA512: sumOf(b)})
}

func TestArchiveStopsWithItsContext(t *testing.T) {
	hung := make(chan struct{})
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		close(hung)
		<-r.Context().Done()
	}))
	defer mirror.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hung; cancel() }()
	s := newSandbox(t)
	err := s.apply(ctx, []bootstrap.Step{creates(bootstrap.Archive{Dest: "/opt/zk", URL: mirror.URL, SHA512: sumOf(nil)})}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	wantEqual(t, s.files("/opt"), nil)
}

// FuzzUntar: whatever is in an archive, nothing appears beside the folder it goes to.
func FuzzUntar(f *testing.F) {
	var t testing.T
	f.Add(release(&t))
	f.Add([]byte{0x1f, 0x8b, 0, 0})
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, b []byte) {
		outer := t.TempDir()
		if err := os.Mkdir(outer+"/in", 0o755); err != nil {
			t.Fatal(err)
		}
		to, err := os.OpenRoot(outer + "/in")
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		if err := untar(t.Context(), bytes.NewReader(b), to); err == nil {
			if entries, _ := os.ReadDir(outer); len(entries) != 1 {
				t.Errorf("outside of the folder: %v", entries)
			}
		}
	})
}
