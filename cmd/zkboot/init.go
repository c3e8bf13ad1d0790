package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// exampleSpec is what init writes; a test loads it.
//
//go:embed init.yaml
var exampleSpec []byte

func (a *app) initCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a commented zkboot.yaml to start from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := writeNew(file, exampleSpec); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "wrote %s: put your hosts in, then run `zkboot plan`\n", file)
			return nil
		},
	}
	fileFlag(cmd, &file)
	return cmd
}

// writeNew writes a file that must not be there yet. It is complete or absent: a link,
// unlike a rename, never replaces what another process made meanwhile.
func writeNew(path string, content []byte) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if _, err = temp.Write(content); err == nil {
		err = errors.Join(temp.Chmod(0o644), temp.Sync())
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Link(temp.Name(), path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and is left as it is: remove it, or name another with -f", path)
	} else if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
