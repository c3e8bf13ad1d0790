// Command zkwatch is the daemon of an application host, and the word of its operator.
//
// `zkwatch run` makes the local HAProxy serve what the registry has, and announces local
// services while their checks pass. The other commands ask and tell a running one over its
// socket. It parses flags and wires; all work is done by package watcher and those below it.
// It refuses to run with a configuration that has anything wrong in it.
//
// Results go to stdout, everything else to stderr. Exit codes, on which scripts may rely:
//
//	0    done, or all is well
//	1    failed, or used wrongly; check: the configuration is wrong
//	3    status: something needs a look; drain --wait: it ended before all had let go
//	5    no zkwatch answers
//	130  interrupted
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(newApp().run(context.Background(), os.Args[1:]))
}
