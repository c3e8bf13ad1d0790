//go:build lab

package zookeeper_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// fromArchive: the source is an archive, over HTTP from the lab's bridge and from a file on the
// operator's machine. A sum that does not fit is refused, with both sums.
func (d *days) fromArchive(t *testing.T) {
	d.bare(t)
	r := d.release(t)
	url := d.serve(t, r.file)
	other := release{r.version, r.file, strings.Repeat("ab", 64)}
	s, _ := d.spec(t, shape{source: other.source(url), accept: " "})
	err := d.apply(t, s, nil).Err()
	if err == nil {
		t.Fatal("an archive with another sum was taken")
	}
	for _, word := range []string{"zk1: create archive /opt/zookeeper/bad", url, other.sum[:12], r.sum[:12]} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("no %q in: %v", word, err)
		}
	}
	if left := d.sh(t, "zk1", "ls -A /opt/zookeeper"); left != "" {
		t.Errorf("/opt/zookeeper holds %q", left)
	}

	s, _ = d.spec(t, shape{source: r.source(url), accept: " "})
	d.converge(t, s)
	d.keep(t, "/kept-through-archives")
	if report := d.run(t, s, bootstrap.Intent{Verb: bootstrap.VerbDestroy}, nil); report.Failed() {
		t.Fatal(report.Err())
	}
	d.sh(t, "zk1", "test ! -e /opt/zookeeper")

	s, _ = d.spec(t, shape{source: r.source("file://" + r.file), accept: " "})
	d.converge(t, s)
	d.kept(t, "/kept-through-archives")
	d.bare(t)
}

// serve offers a file to the hosts of the lab, and to nobody else.
func (d *days) serve(t *testing.T, file string) string {
	t.Helper()
	bridge := d.lab.Hosts[0].Address.As4()
	bridge[3] = 1
	ln, err := net.Listen("tcp", net.IP(bridge[:]).String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(filepath.Dir(file))), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String() + "/" + filepath.Base(file)
}

// jars assembles a release archive: the server's own jars as given, by name, and what they
// depend on as the Debian packages on a lab host have it.
func (d *days) jars(t *testing.T, version string, own map[string][]byte) (file, sum string) {
	t.Helper()
	root, err := d.host(t, "zk2").Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	top := "apache-zookeeper-" + version + "-bin"
	var b bytes.Buffer
	compressed := gzip.NewWriter(&b)
	w := tar.NewWriter(compressed)
	add := func(name string, content []byte) {
		if err := w.WriteHeader(&tar.Header{Name: top + "/lib/" + name, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for _, jar := range slices.Sorted(maps.Keys(own)) {
		add(jar+".jar", alone(t, own[jar]))
	}
	for _, jar := range []string{"metrics-core", "slf4j-api", "slf4j-simple", "snappy-java", "servlet-api",
		"jetty9-server", "jetty9-servlet", "jetty9-util", "jetty9-util-ajax", "jetty9-http", "jetty9-io", "jetty9-security",
		"jackson-core", "jackson-annotations", "jackson-databind", "commons-cli", "commons-io", "log4j-1.2", "netty-all"} {
		path := d.sh(t, "zk2", "readlink -f /usr/share/java/"+jar+".jar")
		content, err := root.ReadFile(strings.TrimPrefix(path, "/"))
		if err != nil {
			t.Fatal(err)
		}
		add(jar+".jar", alone(t, content))
	}
	add("stub.jar", stubJar(t))
	if err := errors.Join(w.Close(), compressed.Close()); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(d.dir, top+".tar.gz")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	digest := sha512.Sum512(b.Bytes())
	return file, hex.EncodeToString(digest[:])
}

// alone takes the manifest out of a jar. Those of Debian name jars in /usr/share/java, which
// the JVM would load before the others of the archive.
func alone(t *testing.T, jar []byte) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(jar), int64(len(jar)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range r.File {
		if f.Name == "META-INF/MANIFEST.MF" {
			continue
		}
		if err := w.Copy(f); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stubClass is PrometheusMetricsProvider, which Debian does not package and every release
// archive has, as an empty subclass of the default provider. Its form is chapter 4 of
// https://docs.oracle.com/javase/specs/jvms/se17/html/jvms-4.html
func stubClass() []byte {
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&b, binary.BigEndian, v) // a buffer takes everything
		}
	}
	text := func(s string) { put(uint8(1), uint16(len(s)), []byte(s)) }
	put(uint32(0xCAFEBABE), uint16(0), uint16(52), uint16(10)) // Java 8, constants 1 to 9
	text("org/apache/zookeeper/metrics/prometheus/PrometheusMetricsProvider")
	put(uint8(7), uint16(1)) // 2: this class
	text("org/apache/zookeeper/metrics/impl/DefaultMetricsProvider")
	put(uint8(7), uint16(3)) // 4: its superclass
	text("<init>")
	text("()V")
	text("Code")
	put(uint8(12), uint16(5), uint16(6), uint8(10), uint16(4), uint16(8))           // 8: <init>()V, 9: that of the superclass
	put(uint16(0x21), uint16(2), uint16(4), uint16(0), uint16(0), uint16(1))        // public; no interfaces, no fields, one method
	put(uint16(1), uint16(5), uint16(6), uint16(1), uint16(7), uint32(17))          // public <init>()V with a Code of 17 bytes
	put(uint16(1), uint16(1), uint32(5), []byte{0x2a, 0xb7, 0, 9, 0xb1}, uint32(0)) // aload_0, invokespecial 9, return
	put(uint16(0))                                                                  // no attributes
	return b.Bytes()
}

func stubJar(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("org/apache/zookeeper/metrics/prometheus/PrometheusMetricsProvider.class")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(stubClass())
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
