package watcher

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// A discoveryEvent is one thing that registry, sink, time or an operator does.
type discoveryEvent struct {
	kind, service, set string
	seconds            int
}

func drawEvent(t *rapid.T) discoveryEvent {
	e := discoveryEvent{
		kind:    rapid.SampledFrom([]string{"show", "show", "show", "empty", "lose", "refuse", "recover", "wait", "wait", "accept", "restart"}).Draw(t, "kind"),
		service: rapid.SampledFrom([]string{"api", "db"}).Draw(t, "service")}
	switch e.kind {
	case "wait":
		e.seconds = rapid.IntRange(1, 200).Draw(t, "seconds")
	case "show":
		e.set = names(drawSet(t))
	}
	return e
}

// However registry, sink, disk and operator behave: what the registry shows is served, what it
// does not say changes nothing, and nothing is emptied but by an Empty that stood for the
// whole hold, or by an operator.
func TestDiscoveryProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := rapid.SliceOfN(rapid.Custom(drawEvent), 1, 30).Draw(rt, "events")
		wrong := ""
		synctest.Test(t, func(t *testing.T) {
			run := &discoveryRun{r: newRig(t, "api", "db"), last: map[string]*lastWord{"api": {}, "db": {}}}
			run.r.d.Store = openStore(t, nil)
			run.r.start()
			defer func() { run.r.stop() }()
			for n, e := range events {
				run.do(e)
				if wrong = run.check(); wrong != "" || t.Failed() {
					wrong = fmt.Sprintf("after event %d: %s", n, wrong)
					return
				}
			}
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

type discoveryRun struct {
	r    *rig
	last map[string]*lastWord
}

// lastWord is what a reader of the registry knows of a service.
type lastWord struct {
	truth    Truth
	set      string
	since    time.Time // of this truth
	accepted bool
	served   bool // at least one instance, at the last check
}

func (d *discoveryRun) do(e discoveryEvent) {
	last := d.last[e.service]
	switch e.kind {
	case "show":
		if e.set != "" {
			last.turn(Known, e.set)
			d.r.show(e.service, e.set)
		}
	case "empty":
		last.turn(Empty, "")
		d.r.show(e.service, "")
	case "lose":
		last.turn(Unknown, "")
		d.r.lose(e.service, "away")
	case "refuse":
		d.r.sink.now(func(s *fakeSink) { s.err = errors.New("no") })
	case "recover":
		d.r.sink.now(func(s *fakeSink) { s.err = nil })
	case "wait":
		d.r.wait(time.Duration(e.seconds) * time.Second)
	case "accept":
		last.accepted = d.r.d.Accept(e.service) == nil || last.accepted
		synctest.Wait()
	case "restart":
		d.r = d.r.restart(d.r.d.Config)
		for _, last := range d.last {
			last.turn(Unknown, "")
		}
	}
}

func (l *lastWord) turn(truth Truth, set string) {
	if l.truth != truth {
		l.since = time.Now()
	}
	l.truth, l.set, l.accepted = truth, set, false
}

// check lets all come to rest, with what failed tried again, and says what is wrong.
func (d *discoveryRun) check() string {
	d.r.wait(sinkPause + 200*time.Millisecond)
	for service, last := range d.last {
		s := d.r.status(service)
		for _, i := range set(last.set) {
			if got, ok := find(s.Instances, i.ID); !ok || got.Draining != i.Draining {
				return fmt.Sprintf("%s: the registry shows %q, served is %q", service, last.set, names(s.Instances))
			}
		}
		if len(s.Instances) == 0 && last.served && !last.accepted &&
			(last.truth != Empty || time.Since(last.since) < time.Duration(testGuard.Hold)) {
			return fmt.Sprintf("%s: emptied, and the registry is %s for %s", service, last.truth, time.Since(last.since))
		}
		last.served = len(s.Instances) > 0
		if d.r.sink.err != nil {
			continue
		}
		if has := d.r.has(service); s.Pending || has != names(s.Instances) && (has != "none" || len(s.Instances) > 0) {
			return fmt.Sprintf("%s: the sink has %q, served is %q, pending %v", service, has, names(s.Instances), s.Pending)
		}
	}
	return ""
}
