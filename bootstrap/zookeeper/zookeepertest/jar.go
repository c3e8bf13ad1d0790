package zookeepertest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// jar is one of the archive, by its name without ".jar".
type jar struct {
	name    string
	content []byte
}

// top is the one folder at the top of an archive of Apache's.
func top(v zookeeper.Version) string { return "apache-zookeeper-" + v.String() + "-bin" }

// pack makes the archive. The same jars make the same bytes: nothing in it tells when.
func pack(v zookeeper.Version, jars []jar) ([]byte, error) {
	stub, err := stubJar()
	if err != nil {
		return nil, err
	}
	jars = append(slices.Clone(jars), jar{"prometheus-stub", stub})
	slices.SortFunc(jars, func(a, b jar) int { return cmp.Compare(a.name, b.name) })
	var b bytes.Buffer
	compressed := gzip.NewWriter(&b)
	w := tar.NewWriter(compressed)
	for _, j := range jars {
		content, err := alone(j.content)
		if err != nil {
			return nil, fmt.Errorf("%s.jar: %w", j.name, err)
		}
		name := top(v) + "/lib/" + j.name + ".jar"
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	err = errors.Join(w.Close(), compressed.Close())
	return b.Bytes(), err
}

// alone takes the manifest out of a jar. Those of Debian name jars in /usr/share/java, which
// the JVM would load before the others of the archive.
func alone(jar []byte) ([]byte, error) {
	r, err := zip.NewReader(bytes.NewReader(jar), int64(len(jar)))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range r.File {
		if f.Name == "META-INF/MANIFEST.MF" {
			continue
		}
		if err := w.Copy(f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	err = w.Close()
	return b.Bytes(), err
}

// stubClass is PrometheusMetricsProvider, which Debian does not package and every release
// archive has, as an empty subclass of the default provider: zkboot names it in the zoo.cfg
// of an archive, and a server that lacks it exits. Its form is chapter 4 of
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

func stubJar() ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("org/apache/zookeeper/metrics/prometheus/PrometheusMetricsProvider.class")
	if err != nil {
		return nil, err
	}
	_, err = f.Write(stubClass())
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}
