package zookeeper

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher/watchertest"
)

// Close must not wait for a server that is not there, nor for one that says nothing, and
// leaves no goroutine behind (TestMain looks).
func TestCloseDoesNotWaitForServers(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	silent := watchertest.NewProxy(t, ln.Addr().String())
	silent.Set(watchertest.Hang)
	refused := watchertest.NewProxy(t, ln.Addr().String())
	refused.Set(watchertest.Refuse)
	for name, server := range map[string]*watchertest.Proxy{"silent": silent, "refused": refused} {
		t.Run(name, func(t *testing.T) {
			c, err := Connect(Options{Servers: []string{server.Addr()}})
			if err != nil {
				t.Fatal(err)
			}
			limit := time.Now().Add(10 * time.Second)
			for server.Accepted() == 0 && time.Now().Before(limit) {
				time.Sleep(time.Millisecond)
			}
			start := time.Now()
			c.Close()
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("Close took %s", took)
			} else {
				t.Logf("closed in %s", took)
			}
		})
	}
}

func TestConnectRefusesOptions(t *testing.T) {
	tests := map[string]struct {
		o    Options
		want string
	}{
		"no servers":     {Options{}, "no servers are given"},
		"a short server": {Options{Servers: []string{"zk1"}}, `server "zk1": it is not host:port`},
		"a short time":   {Options{Servers: []string{"zk1:2181"}, Session: time.Millisecond}, "session 1ms is shorter than 1s"},
		"no password":    {Options{Servers: []string{"zk1:2181"}, Auth: "zkwatch"}, "the credentials are not user:password"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Connect(test.o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
