package zookeeper

import (
	"slices"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestConfigKeysAreRefused(t *testing.T) {
	for _, tt := range []struct {
		key, value string
		want       string // part of the text
	}{
		{"tickTme", "2000", `unknown key "tickTme"; did you mean "tickTime"?`},
		{"frobnicate", "1", `unknown key "frobnicate"; ZooKeeper would take it for a system property`},
		{"tickTime", "2s", "want a whole number from 100 to 60000 (ms)"},
		{"tickTime", "99", "want a whole number from 100 to 60000 (ms)"},
		{"tickTime", "", "want a value on one line"},
		{"tickTime", "2000\nserver.9=evil:1:2", "want a value on one line"},
		{"autopurge.purgeInterval", "0", "want a whole number from 1 to 8760 (h)"},
		{"autopurge.snapRetainCount", "2", "want a whole number from 3 to 1000"},
		{"leaderServes", "true", "want yes or no"},
		{"tcpKeepAlive", "yes", "want true or false"},
		{"dataDir", "/data", "set ensemble.data_dir"},
		{"clientPort", "2181", "set ensemble.ports.client"},
		{"server.1", "a:1:2", "set ensemble.members"},
		{"reconfigEnabled", "false", "members change by reconfig"},
		{"db.autocreate", "true", "must not vote with an empty one"},
		{"admin.serverAddress", "0.0.0.0", "loopback alone"},
		{"ssl.quorum.keyStore.location", "/x", "TLS is not here yet"},
		{"jute.maxbuffer", "1", "ensemble.jvm_flags"},
		{"metricsProvider.className", "x", "needs source.tarball"},
		{"metricsProvider.exportJvmInfo", "true", "needs source.tarball"},
		{"forceSync", "no", "without fsync an acknowledged write can be lost"},
		{"skipACL", "yes", "opens every znode"},
		{"snapshot.trust.empty", "true", "ZOOKEEPER-3056"},
		{"minSessionTimeout", "50000", ""}, // found at maxSessionTimeout, see below
	} {
		t.Run(tt.key+"="+tt.value, func(t *testing.T) {
			s := testSpec(3)
			s.Ensemble.Config = map[string]string{tt.key: tt.value}
			r := New().Validate(s)
			if !r.Failed() {
				t.Fatal("accepted")
			}
			if tt.want != "" {
				finding(t, r, bootstrap.Path("ensemble.config").Key(tt.key), tt.want)
			}
		})
	}
}

func TestConfigKeysFitTogether(t *testing.T) {
	for _, tt := range []struct {
		name     string
		config   map[string]string
		at, part string
		severity bootstrap.Severity
	}{
		{"session bounds cross", map[string]string{"minSessionTimeout": "50000"}, "maxSessionTimeout", "want at least minSessionTimeout (50000 ms", bootstrap.SeverityError},
		{"two ticks are the least", map[string]string{"tickTime": "4000", "maxSessionTimeout": "6000"}, "maxSessionTimeout", "8000 ms", bootstrap.SeverityError},
		{"joining takes longer than staying", map[string]string{"initLimit": "4"}, "initLimit", "want at least syncLimit (5)", bootstrap.SeverityError},
		{"followers may lag longer than sessions live", map[string]string{"syncLimit": "30", "initLimit": "30"}, "syncLimit", "60000 ms", bootstrap.SeverityWarning},
		{"pause thresholds cross", map[string]string{"jvm.pause.info-threshold.ms": "2000"}, "jvm.pause.info-threshold.ms", "want at most", bootstrap.SeverityError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := testSpec(3)
			s.Ensemble.Config = tt.config
			f := finding(t, New().Validate(s), bootstrap.Path("ensemble.config").Key(tt.at), tt.part)
			if f.Severity != tt.severity {
				t.Errorf("severity %s, want %s", f.Severity, tt.severity)
			}
		})
	}
}

func TestConfigRendersTheTemplate(t *testing.T) {
	apt := testSpec(3)
	golden(t, "zoo.cfg.apt", members(apt)[0].config().String())
	tarball := tarballSpec(3)
	tarball.Ensemble.Config = map[string]string{"tickTime": "1000", "snapCount": "50000", "fips-mode": "true"}
	tarball.Ensemble.Ports.Admin = 8081
	if r := New().Validate(tarball); r.Failed() {
		t.Fatal(r.Err())
	}
	golden(t, "zoo.cfg.tarball", members(tarball)[1].config().String())
}

func TestAnArchiveMayHaveAnotherMetricsProvider(t *testing.T) {
	s := tarballSpec(1)
	s.Ensemble.Config = map[string]string{"metricsProvider.className": "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider"}
	if r := New().Validate(s); r.Failed() {
		t.Fatal(r.Err())
	}
	m := members(s)[0]
	if c := m.config(); c.Get("metricsProvider.className") != s.Ensemble.Config["metricsProvider.className"] || c.Get("metricsProvider.httpPort") != "" {
		t.Errorf("zoo.cfg still serves Prometheus:\n%s", c)
	}
	for _, p := range m.needs(platform{}).Ports {
		if p.Use == "metrics" {
			t.Errorf("port %d is asked for and nobody would listen on it", p.Port)
		}
	}
}

func TestConfigIsReadBackAsWritten(t *testing.T) {
	c := members(tarballSpec(3))[0].config()
	read := bootstrap.Properties(c.String())
	for _, p := range c {
		if read[p.Key] != p.Value {
			t.Errorf("%s is read back as %q, want %q", p.Key, read[p.Key], p.Value)
		}
	}
	if len(read) != len(c) {
		t.Errorf("%d properties are read back of %d", len(read), len(c))
	}
}

func TestKeysAreATable(t *testing.T) {
	all := keys()
	if !slices.IsSortedFunc(all, func(a, b key) int { return strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)) }) {
		t.Error("keys are not sorted by name")
	}
	for _, k := range all {
		if why := takenWhy(k.name); why != "" {
			t.Errorf("%s is both free and taken: %s", k.name, why)
		}
		if strings.HasPrefix(k.name, "clientPort") {
			t.Errorf("%s: the server drops it from zoo.cfg when it rewrites the file, which would be drift for ever", k.name)
		}
	}
	for name := range unsafe() {
		if _, ok := findKey(name); !ok {
			t.Errorf("unsafe key %s is in no table, so that it would be unknown", name)
		}
	}
}

func TestJVMFlagsMustNotUndoTheConfig(t *testing.T) {
	for _, tt := range []struct{ flag, want string }{
		{"-Xmx4g", "set ensemble.heap"},
		{"-Xms4g", "set ensemble.heap"},
		{"-Dzookeeper.db.autocreate=true", "must not vote with an empty one"},
		{"-Dzookeeper.DigestAuthenticationProvider.superDigest=super:hunter2", "zkboot makes it of a secret"},
		{"-Dzookeeper.ssl.keyStore.password=hunter2", "TLS is not here yet"},
		{"-Dzookeeper.forceSync=no", "without fsync"},
		{"-Dzookeeper.snapCount=5", `set ensemble.config["snapCount"]`},
	} {
		s := testSpec(1)
		s.Ensemble.JVMFlags = []string{"-XX:+UseStringDeduplication", "-Djute.maxbuffer=4194304", tt.flag}
		r := New().Validate(s)
		f := finding(t, r, "ensemble.jvm_flags[2]", tt.want)
		if strings.Contains(f.Text, "hunter2") {
			t.Errorf("%s: the secret is in the text: %s", tt.flag, f.Text)
		}
		if len(r.Findings) != 1 {
			t.Errorf("%s: harmless flags were found fault with: %v", tt.flag, r.Findings)
		}
	}
}
