package cloudinit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
)

// everything is one of each kind that first boot brings, in its less usual forms.
func everything() bootstrap.Desired {
	return wish("ensemble",
		bootstrap.AptSource{Name: "apache", URIs: []string{"https://apt.example.net"}, Suites: []string{"stable"}, Components: []string{"main"},
			Key: "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nbm9uZQ==\n-----END PGP PUBLIC KEY BLOCK-----\n"},
		bootstrap.Package{Name: "haproxy"},
		bootstrap.Package{Name: "libzookeeper-java", Version: "3.8.0-11+deb12u2", Hold: true},
		bootstrap.User{Name: "zookeeper"},
		bootstrap.User{Name: "zkwatch", Home: "/var/lib/zkwatch", Shell: "/bin/false", Groups: []string{"haproxy"}},
		bootstrap.Mount{Path: "/srv/log", Device: "/dev/disk/by-id/virtio-log", FSType: "ext4", Options: []string{"noatime", "nodiratime"}},
		bootstrap.File{Path: "/etc/sysctl.d/90-x.conf", Content: "# no\nvm.swappiness = 1\n", Mode: 0o644, Owner: "root", Group: "root"},
		bootstrap.File{Path: "/etc/odd", Content: "  yes: \"no\"\t\n\n", Mode: 0o600, Owner: "root", Group: "root"},
		bootstrap.File{Path: "/etc/binary", Content: "\xff\x00", Mode: 0o400, Owner: "root", Group: "root"},
		bootstrap.Sysctl{Setting: sysctl.Setting{Key: "vm.swappiness", Value: "1"}},
		bootstrap.Kernel{Name: "thp", Value: "never"},
		bootstrap.Kernel{Name: "swap", Value: "off"},
		bootstrap.Unit{Name: "swapoff.service", Content: "[Service]\nExecStart=/sbin/swapoff -a\n", Enabled: true},
	)
}

func TestDocuments(t *testing.T) {
	guide := guideSpecs(t)
	member, _ := wanted(t, guide["main"], "zk3")
	side, _ := wanted(t, guide["shop"], "app1")
	for name, o := range map[string]Options{
		"member":     facts("zk3", member...),
		"sidecar":    {Host: "app1", Desired: side},
		"everything": facts("zk1", everything()),
		"nothing":    {Host: "bare", Login: Login{User: "root", Keys: []string{publicKey}}, Mirror: Mirror{Security: "http://192.0.2.9/sec"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := render(t, o)
			golden(t, name+".user-data", string(d.UserData))
			if d.Secret != (len(o.HostKeys) > 0) {
				t.Errorf("secret is %t with %d host keys", d.Secret, len(o.HostKeys))
			}
		})
	}
}

// apt is asked for what the image lacks: without anything to bring it is not even updated, for
// an image may be booted where there is no mirror.
func TestPackagesThatTheImageHas(t *testing.T) {
	xfs := bootstrap.Mount{Path: "/srv/log", Device: "/dev/vdb", FSType: "xfs"}
	const check, hold = "dpkg-query -s curl fio > /dev/null\n", "apt-mark hold fio\n"
	for _, tt := range []struct {
		name      string
		installed []string
		also      []bootstrap.Resource
		asked     string // names after "packages:"; none means that apt is left alone
	}{
		{"none", nil, nil, `"curl" "fio"`},
		{"some", []string{"curl", "vim"}, nil, `"fio"`},
		{"all", []string{"fio", "curl"}, nil, ""},
		{"all but mkfs", []string{"curl", "fio"}, []bootstrap.Resource{xfs}, `"xfsprogs"`},
		{"mkfs too", []string{"curl", "fio", "xfsprogs"}, []bootstrap.Resource{xfs}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := facts("zk1", wish("ensemble", append(tt.also, bootstrap.Package{Name: "curl"}, bootstrap.Package{Name: "fio", Hold: true})...))
			o.Installed = tt.installed
			doc := string(render(t, o).UserData)
			_, section, asks := strings.Cut(doc, "\npackages:\n")
			section, _, _ = strings.Cut(section, "runcmd:")
			if got := strings.Join(strings.Fields(strings.ReplaceAll(section, "- ", "")), " "); got != tt.asked {
				t.Errorf("apt is asked for %s, want %s", got, tt.asked)
			}
			if strings.Contains(doc, aptConf) != asks || strings.Contains(doc, "package_update") != asks {
				t.Errorf("with apt %t, in\n%s", asks, doc)
			}
			// What the image is said to have is looked at, and held, as the rest is.
			for _, line := range []string{check, hold} {
				if !strings.Contains(doc, line) {
					t.Errorf("no %q in\n%s", line, doc)
				}
			}
		})
	}
	t.Run("another version", func(t *testing.T) {
		o := facts("zk1", wish("ensemble", bootstrap.Package{Name: "curl", Version: "1.2-3"}))
		o.Installed = []string{"curl"}
		if doc := string(render(t, o).UserData); !strings.Contains(doc, `"1.2-3"`) {
			t.Errorf("a version is taken for any:\n%s", doc)
		}
	})
}

func TestLeftToApply(t *testing.T) {
	var b strings.Builder
	for _, at := range []struct{ spec, host string }{{"main", "zk1"}, {"shop", "app1"}} {
		_, left := wanted(t, guideSpecs(t)[at.spec], at.host)
		for _, l := range left {
			fmt.Fprintf(&b, "%s: %s %s  <- %s\n", at.host, l.ID, l.Why, l.From)
		}
	}
	golden(t, "left", b.String())
}

func TestSeed(t *testing.T) {
	o := facts("zk1")
	names := func(d Document) (out []string) {
		for _, f := range d.Seed() {
			out = append(out, f.Name+": "+string(f.Content))
		}
		return out[1:]
	}
	meta := "meta-data: instance-id: \"main-zk1\"\nlocal-hostname: \"zk1\"\n"
	if diff := cmp.Diff([]string{meta}, names(render(t, o))); diff != "" {
		t.Error(diff)
	}
	o.NetworkConfig = []byte("version: 2\n")
	if diff := cmp.Diff([]string{meta, "network-config: version: 2\n"}, names(render(t, o))); diff != "" {
		t.Error(diff)
	}
}

// The parts say where the bytes are, and files are compressed before anything is refused.
func TestSizes(t *testing.T) {
	big := func(n int) bootstrap.File {
		return bootstrap.File{Path: "/etc/big", Content: strings.Repeat("0123456789abcdef\n", n), Mode: 0o644, Owner: "root", Group: "root"}
	}
	noise := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 20<<10)
	for i := range random {
		random[i] = byte('a' + noise.IntN(26))
	}
	small := bootstrap.File{Path: "/etc/small", Content: "x\n", Mode: 0o644, Owner: "root", Group: "root"}
	for _, c := range []struct {
		name   string
		wants  bootstrap.File
		limit  int
		packed bool
		fault  string // "" when it fits
	}{
		{name: "as text", wants: big(10)},
		{name: "compressed", wants: big(2000), packed: true},
		{name: "compressed for a lower limit", wants: big(100), limit: 1500, packed: true},
		{name: "as text for a higher limit", wants: big(2000), limit: 64 << 10},
		{name: "never cut", wants: bootstrap.File{Path: "/etc/noise", Content: string(random), Mode: 0o644, Owner: "root", Group: "root"},
			fault: "want at most 16384: file /etc/noise "},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := facts("zk1", wish("ensemble", c.wants, small))
			o.Limit = c.limit
			d, report := Render(o)
			if c.fault != "" {
				if len(report.Findings) != 1 || !strings.Contains(report.Findings[0].Text, c.fault) || !strings.Contains(report.Findings[0].Text, ", users ") ||
					report.Findings[0].Host != "zk1" || report.Findings[0].Hint == "" || len(d.UserData) > 0 {
					t.Fatalf("found %v with %d bytes", report.Err(), len(d.UserData))
				}
				return
			}
			if report.Failed() {
				t.Fatal(report.Err())
			}
			sum := 0
			for _, p := range d.Parts {
				sum += p.Bytes
			}
			if sum != len(d.UserData) || d.Packed != c.packed {
				t.Errorf("parts add up to %d of %d bytes, packed %t, want %t", sum, len(d.UserData), d.Packed, c.packed)
			}
			for _, f := range read(t, d.UserData).Files {
				if f.Path == "/etc/big" && f.Content != c.wants.Content {
					t.Error("the content has changed on the way")
				}
				if f.Path == "/etc/small" && f.Encoding != "" {
					t.Error("what compression makes larger is compressed")
				}
			}
		})
	}
}

func TestSameInputSameBytes(t *testing.T) {
	first := render(t, facts("zk1", everything()))
	for seed := range uint64(20) {
		d := everything()
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(d.Resources), func(i, j int) {
			d.Resources[i], d.Resources[j] = d.Resources[j], d.Resources[i]
		})
		// Another order of wishes, and the same wish of two roles, change nothing.
		again := render(t, facts("zk1", d, d))
		if diff := cmp.Diff(string(first.UserData), string(again.UserData)); diff != "" {
			t.Fatalf("seed %d:\n%s", seed, diff)
		}
	}
}

func TestRefusedResources(t *testing.T) {
	file := func(edit func(*bootstrap.File)) bootstrap.File {
		f := bootstrap.File{Path: "/etc/x", Mode: 0o644, Owner: "root", Group: "root"}
		edit(&f)
		return f
	}
	mount := func(path, device, fstype string, options ...string) bootstrap.Mount {
		return bootstrap.Mount{Path: path, Device: device, FSType: fstype, Options: options}
	}
	for _, c := range []struct {
		name string
		r    bootstrap.Resource
		text string
	}{
		{"a secret", bootstrap.Secret{Path: "/etc/zookeeper/main/super"}, "secret:/etc/zookeeper/main/super cannot be in user-data: it is made on the host"},
		{"what is made of a secret", file(func(f *bootstrap.File) { f.Fill = []bootstrap.Fill{{Secret: "/etc/s"}} }), "holds something made of /etc/s"},
		{"what a server rewrites", file(func(f *bootstrap.File) { f.Compare = bootstrap.CompareProperties }), "belongs to the program that writes it"},
		{"what belongs to an account", file(func(f *bootstrap.File) { f.Owner, f.Group = "zookeeper", "zookeeper" }), "belongs to zookeeper:zookeeper"},
		{"what lies with data", file(func(f *bootstrap.File) { f.Path = "/var/lib/zookeeper/main/myid" }), "lies outside of /etc"},
		{"a way out of /etc", file(func(f *bootstrap.File) { f.Path = "/etc/../root/.ssh/authorized_keys" }), "is no clean absolute path"},
		{"a path of two lines", file(func(f *bootstrap.File) { f.Path = "/etc/x\n- path: /etc/y" }), "is no clean absolute path"},
		{"a file that runs as root", file(func(f *bootstrap.File) { f.Mode = 0o4755 }), "has mode 4755"},
		{"a member", bootstrap.Unit{Name: "zookeeper-main.service", Enabled: true, Running: true}, "runs what apply sets up and proves"},
		{"a unit with another name", bootstrap.Unit{Name: "../x.service"}, "a name that systemd does not allow"},
		{"an archive", bootstrap.Archive{Dest: "/opt/zookeeper/main"}, "is streamed to the host by apply"},
		{"a directory", bootstrap.Dir{Path: "/var/lib/zookeeper"}, "is made by apply"},
		{"a setting that nothing keeps", bootstrap.Sysctl{Setting: sysctl.Setting{Key: "fs.nr_open", Value: "1"}}, "is not in a file below /etc/sysctl.d"},
		{"what is observed", bootstrap.Candidate{Name: "haproxy"}, "is nothing that can be wanted"},
		{"a switch that does not exist", bootstrap.Kernel{Name: "thp", Value: "sometimes"}, `is "sometimes"; known are thp as always, madvise, never`},
		{"swap on", bootstrap.Kernel{Name: "swap", Value: "on"}, `is "on"`},
		{"an option for apt", bootstrap.Package{Name: "-y"}, "a name or version that Debian does not allow"},
		{"a version of two words", bootstrap.Package{Name: "haproxy", Version: "1 2"}, "a name or version that Debian does not allow"},
		{"an account with a colon", bootstrap.User{Name: "a:b"}, `has "a:b" where the name of an account belongs`},
		{"a group with a comma", bootstrap.User{Name: "a", Groups: []string{"b,c"}}, `has "b,c"`},
		{"a home with a colon", bootstrap.User{Name: "a", Home: "/a:b"}, `has "/a:b" as home or shell`},
		{"a device that is none", mount("/srv", "vdb", "ext4"), "clean absolute paths"},
		{"the root", mount("/", "/dev/vdb", "ext4"), "clean absolute paths"},
		{"another file system", mount("/srv", "/dev/vdb", "btrfs"), `has file system "btrfs", want ext4 or xfs`},
		{"a specifier", mount("/srv/%h", "/dev/vdb", "xfs"), "a quote, a backslash or %"},
		{"two options in one", mount("/srv", "/dev/vdb", "xfs", "noatime exec"), "not one word"},
		{"a source without a key", bootstrap.AptSource{Name: "x", URIs: []string{"https://a"}, Suites: []string{"s"}}, "no armoured public key"},
		{"a source with a line break", bootstrap.AptSource{Name: "x", URIs: []string{"https://a\nTrusted: yes"}, Suites: []string{"s"}}, "where one word belongs"},
		{"a source without a suite", bootstrap.AptSource{Name: "x", URIs: []string{"https://a"}}, "lacks a URI or a suite"},
		{"a source with a path", bootstrap.AptSource{Name: "../x", URIs: []string{"https://a"}, Suites: []string{"s"}}, "a name that apt does not read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, report := Render(facts("zk1", wish(`hosts["zk1"]`, c.r)))
			if len(report.Findings) != 1 {
				t.Fatalf("found %v, want one finding", report.Findings)
			}
			f := report.Findings[0]
			if f.Path != `hosts["zk1"]` || !strings.Contains(f.Text, c.text) || f.Hint == "" || !errors.Is(f, bootstrap.ErrRefused) {
				t.Errorf("found %+v, want %q", f, c.text)
			}
			if len(d.UserData) > 0 {
				t.Error("there is a document")
			}
		})
	}
	t.Run("two roles that do not agree", func(t *testing.T) {
		_, report := Render(facts("zk1", wish("ensemble", bootstrap.Package{Name: "haproxy"}), wish("sidecars", bootstrap.Package{Name: "haproxy", Hold: true})))
		if f := report.Findings; len(f) != 1 || f[0].Path != "sidecars" || !strings.Contains(f[0].Text, "package:haproxy cannot be in user-data: it is wanted differently by two roles") {
			t.Errorf("found %v", f)
		}
	})
}

func TestRefusedFacts(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Options)
		at   bootstrap.Path
		text string
	}{
		{"no host name", func(o *Options) { o.Host = "" }, "host", `"" is no host name`},
		{"a host name of two lines", func(o *Options) { o.Host = "a\nruncmd: [reboot]" }, "host", "is no host name"},
		{"a host name like an option", func(o *Options) { o.Host = "-x" }, "host", "is no host name"},
		{"an instance of two words", func(o *Options) { o.InstanceID = "a b" }, "instance_id", "is not one word"},
		{"an account with a blank", func(o *Options) { o.Login.User = "a b" }, "login.user", "is no name of an account"},
		{"nobody's key", func(o *Options) { o.Login.Keys = nil }, "login.keys", "nobody could log in as debian"},
		{"a private key to log in with", func(o *Options) { o.Login.Keys = []string{publicKey, privateKey} }, "login.keys[1]", "is a private key"},
		{"two keys in one", func(o *Options) { o.Login.Keys[0] += "\n" + publicKey }, "login.keys[0]", "is no line of an authorized_keys file"},
		{"a word as key", func(o *Options) { o.Login.Keys[0] = "key" }, "login.keys[0]", "is no line of an authorized_keys file"},
		{"a DSA host key", func(o *Options) { o.HostKeys[0].Type = "dsa" }, "host_keys[0].type", `"dsa" is unknown, want ed25519, ecdsa or rsa`},
		{"two host keys of a type", func(o *Options) { o.HostKeys = append(o.HostKeys, o.HostKeys[0]) }, "host_keys[1].type", "two keys of type ed25519"},
		{"another public half", func(o *Options) { o.HostKeys[0].Public = "ssh-rsa AAAA" }, "host_keys[0].public", "is no public key of type ed25519"},
		{"no private half", func(o *Options) { o.HostKeys[0].Private = "hunter2" }, "host_keys[0].private", "is no private key in PEM form"},
		{"a clock at two places", func(o *Options) { o.TimeServers[0] = "a b" }, "time_servers[0]", "neither a host name nor an address"},
		{"an option as a package", func(o *Options) { o.Installed = []string{"fio", "--purge"} }, "installed[1]", `"--purge" is no name of a package`},
		{"a mirror with a password", func(o *Options) { o.Mirror.Primary = "https://u:hunter2@mirror.example.net/debian" }, "mirror.primary", "without a password"},
		{"a mirror on the disk", func(o *Options) { o.Mirror.Security = "file:///srv" }, "mirror.security", "is no address of a mirror"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := facts("zk1", everything())
			c.edit(&o)
			_, report := Render(o)
			if f := report.Findings; len(f) != 1 || f[0].Path != c.at || !strings.Contains(f[0].Text, c.text) {
				t.Fatalf("found %v, want %q at %s", f, c.text, c.at)
			}
			if strings.Contains(report.Err().Error(), "hunter2") {
				t.Errorf("a secret is shown: %v", report.Err())
			}
		})
	}
}

// Nothing that gets into a document can end where it stands and begin something else.
func FuzzNothingBreaksOut(f *testing.F) {
	f.Add("zk1", publicKey, "/etc/x", "a: b\n", "/dev/vdb", "/srv/log")
	f.Add("no", "ssh-rsa AAAA yes", "/etc/0644", "  x\n", "/dev/null", "/a'b")
	f.Add("1e3", `command="x" ssh-rsa AAAA #c: "d"`, "/etc/~", "\u2028\u0085\n", "/dev/x", "/$(id)")
	f.Add("a", "ssh-rsa AAAA \\", "/etc/#", "---\n...\n", "/dev/;", "/-")
	f.Add("0x1", "ssh-rsa AAAA %", "/etc/{a: [b", "\x00\xff", "/dev/`x`", "/srv/a\tb")
	f.Fuzz(func(t *testing.T, host, key, path, content, device, dir string) {
		file := bootstrap.File{Path: path, Content: content, Mode: 0o644, Owner: "root", Group: "root"}
		o := Options{Host: host, Login: Login{User: "ops", Keys: []string{key}},
			Desired: []bootstrap.Desired{wish("x", file, bootstrap.Mount{Path: dir, Device: device, FSType: "ext4"})}}
		o.Limit = 1 << 30
		d, report := Render(o)
		if report.Failed() {
			return
		}
		var keys yaml.Node
		if err := yaml.Unmarshal(d.UserData, &keys); err != nil {
			t.Fatalf("%v in\n%s", err, d.UserData)
		}
		var top []string
		for i := 0; i < len(keys.Content[0].Content); i += 2 {
			top = append(top, keys.Content[0].Content[i].Value)
		}
		if want := []string{"hostname", "users", "ssh_pwauth", "disable_root", "ntp", "write_files", "runcmd"}; !slices.Equal(top, want) {
			t.Fatalf("top-level keys %v, want %v", top, want)
		}
		got := read(t, d.UserData)
		login, _ := got.Users[0].(map[string]any)
		if got.Hostname != host || !cmp.Equal(login["ssh_authorized_keys"], []any{key}) || len(got.Users) != 1 || len(got.Files) != 2 || len(got.Run) != 1 {
			t.Fatalf("read back %+v", got)
		}
		i := slices.IndexFunc(got.Files, func(f struct{ Path, Permissions, Owner, Encoding, Content string }) bool { return f.Path == path })
		if i < 0 || got.Files[i].Content != content {
			t.Fatalf("%q with %q is not in\n%s", path, content, d.UserData)
		}
		if want := "mount_disk " + quote(device) + " " + quote(dir) + " ext4 "; !strings.Contains(got.Run[0], want) {
			t.Fatalf("%q is not in\n%s", want, got.Run[0])
		}
	})
}
