package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/watcher/haproxy"
)

func (a *app) checkCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Judge a configuration, and what it would make of HAProxy's; change nothing",
		Long: `check reads the configuration, prints everything that is wrong with it, and has haproxy -c judge
what it renders to together with the files that HAProxy reads before it. It exits with 1
when anything is wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(file)
			if err != nil {
				return err
			}
			var errs []error
			for _, name := range slices.Sorted(maps.Keys(c.Registries)) {
				if z := c.Registries[name].ZooKeeper; z != nil {
					if _, err := readAuth(z.AuthFile); err != nil {
						errs = append(errs, fmt.Errorf("%s: registries[%q].zookeeper.%w", file, name, err))
					}
				}
			}
			said := "haproxy is disabled here"
			if !c.HAProxy.Disabled {
				said = "haproxy -c accepts what it renders to"
				if err := haproxy.Check(cmd.Context(), haproxyOptions(c, slog.New(slog.NewTextHandler(a.stderr, nil)))); err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", file, err))
				}
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s: %d services, %d routes, %d registrations; %s\n", file, len(c.Services), len(c.Routes), len(c.Register), said)
			return err
		},
	}
	fileFlag(cmd, &file)
	return cmd
}
