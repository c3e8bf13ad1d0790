package bootstrap

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// differ collects differences between a wanted and a seen resource.
type differ []Difference

func (d *differ) str(field, was, want string) {
	if was != want {
		*d = append(*d, Difference{Field: field, Was: was, Want: want})
	}
}

func (d *differ) mode(was, want uint32) {
	d.str("mode", fmt.Sprintf("%04o", was), fmt.Sprintf("%04o", want))
}

func (d *differ) flag(field string, was, want bool) {
	d.str(field, fmt.Sprint(was), fmt.Sprint(want))
}

// subset reports the wanted values that are missing among the seen ones.
func (d *differ) subset(field string, was, want []string) {
	for _, w := range want {
		if !slices.Contains(was, w) {
			*d = append(*d, Difference{Field: field, Was: strings.Join(was, ","), Want: strings.Join(want, ",")})
			return
		}
	}
}

// absent is the one difference between a wanted resource and nothing.
func absent() []Difference { return []Difference{{Field: "", Was: "absent", Want: "present"}} }

// Drift implements Resource.
func (r AptSource) Drift(seen Resource) []Difference {
	s, ok := seen.(AptSource)
	if !ok {
		return absent()
	}
	var d differ
	d.str("uris", strings.Join(s.URIs, " "), strings.Join(r.URIs, " "))
	d.str("suites", strings.Join(s.Suites, " "), strings.Join(r.Suites, " "))
	d.str("components", strings.Join(s.Components, " "), strings.Join(r.Components, " "))
	d.str("key", strings.TrimSpace(s.Key), strings.TrimSpace(r.Key))
	return d
}

// Drift implements Resource.
func (r Package) Drift(seen Resource) []Difference {
	s, ok := seen.(Package)
	if !ok {
		return absent()
	}
	var d differ
	if r.Version != "" {
		d.str("version", s.Version, r.Version)
	}
	if r.Hold { // a hold of somebody else is left alone
		d.flag("hold", s.Hold, r.Hold)
	}
	return d
}

// Drift implements Resource.
func (r User) Drift(seen Resource) []Difference {
	s, ok := seen.(User)
	if !ok {
		return absent()
	}
	var d differ
	if r.Home != "" {
		d.str("home", s.Home, r.Home)
	}
	if r.Shell != "" {
		d.str("shell", s.Shell, r.Shell)
	}
	d.subset("groups", s.Groups, r.Groups)
	return d
}

// Drift implements Resource.
func (r Mount) Drift(seen Resource) []Difference {
	s, ok := seen.(Mount)
	if !ok {
		return absent()
	}
	var d differ
	d.str("device", s.Device, r.Device)
	d.str("fstype", s.FSType, r.FSType)
	d.subset("options", s.Options, r.Options)
	return d
}

// Drift implements Resource.
func (r Dir) Drift(seen Resource) []Difference {
	s, ok := seen.(Dir)
	if !ok {
		return absent()
	}
	var d differ
	d.mode(s.Mode, r.Mode)
	d.str("owner", s.Owner, r.Owner)
	d.str("group", s.Group, r.Group)
	return d
}

// Drift implements Resource.
func (r Secret) Drift(seen Resource) []Difference {
	s, ok := seen.(Secret)
	if !ok {
		return absent()
	}
	var d differ
	d.str("bytes", fmt.Sprint(s.Bytes), fmt.Sprint(r.Bytes))
	d.mode(s.Mode, r.Mode)
	d.str("owner", s.Owner, r.Owner)
	d.str("group", s.Group, r.Group)
	return d
}

// Drift implements Resource. Which key it is does not matter, as long as it is none of those
// to be replaced: somebody may well have made another one since.
func (r HostKey) Drift(seen Resource) []Difference {
	s, ok := seen.(HostKey)
	if !ok {
		return absent()
	}
	var d differ
	if slices.Contains(r.Replaces, s.Public) {
		d.str("public", s.Public, "of a pair that is made on the host")
	}
	d.flag("unannounced", s.Unannounced, false)
	return d
}

// Drift implements Resource.
func (r Archive) Drift(seen Resource) []Difference {
	s, ok := seen.(Archive)
	if !ok {
		return absent()
	}
	var d differ
	d.str("sha512", short(s.SHA512), short(r.SHA512))
	return d
}

func short(sum string) string {
	if len(sum) > 16 {
		return sum[:16]
	}
	return sum
}

// Drift implements Resource.
func (r File) Drift(seen Resource) []Difference {
	s, ok := seen.(File)
	if !ok {
		return absent()
	}
	var d differ
	switch r.Compare {
	case ComparePresence:
		return nil
	case CompareProperties:
		d.properties(s.Content, r.Content, r.Keep)
	default:
		if s.Sum != r.ContentSum() {
			d = append(d, Difference{Field: "content", Was: s.Content, Want: r.Content})
		}
	}
	d.mode(s.Mode, r.Mode)
	d.str("owner", s.Owner, r.Owner)
	d.str("group", s.Group, r.Group)
	return d
}

// ContentSum is the sha256 of Content in hex: what a seen file's Sum is compared with.
func (r File) ContentSum() string {
	sum := sha256.Sum256([]byte(r.Content))
	return hex.EncodeToString(sum[:])
}

func (d *differ) properties(was, want string, keep []string) {
	a, b := Properties(was), Properties(want)
	for _, k := range slices.Sorted(keysOf(a, b)) {
		if slices.Contains(keep, k) {
			continue
		}
		av, aok := a[k]
		bv, bok := b[k]
		switch {
		case !aok:
			*d = append(*d, Difference{Field: k, Was: "", Want: bv})
		case !bok:
			*d = append(*d, Difference{Field: k, Was: av, Want: ""})
		default:
			d.str(k, av, bv)
		}
	}
}

// keysOf yields the keys of both maps, each once.
func keysOf(a, b map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range a {
			if !yield(k) {
				return
			}
		}
		for k := range b {
			if _, dup := a[k]; !dup && !yield(k) {
				return
			}
		}
	}
}

// Properties reads key=value lines as java.util.Properties does for the files we meet:
// blank lines and lines that start with # or ! are skipped, space around key and value
// is trimmed, a later key wins. Continuation lines and escapes are not supported: no
// file of ours has them.
func Properties(src string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(src) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		k, v, _ := strings.Cut(line, "=")
		m[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	return m
}

// Drift implements Resource. What a container may not set is the host's business.
func (r Sysctl) Drift(seen Resource) []Difference {
	s, ok := seen.(Sysctl)
	if !ok {
		return nil // the kernel has no such key: nothing that could be set
	}
	if s.HostOwned {
		return nil
	}
	var d differ
	if !r.Setting.Satisfied(s.Setting.Value) {
		d.str("value", s.Setting.Value, r.Setting.Target(s.Setting.Value))
	}
	return d
}

// Drift implements Resource.
func (r Kernel) Drift(seen Resource) []Difference {
	s, ok := seen.(Kernel)
	if !ok || s.HostOwned {
		return nil
	}
	var d differ
	d.str("value", s.Value, r.Value)
	return d
}

// Drift implements Resource.
func (r Unit) Drift(seen Resource) []Difference {
	s, ok := seen.(Unit)
	if !ok {
		return absent()
	}
	var d differ
	d.str("content", s.Content, r.Content)
	d.flag("enabled", s.Enabled, r.Enabled)
	d.flag("running", s.Running, r.Running)
	if r.Running && s.Running {
		d.str("revision", s.Rev, r.Rev)
	}
	return d
}
