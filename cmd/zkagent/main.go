// Command zkagent looks at and changes the host it runs on, for zkboot, which puts it
// there and speaks to it over SSH. It is short-lived: it ends with the connection. It
// refuses to be used by hand and has no flags.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/zkboot/zkboot/bootstrap/agent"
)

const usage = `usage: zkagent serve | version

serve    speak zkboot's protocol on standard input and output
version  print the version of the build and of the protocol
`

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit status: 1 when serving broke, 2 for wrong usage.
func run(args []string) int {
	if len(args) != 1 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	switch args[0] {
	case "serve":
		// A lost connection may come as a signal; the step under way still ends.
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		if err := agent.ServeStdio(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "zkagent:", err)
			return 1
		}
		return 0
	case "version":
		version := "unknown"
		if b, ok := debug.ReadBuildInfo(); ok {
			version = b.Main.Version
		}
		fmt.Printf("zkagent %s protocol %d\n", version, agent.Protocol)
		return 0
	}
	fmt.Fprint(os.Stderr, usage)
	return 2
}
