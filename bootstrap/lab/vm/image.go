package vm

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

//go:embed image.sh
var imageScript string

//go:embed cloud.cfg
var cloudConf string

// cacheDir is where images and the verdict of [Probe] lie.
const cacheDir = "/var/cache/zkboot/vm"

// Image is a golden Debian 12 disk without a boot loader, with the kernel that boots it.
// Nothing may write to any of the files: machines start from overlays or copies.
type Image struct {
	Disk    string // absolute path; qcow2, a file system without a partition table
	Kernel  string // absolute path
	Initrd  string // absolute path
	Cmdline string // kernel parameters
}

// cmdline is for a disk that is /dev/vda. Without mitigations an emulated processor spends no
// time on the weaknesses of real ones; a lab has nothing to hide.
const cmdline = "root=/dev/vda rw console=ttyS0 quiet mitigations=off"

// recipe is all that decides what is in an image. Its hash names the image.
type recipe struct {
	Script   string // image.sh
	Cloud    string // cloud.cfg
	Suite    string
	Mirror   string
	Security string
	AptConf  string // what apt on this machine needs to reach its mirror
	Size     string // of the file system, as mke2fs(8) wants it
	Packages []string
}

// newRecipe is Debian 12 with its security updates as of the day the image is built.
func newRecipe() (recipe, error) {
	conf, err := machine.AptConf()
	return recipe{
		Script: imageScript, Cloud: cloudConf,
		Suite:    "bookworm",
		Mirror:   "http://deb.debian.org/debian",
		Security: "http://deb.debian.org/debian-security",
		AptConf:  conf,
		Size:     "3G",
		Packages: Packages(),
	}, err
}

// Packages are what an image has, without what they depend on: whoever makes a machine of it
// need not ask apt for them.
func Packages() []string {
	return []string{
		"linux-image-cloud-amd64", "systemd", "systemd-sysv", "systemd-timesyncd", "udev", "dbus",
		"cloud-init", "openssh-server", "sudo", "iproute2", "iputils-ping", "nftables", "netbase", "procps", "less",
		"qemu-guest-agent", // runs programs for whoever holds the machine, without its network
		// What zkboot installs on Debian 12; jetty, servlet-api and an slf4j binding are
		// what the packaged ZooKeeper lacks for its AdminServer and its log.
		"openjdk-17-jre-headless", "libzookeeper-java", "libjetty9-java",
		"libservlet-api-java", "libslf4j-java", "liblog4j1.2-java", "liblogback-java",
		"haproxy",
		"nginx-light", // the service of application hosts
	}
}

// key names the image.
func (r recipe) key() (string, error) { return machine.Key(r) }

// EnsureImage returns the cached image of this program's recipe. When it is missing it is made
// with debootstrap, which takes root and two to four minutes; builders wait for each other,
// and a build that was cut off leaves nothing that looks like an image.
func EnsureImage(ctx context.Context, log *slog.Logger) (Image, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return Image{}, fmt.Errorf("images of virtual machines are for linux/amd64, this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	r, err := newRecipe()
	if err != nil {
		return Image{}, err
	}
	key, err := r.key()
	if err != nil {
		return Image{}, err
	}
	name := "image-" + key
	if ok, err := machine.Exists(filepath.Join(cacheDir, name)); err != nil {
		return Image{}, err
	} else if !ok {
		if err := checkBuilder(); err != nil {
			return Image{}, err
		}
	}
	dir, err := machine.Cache(cacheDir).Ensure(ctx, name, func(work string) (string, error) {
		log.Info("building the image of virtual machines, once: two to four minutes", "dir", filepath.Join(cacheDir, name))
		start := time.Now()
		made, err := build(ctx, r, work)
		if err != nil {
			return "", fmt.Errorf("image of virtual machines: %w", err)
		}
		log.Info("image built", "took", time.Since(start).Round(time.Second))
		return made, nil
	})
	if err != nil {
		return Image{}, err
	}
	return Image{
		Disk: filepath.Join(dir, "disk.qcow2"), Kernel: filepath.Join(dir, "vmlinuz"),
		Initrd: filepath.Join(dir, "initrd.img"), Cmdline: cmdline,
	}, nil
}

// build runs image.sh in work and returns the directory of the image.
func build(ctx context.Context, r recipe, work string) (string, error) {
	dns, err := machine.ResolvConf()
	if err != nil {
		return "", err
	}
	at := func(name string) string { return filepath.Join(work, name) }
	for name, data := range map[string][]byte{
		"image.sh": []byte(r.Script), "cloud.cfg": []byte(r.Cloud), "apt.conf": []byte(r.AptConf), "resolv.conf": dns,
	} {
		if err := os.WriteFile(at(name), data, 0o644); err != nil {
			return "", err
		}
	}
	made := at("image")
	if err := os.Mkdir(made, 0o755); err != nil {
		return "", err
	}
	// The files say the umask of who builds; qemu may run as somebody else.
	if err := os.Chmod(made, 0o755); err != nil {
		return "", err
	}
	return made, machine.RunIsolated(ctx, filepath.Join(cacheDir, "build.log"), "/bin/sh", at("image.sh"), made, r.Suite, r.Mirror, r.Security,
		at("apt.conf"), at("resolv.conf"), at("cloud.cfg"), r.Size, strings.Join(r.Packages, " "))
}

// checkBuilder says at once all that this machine lacks to build an image.
func checkBuilder() error {
	var root error
	if os.Geteuid() != 0 {
		root = errors.New("not root: an image is built in a chroot; run with sudo")
	}
	return errors.Join(root, missing("debootstrap", "unshare", "mke2fs", "qemu-img"))
}

// missing names those programs that are not on PATH.
func missing(programs ...string) error {
	var names []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			names = append(names, p)
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("missing %s: run scripts/vm-deps.sh", strings.Join(names, ", "))
	}
	return nil
}
