package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
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
	conf, err := aptConf()
	return recipe{
		Script:   string(baseScript),
		Suite:    "bookworm",
		Mirror:   "http://deb.debian.org/debian",
		Security: "http://deb.debian.org/debian-security",
		AptConf:  conf,
		Include: []string{
			"systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "ca-certificates",
			"iproute2", "iputils-ping", "nftables", "procps", "less",
			"nginx", // the service of application hosts; off on all others
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

// key names the tree: 12 hex digits of the recipe's sha256.
func (r recipe) key() (string, error) {
	data, err := json.Marshal(r)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6]), err
}

// aptKeys are the settings of this machine's apt that decide whether it reaches its mirror.
var aptKeys = []string{
	"Acquire::http::Proxy", "Acquire::https::Proxy",
	"Acquire::Check-Valid-Until", "Acquire::Check-Date",
}

// aptConf renders those settings as an apt.conf fragment, together with the lab's own:
// no translations, which nobody reads.
func aptConf() (string, error) {
	conf := "Acquire::Languages \"none\";\n"
	for _, key := range aptKeys {
		out, err := exec.Command("apt-config", "shell", "value", key).Output()
		if errors.Is(err, exec.ErrNotFound) {
			return conf, nil // not a Debian machine: debootstrap and its mirror will do
		} else if err != nil {
			return "", fmt.Errorf("apt-config shell value %s: %w", key, err)
		}
		// The answer is value='...' or nothing; apt values hold no quotes.
		if v := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(out)), "value='"), "'"); v != "" {
			conf += fmt.Sprintf("%s \"%s\";\n", key, v)
		}
	}
	return conf, nil
}

// ensureBase returns the path of the tree with that key, built when absent. Builders wait
// for each other; a tree appears by rename, whole or not at all.
func (s store) ensureBase(ctx context.Context, key string, log *slog.Logger) (string, error) {
	tree := s.basePath(key)
	if ok, err := exists(tree); ok || err != nil {
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
	unlock, err := lockDir(ctx, s.cache, true)
	if err != nil {
		return "", err
	}
	defer unlock()
	if ok, err := exists(tree); ok || err != nil { // built while we waited
		return tree, err
	}
	log.Info("building the base tree, once: about a minute", "tree", tree)
	start := time.Now()
	if err := s.removeHalfBuilt(); err != nil {
		return "", err
	}
	if err := s.build(ctx, r, tree); err != nil {
		return "", fmt.Errorf("base tree: %w", err)
	}
	log.Info("base tree built", "took", time.Since(start).Round(time.Second))
	return tree, nil
}

// build runs base.sh in a directory of its own beside the tree, on the same file system, so
// that the final rename is one step.
func (s store) build(ctx context.Context, r recipe, tree string) error {
	work, err := os.MkdirTemp(s.cache, buildPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	conf, resolv, tmp := filepath.Join(work, "apt.conf"), filepath.Join(work, "resolv.conf"), filepath.Join(work, "tree")
	script := filepath.Join(work, "base.sh")
	dns, err := resolvConf()
	if err != nil {
		return err
	}
	for file, data := range map[string][]byte{conf: []byte(r.AptConf), resolv: dns, script: []byte(r.Script)} {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return err
		}
	}
	if err := runIsolated(ctx, filepath.Join(s.cache, "build.log"), "/bin/sh", script, tmp, r.Suite, r.Mirror, r.Security,
		conf, resolv, strings.Join(r.Include, ","), strings.Join(r.Prefetch, " ")); err != nil {
		return err
	}
	// mkdtemp made work 0700; the tree itself must be readable by everyone.
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, tree)
}

const buildPrefix = ".build-"

// removeHalfBuilt deletes what a killed builder left; the caller holds the lock. The
// builder's mounts died with its namespace, so nothing is deleted through one.
func (s store) removeHalfBuilt() error {
	left, err := filepath.Glob(filepath.Join(s.cache, buildPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if err := unmountBelow(dir); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// tail returns the last n lines of a file, for an error message.
func tail(file string, n int) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
