package main

import (
	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
	"github.com/zkboot/zkboot/provider"
)

// status lets the ensemble's role tell how it stands.
func status(s *bootstrap.Spec, now bootstrap.Site) provider.Status {
	r := zookeeper.Status(s, now)
	out := provider.Status{Quorum: r.Quorum, Leader: r.Leader, ConfigVersion: r.ConfigVersion, Servers: map[string]provider.ServerStatus{}}
	for _, m := range r.Members {
		out.Servers[m.Host] = provider.ServerStatus{ID: m.ID, Role: m.Role, Mode: m.Mode, Version: m.Version, Zxid: m.Zxid,
			Voting: m.Voting, Synced: m.Synced, Error: m.Error}
	}
	return out
}
