package agent

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // ZooKeeper's digest scheme is SHA-1
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/zkboot/zkboot/bootstrap"
)

// maxContent is up to which size, in bytes, a seen File carries its content; see
// bootstrap.File.
const maxContent = 256 << 10

func (m *machine) lookFiles(_ context.Context, g glance, s *sighting) {
	for _, name := range g.names {
		id := bootstrap.NewID(bootstrap.KindFile, name)
		r, err := m.seeFile(name, g.owned[id])
		s.one(id, r, err)
	}
}

// seeFile takes Compare and Keep from the manifest: they are the premise of a delete, which
// knows the seen file alone.
func (m *machine) seeFile(name string, owned bootstrap.Entry) (bootstrap.Resource, error) {
	f, info, err := m.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := m.rightsOf(info)
	seen := bootstrap.File{Path: name, Mode: r.mode, Owner: r.owner, Group: r.group, Compare: owned.Compare, Keep: owned.Keep}
	h := sha256.New()
	if info.Size() > maxContent {
		if len(owned.Fill) > 0 {
			return nil, fmt.Errorf("%s holds a secret of ours and is larger than %d bytes", name, maxContent)
		}
		if _, err := io.Copy(h, f); err != nil {
			return nil, err
		}
		seen.Sum = hex.EncodeToString(h.Sum(nil))
		return seen, nil
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxContent))
	if err != nil {
		return nil, err
	}
	content, intact := m.unfill(raw, owned)
	h.Write(content)
	if !intact { // never the sum of Content: such a content must not be put back
		h.Write([]byte(redacted))
	}
	seen.Sum = hex.EncodeToString(h.Sum(nil))
	if utf8.Valid(content) { // JSON would change anything else
		seen.Content = string(content)
	}
	return seen, nil
}

// unfill puts the markers back in place of what was made of secrets. Where that does not
// succeed for all of them, or nobody knows what is in the file, everything that looks
// like a secret is taken out, and intact is false if there was any.
func (m *machine) unfill(raw []byte, owned bootstrap.Entry) (content []byte, intact bool) {
	content = raw
	complete := owned.ID != ""
	for _, f := range owned.Fill {
		value, err := m.fillValue(f)
		if err != nil || !bytes.Contains(content, []byte(value)) {
			complete = false
			continue
		}
		content = bytes.ReplaceAll(content, []byte(value), []byte(f.Marker))
	}
	if complete || !utf8.Valid(content) {
		return content, true
	}
	clean := redact(string(content))
	return []byte(clean), clean == string(content)
}

func (m *machine) fillValue(f bootstrap.Fill) (string, error) {
	if f.As != bootstrap.FillSuperDigest {
		return "", fmt.Errorf("unknown form %q of secret %s; the agent may be older than its operator", f.As, f.Secret)
	}
	secret, err := m.readSecret(f.Secret)
	if err != nil {
		return "", err
	}
	sum := sha1.Sum([]byte("super:" + secret)) //nolint:gosec // see FillSuperDigest
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// redacted stands where a secret was.
const redacted = "<redacted>"

// secretKeys finds values of keys that name a secret, in properties, JVM flags and
// environment files. ZooKeeper's own are *.superDigest and ssl.*.password.
var secretKeys = regexp.MustCompile(`(?i)([\w.-]*(?:superdigest|password|passwd|secret)[\w.-]*["']?[ \t]*[=:][ \t]*["']?)([^\s"']+)`)

// urlUser finds the name and password in a URL, such as that of a private mirror.
var urlUser = regexp.MustCompile(`(://)[^/\s:@]+:[^/\s@]+@`)

// redact takes the values of keys that name a secret, and logins in URLs, out of text.
func redact(text string) string {
	text = secretKeys.ReplaceAllString(text, "${1}"+redacted)
	return urlUser.ReplaceAllString(text, "${1}"+redacted+"@")
}

// secretKey reports whether a key names a secret.
func secretKey(key string) bool { return secretKeys.MatchString(key + "=x") }

// putFile writes a file as a whole, missing parent directories included (0755, root).
func (m *machine) putFile(want bootstrap.File) error {
	r := rights{mode: want.Mode, owner: want.Owner, group: want.Group}
	live, err := m.read(want.Path, maxContent)
	exists := !errors.Is(err, fs.ErrNotExist)
	if err != nil && exists && want.Compare == bootstrap.CompareProperties {
		return err // without the live values of Keep the file must not be written
	}
	if exists && want.Compare == bootstrap.ComparePresence {
		return nil
	}
	content := want.Content
	for _, f := range want.Fill {
		if f.Marker == "" || !strings.Contains(content, f.Marker) {
			return fmt.Errorf("%s: marker %q of secret %s is not in the content", want.Path, f.Marker, f.Secret)
		}
		value, err := m.fillValue(f)
		if err != nil {
			return fmt.Errorf("%s: %w", want.Path, err)
		}
		content = strings.ReplaceAll(content, f.Marker, value)
	}
	if exists && want.Compare == bootstrap.CompareProperties {
		content = keepLive(content, string(live), want.Keep)
	}
	return m.write(want.Path, []byte(content), r)
}

// keepLive gives the keys in keep the value that they have in live. A key that live does
// not have stays as content has it.
func keepLive(content, live string, keep []string) string {
	values := bootstrap.Properties(live)
	for _, key := range keep {
		value, ok := values[key]
		if !ok {
			continue
		}
		var b strings.Builder
		for line := range strings.Lines(content) {
			if k, _, _ := strings.Cut(strings.TrimSpace(line), "="); strings.TrimSpace(k) != key {
				b.WriteString(line)
			}
		}
		content = b.String()
		if content != "" && !strings.HasSuffix(content, "\n") {
			content += "\n"
		}
		content += key + "=" + value + "\n"
	}
	return content
}

func (m *machine) deleteFile(name string) error {
	dir, base, err := m.parent(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if info, err := dir.Lstat(base); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory, want a regular file", name)
	}
	return removeIn(dir, base)
}
