package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/haproxy"
	"github.com/zkboot/zkboot/watcher/zookeeper"
)

// opener returns what connects to registries. The host's name and how often to audit are of
// the first configuration: a reload cannot change the one, and the other is no reason to
// connect anew.
func opener(c *config.Config, log *slog.Logger) func(string, config.Registry) (watcher.Registry, error) {
	return func(name string, r config.Registry) (watcher.Registry, error) {
		if r.ZooKeeper == nil {
			return nil, errors.New("no kind of registry is given")
		}
		auth, err := readAuth(r.ZooKeeper.AuthFile)
		if err != nil {
			return nil, err
		}
		client, err := zookeeper.Connect(zookeeper.Options{Servers: r.ZooKeeper.Servers, Session: time.Duration(r.ZooKeeper.Session),
			Auth: auth, Log: log.With("registry", name), Host: c.Host, Audit: time.Duration(c.Audit)})
		if err != nil {
			return nil, err
		}
		return ensemble{client}, nil
	}
}

// readAuth reads credentials from a file that nobody else may read. What is in it is never
// part of an error.
func readAuth(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	st, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("auth_file: %w", err)
	}
	if st.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("auth_file %s: its mode is %04o, so everybody may use the password; chmod o= %[1]s", file, st.Mode().Perm())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("auth_file: %w", err)
	}
	auth := strings.TrimSpace(string(b))
	if user, password, ok := strings.Cut(auth, ":"); !ok || user == "" || password == "" || strings.ContainsAny(auth, "\r\n") {
		return "", fmt.Errorf("auth_file %s: want one line, user:password", file)
	}
	return auth, nil
}

// ensemble is a ZooKeeper client as watcher wants it.
type ensemble struct{ *zookeeper.Client }

func (e ensemble) Status() watcher.RegistryStatus {
	s := e.Client.Status()
	return watcher.RegistryStatus{Connected: s.State == zookeeper.StateConnected, State: s.State, Server: s.Server, Session: s.SessionID,
		LastReply: s.LastReply, MissedEvents: s.MissedEvents, WatchErrors: s.WatchErrors, Reconnects: s.Reconnects}
}

func haproxyOptions(c *config.Config, log *slog.Logger) haproxy.Options {
	return haproxy.Options{Config: c.HAProxy, Routes: c.Routes, Zone: c.Zone, Log: log}
}

func proxies(log *slog.Logger) func(*config.Config) (watcher.Sink, error) {
	return func(c *config.Config) (watcher.Sink, error) {
		s, err := haproxy.New(haproxyOptions(c, log))
		if err != nil {
			return nil, err
		}
		return proxy{s}, nil
	}
}

// proxy is HAProxy as watcher wants it.
type proxy struct{ *haproxy.Sink }

func (p proxy) Describe() watcher.ProxyStatus {
	s := p.Status()
	out := watcher.ProxyStatus{Version: s.Version, OldWorkers: s.OldWorkers, Due: s.ReloadDue, Refused: s.Refused}
	if s.Connected {
		out.Worker = s.Pid
	}
	for _, b := range s.Backends {
		out.Routes = append(out.Routes, watcher.ServerCount{Route: b.Route, Slots: b.Slots, Overflow: b.Overflow, Ready: b.Ready,
			Draining: b.Draining, Down: b.Down, Ejected: b.Ejected, Missing: b.Missing})
	}
	return out
}
