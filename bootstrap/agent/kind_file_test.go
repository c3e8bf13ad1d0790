package agent

import (
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/bootstrap"
)

func ownFile(p, content string) bootstrap.File {
	return bootstrap.File{Path: p, Content: content, Mode: 0o640, Owner: "me", Group: "us"}
}

func TestFileIsWrittenWithItsRightsAndParents(t *testing.T) {
	s := newSandbox(t)
	f := ownFile("/etc/zookeeper/main/log.xml", "<a/>\n")
	s.settle(f)
	f.Sum = f.ContentSum()
	wantEqual(t, s.see(f.ID()), bootstrap.Resource(f))
	wantEqual(t, s.files("/etc/zookeeper/main"), []string{"log.xml"})
	f.Mode, f.Content = 0o4600, "<b/>\n"
	s.settle(f)
}

func TestFileOfOthersKindsIsNeverTouched(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/secret", "keep")
	if err := os.Symlink("secret", s.under("/etc/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.under("/etc/dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, s.unread("file:/etc/link"), "/etc/link is a symbolic link, want a regular file")
	wantEqual(t, s.unread("file:/etc/dir"), "/etc/dir is a directory, want a regular file")
	wantError(t, s.do(creates(ownFile("/etc/dir", "x"))), "/etc/dir is a directory, want a regular file")
	wantError(t, s.do(removes(ownFile("/etc/dir", ""))), "/etc/dir is a directory, want a regular file")
	s.must(creates(ownFile("/etc/link", "mine"))) // replaces the link, not what it leads to
	wantEqual(t, s.get("/etc/secret"), "keep")
	wantEqual(t, s.get("/etc/link"), "mine")
}

func TestFileDelete(t *testing.T) {
	s := newSandbox(t)
	f := ownFile("/etc/x", "x")
	s.must(creates(f))
	s.must(removes(f))
	s.absent("/etc/x")
	s.must(removes(f))
	s.must(removes(ownFile("/no/such/dir/x", "")))
}

func TestFileLargerThanTheLimitHasASumAlone(t *testing.T) {
	s := newSandbox(t)
	content := strings.Repeat("x", maxContent+1)
	s.put("/etc/large", content)
	got, ok := s.see("file:/etc/large").(bootstrap.File)
	if !ok || got.Content != "" || got.Sum != (bootstrap.File{Content: content}).ContentSum() {
		t.Errorf("saw %d bytes of content and sum %q", len(got.Content), got.Sum)
	}
}

func TestFileThatIsNoTextHasASumAlone(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/keystore", "\xff\xfe")
	got, ok := s.see("file:/etc/keystore").(bootstrap.File)
	if !ok || got.Content != "" || got.Sum != (bootstrap.File{Content: "\xff\xfe"}).ContentSum() {
		t.Errorf("saw content %q and sum %q", got.Content, got.Sum)
	}
}

func TestComparePresenceKeepsWhatIsThere(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/x", "theirs")
	f := ownFile("/etc/x", "ours")
	f.Compare = bootstrap.ComparePresence
	s.must(creates(f))
	wantEqual(t, s.get("/etc/x"), "theirs")
}

// superSecret and its digest were made with
// printf 'super:00ff' | openssl dgst -binary -sha1 | openssl base64
const (
	superSecret = "00ff"
	superDigest = "UW38Hvd57Q/jKfj42EpSprDGnig="
)

func zooCfg() bootstrap.File {
	f := ownFile("/etc/zk/zoo.cfg", "tickTime=2000\ndynamicConfigFile=/etc/zk/dyn\nDigestAuthenticationProvider.superDigest=super:@SUPER@\n")
	f.Compare, f.Keep = bootstrap.CompareProperties, []string{"dynamicConfigFile"}
	f.Fill = []bootstrap.Fill{{Marker: "@SUPER@", Secret: "/etc/zk/super", As: bootstrap.FillSuperDigest}}
	return f
}

func entryOf(f bootstrap.File) bootstrap.Entry { return bootstrap.Entry{ID: f.ID(), Fill: f.Fill} }

func TestFillIsOnlyOnTheHost(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/zk/super", superSecret+"\n")
	f := zooCfg()
	s.must(creates(f))
	if got := s.get(f.Path); !strings.Contains(got, "superDigest=super:"+superDigest+"\n") {
		t.Errorf("zoo.cfg has no digest:\n%s", got)
	}
	got := s.see(f.ID(), entryOf(f)).(bootstrap.File)
	wantEqual(t, got.Content, f.Content)
	wantEqual(t, got.Sum, f.ContentSum())
	if d := f.Drift(got); len(d) > 0 {
		t.Errorf("differs: %+v", d)
	}
}

// Whoever is not known to have written a file, and whatever a fill no longer explains,
// is shown without secrets, and with a sum that is not that of the content: otherwise
// the redacted text would pass for what was there.
func TestSecretsThatNoFillExplainsAreTakenOut(t *testing.T) {
	tests := map[string]struct {
		secret string
		owned  []bootstrap.Entry
	}{
		"nobody's file": {superSecret, nil},
		"other secret":  {"abcd", []bootstrap.Entry{entryOf(zooCfg())}},
		"no secret":     {"", []bootstrap.Entry{entryOf(zooCfg())}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.put("/etc/zk/super", tt.secret)
			s.put("/etc/zk/zoo.cfg", "ssl.keyStore.password=geheim\nDigestAuthenticationProvider.superDigest=super:"+superDigest+"\n")
			got := s.see("file:/etc/zk/zoo.cfg", tt.owned...).(bootstrap.File)
			wantEqual(t, got.Content, "ssl.keyStore.password=<redacted>\nDigestAuthenticationProvider.superDigest=<redacted>\n")
			if got.Sum == got.ContentSum() {
				t.Error("the sum is that of the redacted content")
			}
		})
	}
}

func TestRedact(t *testing.T) {
	tests := map[string]string{
		"-Dzookeeper.DigestAuthenticationProvider.superDigest=super:abc= -Xmx1g": "-Dzookeeper.DigestAuthenticationProvider.superDigest=<redacted> -Xmx1g",
		`Environment="DB_PASSWORD=x" A=b`:                                        `Environment="DB_PASSWORD=<redacted>" A=b`,
		"E: Failed to fetch http://joe:pw@mirror/x 404":                          "E: Failed to fetch http://<redacted>@mirror/x 404",
		`{"password": "x"}`: `{"password": "<redacted>"}`,
		"tickTime=2000":     "tickTime=2000",
	}
	for in, want := range tests {
		wantEqual(t, redact(in), want)
	}
}

func TestFillErrors(t *testing.T) {
	tests := map[string]struct {
		edit   func(*bootstrap.File)
		secret string
		want   string
	}{
		"no secret":    {func(*bootstrap.File) {}, "", "secret /etc/zk/super is empty"},
		"no marker":    {func(f *bootstrap.File) { f.Content = "a=b\n" }, superSecret, `marker "@SUPER@" of secret /etc/zk/super is not in the content`},
		"unknown form": {func(f *bootstrap.File) { f.Fill[0].As = "rot13" }, superSecret, `unknown form "rot13"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.put("/etc/zk/super", tt.secret)
			f := zooCfg()
			tt.edit(&f)
			wantError(t, s.do(creates(f)), tt.want)
			s.absent(f.Path)
		})
	}
}

// ZooKeeper points dynamicConfigFile at another file with every reconfig; a write of
// ours must not send it back to an older membership.
func TestPropertiesKeepTheLiveValue(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/zk/super", superSecret)
	s.put("/etc/zk/zoo.cfg", "#Sat Nov 21\ndynamicConfigFile=/etc/zk/zoo.cfg.dynamic.100000000\ntickTime=3000\n")
	f := zooCfg()
	s.must(creates(f))
	wantEqual(t, bootstrap.Properties(s.get(f.Path)), map[string]string{
		"tickTime":          "2000",
		"dynamicConfigFile": "/etc/zk/zoo.cfg.dynamic.100000000",
		"DigestAuthenticationProvider.superDigest": "super:" + superDigest,
	})
}

func TestKeepLiveChangesNothingButTheKeptKeys(t *testing.T) {
	keys := rapid.SampledFrom([]string{"a", "b", "c", "a.b", "server.1"})
	properties := rapid.MapOf(keys, rapid.StringMatching(`[a-z0-9:;]{0,4}`))
	rapid.Check(t, func(t *rapid.T) {
		content, live := properties.Draw(t, "content"), properties.Draw(t, "live")
		keep := rapid.SliceOfDistinct(keys, rapid.ID).Draw(t, "keep")
		want := map[string]string{}
		for k, v := range content {
			want[k] = v
		}
		for _, k := range keep {
			if v, ok := live[k]; ok {
				want[k] = v
			}
		}
		got := bootstrap.Properties(keepLive(propertyText(content), propertyText(live), keep))
		if len(got) != len(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for k, v := range want {
			if got[k] != v {
				t.Fatalf("%s is %q, want %q", k, got[k], v)
			}
		}
	})
}

func propertyText(m map[string]string) string {
	var b strings.Builder
	for k, v := range m {
		b.WriteString(k + "=" + v + "\n")
	}
	return b.String()
}

func FuzzKeepLive(f *testing.F) {
	f.Add("a=b\nc=d", "c=e\n", "c")
	f.Fuzz(func(t *testing.T, content, live, key string) {
		got := bootstrap.Properties(keepLive(content, live, []string{key}))
		if want, ok := bootstrap.Properties(live)[key]; ok && !strings.ContainsAny(key, "=#!\n\r") && strings.TrimSpace(key) == key && key != "" && got[key] != want {
			t.Errorf("%q is %q, want %q", key, got[key], want)
		}
	})
}
