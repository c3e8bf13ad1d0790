package main

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
)

func (a *app) destroyCommand() *cobra.Command {
	var file, mode string
	var approved, wipe bool
	cmd := &cobra.Command{
		Use:   "destroy",
		Short: "Take off the hosts what zkboot put there; data stays unless asked",
		Long: `destroy removes our units, files, users and drop-ins and puts kernel settings back.
Packages go where zkboot installed them. Data directories stay, unless --wipe-data.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.mayAsk(approved); err != nil {
				return err
			}
			return a.change(cmd.Context(), mode, file, approved, bootstrap.Intent{Verb: bootstrap.VerbDestroy, Wipe: wipe})
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	approveFlag(cmd, &approved)
	cmd.Flags().BoolVar(&wipe, "wipe-data", false, "delete the data too; there is no way back")
	return cmd
}

// fate says in one line what a destroy does to directories that hold data, and where.
func fate(p *bootstrap.Plan) string {
	wiped := dirs(p, func(st bootstrap.Step) bool { return st.Wipe })
	kept := dirs(p, func(st bootstrap.Step) bool { return st.Action == bootstrap.ActionRelease })
	var parts []string
	if len(wiped) > 0 {
		parts = append(parts, "deleted with all data: "+strings.Join(wiped, ", "))
	}
	if len(kept) > 0 {
		parts = append(parts, "kept with all data: "+strings.Join(kept, ", "))
	}
	if len(parts) == 0 {
		return "zkboot owns no data there"
	}
	return strings.Join(parts, "; ")
}

// dirs lists, as path (hosts), the directories that steps like the given one are about.
// What lies below a listed one goes without saying.
func dirs(p *bootstrap.Plan, like func(bootstrap.Step) bool) []string {
	hosts := map[string][]string{}
	for _, w := range p.Waves {
		for _, host := range w.Hosts() {
			for _, st := range w.Steps[host] {
				if st.Target.Kind() == bootstrap.KindDir && like(st) {
					hosts[st.Target.Name()] = append(hosts[st.Target.Name()], host)
				}
			}
		}
	}
	var out []string
	for _, dir := range slices.Sorted(maps.Keys(hosts)) {
		if _, listed := hosts[path.Dir(dir)]; !listed {
			out = append(out, fmt.Sprintf("%s (%s)", dir, strings.Join(hosts[dir], " ")))
		}
	}
	return out
}
