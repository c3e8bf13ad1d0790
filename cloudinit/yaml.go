package cloudinit

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// text is a string that no reader of YAML takes for anything else: cloud-init reads with
// YAML 1.1, where no, 0644, 1:30 and = are not text, and our encoder writes 1.2.
type text string

// MarshalYAML implements yaml.Marshaler.
func (t text) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(t), Style: yaml.DoubleQuotedStyle}
	if literal(string(t)) {
		n.Style = yaml.LiteralStyle
	}
	return n, nil
}

// literal reports whether s reads back as it is from a block of lines. A first line that is
// indented, a last one without its end or anything but ASCII is left to the quoted form,
// which has an escape for everything.
func literal(s string) bool {
	if !strings.HasSuffix(s, "\n") || strings.HasSuffix(s, "\n\n") || strings.HasPrefix(s, " ") || strings.HasPrefix(s, "\n") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) && !strings.Contains(s, " \n")
}

func texts(in []string) []text {
	var out []text
	for _, s := range in {
		out = append(out, text(s))
	}
	return out
}

// encode writes one or more top-level keys.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	err := enc.Close()
	return b.Bytes(), err
}

// file is an entry of write_files.
// https://cloudinit.readthedocs.io/en/22.4.2/topics/modules.html#write-files
type file struct {
	Path        text `yaml:"path"`
	Permissions text `yaml:"permissions"`
	Owner       text `yaml:"owner,omitempty"` // root:root is cloud-init's own default
	Encoding    text `yaml:"encoding,omitempty"`
	Content     text `yaml:"content"`
}

func newFile(path string, mode uint32, content string) file {
	f := file{Path: text(path), Permissions: text(fmt.Sprintf("%04o", mode)), Content: text(content)}
	if !utf8.ValidString(content) {
		f.Encoding, f.Content = "b64", text(base64.StdEncoding.EncodeToString([]byte(content)))
	}
	return f
}

// pack compresses the content.
func (f file) pack(raw string) (file, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression) // without a time or a name in its header
	if err != nil {
		return f, err
	}
	if _, err := z.Write([]byte(raw)); err != nil {
		return f, err
	}
	if err := z.Close(); err != nil {
		return f, err
	}
	f.Encoding, f.Content = "gz+b64", text(base64.StdEncoding.EncodeToString(b.Bytes()))
	return f, nil
}

// user is an entry of users; login accounts and those of services use different fields.
type user struct {
	Name         text   `yaml:"name"`
	System       bool   `yaml:"system,omitempty"`
	NoCreateHome bool   `yaml:"no_create_home,omitempty"`
	Home         text   `yaml:"homedir,omitempty"`
	Shell        text   `yaml:"shell,omitempty"`
	Sudo         text   `yaml:"sudo,omitempty"`
	LockPasswd   bool   `yaml:"lock_passwd"`
	Keys         []text `yaml:"ssh_authorized_keys,omitempty"`
}

// hostKeys is ssh_keys.
type hostKeys struct {
	ECDSAPrivate   text `yaml:"ecdsa_private,omitempty"`
	ECDSAPublic    text `yaml:"ecdsa_public,omitempty"`
	ED25519Private text `yaml:"ed25519_private,omitempty"`
	ED25519Public  text `yaml:"ed25519_public,omitempty"`
	RSAPrivate     text `yaml:"rsa_private,omitempty"`
	RSAPublic      text `yaml:"rsa_public,omitempty"`
}

// timeSync is ntp.
type timeSync struct {
	Enabled bool   `yaml:"enabled"`
	Servers []text `yaml:"servers,omitempty"`
}

// aptConfig is apt.
type aptConfig struct {
	PreserveSources bool     `yaml:"preserve_sources_list"` // true in Debian's images, which makes mirrors void
	Primary         []mirror `yaml:"primary,omitempty"`
	Security        []mirror `yaml:"security,omitempty"`
}

type mirror struct {
	Arches []text `yaml:"arches"`
	URI    text   `yaml:"uri"`
}
