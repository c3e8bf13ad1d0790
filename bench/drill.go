package main

import (
	"context"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/drill"
)

// drillFor is how long clients write around one killed leader.
const drillFor = 16 * time.Second

// archives is where lab tests keep the release that they build, see zookeepertest.
const archives = "/var/cache/zkboot/zookeeper/apache-zookeeper-*-bin.tar.gz"

// drills measures what clients notice of a leader that is killed, and of a rolling restart.
// It has an ensemble of its own, of a later release: after a kill of its leader, a follower of
// Debian 12's 3.8.0 counted an unrecoverable error, and no drill goes on with such a one.
func (b *bench) drills(ctx context.Context) (figures []figure, err error) {
	b.tidy(ctx) // only one lab stands while times are taken
	s, err := b.fresh(ctx, labDrill)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.remove(ctx, s)) }()
	if err := s.useArchive(); err != nil {
		return nil, err
	}
	if _, err := b.zkboot(ctx, "apply", "--auto-approve", "-f", s.file()); err != nil {
		return nil, err
	}
	return b.drillOn(ctx, s)
}

// useArchive makes the latest archive of the cache the source of the lab's spec.
func (s *standing) useArchive() error {
	found, err := filepath.Glob(archives)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%s: no archive; the lab tests build one: scripts/lab-test.sh bootstrap/zookeeper/zookeepertest", archives)
	}
	archive := slices.Max(found)
	content, err := os.ReadFile(archive)
	if err != nil {
		return err
	}
	src, err := os.ReadFile(s.file())
	if err != nil {
		return err
	}
	text, err := withSource(string(src), archive, sha512.Sum512(content))
	if err != nil {
		return err
	}
	return os.WriteFile(s.file(), []byte(text), 0o644)
}

// withSource puts an archive into a spec as a lab writes it, where Debian's package stands.
func withSource(spec, archive string, sum [sha512.Size]byte) (string, error) {
	out := strings.Replace(spec, "source: {apt: {}}", fmt.Sprintf("source: {tarball: {url: %q, sha512: %x}}", "file://"+archive, sum), 1)
	if out == spec {
		return "", errors.New("the lab's spec has no `source: {apt: {}}` to replace")
	}
	return strings.Replace(out, "accept_known_issues: [ZOOKEEPER-4785]", "accept_known_issues: []", 1), nil
}

// drillOn measures on hosts with a formed ensemble.
func (b *bench) drillOn(ctx context.Context, s *standing) ([]figure, error) {
	spec, err := s.spec()
	if err != nil {
		return nil, err
	}
	r, err := newReach()
	if err != nil {
		return nil, err
	}
	open := func(ctx context.Context, host string) (bootstrap.Host, error) { return r.open(ctx, spec, host) }
	killed, err := b.kills(ctx, spec, open)
	if err != nil {
		return nil, err
	}
	rolled, err := b.rollUnderLoad(ctx, s, spec, open)
	return append([]figure{killed}, rolled...), err
}

// kills kills the leader again and again, and takes the time that the client which waited
// longest was without an acknowledged write.
func (b *bench) kills(ctx context.Context, spec *bootstrap.Spec, open drill.Opener) (figure, error) {
	fault, err := drill.Find("kill-leader")
	if err != nil {
		return figure{}, err
	}
	var gaps []float64
	var verdicts []string
	for range b.leaderKills {
		r, err := drill.Run(ctx, drill.Options{Spec: spec, Open: open, Hand: drill.OnHosts(spec), Fault: fault,
			Rate: drill.DefaultRate, Duration: drillFor, Who: "bench"})
		if err != nil {
			return figure{}, err
		}
		b.say("leader killed: %d ms without a write, %d lost, %s %s", r.WriteGapMS, r.LostAcks, r.Verdict, strings.Join(r.Why, "; "))
		gaps = append(gaps, float64(r.WriteGapMS)/1000)
		verdicts = append(verdicts, fmt.Sprintf("%s, %d lost", r.Verdict, r.LostAcks))
	}
	f := figure{Name: "leader kill -9: longest a client waits until writes resume, p50", Unit: "s", Max: new(3.0), Measured: median(gaps),
		Samples: map[string][]float64{"gap_s": gaps},
		Note:    fmt.Sprintf("%s s at %d writes/s by 4 clients; verdicts: %s", list(gaps, "%.2f"), drill.DefaultRate, strings.Join(verdicts, "; "))}
	return f.judged(), nil
}

// rollUnderLoad restarts all members in turn while two clients write 100 times a second
// each: the pulse of zkboot itself, and one of ours.
func (b *bench) rollUnderLoad(ctx context.Context, s *standing, spec *bootstrap.Spec, open drill.Opener) ([]figure, error) {
	ours := drill.StartPulse(ctx, drill.PulseOptions{Spec: spec, Open: open})
	run, err := b.zkboot(ctx, "roll", "restart", "--auto-approve", "--output", "json", "-f", s.file())
	seen := ours.Stop()
	if err != nil {
		return nil, err
	}
	theirs, err := pulseOf(run.stdout)
	if err != nil {
		return nil, err
	}
	if seen.Writes == 0 || theirs.Writes == 0 {
		return nil, fmt.Errorf("nobody wrote during the restart: ours %s, zkboot's %+v", seen, theirs)
	}
	took := run.wall.Seconds()
	stall := max(seen.Stall.Seconds(), float64(theirs.StallMS)/1000)
	note := fmt.Sprintf("%d writes in %.0f s by 2 clients, %d lost", seen.Writes+theirs.Writes, took, seen.Lost+theirs.Lost)
	b.say("rolling restart: %.1f s, longest stall %.2f s, %s", took, stall, note)
	longest := figure{Name: "rolling restart of 3 members under 200 writes/s, longest write stall", Unit: "s", Max: new(3.0), Measured: stall, Note: note}
	total := figure{Name: "rolling restart of 3 members under 200 writes/s, whole process", Unit: "s", Max: new(60.0), Measured: took}
	return []figure{longest.judged(), total.judged()}, nil
}

// pulse is the line of that type in the output of zkboot.
type pulse struct {
	Type    string `json:"type"`
	Writes  int    `json:"writes"`
	StallMS int64  `json:"longest_stall_ms"`
	Lost    int    `json:"lost_acks"`
}

func pulseOf(stdout string) (pulse, error) {
	for line := range strings.Lines(stdout) {
		var p pulse
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			return pulse{}, fmt.Errorf("zkboot put out %q: %w", line, err)
		}
		if p.Type == "pulse" {
			return p, nil
		}
	}
	return pulse{}, errors.New("zkboot told of no pulse")
}
