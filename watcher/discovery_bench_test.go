package watcher

import (
	"context"
	"fmt"
	"testing"

	"github.com/zkboot/zkboot/watcher/config"
)

// A nullSink takes everything, and says that it did.
type nullSink struct{ applied chan struct{} }

func (s *nullSink) Run(ctx context.Context, _ func(Outcome)) error {
	<-ctx.Done()
	return nil
}

func (s *nullSink) Apply(context.Context, []Set) (Outcome, error) {
	s.applied <- struct{}{}
	return Outcome{}, nil
}

func (s *nullSink) Audit(context.Context) (Outcome, error) { return Outcome{}, nil }

func (s *nullSink) Conns(context.Context) (map[InstanceKey]int, error) { return nil, nil }

// churn makes snapshots of 500 services with 20 instances each, of which every service
// loses and regains one in turn.
func churn() (services []string, snapshot func(round int) Snapshot) {
	var full [][]Instance
	for n := range 500 {
		services = append(services, fmt.Sprintf("service-%03d", n))
		var all []Instance
		for i := range 20 {
			host := fmt.Sprintf("10.%d.%d.%d", n/250, n%250, i+10)
			all = append(all, Instance{ID: host + ":8080", Host: host, Port: 8080, Weight: 1})
		}
		full = append(full, all)
	}
	return services, func(round int) Snapshot {
		n := round % len(services)
		return Snapshot{Service: services[n], Truth: Known, Instances: full[n][round/len(services)%2:], Revision: int64(round + 1), Event: "children changed"}
	}
}

// From publish to Apply, one change after the other.
func BenchmarkDiscoveryOneChange(b *testing.B) {
	services, snapshot := churn()
	c := testConfig(services...)
	c.Settle = config.Settle{} // a benchmark is one burst
	source, sink := &fakeSource{t: b, began: make(chan struct{})}, &nullSink{applied: make(chan struct{})}
	store, err := OpenStore(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	d := &Discovery{Config: c, Sources: map[string]Source{"main": source}, Sink: sink, Store: store, Journal: NewJournal(1000)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	<-source.began
	round := 0
	change := func() {
		source.show(snapshot(round))
		<-sink.applied
		round++
	}
	for range services {
		change()
	}
	b.ReportAllocs()
	for b.Loop() {
		change()
	}
}

// All 500 services at once, as after a start: from the first publish until the last is applied.
func BenchmarkDiscoveryStart(b *testing.B) {
	services, snapshot := churn()
	c := testConfig(services...)
	b.ReportAllocs()
	for b.Loop() {
		source, sink := &fakeSource{t: b, began: make(chan struct{})}, &countingSink{want: len(services), all: make(chan struct{})}
		d := &Discovery{Config: c, Sources: map[string]Source{"main": source}, Sink: sink}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		<-source.began
		for round := range services {
			source.show(snapshot(round))
		}
		<-sink.all
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
}

// A countingSink says when it has taken a number of sets.
type countingSink struct {
	nullSink
	want int
	all  chan struct{}
}

func (s *countingSink) Apply(_ context.Context, sets []Set) (Outcome, error) {
	if s.want -= len(sets); s.want == 0 {
		close(s.all)
	}
	return Outcome{}, nil
}
