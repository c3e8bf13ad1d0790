package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// aptKeys are the settings of this machine's apt that decide whether it reaches its mirror.
var aptKeys = []string{
	"Acquire::http::Proxy", "Acquire::https::Proxy",
	"Acquire::Check-Valid-Until", "Acquire::Check-Date",
}

// AptConf renders those settings as an apt.conf fragment, together with the lab's own:
// no translations, which nobody reads.
func AptConf() (string, error) {
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

// ResolvConf returns the name servers of this machine that a host can reach: a resolver on
// loopback (systemd-resolved) is replaced by what it forwards to.
func ResolvConf() ([]byte, error) {
	data, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil, err
	}
	if !onlyLoopback(string(data)) {
		return data, nil
	}
	upstream, err := os.ReadFile("/run/systemd/resolve/resolv.conf")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("/etc/resolv.conf names only servers on loopback, which a host cannot reach: name one on the network")
	}
	return upstream, err
}

func onlyLoopback(resolv string) bool {
	found := false
	for line := range strings.Lines(resolv) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if !strings.HasPrefix(f[1], "127.") && f[1] != "::1" {
			return false
		}
		found = true
	}
	return found
}
