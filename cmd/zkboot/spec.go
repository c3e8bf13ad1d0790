package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
)

// defaultFile is the spec that commands read without -f.
const defaultFile = "zkboot.yaml"

// fileFlag adds -f.
func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", defaultFile, "the spec")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml") // fails only for a flag that does not exist
}

// loadSpec reads and validates the spec. The spec is nil when the report failed.
func loadSpec(file string) (*bootstrap.Spec, bootstrap.Report, error) {
	src, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, bootstrap.Report{}, fmt.Errorf("%s is not there: `zkboot init -f %s` writes one to start from, -f names another", file, file)
	}
	if err != nil {
		return nil, bootstrap.Report{}, err
	}
	s, report := bootstrap.Load(file, src)
	if s == nil {
		return nil, report, nil
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, report, err
	}
	resolvePaths(s, dir)
	return s, report, nil
}

// resolvePaths makes the paths of s absolute: in a file they are relative to its folder.
func resolvePaths(s *bootstrap.Spec, dir string) {
	resolveSSH(&s.SSH, dir)
	for name, h := range s.Hosts {
		resolveSSH(&h.SSH, dir)
		s.Hosts[name] = h
	}
	if s.Ensemble != nil && s.Ensemble.Source.Tarball != nil {
		t := s.Ensemble.Source.Tarball
		t.URL = resolveURL(t.URL, dir)
	}
}

func resolveSSH(c *bootstrap.SSH, dir string) {
	for i, f := range c.IdentityFiles {
		c.IdentityFiles[i] = resolve(f, dir)
	}
	c.KnownHostsFile = resolve(c.KnownHostsFile, dir)
	c.AcceptNewFile = resolve(c.AcceptNewFile, dir)
	if c.ConfigFile != "none" {
		c.ConfigFile = resolve(c.ConfigFile, dir)
	}
	if c.Jump != nil {
		for i, f := range c.Jump.IdentityFiles {
			c.Jump.IdentityFiles[i] = resolve(f, dir)
		}
	}
}

func resolve(path, dir string) string {
	path = expandHome(path)
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// expandHome replaces a leading ~/ as a shell would; without a home it stays.
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	home, err := os.UserHomeDir()
	if !ok || err != nil {
		return path
	}
	return filepath.Join(home, rest)
}

// resolveURL makes file:zookeeper.tar.gz, which has no slash after the colon, absolute.
func resolveURL(raw, dir string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "file" || u.Opaque == "" {
		return raw
	}
	return (&url.URL{Scheme: "file", Path: resolve(u.Opaque, dir)}).String()
}
