package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/google/renameio/v2"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// The files of a lab's directory.
const (
	specFile  = "zkboot.yaml"
	keyFile   = "id_ed25519"
	pubFile   = "id_ed25519.pub"
	knownFile = "known_hosts"
)

// ensureClientKey returns the public key that hosts accept, made on the first call. The lab
// keeps the pair; its directory gets a copy.
func (s store) ensureClientKey(lab string) ([]byte, error) {
	file, pubFile := filepath.Join(s.labDir(lab), keyFile), filepath.Join(s.labDir(lab), pubFile)
	if ok, err := machine.Exists(pubFile); err != nil {
		return nil, err
	} else if ok {
		return os.ReadFile(pubFile)
	}
	private, public, err := newKeyPair("zkboot-lab-" + lab)
	if err != nil {
		return nil, err
	}
	if err := renameio.WriteFile(file, private, 0o600); err != nil {
		return nil, err
	}
	return public, renameio.WriteFile(pubFile, public, 0o644) // last: its presence means both
}

// file is one file of the lab's directory.
type file struct {
	name string
	data []byte
	mode fs.FileMode
}

// writeFiles puts key, known_hosts and spec into the lab's directory. A zkboot.yaml that the
// user has changed is kept; any other file that is not ours is an error, for a key that
// lies there may be precious.
func (s store) writeFiles(rec *record, l *Lab, log *slog.Logger) error {
	files, err := s.renderFiles(rec, l)
	if err != nil {
		return err
	}
	if err := makeDir(rec.Dir); err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(rec.Dir, f.name)
		was, err := os.ReadFile(path)
		switch {
		case err == nil && bytes.Equal(was, f.data) && rec.wrote(f.name, was):
			continue
		case err == nil && !bytes.Equal(was, f.data) && !rec.wrote(f.name, was):
			if f.name != specFile {
				return fmt.Errorf("lab %s: %s exists and is not this lab's: move it away or choose another directory", rec.Name, path)
			}
			log.Warn("kept a spec that was changed by hand", "file", path)
			continue
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
		// Recorded first: after a crash in between the file is still known as ours.
		rec.note(f.name, f.data)
		if err := s.save(rec); err != nil {
			return err
		}
		if err := renameio.WriteFile(path, f.data, f.mode); err != nil {
			return err
		}
		if err := ownLike(path, rec.Dir); err != nil {
			return err
		}
	}
	return nil
}

// makeDir makes a directory and gives what it made to the owner of the one around it.
func makeDir(dir string) error {
	if ok, err := machine.Exists(dir); ok || err != nil {
		return err
	}
	if err := makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return ownLike(dir, filepath.Dir(dir))
}

// ownLike gives path to the owner of like: `sudo zkboot lab up` must write a key that the
// user behind sudo can read.
func ownLike(path, like string) error {
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return os.Lchown(path, int(st.Uid), int(st.Gid))
	}
	return nil
}

// renderFiles computes all files before the first is written: a host without a readable
// key leaves the directory as it was.
func (s store) renderFiles(rec *record, l *Lab) ([]file, error) {
	private, err := os.ReadFile(filepath.Join(s.labDir(rec.Name), keyFile))
	if err != nil {
		return nil, err
	}
	public, err := os.ReadFile(filepath.Join(s.labDir(rec.Name), pubFile))
	if err != nil {
		return nil, err
	}
	known, err := knownHosts(l.Hosts)
	if err != nil {
		return nil, err
	}
	spec, err := renderSpec(rec)
	if err != nil {
		return nil, err
	}
	return []file{{keyFile, private, 0o600}, {pubFile, public, 0o644}, {knownFile, known, 0o644}, {specFile, spec, 0o644}}, nil
}

// knownHosts renders known_hosts(5): a line per host, by address.
func knownHosts(hosts []*Host) ([]byte, error) {
	var b bytes.Buffer
	for _, h := range hosts {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(h.HostKey))
		if err != nil {
			return nil, h.errorf("host key: %w", err)
		}
		fmt.Fprintln(&b, knownhosts.Line([]string{h.Address.String()}, key))
	}
	return b.Bytes(), nil
}

// removeFiles deletes from the lab's directory what the lab wrote and nobody changed, and
// the directory when the lab made it and nothing else is in it.
func removeFiles(rec *record) error {
	for _, name := range []string{keyFile, pubFile, knownFile, specFile} {
		path := filepath.Join(rec.Dir, name)
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !rec.wrote(name, data) {
			continue
		} else if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if !rec.MadeDir {
		return nil
	}
	return removeIfEmpty(rec.Dir)
}

func removeIfEmpty(dir string) error {
	err := os.Remove(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil
	}
	return err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// wrote reports whether this lab has ever written these bytes under that name.
func (r *record) wrote(name string, data []byte) bool {
	return slices.Contains(r.Written[name], digest(data))
}

// note remembers bytes that are about to be written.
func (r *record) note(name string, data []byte) {
	if r.Written == nil {
		r.Written = map[string][]string{}
	}
	if !r.wrote(name, data) {
		r.Written[name] = append(r.Written[name], digest(data))
	}
}
