package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", defaultFile, "the configuration")
}

func (a *app) runCommand() *cobra.Command {
	var file string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Be the daemon, until SIGTERM; SIGHUP loads the configuration again",
		Long: `run serves and announces until SIGTERM or SIGINT. HAProxy is left as it is then, and registrations
do what drain.on_term says.

SIGHUP loads the configuration again. What it does not change is not touched. A configuration
with anything wrong in it is refused, and the old one stays in force; zkwatch status says so.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(file)
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), file, c, a.log(verbose))
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().BoolVar(&verbose, "debug", false, "log more")
	return cmd
}

func loadConfig(file string) (*config.Config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return config.Load(file, b)
}

// gcPercent keeps the heap of a daemon that lives beside applications small. Measured with
// 10,000 instances, 40 s after 10,000 changes, one run each on a busy machine: 43 MB resident
// and 0.6 % of a core at rest with 50, 40 MB and 0.9 % with 25. Of the two the processor is what
// is short. A memory limit would not follow the size of the site. Giving memory back after a
// burst (debug.FreeOSMemory) was tried with 25 alone, and was worth about 1 MB there.
const gcPercent = 50

// serve runs the daemon. That it was told to end is no error.
func (a *app) serve(ctx context.Context, file string, c *config.Config, log *slog.Logger) error {
	if a.getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog is not fed: its settings in the environment cannot be read", "error", err)
	}
	w := &watcher.Watcher{Config: c, Version: version(), Log: log, Watchdog: watchdog,
		Open:  opener(c, log),
		Proxy: proxies(log),
	}
	if a.getenv("NOTIFY_SOCKET") != "" {
		w.Notify = func(state string) {
			if _, err := daemon.SdNotify(false, state); err != nil {
				log.Warn("systemd could not be told", "state", state, "error", err)
			}
		}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go reloads(ctx, hup, w, file, log)
	log.Info("zkwatch starts", "version", w.Version, "config", file, "host", c.Host, "routes", len(c.Routes), "registrations", len(c.Register))
	err = w.Run(ctx)
	log.Info("zkwatch ends", "error", err)
	return err
}

// reloads loads the configuration again at each SIGHUP.
func reloads(ctx context.Context, hup <-chan os.Signal, w *watcher.Watcher, file string, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		c, err := loadConfig(file)
		if err == nil {
			err = w.Reload(ctx, c)
		} else {
			w.Refused(err)
		}
		if err != nil {
			log.Error("the configuration was not loaded again", "config", file, "error", err)
			continue
		}
		log.Info("the configuration was loaded again", "config", file)
	}
}
