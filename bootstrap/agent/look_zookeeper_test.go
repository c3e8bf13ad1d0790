package agent

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// zkServer answers four letter words like a server, each on a connection of its own.
func zkServer(t *testing.T, answers map[string]string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			word := make([]byte, 4)
			if _, err := io.ReadFull(conn, word); err == nil {
				_, _ = io.WriteString(conn, answers[string(word)])
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func adminServer(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/commands/zabstate":
			_, _ = io.WriteString(w, `{"voting": true, "zabstate": "broadcast"}`)
		case "/commands/hash":
			_, _ = io.WriteString(w, `{"digests":[{"digest": 18446744073709551615}]}`)
		case "/commands/initial_configuration":
			_, _ = io.WriteString(w, `{"initial_configuration":"tickTime=2000\nDigestAuthenticationProvider.superDigest=super:geheim\n"}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://127.0.0.1:")
}

func TestZooKeeperIsSeenWhole(t *testing.T) {
	addr := zkServer(t, map[string]string{
		"srvr": "Zookeeper version: 3.8.0\nMode: follower\n",
		"mntr": "zk_version\t3.8.0\nzk_znode_count\t5\n",
	})
	s := newSandbox(t)
	s.put("/etc/zk/zoo.cfg", "dataDir=/data\ndataLogDir=/log\ndynamicConfigFile=/etc/zk/zoo.cfg.dynamic\nadmin.serverPort="+adminServer(t)+
		"\nDigestAuthenticationProvider.superDigest=super:geheim\n")
	dynamic := "server.1=10.0.0.1:2888:3888:participant;10.0.0.1:2181\nserver.2=10.0.0.2:2888:3888:participant;" + addr + "\n"
	s.put("/etc/zk/zoo.cfg.dynamic", dynamic)
	s.put("/data/myid", "2\n")
	s.put("/log/version-2/log.100000001", "")
	z := s.see("zookeeper:/etc/zk/zoo.cfg").(bootstrap.ZooKeeper)
	wantEqual(t, z.MyID, "2")
	wantEqual(t, z.Dynamic, dynamic)
	wantEqual(t, z.Data, bootstrap.DataPresent)
	wantEqual(t, z.Srvr, "Zookeeper version: 3.8.0\nMode: follower\n")
	wantEqual(t, z.Mntr, map[string]string{"zk_version": "3.8.0", "zk_znode_count": "5"})
	wantEqual(t, string(z.Admin["zabstate"]), `{"voting":true,"zabstate":"broadcast"}`)
	wantEqual(t, string(z.Admin["hash"]), `{"digests":[{"digest":18446744073709551615}]}`)
	wantEqual(t, string(z.Admin["initial_configuration"]), `{"initial_configuration":"tickTime=2000\nDigestAuthenticationProvider.superDigest=\u003credacted\u003e\n"}`)
	if _, ok := z.Properties["DigestAuthenticationProvider.superDigest"]; ok || z.Properties["dataDir"] != "/data" {
		t.Errorf("properties are %v", z.Properties)
	}
	for _, want := range []string{"/commands/voting_view: 404 Not Found", "/commands/leader: 404 Not Found"} {
		if !strings.Contains(z.Err, want) {
			t.Errorf("Err is %q, want it to say %q", z.Err, want)
		}
	}
}

func TestZooKeeperThatIsNotThere(t *testing.T) {
	if got := newSandbox(t).see("zookeeper:/etc/zk/zoo.cfg"); got != nil {
		t.Errorf("saw %+v", got)
	}
}

func TestZooKeeperThatIsDown(t *testing.T) {
	addr := zkServer(t, nil)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	s := newSandbox(t)
	s.put("/etc/zk/zoo.cfg", "dataDir=data\nclientPort="+port+"\nadmin.enableServer=false\ndynamicConfigFile=/etc/zk/none\n")
	z := s.see("zookeeper:/etc/zk/zoo.cfg").(bootstrap.ZooKeeper)
	wantEqual(t, z.Data, bootstrap.DataUnknown)
	wantEqual(t, z.Srvr, "")
	for _, want := range []string{"no such file", `data directory "data" is not an absolute path`} {
		if !strings.Contains(z.Err, want) {
			t.Errorf("Err is %q, want it to say %q", z.Err, want)
		}
	}
}

func TestZooKeeperThatDoesNotTalk(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // connects, but nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := newSandbox(t)
	s.put("/etc/zk/zoo.cfg", "dataDir=/data\nclientPort="+port+"\nadmin.serverPort="+port+"\n")
	start := time.Now()
	z := s.see("zookeeper:/etc/zk/zoo.cfg").(bootstrap.ZooKeeper)
	if took := time.Since(start); took > 3*askBudget {
		t.Errorf("took %s, the budget is %s", took, askBudget)
	}
	for _, want := range []string{"srvr: ", "mntr: ", "AdminServer: "} {
		if !strings.Contains(z.Err, want) {
			t.Errorf("Err is %q, want it to say %q", z.Err, want)
		}
	}
}

func TestZooKeeperWordThatIsNotAllowed(t *testing.T) {
	addr := zkServer(t, map[string]string{"srvr": "Mode: leader\n", "mntr": "mntr is not executed because it is not in the whitelist.\n"})
	s := newSandbox(t)
	s.put("/etc/zk/zoo.cfg", "dataDir=/data\nadmin.enableServer=false\nserver.1=h:1:2;"+addr+"\n")
	s.put("/data/myid", "1")
	z := s.see("zookeeper:/etc/zk/zoo.cfg").(bootstrap.ZooKeeper)
	wantEqual(t, z.Srvr, "Mode: leader\n")
	wantEqual(t, z.Err, "mntr: mntr is not executed because it is not in the whitelist.")
	wantEqual(t, z.Data, bootstrap.DataEmpty)
}

func TestDataState(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  bootstrap.DataState
	}{
		"nothing":            {nil, bootstrap.DataEmpty},
		"identity alone":     {map[string]string{"/data/myid": "1", "/log/initialize": ""}, bootstrap.DataEmpty},
		"never saw a quorum": {map[string]string{"/data/version-2/snapshot.0": "x", "/data/version-2/currentEpoch": "0", "/data/version-2/acceptedEpoch": "0\n"}, bootstrap.DataPristine},
		"epochs alone":       {map[string]string{"/data/version-2/currentEpoch": "0"}, bootstrap.DataPristine},
		"was elected":        {map[string]string{"/data/version-2/snapshot.0": "x", "/data/version-2/currentEpoch": "1"}, bootstrap.DataPresent},
		"snapshot":           {map[string]string{"/data/version-2/snapshot.100000000": "x"}, bootstrap.DataPresent},
		"log":                {map[string]string{"/data/version-2/snapshot.0": "x", "/log/version-2/log.1": "x"}, bootstrap.DataPresent},
		"something else":     {map[string]string{"/log/version-2/what": "x"}, bootstrap.DataPresent},
		"cannot be read":     {map[string]string{"/data/version-2": "a file"}, bootstrap.DataUnknown},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			for p, content := range tt.files {
				s.put(p, content)
			}
			got, err := s.dataState("/data", "/log")
			wantEqual(t, got, tt.want)
			wantEqual(t, err != nil, tt.want == bootstrap.DataUnknown)
		})
	}
}

func TestClientAddress(t *testing.T) {
	tests := map[string]struct {
		z    bootstrap.ZooKeeper
		want string
		err  string
	}{
		"own line":      {bootstrap.ZooKeeper{MyID: "2", Dynamic: "server.1=a:1:2;10.0.0.1:2181\nserver.2=b:1:2:observer;10.0.0.2:2182\n"}, "10.0.0.2:2182", ""},
		"several hosts": {bootstrap.ZooKeeper{MyID: "1", Dynamic: "server.1=a:1:2|b:1:2:participant;10.0.0.1:2181\n"}, "10.0.0.1:2181", ""},
		"wildcard":      {bootstrap.ZooKeeper{MyID: "1", Dynamic: "server.1=a:1:2;0.0.0.0:2181\n"}, "127.0.0.1:2181", ""},
		"port alone":    {bootstrap.ZooKeeper{MyID: "1", Dynamic: "server.1=a:1:2;2181\n"}, "127.0.0.1:2181", ""},
		"IPv6":          {bootstrap.ZooKeeper{MyID: "1", Dynamic: "server.1=a:1:2;[fd00::1]:2181\n"}, "[fd00::1]:2181", ""},
		"IPv6 wildcard": {bootstrap.ZooKeeper{MyID: "1", Dynamic: "server.1=a:1:2;[::]:2181\n"}, "[::1]:2181", ""},
		"static file":   {bootstrap.ZooKeeper{MyID: "1", Properties: map[string]string{"server.1": "a:1:2", "clientPort": "2181", "clientPortAddress": "10.0.0.1"}}, "10.0.0.1:2181", ""},
		"other's line":  {bootstrap.ZooKeeper{MyID: "3", Dynamic: "server.1=a:1:2;2181\n"}, "", "neither the dynamic file nor zoo.cfg names a client port"},
		"bad port":      {bootstrap.ZooKeeper{Properties: map[string]string{"clientPort": "70000"}}, "", `client port "70000" is not a port`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := clientAddress(tt.z)
			wantEqual(t, got, tt.want)
			if tt.err != "" {
				wantError(t, err, tt.err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A joiner writes down the configuration that it learns, in which it does not stand yet.
func TestClientAddressOfAGuest(t *testing.T) {
	live := "server.1=10.0.0.1:2888:3888:participant;10.0.0.1:2181\n"
	for name, tt := range map[string]struct{ file, first, want, err string }{
		"it stands in what it was started with": {"zoo.cfg.dynamic.100000000", live + "server.2=10.0.0.2:2888:3888:observer;10.0.0.2:2182\n", "10.0.0.2:2182", ""},
		"it stands nowhere":                     {"zoo.cfg.dynamic.100000000", live, "", "names a client port"},
		"what it was started with is gone":      {"zoo.cfg.dynamic.100000000", "", "", "names a client port"},
		"the name has no version":               {"zoo.cfg.dynamic", "", "", "names a client port"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			if tt.first != "" {
				s.put("/etc/zk/zoo.cfg.dynamic", tt.first)
			}
			got, err := s.clientAddress(bootstrap.ZooKeeper{MyID: "2", Dynamic: live, Properties: map[string]string{"dynamicConfigFile": "/etc/zk/" + tt.file}})
			wantEqual(t, got, tt.want)
			if tt.err != "" {
				wantError(t, err, tt.err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzDynamicClient(f *testing.F) {
	f.Add("server.1=a:1:2:participant;[::]:2181", "1")
	f.Add("server.1=;0]0:1", "1")
	f.Fuzz(func(t *testing.T, dynamic, id string) {
		if addr, ok := dynamicClient(dynamic, id); ok {
			if _, port, err := net.SplitHostPort(addr); err != nil || port == "0" {
				t.Errorf("address %q: %v", addr, err)
			}
		}
	})
}

func FuzzParseMntr(f *testing.F) {
	f.Add("zk_version\t3.8.0\r\nzk_avg_latency\t0.5\n")
	f.Fuzz(func(t *testing.T, text string) {
		for k := range parseMntr(text) {
			if strings.ContainsAny(k, "\t\n") {
				t.Errorf("key %q", k)
			}
		}
	})
}
