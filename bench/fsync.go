package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// probeDir is where both sides write, on the host: on the disk of the transaction log.
const probeDir = "/var/lib/zookeeper-log/bench"

// latency is what one run of either side found, in ms.
type latency struct{ p50, p99 float64 }

// fsyncs holds the fsync probe, as it runs on hosts, against fio doing the same to the same
// directory: probe, fio, fio, probe and so on, so that a disk that gets slower or faster
// meanwhile does so for both.
func (b *bench) fsyncs(ctx context.Context) (figures []figure, err error) {
	s, err := b.ensemble(ctx)
	if err != nil {
		return nil, err
	}
	spec, err := s.spec()
	if err != nil {
		return nil, err
	}
	r, err := newReach()
	if err != nil {
		return nil, err
	}
	zk1 := s.Hosts[0]
	if _, err := zk1.Exec(ctx, "install", "-d", probeDir); err != nil {
		return nil, err
	}
	pid, err := zk1.Leader()
	if err != nil {
		return nil, err
	}
	host, err := r.open(ctx, spec, zk1.Name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	outside := fmt.Sprintf("/proc/%d/root%s", pid, probeDir) // the same directory, seen from here
	note := ""
	for try := 1; ; try++ {
		figures, err = b.twins(ctx, host, outside, note)
		if err != nil || try == 2 || figures[0].Verdict == "ok" && figures[1].Verdict == "ok" {
			return figures, err
		}
		note = fmt.Sprintf("; measured again, because at first p50 was %.2fx and p99 %.2fx", figures[0].Measured, figures[1].Measured)
		b.say("probe and fio disagree, once more%s", note)
	}
}

// twins runs the pairs and compares the medians.
func (b *bench) twins(ctx context.Context, host bootstrap.Host, outside, note string) ([]figure, error) {
	var probes, fios []latency
	sides := [2]func() error{
		func() error {
			l, err := probe(ctx, host, b.fsync)
			probes = append(probes, l)
			return err
		},
		func() error {
			l, err := fio(ctx, outside, b.fsync)
			fios = append(fios, l)
			return err
		},
	}
	for pair := range b.pairs {
		b.say("probe against fio, pair %d of %d", pair+1, b.pairs)
		for i := range sides {
			if err := sides[(i+pair)%2](); err != nil {
				return nil, err
			}
		}
	}
	compare := func(name string, least, most float64, of func(latency) float64) figure {
		var p, f []float64
		for i := range probes {
			p, f = append(p, of(probes[i])), append(f, of(fios[i]))
		}
		return figure{
			Name: name, Unit: "x", Min: &least, Max: &most, Measured: median(p) / median(f),
			Samples: map[string][]float64{"probe_ms": p, "fio_ms": f},
			Note:    fmt.Sprintf("probe %s ms, fio %s ms%s", list(p, "%.3f"), list(f, "%.3f"), note),
		}.judged()
	}
	return []figure{
		compare("fsync probe against fio, p50", 0.67, 1.5, func(l latency) float64 { return l.p50 }),
		compare("fsync probe against fio, p99", 0.5, 2, func(l latency) float64 { return l.p99 }),
	}, nil
}

// probe runs the closed loop of the fsync probe through the agent on the host.
func probe(ctx context.Context, host bootstrap.Host, d time.Duration) (latency, error) {
	r, err := host.Probe(ctx, verify.Query{Fsync: &verify.FsyncQuery{Dir: probeDir, Duration: d, MaxDuration: 2 * d, Window: d}})
	if err != nil {
		return latency{}, err
	}
	if why, unknown := r.Unknown["fsync"]; unknown || r.Fsync == nil || r.Fsync.SyncError != "" {
		return latency{}, fmt.Errorf("the probe did not measure %s: %s", probeDir, why)
	}
	return latency{r.Fsync.P50, r.Fsync.P99}, nil
}

// fio runs fio(1) with the probe's way of writing: 512 bytes appended and fdatasync, in a
// file whose size is set beforehand and whose blocks are not, as ZooKeeper's padding does.
func fio(ctx context.Context, dir string, d time.Duration) (latency, error) {
	cmd := exec.CommandContext(ctx, "fio", "--name=zkprobe", "--directory="+dir, "--ioengine=sync", "--rw=write", "--bs=512", "--size=1g",
		"--fallocate=truncate", "--fdatasync=1", "--time_based", "--runtime="+strconv.Itoa(int(d.Seconds())),
		"--percentile_list=50:99", "--unlink=1", "--output-format=json")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return latency{}, fmt.Errorf("%w; `make deps` installs it", err)
	}
	if err != nil {
		return latency{}, fmt.Errorf("fio: %w: %s", err, stderr.String())
	}
	return parseFio(out)
}

// parseFio reads the time of a sync: sync.lat_ns. write.clat_ns, which fio prints more
// prominently, is the time to copy 512 bytes to the page cache.
// https://fio.readthedocs.io/en/latest/fio_doc.html#json-output
func parseFio(out []byte) (latency, error) {
	var report struct {
		Jobs []struct {
			Sync struct {
				Lat struct {
					N          int64              `json:"N"`
					Percentile map[string]float64 `json:"percentile"`
				} `json:"lat_ns"`
			} `json:"sync"`
		} `json:"jobs"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return latency{}, fmt.Errorf("fio's report: %w", err)
	}
	if len(report.Jobs) != 1 {
		return latency{}, fmt.Errorf("fio's report has %d jobs, want 1", len(report.Jobs))
	}
	lat := report.Jobs[0].Sync.Lat
	p50, p99 := lat.Percentile["50.000000"], lat.Percentile["99.000000"]
	if lat.N == 0 || p50 <= 0 || p99 <= 0 {
		return latency{}, fmt.Errorf("fio's report has no sync.lat_ns percentiles (%d samples)", lat.N)
	}
	return latency{p50 / 1e6, p99 / 1e6}, nil
}
