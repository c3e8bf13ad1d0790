package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sys/unix"
)

// Pin is one line of the record file: the key that the host at Addr had when
// we first logged in.
type Pin struct {
	Addr string // as in known_hosts: "192.0.2.1" for port 22, else "[192.0.2.1]:2222"
	Key  xssh.PublicKey
}

// PinAddr returns the form in which the record file and known_hosts name a
// host. IPv6 addresses lose their brackets when the port is 22.
func PinAddr(host string, port int) string {
	return knownhosts.Normalize(net.JoinHostPort(host, fmt.Sprint(port)))
}

// ParsePins reads host keys as the host itself keeps them in
// /etc/ssh/ssh_host_*_key.pub: "type base64 [comment]", one a line. Blank lines
// and lines that start with # are skipped. All bad lines are reported, each
// with its number.
func ParsePins(text string) ([]xssh.PublicKey, error) {
	var keys []xssh.PublicKey
	var errs []error
	for n, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		key, err := parseKey(fields)
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n+1, err))
			continue
		}
		keys = append(keys, key)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return keys, nil
}

// FormatPins writes keys so that ParsePins reads them back.
func FormatPins(keys []xssh.PublicKey) string {
	var b strings.Builder
	for _, k := range keys {
		b.Write(xssh.MarshalAuthorizedKey(k))
	}
	return b.String()
}

// parseKey is stricter than xssh.ParseAuthorizedKey, which takes whatever
// stands before the type for options: a pasted known_hosts line would silently
// lose its host name.
func parseKey(fields []string) (xssh.PublicKey, error) {
	if len(fields) < 2 {
		return nil, errors.New(`a host key is "type base64 [comment]"`)
	}
	key, _, options, rest, err := xssh.ParseAuthorizedKey([]byte(fields[0] + " " + fields[1]))
	if err != nil || len(options) > 0 || len(rest) > 0 {
		return nil, fmt.Errorf(`%.40q does not start a host key "type base64 [comment]"`, fields[0])
	}
	if key.Type() != fields[0] {
		return nil, fmt.Errorf("key is %s, line says %.40q", key.Type(), fields[0])
	}
	if _, cert := key.(*xssh.Certificate); cert {
		return nil, errors.New("a certificate cannot be pinned: trust its authority with @cert-authority in a known_hosts file")
	}
	return key, nil
}

// ReadPins reads our record file. The file is valid as a known_hosts file, but
// holds plain lines only: no markers, patterns or hashed names. A file that
// does not exist has no pins.
func ReadPins(path string) ([]Pin, error) {
	src, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseRecord(path, string(src))
}

func parseRecord(path, src string) ([]Pin, error) {
	var pins []Pin
	for n, line := range strings.Split(src, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if strings.ContainsAny(fields[0], "@|,*?!") {
			return nil, fmt.Errorf("%s:%d: markers, patterns and hashed names do not belong in a record file: use a known_hosts file", path, n+1)
		}
		key, err := parseKey(fields[1:])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n+1, err)
		}
		pins = append(pins, Pin{Addr: fields[0], Key: key})
	}
	return pins, nil
}

func formatRecord(pins []Pin) string {
	var b strings.Builder
	b.WriteString("# Host keys that zkboot recorded. Re-pin with: zkboot hostkeys\n")
	for _, p := range pins {
		b.WriteString(p.Addr + " " + string(xssh.MarshalAuthorizedKey(p.Key)))
	}
	return b.String()
}

// WritePins makes keys the only ones on record for addr (see [PinAddr]) and
// leaves other hosts as they are. No keys means that the host is forgotten. The
// file is replaced atomically under a lock next to it, so that several
// processes may record at once.
func WritePins(path, addr string, keys ...xssh.PublicKey) error {
	return editPins(path, func(pins []Pin) ([]Pin, error) {
		pins = slices.DeleteFunc(pins, func(p Pin) bool { return p.Addr == addr })
		for _, k := range keys {
			pins = append(pins, Pin{addr, k})
		}
		return pins, nil
	})
}

// recordNew adds key for addr unless someone recorded another one meanwhile,
// in which case the two of us have seen different hosts.
func recordNew(path, addr string, key xssh.PublicKey) error {
	return editPins(path, func(pins []Pin) ([]Pin, error) {
		have := pinnedKeys(pins, addr)
		if containsKey(have, key) {
			return pins, nil
		}
		if len(have) > 0 {
			return nil, &HostKeyError{Addr: addr, Expected: describeKeys(have, path), Seen: describeKey(key), Err: ErrHostKeyMismatch}
		}
		return append(pins, Pin{addr, key}), nil
	})
}

func editPins(path string, edit func([]Pin) ([]Pin, error)) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// The lock is a file of its own: flock holds an inode, and the record's
	// inode changes with every rename.
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // releases the flock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	pins, err := ReadPins(path)
	if err != nil {
		return err
	}
	if pins, err = edit(pins); err != nil {
		return err
	}
	return replaceFile(path, formatRecord(pins))
}

// replaceFile also syncs the directory, which renameio leaves to its callers.
func replaceFile(path, text string) error {
	if err := renameio.WriteFile(path, []byte(text), 0o600, renameio.WithStaticPermissions(0o600)); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func pinnedKeys(pins []Pin, addr string) []xssh.PublicKey {
	var keys []xssh.PublicKey
	for _, p := range pins {
		if p.Addr == addr {
			keys = append(keys, p.Key)
		}
	}
	return keys
}

func containsKey(keys []xssh.PublicKey, key xssh.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k xssh.PublicKey) bool {
		return bytes.Equal(k.Marshal(), key.Marshal())
	})
}

func describeKey(k xssh.PublicKey) string {
	return k.Type() + " " + xssh.FingerprintSHA256(k)
}

func describeKeys(keys []xssh.PublicKey, source string) []string {
	var out []string
	for _, k := range keys {
		out = append(out, describeKey(k)+" ("+source+")")
	}
	return out
}
