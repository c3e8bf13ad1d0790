package main

import (
	"context"
	"os"
	"os/signal"
	"os/user"
	"runtime/debug"
	"syscall"

	"github.com/zkboot/zkboot/bootstrap/agent"
)

// beAgent lets a build that has no agent embedded be its own agent on the hosts. A lost
// connection may come as SIGHUP; the step under way still ends.
func beAgent(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	return agent.ServeStdio(ctx)
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

func who() string {
	name, machine := "somebody", "unknown machine"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		machine = h
	}
	return "terraform of " + name + "@" + machine
}
