package lab

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"golang.org/x/crypto/ssh"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// login is the account of every host, with sudo and the lab's key; base.sh makes it.
const (
	login    = "debian"
	loginUID = 1000
)

// prepareHost makes the host's directory: overlay, data directories and identity. It
// appears by rename, so a host that exists is complete. The supervisor's script is written
// each time, for a host that was made by an older program.
func (s store) prepareHost(rec *record, host string, clientKey []byte) error {
	dir := s.hostDir(rec.Name, host)
	if ok, err := machine.Exists(dir); err != nil {
		return err
	} else if !ok {
		tmp := filepath.Join(s.labDir(rec.Name), ".new-"+host)
		if err := os.RemoveAll(tmp); err != nil {
			return err
		}
		if err := populate(tmp, rec, host, clientKey); err != nil {
			return err
		}
		if err := os.Rename(tmp, dir); err != nil {
			return err
		}
	}
	// By rename: a shell that runs the old script goes on reading the old file.
	return renameio.WriteFile(s.script(rec.Name, host), superviseScript, 0o644)
}

// populate writes a host's directory. upper holds the few files that differ from the tree;
// the two data directories lie beside it because fsync on an overlay is not the fsync of a
// disk, and that is what zkboot measures.
func populate(dir string, rec *record, host string, clientKey []byte) error {
	for _, sub := range []string{"upper", "work", "root", "zookeeper", "zookeeper-log"} {
		if err := mkdirs(dir, sub); err != nil {
			return err
		}
	}
	private, public, err := newKeyPair("root@" + host)
	if err != nil {
		return err
	}
	dns, err := machine.ResolvConf()
	if err != nil {
		return err
	}
	id := make([]byte, 16)
	rand.Read(id)
	// A value per line: what differs from host to host, and nothing else. The .network file
	// must sort before systemd's own 80-container-host0.network.
	files := []upperFile{
		{"etc/hostname", host + "\n", 0o644, 0},
		{"etc/hosts", fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n%s %s\n", rec.address(host), host), 0o644, 0},
		{"etc/machine-id", hex.EncodeToString(id) + "\n", 0o444, 0},
		{"etc/resolv.conf", string(dns), 0o644, 0},
		{"etc/systemd/network/10-host0.network", networkFile(rec, host), 0o644, 0},
		{"etc/ssh/ssh_host_ed25519_key", string(private), 0o600, 0},
		{"etc/ssh/ssh_host_ed25519_key.pub", string(public), 0o644, 0},
		{"home/" + login + "/.ssh/authorized_keys", string(clientKey), 0o600, loginUID},
	}
	if isApp(host) {
		files = append(files, upperFile{"etc/nginx/conf.d/zkboot-lab.conf", serviceConf, 0o644, 0})
	}
	for _, f := range files {
		if err := writeOwned(filepath.Join(dir, "upper"), f.path, []byte(f.data), f.mode, f.uid); err != nil {
			return err
		}
	}
	if isApp(host) {
		// As `systemctl enable` would.
		wants := filepath.Join(dir, "upper/etc/systemd/system/multi-user.target.wants")
		if err := mkdirs(dir, "upper/etc/systemd/system/multi-user.target.wants"); err != nil {
			return err
		}
		if err := os.Symlink("/lib/systemd/system/nginx.service", filepath.Join(wants, "nginx.service")); err != nil {
			return err
		}
	}
	// The overlay shows the mode of the upper directory, not of the tree's.
	return os.Chmod(filepath.Join(dir, "upper/home", login, ".ssh"), 0o700)
}

// upperFile is a file in which a host differs from the tree.
type upperFile struct {
	path string
	data string
	mode fs.FileMode
	uid  int
}

// servicePort is where the service of an application host listens, on every address: the
// private one may not be there yet when it starts.
const servicePort = 8080

// serviceConf is the service: a host answers with its name.
var serviceConf = fmt.Sprintf(`# Written by zkboot lab.
server {
	listen %d;
	default_type text/plain;
	access_log off;
	location = /health { return 200 "ok\n"; }
	location / { return 200 "$hostname\n"; }
}
`, servicePort)

// mkdirs makes root/path with mode 0755 all the way, whatever the umask: a host shows the
// modes of its upper directory, and nobody but root lives behind an /etc of 0700.
func mkdirs(root, path string) error {
	if err := os.MkdirAll(filepath.Join(root, path), 0o755); err != nil {
		return err
	}
	for dir := path; dir != "."; dir = filepath.Dir(dir) {
		if err := os.Chmod(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// writeOwned writes root/path and gives it, and the directories below home/ that lead to
// it, to uid.
func writeOwned(root, path string, data []byte, mode fs.FileMode, uid int) error {
	file := filepath.Join(root, path)
	if err := mkdirs(root, filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.WriteFile(file, data, mode); err != nil {
		return err
	}
	if err := os.Chmod(file, mode); err != nil { // the umask again
		return err
	}
	if uid == 0 {
		return nil
	}
	for dir := file; dir != filepath.Join(root, "home"); dir = filepath.Dir(dir) {
		if err := os.Chown(dir, uid, uid); err != nil {
			return err
		}
	}
	return nil
}

// networkFile gives host0, nspawn's end of the cable, a fixed address. Without link-local
// addressing and router advertisements networkd is done as soon as the link is up.
func networkFile(rec *record, host string) string {
	return fmt.Sprintf("[Match]\nName=host0\n\n[Network]\nAddress=%s/%d\nGateway=%s\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
		rec.address(host), rec.Subnet.Bits(), rec.gateway())
}

// newKeyPair makes an ed25519 key: OpenSSH private form, and authorized-key form with a
// newline.
func newKeyPair(comment string) (private, public []byte, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return nil, nil, err
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		return nil, nil, err
	}
	line := bytes.TrimSpace(ssh.MarshalAuthorizedKey(sshPub))
	return pem.EncodeToMemory(block), fmt.Appendf(nil, "%s %s\n", line, comment), nil
}
