package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestInitWritesWhatLoadAndTheRolesAccept(t *testing.T) {
	s, report := bootstrap.Load("zkboot.yaml", exampleSpec)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	e := &bootstrap.Engine{Roles: roles()}
	if err := e.Validate(s).Err(); err != nil {
		t.Error(err)
	}
}

func TestPathsAreRelativeToTheSpec(t *testing.T) {
	t.Setenv("HOME", "/home/alice")
	s := &bootstrap.Spec{
		SSH: bootstrap.SSH{IdentityFiles: []string{"id", "~/.ssh/id", "/etc/id"}, KnownHostsFile: "../known_hosts",
			AcceptNewFile: "accepted", ConfigFile: "none", Jump: &bootstrap.Jump{IdentityFiles: []string{"jump"}}},
		Hosts: map[string]bootstrap.HostSpec{"zk1": {SSH: bootstrap.SSH{IdentityFiles: []string{"zk1"}, ConfigFile: "config"}}},
		Ensemble: &bootstrap.Ensemble{Source: bootstrap.Source{
			Tarball: &bootstrap.Tarball{URL: "file:zk.tar.gz"}}},
	}
	resolvePaths(s, "/site/a")
	want := &bootstrap.Spec{
		SSH: bootstrap.SSH{IdentityFiles: []string{"/site/a/id", "/home/alice/.ssh/id", "/etc/id"}, KnownHostsFile: "/site/known_hosts",
			AcceptNewFile: "/site/a/accepted", ConfigFile: "none", Jump: &bootstrap.Jump{IdentityFiles: []string{"/site/a/jump"}}},
		Hosts: map[string]bootstrap.HostSpec{"zk1": {SSH: bootstrap.SSH{IdentityFiles: []string{"/site/a/zk1"}, ConfigFile: "/site/a/config"}}},
		Ensemble: &bootstrap.Ensemble{Source: bootstrap.Source{
			Tarball: &bootstrap.Tarball{URL: "file:///site/a/zk.tar.gz"}}},
	}
	if diff := cmp.Diff(want.SSH, s.SSH); diff != "" {
		t.Errorf("ssh (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.Hosts, s.Hosts); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.Ensemble, s.Ensemble); diff != "" {
		t.Errorf("ensemble (-want +got):\n%s", diff)
	}
	for _, url := range []string{"https://example.net/zk.tar.gz", "file:///srv/zk.tar.gz"} {
		if got := resolveURL(url, "/site/a"); got != url {
			t.Errorf("%s became %s", url, got)
		}
	}
}
