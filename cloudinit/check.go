package cloudinit

import (
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zkboot/zkboot/bootstrap"
)

// What may stand where. The document is written by an encoder, so that nothing can break out
// of the YAML; these keep things out of it that the programs on the host would trip over, or
// take for an option.
var (
	hostRE    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
	accountRE = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`) // useradd(8)
	debNameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)   // Debian Policy 5.6.1
	versionRE = regexp.MustCompile(`^([0-9A-Za-z][0-9A-Za-z.+:~-]*)?$`)
	sourceRE  = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]*$`) // sources.list(5)
	unitRE    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9:_.@-]*\.(service|timer|path|socket|target)$`)
	publicRE  = regexp.MustCompile(`(^| )(sk-)?(ssh-rsa|ssh-ed25519|ecdsa-sha2-nistp(256|384|521))(@openssh\.com)? [A-Za-z0-9+/]+={0,2}( |$)`)
	modes     = []string{"always", "madvise", "never"}
)

// check reports what is wrong with a resource itself.
func check(report *bootstrap.Report, from bootstrap.Path, r bootstrap.Resource) {
	why := ""
	switch r := r.(type) {
	case bootstrap.AptSource:
		why = sourceFault(r)
	case bootstrap.Package:
		why = unless(debNameRE.MatchString(r.Name) && versionRE.MatchString(r.Version), "has a name or version that Debian does not allow")
	case bootstrap.User:
		why = userFault(r)
	case bootstrap.Mount:
		why = mountFault(r)
	case bootstrap.File:
		why = unless(plainPath(r.Path), "is no clean absolute path")
		if r.Mode&^0o777 != 0 {
			why = "has mode " + strconv.FormatUint(uint64(r.Mode), 8) + ", want permission bits alone"
		}
	case bootstrap.Kernel:
		ok := r.Name == "thp" && slices.Contains(modes, r.Value) || r.Name == "swap" && r.Value == "off"
		why = unless(ok, "is "+strconv.Quote(r.Value)+"; known are thp as "+strings.Join(modes, ", ")+", and swap as off")
	case bootstrap.Unit:
		why = unless(unitRE.MatchString(r.Name), "has a name that systemd does not allow")
	}
	if why != "" {
		refuse(report, from, r.ID(), why, "correct it in the spec")
	}
}

func unless(ok bool, why string) string {
	if ok {
		return ""
	}
	return why
}

func sourceFault(r bootstrap.AptSource) string {
	word := func(s string) bool { return s != "" && !strings.ContainsFunc(s, blank) }
	for _, w := range slices.Concat(r.URIs, r.Suites, r.Components) {
		if !word(w) {
			return "has " + strconv.Quote(w) + " where one word belongs"
		}
	}
	switch {
	case !sourceRE.MatchString(r.Name):
		return "has a name that apt does not read"
	case len(r.URIs) == 0 || len(r.Suites) == 0:
		return "lacks a URI or a suite"
	case !strings.HasPrefix(r.Key, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"):
		return "has no armoured public key"
	}
	return ""
}

func userFault(r bootstrap.User) string {
	for _, name := range append([]string{r.Name}, r.Groups...) {
		if !accountRE.MatchString(name) {
			return "has " + strconv.Quote(name) + " where the name of an account belongs"
		}
	}
	for _, p := range []string{r.Home, r.Shell} {
		if p != "" && (!plainPath(p) || strings.Contains(p, ":")) {
			return "has " + strconv.Quote(p) + " as home or shell"
		}
	}
	return ""
}

func mountFault(r bootstrap.Mount) string {
	switch {
	case !plainPath(r.Path) || r.Path == "/" || !plainPath(r.Device):
		return "needs clean absolute paths of a directory and a device"
	case r.FSType != "ext4" && r.FSType != "xfs":
		return "has file system " + strconv.Quote(r.FSType) + ", want ext4 or xfs"
	case strings.ContainsAny(r.Path+r.Device+strings.Join(r.Options, ""), "%\\\"'"):
		return "has a quote, a backslash or % in device, path or options" // % is a specifier in units
	case slices.ContainsFunc(r.Options, func(o string) bool { return o == "" || strings.ContainsFunc(o, blank) }):
		return "has an option that is not one word"
	}
	return ""
}

// blank is what ends a word, or cannot be seen.
func blank(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

// plainPath reports whether p is an absolute path, clean, of words that can be seen.
func plainPath(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && utf8.ValidString(p) && !strings.ContainsFunc(p, blank)
}

// checkFacts reports what is wrong with the facts of the first boot.
func (o Options) checkFacts(report *bootstrap.Report) {
	if !hostRE.MatchString(o.Host) || len(o.Host) > 253 {
		report.Errorf("host", "%q is no host name", o.Host)
	}
	if strings.ContainsFunc(o.InstanceID, blank) {
		report.Errorf("instance_id", "%q is not one word", o.InstanceID)
	}
	o.Login.check(report)
	for i, k := range o.HostKeys {
		at := bootstrap.Path("host_keys").Index(i)
		k.check(report, at)
		if slices.ContainsFunc(o.HostKeys[:i], func(other HostKey) bool { return other.Type == k.Type }) {
			report.Errorf(at.Field("type"), "there are two keys of type %s; a host has one of each", k.Type)
		}
	}
	for i, s := range o.TimeServers {
		if _, err := netip.ParseAddr(s); err != nil && !hostRE.MatchString(s) {
			report.Errorf(bootstrap.Path("time_servers").Index(i), "%q is neither a host name nor an address", s)
		}
	}
	for i, name := range o.Installed {
		if !debNameRE.MatchString(name) {
			report.Errorf(bootstrap.Path("installed").Index(i), "%q is no name of a package", name)
		}
	}
	checkMirror(report, "mirror.primary", o.Mirror.Primary)
	checkMirror(report, "mirror.security", o.Mirror.Security)
}

func (l Login) check(report *bootstrap.Report) {
	if l.User != "" && !accountRE.MatchString(l.User) {
		report.Errorf("login.user", "%q is no name of an account", l.User)
	}
	if l.User != "" && len(l.Keys) == 0 {
		report.Errorf("login.keys", "there are none: nobody could log in as %s; give at least one public key", l.User)
	}
	for i, k := range l.Keys {
		at := bootstrap.Path("login.keys").Index(i)
		switch {
		case strings.Contains(k, "PRIVATE KEY"):
			report.Errorf(at, "is a private key; only its public half belongs on a host: the line in the .pub file")
		case strings.ContainsFunc(k, unseen) || !publicRE.MatchString(k):
			report.Errorf(at, "is no line of an authorized_keys file, want such as \"ssh-ed25519 AAAA... name\"")
		}
	}
}

// unseen are characters other than a blank that cannot be seen, the ends of lines among them.
func unseen(r rune) bool { return r != ' ' && blank(r) || r == utf8.RuneError }

// check never says what it has seen: it may be the key.
func (k HostKey) check(report *bootstrap.Report, at bootstrap.Path) {
	kind := map[string]string{"ed25519": "ssh-ed25519 ", "ecdsa": "ecdsa-sha2-nistp", "rsa": "ssh-rsa "}[k.Type]
	if kind == "" {
		report.Errorf(at.Field("type"), "%q is unknown, want ed25519, ecdsa or rsa", k.Type)
		return
	}
	if !strings.HasPrefix(k.Public, kind) || strings.ContainsFunc(k.Public, unseen) || !publicRE.MatchString(k.Public) {
		report.Errorf(at.Field("public"), "is no public key of type %s on one line", k.Type)
	}
	odd := func(r rune) bool { return r != '\n' && unseen(r) }
	pem := strings.HasPrefix(k.Private, "-----BEGIN ") && strings.Contains(k.Private, "PRIVATE KEY-----\n")
	if !pem || strings.ContainsFunc(k.Private, odd) {
		report.Errorf(at.Field("private"), "is no private key in PEM form, want what ssh-keygen writes without a passphrase")
	}
}

// checkMirror refuses a password in the address: user-data is read by every process.
func checkMirror(report *bootstrap.Report, at bootstrap.Path, raw string) {
	if raw == "" {
		return
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsFunc(raw, blank) {
		report.Errorf(at, "is no address of a mirror, want such as https://deb.debian.org/debian, without a password")
	}
}
