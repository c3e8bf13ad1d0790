package main

import (
	"context"
	"net/url"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
)

func (a *app) restoreCommand() *cobra.Command {
	var file, mode, in string
	var approved, replace bool
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Put a backup in the place of what every member holds, and prove it",
		Long: `restore reads the whole backup first and refuses a damaged one. It shows its plan and asks.
Then it brings the backup to every member, stops all of them, puts the backup in the place
of their data, and starts them with the members of the spec, which need not be those that the
backup was taken of. At the end it proves that all serve what is in the backup.

Clients are cut off from the stop to the start. What the members held is moved aside, to
version-2.before-... beside it, and never deleted. Members that hold data are refused unless
--replace-data.

A run that was interrupted is gone on with by the same command; until then apply refuses.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.mayAsk(approved); err != nil {
				return err
			}
			b, err := backupOf(cmd.Context(), in)
			if err != nil {
				return err
			}
			b.Replace = replace
			return a.change(cmd.Context(), mode, file, approved, bootstrap.Intent{Verb: bootstrap.VerbRestore, Backup: b})
		},
	}
	fileFlag(cmd, &file)
	outputFlag(cmd, &mode)
	approveFlag(cmd, &approved)
	cmd.Flags().StringVarP(&in, "in", "i", "", "the backup")
	cmd.Flags().BoolVar(&replace, "replace-data", false, "move aside the data that members hold")
	_ = cmd.MarkFlagRequired("in") // fails only for a flag that does not exist
	return cmd
}

// backupOf verifies an archive and says what a plan has to know of it.
func backupOf(ctx context.Context, path string) (*bootstrap.Backup, error) {
	v, err := readBackup(ctx, path)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return &bootstrap.Backup{
		URL: (&url.URL{Scheme: "file", Path: abs}).String(), SHA512: v.SHA512, Size: v.DataSize(),
		Taken: v.Taken.Format(time.RFC3339), Name: v.Name, Version: v.Version,
		Zxid: uint64(v.Zxid), Znodes: v.Znodes, Ephemerals: v.Ephemerals, Digest: v.DigestVersion != 0,
	}, nil
}
