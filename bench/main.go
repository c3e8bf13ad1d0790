// Command bench measures the figures that zkboot promises, each beside what it is compared
// with, in one run on one machine: a ratio says something where a time says only how fast
// the machine is.
//
//	go run ./bench [-json FILE] [-rounds N] [-only PART,...]
//
// It stands up labs of its own, named bench-*, and takes them down again; it needs root and
// what `make deps` installs. A figure beyond its target is printed as "over" and is no
// failure. The exit code is 1 only when something could not be measured.
//
// It refuses to judge: no figure is dropped, smoothed or measured until it fits. Only the
// comparison with fio is repeated once when it is off, and then says so.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	program  string // the zkboot under test
	provider string // the provider under test
	json     string
	only     string
	rounds   int // of apply against apt
	plans    int
	pairs    int // of probe and fio
	fsync    time.Duration

	leaderKills  int
	watchChanges int // timed changes of the registry
	deathRounds  int
	requests     int // of the traffic that must not fail
	hopRate      int // requests a second
}

// part is a group of figures that is measured together.
type part struct {
	name    string
	measure func(context.Context) ([]figure, error)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	b := &bench{options: o, say: func(format string, a ...any) {
		fmt.Fprintf(stderr, "bench: "+format+"\n", a...)
	}}
	// Order matters: agent and plan use hosts that quorum leaves standing.
	parts, err := choose(o.only, []part{{"size", b.size}, {"quorum", b.quorum}, {"agent", b.uploads}, {"plan", b.plan}, {"drill", b.drills}, {"backup", b.backups}, {"fsync", b.fsyncs},
		{"watch", b.changes}, {"death", b.deaths}, {"traffic", b.loads}, {"hop", b.hop}, {"registry", b.registry}, {"herd", b.herd},
		{"fleet", b.bigPlan}, {"sidecars", b.sidecars}, {"terraform", b.terraform}})
	if err != nil {
		return err
	}
	out := result{Machine: thisMachine(), Started: time.Now().UTC().Truncate(time.Second)}
	for _, p := range parts {
		figures, err := p.measure(ctx)
		if err != nil {
			b.say("%s: %v", p.name, err)
			figures = append(figures, figure{Name: p.name, Failed: err.Error()})
		}
		out.Figures = append(out.Figures, figures...)
	}
	b.tidy(ctx)
	return out.publish(o.json, stdout)
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.program, "zkboot", "bin/zkboot", "the program under test, as `make build` leaves it")
	flags.StringVar(&o.provider, "provider", "bin/terraform-provider-zkboot", "the Terraform provider under test, as `make build` leaves it")
	flags.StringVar(&o.json, "json", "", "store all figures and samples in this file too; - prints them instead of the table")
	flags.StringVar(&o.only, "only", "", "the parts to measure, such as plan,fsync; empty: all")
	flags.IntVar(&o.rounds, "rounds", 2, "how often to compare apply with apt, and with Terraform's")
	flags.IntVar(&o.plans, "plans", 5, "how often to plan with nothing to do")
	flags.IntVar(&o.pairs, "pairs", 3, "pairs of probe and fio")
	flags.DurationVar(&o.fsync, "fsync", 8*time.Second, "length of one run of probe or fio")
	flags.IntVar(&o.leaderKills, "kills", 5, "leaders that are killed")
	flags.IntVar(&o.watchChanges, "changes", 600, "timed changes of the registry")
	flags.IntVar(&o.deathRounds, "deaths", 8, "instances that die")
	flags.IntVar(&o.requests, "requests", 1_050_000, "requests of the traffic that must not fail")
	flags.IntVar(&o.hopRate, "rate", 10_000, "requests a second through the sidecar, and past it")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q; see --help", flags.Arg(0))
	}
	if o.watchChanges < 3 || o.deathRounds < 1 || o.requests < 1 || o.hopRate < 1 {
		return o, fmt.Errorf("-changes %d -deaths %d -requests %d -rate %d: want at least 3, 1, 1 and 1", o.watchChanges, o.deathRounds, o.requests, o.hopRate)
	}
	if o.rounds < 1 || o.plans < 1 || o.pairs < 1 || o.leaderKills < 1 || o.fsync < time.Second {
		return o, fmt.Errorf("-rounds %d -plans %d -pairs %d -kills %d -fsync %s: want at least 1, 1, 1, 1 and 1s", o.rounds, o.plans, o.pairs, o.leaderKills, o.fsync)
	}
	return o, nil
}

// choose keeps the parts that only names.
func choose(only string, all []part) ([]part, error) {
	if only == "" {
		return all, nil
	}
	names := strings.Split(only, ",")
	var out []part
	for _, p := range all {
		if i := slices.Index(names, p.name); i >= 0 {
			out = append(out, p)
			names = slices.Delete(names, i, i+1)
		}
	}
	if len(names) > 0 {
		return nil, fmt.Errorf("-only: unknown or double part %q: want one of %s", names[0], strings.Join(partNames(all), ", "))
	}
	return out, nil
}

func partNames(all []part) []string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.name
	}
	return names
}

// publish prints the table, stores the JSON and says whether everything was measured.
func (r result) publish(file string, stdout io.Writer) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	switch file {
	case "":
		err = r.writeText(stdout)
	case "-":
		_, err = stdout.Write(b)
	default:
		if err = r.writeText(stdout); err == nil {
			err = os.WriteFile(file, b, 0o644)
		}
	}
	if err != nil {
		return err
	}
	for _, f := range r.Figures {
		if f.Failed != "" {
			return fmt.Errorf("%s could not be measured: %s", f.Name, f.Failed)
		}
	}
	return nil
}
