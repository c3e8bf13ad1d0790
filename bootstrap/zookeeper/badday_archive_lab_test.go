//go:build lab

package zookeeper_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper/zookeepertest"
)

// fromArchive: the source is an archive, over HTTP from the lab's bridge and from a file on the
// operator's machine. A sum that does not fit is refused, with both sums.
func (d *days) fromArchive(t *testing.T) {
	d.bare(t)
	r := zookeepertest.Release(t)
	url := d.serve(t, r.File)
	other := r
	other.SHA512 = strings.Repeat("ab", 64)
	s, _ := d.spec(t, shape{source: other.Source(url), accept: " "})
	err := d.apply(t, s, nil).Err()
	if err == nil {
		t.Fatal("an archive with another sum was taken")
	}
	for _, word := range []string{"zk1: create archive /opt/zookeeper/bad", url, other.SHA512[:12], r.SHA512[:12]} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("no %q in: %v", word, err)
		}
	}
	if left := d.sh(t, "zk1", "ls -A /opt/zookeeper"); left != "" {
		t.Errorf("/opt/zookeeper holds %q", left)
	}

	s, _ = d.spec(t, shape{source: r.Source(url), accept: " "})
	d.converge(t, s)
	d.keep(t, "/kept-through-archives")
	if report := d.run(t, s, bootstrap.Intent{Verb: bootstrap.VerbDestroy}, nil); report.Failed() {
		t.Fatal(report.Err())
	}
	d.sh(t, "zk1", "test ! -e /opt/zookeeper")

	s, _ = d.spec(t, shape{source: r.Source(""), accept: " "})
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
