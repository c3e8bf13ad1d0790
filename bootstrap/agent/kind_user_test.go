package agent

import (
	"context"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestUser(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/bash\nzk:x:110:118::/var/lib/zk:/usr/sbin/nologin\n+::::::\nbroken\n"
	const group = "root:x:0:\nssl:x:90:zk,root\nadm:x:4:zk\nzk:x:118:\n"
	tests := map[string]struct {
		passwd, group string
		want          bootstrap.User
		argv          string
	}{
		"new":             {"", "", bootstrap.User{Name: "zk"}, "useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --user-group zk"},
		"new, with all":   {"", group, bootstrap.User{Name: "kz", Home: "/h", Shell: "/bin/sh", Groups: []string{"adm", "ssl"}}, "useradd --system --no-create-home --home-dir /h --shell /bin/sh --user-group --groups adm,ssl kz"},
		"group is there":  {"", group, bootstrap.User{Name: "zk"}, "useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --gid zk zk"},
		"as wanted":       {passwd, group, bootstrap.User{Name: "zk", Groups: []string{"ssl"}}, ""},
		"other home":      {passwd, group, bootstrap.User{Name: "zk", Home: "/h"}, "usermod --home /h zk"},
		"groups missing":  {passwd, group, bootstrap.User{Name: "zk", Groups: []string{"ssl", "tls"}}, "usermod --append --groups ssl,tls zk"},
		"shell and group": {passwd, group, bootstrap.User{Name: "zk", Shell: "/bin/sh", Groups: []string{"tls"}}, "usermod --shell /bin/sh --append --groups tls zk"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.put("/etc/passwd", tt.passwd)
			s.put("/etc/group", tt.group)
			if tt.argv != "" {
				s.expect(t, call{argv: tt.argv})
			}
			s.must(creates(tt.want))
		})
	}
	s := newSandbox(t, call{argv: "userdel zk"})
	s.put("/etc/passwd", passwd)
	s.put("/etc/group", group)
	wantEqual(t, s.see("user:zk"), bootstrap.Resource(bootstrap.User{Name: "zk", Home: "/var/lib/zk", Shell: "/usr/sbin/nologin", Groups: []string{"adm", "ssl"}}))
	s.must(removes(bootstrap.User{Name: "zk"}))
	s.must(removes(bootstrap.User{Name: "absent"}))
}

// useradd writes passwd before group: an agent that was told to stop in between left an
// account that no later apply could use.
func TestUserThatWasHalfMade(t *testing.T) {
	s := newSandbox(t, call{argv: "groupadd --system --gid 118 zk"})
	s.put("/etc/passwd", "zk:x:110:118::/nonexistent:/usr/sbin/nologin\n")
	s.put("/etc/group", "root:x:0:\n")
	wantEqual(t, s.see("user:zk"), nil)
	s.must(creates(bootstrap.User{Name: "zk"}))
}

func TestUserIsMadeToTheEnd(t *testing.T) {
	s := newSandbox(t, call{argv: "useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --user-group zk"})
	s.put("/etc/passwd", "")
	ctx, cancel := context.WithCancel(t.Context())
	run := s.run
	s.run = func(given context.Context, argv ...string) (string, error) {
		cancel()
		if given.Err() != nil {
			t.Errorf("%s is stopped when the operator goes", argv[0])
		}
		return run(given, argv...)
	}
	if err := s.putUser(ctx, bootstrap.User{Name: "zk"}); err != nil {
		t.Error(err)
	}
}

func TestUserValuesThatNoFileCanHold(t *testing.T) {
	wantError(t, newSandbox(t).do(creates(bootstrap.User{Name: "zk", Home: "/a:b"})), `home "/a:b" or shell "" of user zk holds a colon`)
	wantError(t, newSandbox(t).do(creates(bootstrap.User{Name: "zk", Groups: []string{"-G"}})), `group "-G" is not a plain name`)
}

func FuzzParsePasswd(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n+::::::\n")
	f.Fuzz(func(t *testing.T, src string) {
		for _, u := range parsePasswd(src) {
			if u.name == "" || strings.ContainsAny(u.name+u.home+u.shell, ":\n") {
				t.Errorf("entry %+v", u)
			}
		}
		for _, g := range parseGroup(src) {
			if g.name == "" || strings.ContainsAny(g.name, ":\n") {
				t.Errorf("entry %+v", g)
			}
		}
	})
}

func source() bootstrap.AptSource {
	return bootstrap.AptSource{Name: "x", URIs: []string{"https://apt.example.net/debian"}, Suites: []string{"bookworm"},
		Components: []string{"main", "contrib"}, Key: "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"}
}

const updateOne = "apt-get update -q -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/x.sources " +
	"-o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any"

func TestAptSource(t *testing.T) {
	s := newSandbox(t, call{argv: updateOne}, call{argv: updateOne})
	s.settle(source())
	wantEqual(t, s.see("apt-source:x"), bootstrap.Resource(source()))
	wantEqual(t, s.get("/etc/apt/sources.list.d/x.sources"),
		"Types: deb\nURIs: https://apt.example.net/debian\nSuites: bookworm\nComponents: main contrib\nSigned-By: /etc/apt/keyrings/x.asc\n")
	s.must(removes(source()))
	s.absent("/etc/apt/sources.list.d/x.sources", "/etc/apt/keyrings/x.asc")
	s.must(removes(source()))
}

func TestAptSourceWhoseMirrorIsDown(t *testing.T) {
	s := newSandbox(t, call{argv: updateOne, err: failed(100, "E: Failed to fetch https://apt.example.net/debian/dists/bookworm/InRelease  Could not connect")})
	wantError(t, s.do(creates(source())), "the mirror https://apt.example.net did not give what apt asked for", "Could not connect")
}

func TestAptSourceOfOneWordEach(t *testing.T) {
	bad := source()
	bad.URIs = []string{"https://x\nTrusted: yes"}
	s := newSandbox(t)
	wantError(t, s.do(creates(bad)), "is not one word")
	s.absent("/etc/apt/sources.list.d/x.sources")
}

// Whatever our form does not say makes the source differ, so that apply writes it anew.
func TestAptSourceOfAnotherFormDiffers(t *testing.T) {
	good := source().Deb822()
	for name, src := range map[string]string{
		"disabled":     good + "Enabled: no\n",
		"trusted":      good + "Trusted: yes\n",
		"two stanzas":  good + "\n" + good,
		"source code":  strings.Replace(good, "Types: deb", "Types: deb deb-src", 1),
		"other key":    strings.Replace(good, "x.asc", "y.asc", 1),
		"no key":       strings.Replace(good, "Signed-By: /etc/apt/keyrings/x.asc\n", "", 1),
		"other suite":  strings.Replace(good, "bookworm", "trixie", 1),
		"empty":        "",
		"not its form": "deb http://x y z\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.put("/etc/apt/keyrings/x.asc", source().Key)
			s.put("/etc/apt/sources.list.d/x.sources", src)
			if d := source().Drift(s.see("apt-source:x")); len(d) == 0 {
				t.Errorf("no difference:\n%s", src)
			}
		})
	}
}

func TestAptSourceRoundTrip(t *testing.T) {
	word := rapid.StringMatching(`[a-z0-9:/._-]{1,12}`)
	words := rapid.SliceOfN(word, 1, 3)
	rapid.Check(t, func(t *rapid.T) {
		want := bootstrap.AptSource{Name: "x", URIs: words.Draw(t, "uris"), Suites: words.Draw(t, "suites"), Components: words.Draw(t, "components")}
		got := parseSource(want.Deb822(), keyPath("x"))
		got.Name = "x"
		if d := want.Drift(got); len(d) > 0 {
			t.Fatalf("%+v", d)
		}
	})
}

func FuzzParseSource(f *testing.F) {
	f.Add(source().Deb822())
	f.Fuzz(func(t *testing.T, src string) {
		for _, uri := range parseSource(src, keyPath("x")).URIs {
			if strings.ContainsAny(uri, " \n\t") {
				t.Errorf("URI %q", uri)
			}
		}
	})
}
