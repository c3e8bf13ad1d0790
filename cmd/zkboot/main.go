// Command zkboot stands up, proves and looks after ZooKeeper ensembles on plain hosts that
// answer SSH.
//
// It parses flags, asks and prints; all work is done by package bootstrap and its roles.
// It refuses to touch a host before a person, a stored plan or --auto-approve has said yes.
//
// Results go to stdout, progress and findings to stderr. Exit codes, on which scripts may
// rely:
//
//	0    done, nothing to do, verified, or quorum
//	1    failed, or used wrongly
//	2    plan --detailed-exitcode: there are changes
//	3    refused by the hardware gate, verify found a failure, status found no quorum, or a drill failed
//	4    locked by another apply
//	130  interrupted
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(newApp().run(context.Background(), os.Args[1:]))
}
