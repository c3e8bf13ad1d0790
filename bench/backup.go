package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"github.com/zkboot/zkboot/bootstrap/lab"
)

const (
	labBackup = "bench-backup"
	// manyZnodes is what the big backup is of; each has valueSize bytes.
	manyZnodes = 1_000_000
	valueSize  = 100
	// inOneMulti znodes are created by one request, far below jute.maxbuffer.
	inOneMulti = 1000
)

// backups compares the memory that a backup of a million znodes takes, here and on the
// member, with that of a backup of next to nothing: both are streamed, so that it does not
// depend on how much there is.
func (b *bench) backups(ctx context.Context) (_ []figure, err error) {
	s, err := b.single(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.remove(ctx, s)) }()
	few, err := b.backup(ctx, s, "few")
	if err != nil {
		return nil, err
	}
	if err := b.fill(ctx, s); err != nil {
		return nil, err
	}
	many, err := b.backup(ctx, s, "many")
	if err != nil {
		return nil, err
	}
	if many.znodes < manyZnodes {
		return nil, fmt.Errorf("the snapshot in the backup has %d znodes, want %d and more", many.znodes, manyZnodes)
	}
	memory := func(name string, few, many float64) figure {
		f := figure{Name: name, Unit: "x", Max: new(1.5), Measured: many / few,
			Samples: map[string][]float64{"few_mb": {few}, "many_mb": {many}},
			Note:    fmt.Sprintf("VmHWM %.1f MB, for an ensemble without znodes %.1f MB", many, few)}
		return f.judged()
	}
	took := figure{Name: "backup of 1 million znodes", Unit: "s", Measured: many.wall.Seconds(), Samples: map[string][]float64{"s": {many.wall.Seconds()}},
		Note: fmt.Sprintf("%.0f MB of snapshot and logs, an archive of %.0f MB", float64(many.data)/1e6, float64(many.bytes)/1e6)}
	return []figure{memory("memory of zkboot, backup of 1 million znodes", few.peak, many.peak),
		memory("memory of the agent, backup of 1 million znodes", few.agent, many.agent), took.judged()}, nil
}

// single stands up one member with a heap that bears a million znodes.
func (b *bench) single(ctx context.Context) (*standing, error) {
	if err := b.down(ctx, labBackup); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", labBackup+"-")
	if err != nil {
		return nil, err
	}
	b.say("1 fresh host: lab %s", labBackup)
	l, err := lab.Up(ctx, lab.Options{Name: labBackup, ZooKeeper: 1, Dir: dir})
	if err != nil {
		return nil, errors.Join(err, b.down(ctx, labBackup), os.RemoveAll(dir))
	}
	s := &standing{Lab: l, dir: dir}
	src, err := os.ReadFile(s.file())
	if err == nil {
		err = os.WriteFile(s.file(), bytes.Replace(src, []byte("heap: 256MiB"), []byte("heap: 1536MiB"), 1), 0o600)
	}
	if err == nil {
		_, err = b.zkboot(ctx, "apply", "--auto-approve", "-f", s.file())
	}
	if err != nil {
		return nil, errors.Join(err, b.remove(ctx, s))
	}
	return s, nil
}

// tookBackup is one backup.
type tookBackup struct {
	ran
	agent  float64 // resident memory at its peak, MB
	bytes  int64   // of the archive
	data   int64   // of snapshot and logs
	znodes int
}

func (b *bench) backup(ctx context.Context, s *standing, name string) (tookBackup, error) {
	agents := watchMost(func() float64 { return peakOf(runningBelow("/usr/lib/zkboot/zkagent-")...) })
	r, err := b.zkboot(ctx, "backup", "-f", s.file(), "-o", filepath.Join(s.dir, name+".tar.zst"), "--output", "json")
	t := tookBackup{ran: r, agent: agents()}
	if err != nil {
		return t, err
	}
	for line := range strings.Lines(r.stdout) {
		var is struct {
			Type   string `json:"type"`
			Bytes  int64  `json:"bytes"`
			Znodes int    `json:"snapshot_znodes"`
			Files  []struct {
				Size int64 `json:"size"`
			} `json:"files"`
		}
		if err := json.Unmarshal([]byte(line), &is); err != nil || is.Type != "backup" {
			continue
		}
		t.bytes, t.znodes = is.Bytes, is.Znodes
		for _, f := range is.Files {
			t.data += f.Size
		}
	}
	if t.bytes == 0 || t.agent == 0 {
		return t, fmt.Errorf("backup: want its size and an agent that was seen, found %d bytes and %.1f MB\n%s", t.bytes, t.agent, r.stdout)
	}
	b.say("backup of %s: %.1f s, zkboot %.1f MB, agent %.1f MB", name, t.wall.Seconds(), t.peak, t.agent)
	return t, nil
}

// runningBelow returns the processes whose program's path begins so, in whatever container.
func runningBelow(prefix string) []int {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil
	}
	var pids []int
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || !strings.HasPrefix(to, prefix) {
			continue // it has ended, or is another
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// fill creates the znodes, and restarts the member so that it writes a snapshot of them.
func (b *bench) fill(ctx context.Context, s *standing) error {
	start := time.Now()
	h, err := s.Host("zk1")
	if err != nil {
		return err
	}
	var g errgroup.Group
	const sessions = 4
	for i := range sessions {
		g.Go(func() error { return fillPart(h, i, manyZnodes/sessions) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if _, err := h.Exec(ctx, "systemctl", "restart", "zookeeper-"+labBackup+".service"); err != nil {
		return err
	}
	if err := b.serves(ctx, s); err != nil {
		return err
	}
	b.say("%d znodes in %.0f s", manyZnodes, time.Since(start).Seconds())
	return nil
}

// loadWithin bounds how long a member takes to load a million znodes and to write a snapshot.
const loadWithin = 3 * time.Minute

// serves waits until the member answers again.
func (b *bench) serves(ctx context.Context, s *standing) error {
	ctx, cancel := context.WithTimeout(ctx, loadWithin)
	defer cancel()
	for {
		_, err := b.zkboot(ctx, "status", "-f", s.file())
		if err == nil {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", loadWithin, err)
		}
	}
}

// fillPart creates the znodes of one session.
func fillPart(h *lab.Host, part, znodes int) error {
	conn, _, err := zk.Connect([]string{h.Address.String() + ":2181"}, 30*time.Second, zk.WithLogInfo(false))
	if err != nil {
		return err
	}
	defer conn.Close()
	acl, value := zk.WorldACL(zk.PermAll), make([]byte, valueSize)
	for n := 0; n < znodes; n += inOneMulti {
		folder := fmt.Sprintf("/part%d-%06d", part, n/inOneMulti)
		ops := []any{&zk.CreateRequest{Path: folder, Acl: acl}}
		for i := range inOneMulti {
			ops = append(ops, &zk.CreateRequest{Path: fmt.Sprintf("%s/%04d", folder, i), Data: value, Acl: acl})
		}
		if _, err := conn.Multi(ops...); err != nil {
			return fmt.Errorf("creating %d znodes below %s: %w", inOneMulti, folder, err)
		}
	}
	return nil
}
