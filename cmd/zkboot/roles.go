package main

import (
	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/sidecar"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// roles is the one list of what hosts can be.
func roles() []bootstrap.Role {
	return []bootstrap.Role{zookeeper.New(), sidecar.New(sidecar.Embedded())}
}
