package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// tool is a program, with its Debian package.
type tool struct{ name, pkg string }

// tools are the programs that a lab of containers runs.
var tools = []tool{
	{"systemd-nspawn", "systemd-container"},
	{"nft", "nftables"},
	{"unshare", "util-linux"},
	{"nsenter", "util-linux"},
	{"setsid", "util-linux"},
	{"mount", "mount"},
}

// checkPrograms looks before anything is made, so that a machine that cannot hold a lab is
// left as it is. debootstrap is not asked for here: with a cached tree it is not needed.
// It reports all that this machine lacks at once.
func checkPrograms(script string, needs []tool) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("lab hosts need namespaces, bridges and nftables of Linux, this is %s", runtime.GOOS)
	}
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("not root: a lab makes namespaces, mounts and a bridge; run with sudo"))
	}
	var missing []string
	for _, t := range needs {
		if _, err := exec.LookPath(t.name); err != nil {
			missing = append(missing, fmt.Sprintf("%s (package %s)", t.name, t.pkg))
		}
	}
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("missing %s: run %s", strings.Join(missing, ", "), script))
	}
	return errors.Join(errs...)
}
