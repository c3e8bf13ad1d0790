package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// watchAddr is where instances of the bench stand: loopback addresses, one each.
func watchAddr(n int) string { return fmt.Sprintf("127.77.0.%d:18080", n) }

// site is what the figures of zkwatch are measured on: a real ensemble, and below it as many
// hosts as a figure needs, each a real zkwatch process with a real HAProxy.
type site struct {
	dir      string
	ensemble *watchertest.Ensemble
	zk       *zk.Conn
	closers  []func()
}

func newSite(members int) (s *site, err error) {
	s = &site{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "zkbench"); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = os.RemoveAll(s.dir) })
	if s.ensemble, err = watchertest.StartZooKeeper(filepath.Join(s.dir, "zk"), members); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.ensemble.Close)
	conn, events, err := zk.Connect(s.ensemble.Addrs(), 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		return nil, err
	}
	s.zk = conn
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range events { // the library drops events when nobody takes them
			continue
		}
	}()
	s.closers = append(s.closers, func() { conn.Close(); <-drained })
	return s, nil
}

// close takes everything down, the newest first.
func (s *site) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
	s.closers = nil
}

// mkdir makes a znode and those above it.
func (s *site) mkdir(name string) error {
	if name == "/" || name == "." {
		return nil
	}
	if err := s.mkdir(path.Dir(name)); err != nil {
		return err
	}
	_, err := s.zk.Create(name, nil, 0, zk.WorldACL(zk.PermAll))
	if errors.Is(err, zk.ErrNodeExists) {
		return nil
	}
	return err
}

// populate makes a service with so many instances, the first at watchAddr(1), in batches.
func (s *site) populate(dir string, addrs []string) error {
	if err := s.mkdir(dir); err != nil {
		return err
	}
	for len(addrs) > 0 {
		n := min(500, len(addrs))
		ops := make([]any, 0, n)
		for _, a := range addrs[:n] {
			ops = append(ops, &zk.CreateRequest{Path: dir + "/" + a, Data: []byte(`{"weight":10}`), Acl: zk.WorldACL(zk.PermAll)})
		}
		if _, err := s.zk.Multi(ops...); err != nil {
			return fmt.Errorf("make instances below %s: %w", dir, err)
		}
		addrs = addrs[n:]
	}
	return nil
}

// seat is one host of a site.
type seat struct {
	name     string
	config   config.Config
	balancer *watchertest.Balancer
	cmd      *exec.Cmd
	http     *http.Client // of zkwatch's socket
}

// seat makes a host whose address is ip. change says what of its configuration is not the usual.
func (s *site) seat(ctx context.Context, name, ip string, change func(*config.Config)) (*seat, error) {
	b, err := watchertest.NewBalancer()
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, b.Close)
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "z.sock")
	h := &seat{name: name, balancer: b, config: config.Config{Host: name, Address: ip, StateDir: filepath.Join(dir, "state"),
		Registries: map[string]config.Registry{"main": {ZooKeeper: &config.ZooKeeper{Servers: s.ensemble.Addrs(), Session: config.Duration(8 * time.Second)}}},
		HAProxy:    b.Settings(),
		Status:     config.Status{Listen: ip + ":9180", Socket: socket},
		Drain:      config.Drain{Spool: filepath.Join(dir, "spool")},
	}}
	change(&h.config)
	config.Default(&h.config)
	h.http = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	if err := h.start(ctx, dir); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, h.stop)
	if err := await(ctx, time.Minute, func() bool { _, err := os.Stat(h.config.HAProxy.File); return err == nil }); err != nil {
		return nil, fmt.Errorf("%s: no file for HAProxy: %w", name, err)
	}
	return h, b.Start()
}

func (h *seat) start(ctx context.Context, dir string) error {
	text, err := config.Marshal(&h.config)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "zkwatch.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	h.cmd = exec.CommandContext(context.WithoutCancel(ctx), "bin/zkwatch", "run", "-c", file)
	h.cmd.Stdout, h.cmd.Stderr, h.cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := h.cmd.Start(); err != nil {
		return fmt.Errorf("zkwatch: %w; run make build", err)
	}
	return nil
}

func (h *seat) stop() {
	_ = h.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = h.cmd.Wait()
}

// status asks zkwatch.
func (h *seat) status(ctx context.Context) (st watcher.Status, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://zkwatch/v1/status", nil)
	if err != nil {
		return st, err
	}
	res, err := h.http.Do(req)
	if err != nil {
		return st, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return st, fmt.Errorf("%s: status says %s", h.name, res.Status)
	}
	return st, json.NewDecoder(res.Body).Decode(&st)
}

// serves waits until a host serves so many instances of each of its services.
func (h *seat) serves(ctx context.Context, limit time.Duration, n int) error {
	var last string
	err := await(ctx, limit, func() bool {
		st, err := h.status(ctx)
		if err != nil {
			last = err.Error()
			return false
		}
		for _, s := range st.Services {
			if s.Truth != watcher.Known || s.Pending || len(s.Instances) != n {
				last = fmt.Sprintf("%s is %s with %d instances, pending %t", s.Service, s.Truth, len(s.Instances), s.Pending)
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%s does not serve %d instances each: %s: %w", h.name, n, last, err)
	}
	return nil
}

// await polls until ok.
func await(ctx context.Context, limit time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// server is a line of `show servers state` (management.txt 9.3, format 1).
type server struct{ addr, admin, weight, port string }

// usable tells whether new traffic may go there: neither maintenance nor drain is forced
// (SRV_ADMF_FMAINT|IMAINT|RMAINT 0x23, FDRAIN|IDRAIN 0x18).
func (s server) usable() bool {
	var bits int
	if _, err := fmt.Sscan(s.admin, &bits); err != nil {
		return false
	}
	return bits&(0x23|0x18) == 0
}

// servers asks HAProxy itself, past zkwatch, for a backend by address and port.
func (h *seat) servers(route string) map[string]server {
	out := map[string]server{}
	for line := range strings.Lines(h.balancer.Ask("show servers state zkwatch-" + route)) {
		f := strings.Fields(line)
		if len(f) < 19 || strings.HasPrefix(line, "#") {
			continue
		}
		s := server{addr: f[4], admin: f[6], weight: f[7], port: f[18]}
		if key := net.JoinHostPort(s.addr, s.port); !out[key].usable() {
			out[key] = s
		}
	}
	return out
}
