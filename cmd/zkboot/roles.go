package main

import "github.com/zkboot/zkboot/bootstrap"

// roles is the one list of what hosts can be.
func roles() []bootstrap.Role {
	return []bootstrap.Role{}
}
