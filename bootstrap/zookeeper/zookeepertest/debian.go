package zookeepertest

import (
	"archive/tar"
	"bytes"
	"context"
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

	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// library is Debian's package of the server.
const library = "libzookeeper-java"

// javaDir is where Debian's packages have their jars, many of them as links.
const javaDir = "/usr/share/java"

// maxLinks bounds how many links are followed; more are a circle.
const maxLinks = 10

// bundled are the Debian packages of what a server depends on, with the jars taken from
// each. An archive of Apache's has the same, under other names.
func bundled() map[string][]string {
	return map[string][]string{
		"libcommons-cli-java":          {"commons-cli"},
		"libcommons-io-java":           {"commons-io"},
		"libdropwizard-metrics-java":   {"metrics-core"},
		"libjackson2-annotations-java": {"jackson-annotations"},
		"libjackson2-core-java":        {"jackson-core"},
		"libjackson2-databind-java":    {"jackson-databind"},
		"libjetty9-java": {"jetty9-http", "jetty9-io", "jetty9-security", "jetty9-server", "jetty9-servlet",
			"jetty9-util", "jetty9-util-ajax"},
		"liblog4j1.2-java": {"log4j-1.2"},
		"libnetty-java": {"netty-buffer", "netty-codec", "netty-common", "netty-handler", "netty-resolver", "netty-transport",
			"netty-transport-native-epoll", "netty-transport-native-unix-common"},
		"libservlet-api-java": {"servlet-api"},
		"libslf4j-java":       {"slf4j-api", "slf4j-simple"},
		"libsnappy-java":      {"snappy-java"},
	}
}

// serverJars are the server's own, as Debian unstable has them.
func serverJars(ctx context.Context, work string) (zookeeper.Version, []jar, error) {
	debs, err := download(ctx, work, "sid", library)
	if err != nil {
		return zookeeper.Version{}, nil, err
	}
	version, err := versionOf(debs[0])
	if err != nil {
		return zookeeper.Version{}, nil, err
	}
	if !fixed(version) {
		return version, nil, fmt.Errorf("debian unstable offers ZooKeeper %s, want 3.9.5 or later without a fault that zkboot refuses", version)
	}
	files := tree{}
	if err := files.unpack(ctx, debs[0]); err != nil {
		return version, nil, err
	}
	var jars []jar
	for _, name := range []string{"zookeeper", "zookeeper-jute"} {
		content, err := files.read(path.Join(javaDir, name+"-"+version.String()+".jar"))
		if err != nil {
			return version, nil, fmt.Errorf("%s: %w", filepath.Base(debs[0]), err)
		}
		jars = append(jars, jar{name, content})
	}
	return version, jars, nil
}

// otherJars are those that the server depends on, as Debian 12 has them.
func otherJars(ctx context.Context, work string) ([]jar, error) {
	var packages, names []string
	for name, jars := range bundled() {
		packages, names = append(packages, name), append(names, jars...)
	}
	slices.Sort(packages)
	slices.Sort(names)
	debs, err := download(ctx, work, "bookworm", packages...)
	if err != nil {
		return nil, err
	}
	files := tree{}
	for _, deb := range debs {
		if err := files.unpack(ctx, deb); err != nil {
			return nil, err
		}
	}
	var jars []jar
	for _, name := range names {
		content, err := files.read(path.Join(javaDir, name+".jar"))
		if err != nil {
			return nil, fmt.Errorf("packages of Debian 12: %w", err)
		}
		jars = append(jars, jar{name, content})
	}
	return jars, nil
}

// versionOf reads the name that apt gives to a package, in which ":" is "%3a".
func versionOf(deb string) (zookeeper.Version, error) {
	name, err := url.PathUnescape(filepath.Base(deb))
	if err != nil {
		return zookeeper.Version{}, fmt.Errorf("%s: %w", deb, err)
	}
	return zookeeper.ParseDebianVersion(strings.TrimSuffix(strings.TrimPrefix(name, library+"_"), "_all.deb"))
}

// download fetches packages of one suite of Debian, checked against the keys of Debian's
// archive, and returns their files in the order of the names.
func download(ctx context.Context, work, suite string, packages ...string) ([]string, error) {
	conf, err := aptRoot(ctx, work, suite)
	if err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"update"}, append([]string{"download"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q"}, args...)...)
		cmd.Dir, cmd.Env = work, append(os.Environ(), "APT_CONFIG="+conf, "LC_ALL=C.UTF-8")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("apt-get %s from Debian's %s: %w\n%s", args[0], suite, err, out)
		}
	}
	var debs []string
	for _, name := range packages {
		found, err := filepath.Glob(filepath.Join(work, name+"_*_all.deb"))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("apt-get download %s left %q (%w), want one package for all architectures", name, found, err)
		}
		debs = append(debs, found[0])
	}
	return debs, nil
}

// aptRoot makes all that apt reads and writes below one directory and returns the
// configuration. Only how this machine reaches its mirror is taken over.
func aptRoot(ctx context.Context, work, suite string) (conf string, err error) {
	for _, dir := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/dpkg", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf("Dir %q;\nDir::State::status %q;\nAPT::Update::Error-Mode \"any\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n",
		work, filepath.Join(work, "var/lib/dpkg/status"))
	for _, key := range []string{"Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date"} {
		out, err := exec.CommandContext(ctx, "apt-config", "shell", "value", key).Output()
		if err != nil {
			return "", fmt.Errorf("apt-config shell value %s: %w", key, err)
		}
		if v := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(out)), "value='"), "'"); v != "" {
			text += fmt.Sprintf("%s %q;\n", key, v)
		}
	}
	conf = filepath.Join(work, "apt.conf")
	for file, content := range map[string]string{
		conf: text,
		filepath.Join(work, "var/lib/dpkg/status"): "",
		filepath.Join(work, "etc/apt/sources.list"): fmt.Sprintf(
			"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian %s main\n", suite),
	} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	return conf, nil
}

// tree holds files of packages by absolute path.
type tree map[string]file

type file struct {
	content []byte
	link    string // absolute; "" for a file
}

// unpack adds the jars of a package. Nothing of it is installed or run.
func (fs tree) unpack(ctx context.Context, deb string) error {
	out, err := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb).Output()
	if err != nil {
		return fmt.Errorf("dpkg-deb --fsys-tarfile %s: %w", deb, err)
	}
	for r := tar.NewReader(bytes.NewReader(out)); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", deb, err)
		}
		at := path.Join("/", head.Name)
		if path.Ext(at) != ".jar" {
			continue
		}
		switch head.Typeflag {
		case tar.TypeSymlink:
			target := head.Linkname
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(at), target)
			}
			fs[at] = file{link: target}
		case tar.TypeReg:
			content, err := io.ReadAll(r)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", deb, at, err)
			}
			fs[at] = file{content: content}
		}
	}
}

// read returns a file, through links.
func (fs tree) read(at string) ([]byte, error) {
	next := at
	for range maxLinks {
		f, ok := fs[next]
		switch {
		case !ok && next != at:
			return nil, fmt.Errorf("%s leads to %s, which none of the packages has", at, next)
		case !ok:
			return nil, fmt.Errorf("none of the packages has %s", at)
		case f.link == "":
			return f.content, nil
		}
		next = f.link
	}
	return nil, fmt.Errorf("%s leads in a circle", at)
}
