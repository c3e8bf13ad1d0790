package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

//go:embed base.sh
var baseScript []byte

// recipe is all that decides what is in a base tree. Its hash names the tree, so a changed
// recipe makes a new one and leaves the trees of standing labs alone.
type recipe struct {
	Script   string // base.sh
	Suite    string
	Mirror   string
	Security string
	AptConf  string   // what apt on this machine needs to reach its mirror
	Include  []string // installed
	Prefetch []string // downloaded into /var/cache/apt/archives, not installed
}

// newRecipe is Debian 12 with its security updates as of the day the tree is built, whatever
// distribution the machine itself runs. Later updates are fetched by the hosts' own apt.
func newRecipe() (recipe, error) {
	conf, err := machine.AptConf()
	return recipe{
		Script:   string(baseScript),
		Suite:    "bookworm",
		Mirror:   "http://deb.debian.org/debian",
		Security: "http://deb.debian.org/debian-security",
		AptConf:  conf,
		Include: []string{
			"systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "ca-certificates",
			"iproute2", "iputils-ping", "nftables", "procps", "less",
			"strace", // makes disks slow and faulty: Host.Inject
			"nginx",  // the service of application hosts; off on all others
		},
		// What zkboot installs on Debian 12; jetty, servlet-api and an slf4j binding are
		// what the packaged ZooKeeper lacks for its AdminServer and its log.
		Prefetch: []string{
			"openjdk-17-jre-headless", "libzookeeper-java", "libjetty9-java",
			"libservlet-api-java", "libslf4j-java", "liblog4j1.2-java", "liblogback-java",
			"haproxy", "chrony",
		},
	}, err
}

// key names the tree.
func (r recipe) key() (string, error) { return machine.Key(r) }

// ensureBase returns the path of the tree with that key, built when absent. Builders wait
// for each other; a tree appears by rename, whole or not at all.
func (s store) ensureBase(ctx context.Context, key string, log *slog.Logger) (string, error) {
	tree := s.basePath(key)
	if ok, err := machine.Exists(tree); ok || err != nil {
		return tree, err
	}
	r, err := newRecipe()
	if err != nil {
		return "", err
	}
	if now, err := r.key(); err != nil {
		return "", err
	} else if now != key {
		return "", fmt.Errorf("base tree %s is gone and its recipe has changed: take the lab down and up again", tree)
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		return "", errors.New("missing debootstrap (package debootstrap): run scripts/lab-deps.sh")
	}
	return machine.Cache(s.cache).Ensure(ctx, filepath.Base(tree), func(work string) (string, error) {
		log.Info("building the base tree, once: about a minute", "tree", tree)
		start := time.Now()
		made, err := s.build(ctx, r, work)
		if err != nil {
			return "", fmt.Errorf("base tree: %w", err)
		}
		log.Info("base tree built", "took", time.Since(start).Round(time.Second))
		return made, nil
	})
}

// build runs base.sh in a directory of its own and returns the tree in it.
func (s store) build(ctx context.Context, r recipe, work string) (string, error) {
	conf, resolv, tmp := filepath.Join(work, "apt.conf"), filepath.Join(work, "resolv.conf"), filepath.Join(work, "tree")
	script := filepath.Join(work, "base.sh")
	dns, err := machine.ResolvConf()
	if err != nil {
		return "", err
	}
	for file, data := range map[string][]byte{conf: []byte(r.AptConf), resolv: dns, script: []byte(r.Script)} {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return "", err
		}
	}
	if err := machine.RunIsolated(ctx, filepath.Join(s.cache, "build.log"), "/bin/sh", script, tmp, r.Suite, r.Mirror, r.Security,
		conf, resolv, strings.Join(r.Include, ","), strings.Join(r.Prefetch, " ")); err != nil {
		return "", err
	}
	// Hosts see the mode of the tree as that of their root, whatever the umask was.
	return tmp, os.Chmod(tmp, 0o755)
}
