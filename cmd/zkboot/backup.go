package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/backup"
)

// backupOptions are the flags of backup.
type backupOptions struct {
	file    string
	mode    string // --output
	out     string // -o
	member  string
	offline bool
	keep    int
}

func (a *app) backupCommand() *cobra.Command {
	var o backupOptions
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Take a backup of the ensemble, of its best member, without stopping it",
		Long: `backup copies the latest valid snapshot of one member, the transaction logs that go with it
and the configuration into one archive. It picks a member that votes and is in sync, a
follower rather than the leader, and never one that counts digest mismatches or
unrecoverable errors. When that member restarts meanwhile, it begins again with another.

-o names a directory, in which the archive gets a name with the ensemble, the time and the
last zxid, or a file that is not there yet. With --keep N the oldest archives of this
ensemble in the directory are removed, all but N; other files are never touched.

An archive holds everything that the znodes hold: keep it as you keep the data.

Without a quorum backup refuses. --offline --member HOST takes what lies on that member's
disk all the same; what the others agreed on without it is not in such a backup.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.backup(cmd.Context(), o) },
	}
	fileFlag(cmd, &o.file)
	outputFlag(cmd, &o.mode)
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "a directory for archives, or the file to write")
	cmd.Flags().StringVar(&o.member, "member", "", "take it of this host")
	cmd.Flags().BoolVar(&o.offline, "offline", false, "take what lies on --member although the ensemble has no quorum")
	cmd.Flags().IntVar(&o.keep, "keep", 0, "archives of this ensemble to keep in the directory; 0 keeps all")
	_ = cmd.MarkFlagRequired("out") // fails only for a flag that does not exist
	cmd.AddCommand(a.backupCheckCommand())
	return cmd
}

// backupLine is the result for machines; see jsonLines.
type backupLine struct {
	Type    string   `json:"type"` // "backup"
	File    string   `json:"file"`
	Bytes   int64    `json:"bytes"` // of the archive
	SHA512  string   `json:"sha512,omitempty"`
	Removed []string `json:"removed,omitempty"`
	backup.Manifest
}

// check refuses flags that contradict each other, before any host is asked.
func (o backupOptions) check() error {
	info, err := os.Stat(o.out)
	isDir := err == nil && info.IsDir()
	switch {
	case err == nil && !isDir:
		return fmt.Errorf("-o %s is there already: no backup takes the place of another", o.out)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("-o: %w", err)
	case err != nil && strings.HasSuffix(o.out, "/"):
		return fmt.Errorf("-o %s: there is no such directory", o.out)
	case o.keep < 0:
		return fmt.Errorf("--keep %d: want the number of archives to keep, or 0 for all", o.keep)
	case o.keep > 0 && !isDir:
		return fmt.Errorf("--keep needs a directory, and -o %s is none", o.out)
	case o.offline && o.member == "":
		return errors.New("--offline needs --member: without a quorum nobody but you can say whose data counts")
	}
	return nil
}

func (a *app) backup(ctx context.Context, o backupOptions) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	s, err := a.newSpecSession(o.mode, o.file)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	target, err := openTarget(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.close()) }()
	pending, err := backup.Create(target.folder, s.spec.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pending.Cleanup()) }()
	start := time.Now()
	now, hosts := s.engine.Look(ctx, s.spec)
	if err := ctx.Err(); err != nil {
		return err
	}
	note := func(text string) {
		s.engine.Emit(bootstrap.Event{Kind: bootstrap.EventNote, Step: "backup: " + text})
	}
	m, err := backup.Take(ctx, s.spec, now, hosts, pending, backup.Options{Member: o.member, Offline: o.offline, Note: note})
	if err != nil {
		return s.failed(err)
	}
	path := target.path(m)
	if err := pending.Commit(path); err != nil {
		return err
	}
	line := backupLine{Type: "backup", File: path, Manifest: m}
	if info, err := os.Stat(path); err == nil {
		line.Bytes = info.Size()
	}
	if o.keep > 0 {
		if line.Removed, err = target.dir.Prune(s.spec.Name, o.keep); err != nil {
			return fmt.Errorf("the backup %s is taken; removing old ones: %w", path, err)
		}
	}
	return s.tellBackup(line, time.Since(start))
}

// failed reports an error that has a place and a way out as a finding.
func (s *session) failed(err error) error {
	var f bootstrap.Finding
	if !errors.As(err, &f) {
		return err
	}
	var r bootstrap.Report
	r.Add(f)
	s.out.report(r)
	return s.end("failed", codeFailed)
}

// backupTarget is where an archive goes.
type backupTarget struct {
	folder string
	file   string      // "": named by what is in it
	dir    *backup.Dir // held, where the name is ours to make
}

func openTarget(o backupOptions) (backupTarget, error) {
	if info, err := os.Stat(o.out); err != nil || !info.IsDir() {
		return backupTarget{folder: filepath.Dir(o.out), file: o.out}, nil
	}
	dir, err := backup.OpenDir(o.out)
	return backupTarget{folder: o.out, dir: dir}, err
}

func (t backupTarget) path(m backup.Manifest) string {
	if t.file != "" {
		return t.file
	}
	return filepath.Join(t.folder, backup.FileName(m))
}

func (t backupTarget) close() error {
	if t.dir == nil {
		return nil
	}
	return t.dir.Close()
}

// tellBackup says what was written.
func (s *session) tellBackup(line backupLine, took time.Duration) error {
	if j := s.machine(); j != nil {
		j.write(line)
		return s.end("backed up", codeOK)
	}
	return s.print(func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s, %.1f kB in %s\n%s", line.Name, line.File, float64(line.Bytes)/1e3, seconds(took), describe(line.Manifest))
		for _, name := range line.Removed {
			if err == nil {
				_, err = fmt.Fprintf(w, "removed %s\n", name)
			}
		}
		return err
	})
}

// describe tells what is in a backup.
func describe(m backup.Manifest) string {
	of := fmt.Sprintf("%s (%s, ZooKeeper %s)", m.Member, m.Mode, m.Version)
	if m.Offline {
		of = m.Member + " (offline: what the others agreed on without it is not in it)"
	}
	znodes := fmt.Sprintf("%d znodes", m.Znodes)
	if m.Znodes == 0 {
		znodes = fmt.Sprintf("%d znodes in the snapshot, and what was written since", m.SnapshotZnodes)
	}
	digest := "no digest"
	if m.DigestVersion != 0 {
		digest = "digest " + m.Digest.String()
	}
	return fmt.Sprintf("taken %s of %s, last zxid %s, %s, %s, %d files\n",
		m.Taken.Format(time.RFC3339), of, m.Zxid, digest, znodes, len(m.Files))
}

func (a *app) backupCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check ARCHIVE",
		Short: "Read a backup whole and say whether it can be put back",
		Long: `check reads an archive to its end, as restore does before it changes anything: the sha256 of
every file, the checksums within snapshot and logs, and whether the transactions follow on
each other. It names the file that is damaged, and exits with 1 then. No host is asked.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := readBackup(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s: whole, sha512 %s\n%s", args[0], v.SHA512, describe(v.Manifest))
			return err
		},
	}
}

// readBackup verifies an archive.
func readBackup(ctx context.Context, path string) (backup.Verified, error) {
	f, err := os.Open(path)
	if err != nil {
		return backup.Verified{}, err
	}
	defer f.Close()
	v, err := backup.Verify(ctx, f)
	if err != nil {
		return backup.Verified{}, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}
