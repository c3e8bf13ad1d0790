package cloudinit

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// aptConf keeps recommended packages away, as apply does. It goes again at the end of the
// first boot: from then on apt is the operator's.
const aptConf = "/etc/apt/apt.conf.d/99zkboot-first-boot"

// Render writes the user-data of one host, with its NoCloud seed. The document is empty when
// the report failed: because of facts or resources that cannot be in user-data, each with its
// place, or because it is larger than Options.Limit although its files were compressed, with
// the size of every part.
func Render(o Options) (Document, bootstrap.Report) {
	var report bootstrap.Report
	o.checkFacts(&report)
	w := gather(o.Desired, &report)
	w.ask(o.Installed)
	if report.Failed() {
		return Document{}, report
	}
	limit := cmp.Or(o.Limit, MaxBytes)
	var d Document
	var err error
	for _, packed := range []bool{false, true} {
		if d, err = assemble(o, w, packed); err != nil {
			report.Errorf("", "writing user-data of %s: %w", o.Host, err)
			return Document{}, report
		}
		if len(d.UserData) <= limit {
			return d, report
		}
	}
	report.Add(bootstrap.Finding{Severity: bootstrap.SeverityError, Host: o.Host, Err: bootstrap.ErrRefused,
		Text: fmt.Sprintf("user-data has %d bytes with its files compressed, want at most %d: %s", len(d.UserData), limit, sizes(d.Parts)),
		Hint: "leave something to apply, or raise the limit where your cloud takes more"})
	return Document{}, report
}

// sizes lists parts, the largest first.
func sizes(parts []Part) string {
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b Part) int { return b.Bytes - a.Bytes })
	var out []string
	for _, p := range parts {
		out = append(out, fmt.Sprintf("%s %d", p.Name, p.Bytes))
	}
	return strings.Join(out, ", ")
}

// writer puts the document together part by part.
type writer struct {
	doc Document
	err error
}

func (b *writer) raw(name string, content []byte) {
	b.doc.UserData = append(b.doc.UserData, content...)
	b.doc.Parts = append(b.doc.Parts, Part{Name: name, Bytes: len(content)})
}

// section adds top-level keys.
func (b *writer) section(name string, v any) {
	content, err := encode(v)
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("%s: %w", name, err)
	}
	b.raw(name, content)
}

func assemble(o Options, w wants, packed bool) (Document, error) {
	b := &writer{doc: Document{Packed: packed, Secret: len(o.HostKeys) > 0, NetworkConfig: o.NetworkConfig}}
	b.raw("header", []byte("#cloud-config\n# Written by zkboot for the first boot of "+o.Host+".\n"))
	b.section("hostname", struct {
		Hostname text `yaml:"hostname"`
	}{text(o.Host)})
	b.accounts(o.Login, w.users)
	b.hostKeys(o.HostKeys)
	b.section("ntp", struct {
		NTP timeSync `yaml:"ntp"`
	}{timeSync{Enabled: true, Servers: texts(o.TimeServers)}})
	b.apt(o.Mirror)
	b.files(w.written(), packed)
	b.packages(w)
	if script := w.script(); script != "" {
		b.section("runcmd", struct {
			Run []text `yaml:"runcmd"`
		}{[]text{text(script)}})
	}
	meta, err := encode(struct {
		ID   text `yaml:"instance-id"`
		Host text `yaml:"local-hostname"`
	}{text(cmp.Or(o.InstanceID, o.Host)), text(o.Host)})
	b.doc.MetaData = meta
	return b.doc, cmp.Or(b.err, err)
}

// accounts are who logs in, and what services run as. A service's account has the home and
// shell that apply would give it.
func (b *writer) accounts(l Login, services []bootstrap.User) {
	var all []any
	doc := struct {
		Users       []any  `yaml:"users,omitempty"`
		Keys        []text `yaml:"ssh_authorized_keys,omitempty"`
		PasswdAuth  bool   `yaml:"ssh_pwauth"`
		DisableRoot bool   `yaml:"disable_root"`
	}{DisableRoot: true}
	switch l.User {
	case "":
		all, doc.Keys = append(all, text("default")), texts(l.Keys)
	case "root":
		all, doc.DisableRoot = append(all, user{Name: "root", LockPasswd: true, Keys: texts(l.Keys)}), false
	default:
		all = append(all, user{Name: text(l.User), Shell: "/bin/bash", Sudo: "ALL=(ALL) NOPASSWD:ALL", LockPasswd: true, Keys: texts(l.Keys)})
	}
	for _, u := range services {
		all = append(all, user{Name: text(u.Name), System: true, NoCreateHome: true, LockPasswd: true,
			Home: text(cmp.Or(u.Home, "/nonexistent")), Shell: text(cmp.Or(u.Shell, "/usr/sbin/nologin"))})
	}
	doc.Users = all
	b.section("users", doc)
}

func (b *writer) hostKeys(keys []HostKey) {
	if len(keys) == 0 {
		return
	}
	var pinned hostKeys
	for _, k := range keys {
		switch k.Type {
		case "ecdsa":
			pinned.ECDSAPrivate, pinned.ECDSAPublic = text(k.Private), text(k.Public)
		case "ed25519":
			pinned.ED25519Private, pinned.ED25519Public = text(k.Private), text(k.Public)
		case "rsa":
			pinned.RSAPrivate, pinned.RSAPublic = text(k.Private), text(k.Public)
		}
	}
	b.section("ssh_keys", struct {
		Keys hostKeys `yaml:"ssh_keys"`
	}{pinned})
}

func (b *writer) apt(m Mirror) {
	if m == (Mirror{}) {
		return
	}
	at := func(uri string) []mirror {
		if uri == "" {
			return nil
		}
		return []mirror{{Arches: []text{"default"}, URI: text(uri)}}
	}
	b.section("apt", struct {
		Apt aptConfig `yaml:"apt"`
	}{aptConfig{Primary: at(m.Primary), Security: at(m.Security)}})
}

// files writes each file as a part of its own.
func (b *writer) files(all []file, packed bool) {
	const key = "write_files:\n"
	one := func(f file) []byte {
		content, err := encode(struct {
			Files []file `yaml:"write_files"`
		}{[]file{f}})
		b.err = cmp.Or(b.err, err)
		return bytes.TrimPrefix(content, []byte(key))
	}
	if len(all) > 0 {
		b.raw("write_files", []byte(key))
	}
	for _, f := range all {
		content := one(f)
		if packed && f.Encoding == "" {
			small, err := f.pack(string(f.Content))
			b.err = cmp.Or(b.err, err)
			if c := one(small); len(c) < len(content) {
				content = c
			}
		}
		b.raw("file "+string(f.Path), content)
	}
}

// written are all files of the document, in the order of their paths.
func (w wants) written() []file {
	var out []file
	if w.installs() {
		out = append(out, newFile(aptConf, 0o644, "APT::Install-Recommends \"false\";\n"))
	}
	for _, s := range w.sources {
		out = append(out, sourceFiles(s)...)
	}
	for _, f := range w.files {
		out = append(out, newFile(f.Path, f.Mode, f.Content))
	}
	for _, m := range w.mounts {
		out = append(out, newFile("/etc/systemd/system/"+mountUnit(m.Path), 0o644, m.UnitText()))
	}
	for _, u := range w.units {
		out = append(out, newFile("/etc/systemd/system/"+u.Name, 0o644, u.Content))
	}
	slices.SortStableFunc(out, func(a, b file) int { return strings.Compare(string(a.Path), string(b.Path)) })
	return out
}

// installs reports whether apt has anything to do.
func (w wants) installs() bool { return len(w.lacking) > 0 }

func (b *writer) packages(w wants) {
	if !w.installs() {
		return
	}
	b.section("packages", struct {
		Update   bool  `yaml:"package_update"`
		Packages []any `yaml:"packages"`
	}{true, w.lacking})
}
