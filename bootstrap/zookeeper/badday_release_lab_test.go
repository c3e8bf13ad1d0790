//go:build lab

package zookeeper_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// debCache keeps the package below between runs; take the file away to get what Debian
// offers now.
const debCache = "/var/cache/zkboot/zookeeper"

// release is an archive of a ZooKeeper release that has the fixes which Debian 12's lacks.
type release struct {
	version   zookeeper.Version
	file, sum string
}

// fixed reports whether a release has none of the faults that zkboot refuses. 3.9.5 is the
// oldest that these tests are meant for.
func fixed(v zookeeper.Version) bool {
	return !v.Less(zookeeper.Version{Major: 3, Minor: 9, Patch: 5}) &&
		!slices.ContainsFunc(zookeeper.KnownIssues(), func(k zookeeper.KnownIssue) bool { return k.Refuse && k.In(v) })
}

// release assembles the archive, once.
func (d *days) release(t *testing.T) release {
	t.Helper()
	if d.archive != nil {
		return *d.archive
	}
	version, own := fixedJars(t)
	if err := d.ready(t, d.host(t, "zk2")); err != nil { // the other jars come from there
		t.Fatal(err)
	}
	file, sum := d.jars(t, version.String(), own)
	t.Logf("ZooKeeper %s in %s", version, filepath.Base(file))
	d.archive = &release{version, file, sum}
	return *d.archive
}

func (r release) source(url string) string {
	return fmt.Sprintf("{tarball: {url: %q, sha512: %s}}", url, r.sum)
}

// fixedJars returns the jars of the server itself, by their name without the version. They
// are those of Debian's package in unstable; what they depend on is taken from Debian 12,
// since unstable builds some of that for a later Java than Debian 12 has.
func fixedJars(t *testing.T) (zookeeper.Version, map[string][]byte) {
	t.Helper()
	deb, version := cachedDeb(t)
	if deb == "" {
		fetchDeb(t)
		if deb, version = cachedDeb(t); deb == "" {
			t.Fatalf("%s holds no fixed ZooKeeper after a download", debCache)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb).Output()
	if err != nil {
		t.Fatalf("dpkg-deb --fsys-tarfile %s: %v", deb, err)
	}
	own := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(out)); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, jar := range []string{"zookeeper", "zookeeper-jute"} {
			if path.Base(head.Name) != jar+"-"+version.String()+".jar" || head.Typeflag != tar.TypeReg {
				continue
			}
			if own[jar], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(own) != 2 {
		t.Fatalf("%s lacks zookeeper-%s.jar or zookeeper-jute-%[2]s.jar", deb, version)
	}
	return version, own
}

// cachedDeb is the latest fixed package in the cache, "" where there is none.
func cachedDeb(t *testing.T) (deb string, version zookeeper.Version) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(debCache, "libzookeeper-java_*_all.deb"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if v := debVersion(t, file); fixed(v) && version.Less(v) {
			deb, version = file, v
		}
	}
	return deb, version
}

// debVersion reads the name that apt gives to a package, in which ":" is "%3a".
func debVersion(t *testing.T, file string) zookeeper.Version {
	t.Helper()
	name, err := url.PathUnescape(filepath.Base(file))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSuffix(strings.TrimPrefix(name, "libzookeeper-java_"), "_all.deb")
	v, err := zookeeper.ParseDebianVersion(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v
}

// fetchDeb downloads the package that Debian unstable offers, checked against the keys of
// Debian's archive. Lists, cache and sources are its own: this machine's apt never hears of
// unstable.
func fetchDeb(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(debCache, 0o755); err != nil {
		t.Fatal(err)
	}
	work, err := os.MkdirTemp(debCache, ".fetch-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil { // apt downloads as a user of its own
		t.Fatal(err)
	}
	conf := aptRoot(t, work)
	for _, args := range [][]string{{"update"}, {"download", "libzookeeper-java"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q"}, args...)...)
		cmd.Dir, cmd.Env = work, append(os.Environ(), "APT_CONFIG="+conf, "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("apt-get %s from Debian unstable: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	found, err := filepath.Glob(filepath.Join(work, "libzookeeper-java_*_all.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("apt-get download left %q (%v), want one package", found, err)
	}
	if v := debVersion(t, found[0]); !fixed(v) {
		t.Fatalf("Debian unstable offers ZooKeeper %s; these tests need 3.9.5 or later without a fault that zkboot refuses", v)
	}
	if err := os.Rename(found[0], filepath.Join(debCache, filepath.Base(found[0]))); err != nil {
		t.Fatal(err)
	}
}

// aptRoot makes all that apt reads and writes below one directory and returns the
// configuration. Only how this machine reaches its mirror is taken over, as for a lab's base tree.
func aptRoot(t *testing.T, work string) (conf string) {
	t.Helper()
	for _, dir := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/dpkg", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("Dir %q;\nDir::State::status %q;\nAPT::Update::Error-Mode \"any\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n",
		work, filepath.Join(work, "var/lib/dpkg/status"))
	for _, key := range []string{"Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date"} {
		out, err := exec.CommandContext(t.Context(), "apt-config", "shell", "value", key).Output()
		if err != nil {
			t.Fatalf("apt-config shell value %s: %v", key, err)
		}
		if v := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(out)), "value='"), "'"); v != "" {
			text += fmt.Sprintf("%s %q;\n", key, v)
		}
	}
	conf = filepath.Join(work, "apt.conf")
	for file, content := range map[string]string{
		conf: text,
		filepath.Join(work, "var/lib/dpkg/status"):  "",
		filepath.Join(work, "etc/apt/sources.list"): "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main\n",
	} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return conf
}

// formedFixed forms an ensemble on the fixed release and returns its shape. One that the
// part before left whole on that release is taken as it is; data of Debian's 3.8.0, whose
// faults these parts must not see, never is.
func (d *days) formedFixed(t *testing.T) shape {
	t.Helper()
	r := d.release(t)
	sh := shape{source: r.source("file://" + r.file), accept: " "} // no issue has to be accepted
	if d.stands.source == sh.source {
		sh = d.stands
	}
	s, _ := d.spec(t, sh)
	if d.stands.source != sh.source || !d.whole(t, s) {
		d.bare(t)
		d.converge(t, s)
		d.stands = sh
	}
	for _, h := range allHosts() {
		srvr := fourLetters(t.Context(), d.host(t, h).Address.String(), "srvr")
		if !strings.Contains(srvr, "Zookeeper version: "+r.version.String()) {
			t.Fatalf("%s does not run ZooKeeper %s:\n%s", h, r.version, srvr)
		}
		if foreign := d.sh(t, h, "ls -l /proc/$(systemctl show -P MainPID zookeeper-bad)/fd | grep /usr/share/java/ || true"); foreign != "" {
			t.Fatalf("%s runs jars of Debian 12 that are not in the archive:\n%s", h, foreign)
		}
	}
	return sh
}

// alike checks that the members agree on every digest of the data tree that two of them
// have, and counted nothing that would cast doubt on it. A member keeps a digest every 128
// transactions, since its start, so that as many are written first.
func (d *days) alike(t *testing.T, s *bootstrap.Spec, root string) {
	t.Helper()
	conn := d.client(t, allHosts()...)
	for range 128 {
		if _, err := conn.Set(root, nil, -1); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range allHosts() {
		if _, err := d.client(t, h).Sync(root); err != nil {
			t.Errorf("sync through %s: %v", h, err)
		}
	}
	digests := map[string]map[uint64]int64{}
	for _, h := range allHosts() {
		z := d.server(t, s, h)
		for _, counter := range []string{"zk_digest_mismatches_count", "zk_unrecoverable_error_count"} {
			if z.Mntr[counter] != "0" {
				t.Errorf("%s: %s is %q, want 0", h, counter, z.Mntr[counter])
			}
		}
		digests[h] = digestsOf(t, z)
	}
	common := 0
	for zxid, want := range digests["zk1"] {
		two, three := digests["zk2"], digests["zk3"]
		d2, ok2 := two[zxid]
		d3, ok3 := three[zxid]
		if ok2 && d2 != want || ok3 && d3 != want {
			t.Errorf("at zxid 0x%x the digest of zk1 is %x, of zk2 %x (%t), of zk3 %x (%t)", zxid, want, d2, ok2, d3, ok3)
		}
		if ok2 && ok3 {
			common++
		}
	}
	for zxid, want := range digests["zk2"] {
		if got, ok := digests["zk3"][zxid]; ok && got != want {
			t.Errorf("at zxid 0x%x the digest of zk2 is %x, of zk3 %x", zxid, want, got)
		}
	}
	if common == 0 {
		t.Errorf("there is no zxid for which all members have a digest: %v", digests)
	}
	t.Logf("digests are equal at %d transactions", common)
}

// server looks at the server of a host as zkboot does.
func (d *days) server(t *testing.T, s *bootstrap.Spec, host string) bootstrap.ZooKeeper {
	t.Helper()
	e := d.engine(t, nil)
	defer e.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h, err := e.Open(ctx, s, host)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	id := bootstrap.NewID(bootstrap.KindZooKeeper, "/etc/zookeeper/bad/zoo.cfg")
	_, state, err := h.Look(ctx, id)
	z, ok := state.Find(id).(bootstrap.ZooKeeper)
	if err != nil || !ok || z.Err != "" {
		t.Fatalf("%s: %v, %t, %s", host, err, ok, z.Err)
	}
	return z
}

// digestsOf reads AdminServer's answer to "hash".
func digestsOf(t *testing.T, z bootstrap.ZooKeeper) map[uint64]int64 {
	t.Helper()
	var hash struct {
		Digests []struct {
			Zxid   uint64 `json:"zxid"`
			Digest int64  `json:"digest"`
		} `json:"digests"`
	}
	if err := json.Unmarshal(z.Admin["hash"], &hash); err != nil {
		t.Fatalf("%s: hash: %v: %s", z.Config, err, z.Admin["hash"])
	}
	out := map[uint64]int64{}
	for _, d := range hash.Digests {
		out[d.Zxid] = d.Digest
	}
	return out
}

// aboutData reports whether an error says that members hold, or might hold, different data.
func aboutData(err error) bool {
	return slices.ContainsFunc([]string{"members hold different data", "ensemble.errors", "unrecoverable errors", "ensemble.digest"},
		func(words string) bool { return strings.Contains(err.Error(), words) })
}

// namesHost reports whether an error names one of the hosts.
func namesHost(err error) bool {
	return slices.ContainsFunc(allHosts(), func(h string) bool { return strings.Contains(err.Error(), h) })
}
