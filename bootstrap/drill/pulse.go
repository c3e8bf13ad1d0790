package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// pulsePath is the znode of a pulse. It has one name, so that the next run finds what a
// killed one left. It stands at the root as canaries do: a parent would stay behind.
const pulsePath = "/zkboot-pulse"

// partFor bounds what a pulse does when the work is over: reading its znode through every
// member, and removing it.
const partFor = 30 * time.Second

// PulseOptions say what to write to.
type PulseOptions struct {
	Spec *bootstrap.Spec
	Open Opener // the pulse has connections of its own
	Rate int    // writes a second; 0 means DefaultPulse
}

// DefaultPulse is what a pulse writes a second: enough to see a stall of a hundredth of a
// second, and one write under way at most.
const DefaultPulse = 100

// Pulse writes to one znode while somebody else works on the members.
type Pulse struct {
	options PulseOptions
	cancel  context.CancelFunc
	done    chan struct{}

	// Filled by the goroutine that closes done.
	result PulseResult
}

// PulseResult is what a pulse saw. Err says why it knows nothing, or less than all.
type PulseResult struct {
	Writes int           // acknowledged
	Stall  time.Duration // the longest time without an acknowledged write
	Lost   int           // acknowledged writes that are not there in the end, through any member
	Err    error
}

// String is one line for the operator.
func (r PulseResult) String() string {
	if r.Writes == 0 {
		return fmt.Sprintf("no write was tried while members changed: %v", r.Err)
	}
	lost := "none lost"
	if r.Lost > 0 {
		lost = fmt.Sprintf("%d LOST", r.Lost)
	}
	line := fmt.Sprintf("%d writes while members changed, longest stall %.1fs, %s", r.Writes, r.Stall.Seconds(), lost)
	if r.Err != nil {
		line += fmt.Sprintf(" (%v)", r.Err)
	}
	return line
}

// StartPulse begins to write. Whatever keeps it from that is told by Stop, which must be
// called.
func StartPulse(ctx context.Context, o PulseOptions) *Pulse {
	if o.Rate <= 0 {
		o.Rate = DefaultPulse
	}
	writing, cancel := context.WithCancel(ctx)
	p := &Pulse{options: o, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.result = p.beat(ctx, writing)
	}()
	return p
}

// Stop ends the writing, reads the znode through every member and removes it. It takes
// partFor at most.
func (p *Pulse) Stop() PulseResult {
	p.cancel()
	<-p.done
	return p.result
}

// beat writes until writing ends. ctx is that of the whole run: when it ends too, as by an
// interrupt, the znode is removed all the same.
func (p *Pulse) beat(ctx, writing context.Context) PulseResult {
	members := p.options.Spec.MemberNames()
	whole, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	lines := newLines(whole, members, p.options.Open)
	defer lines.close()
	c, err := zookeeper.Roam(whole, p.options.Spec, members[0], lines.dialers())
	if err != nil {
		return PulseResult{Err: err}
	}
	defer c.Close()
	// A session that is not answered is closed when the work is over: the calls end with it.
	end := context.AfterFunc(writing, func() { time.AfterFunc(partFor, cancel) })
	defer end()
	if err := lay(c, []string{pulsePath}); err != nil {
		return PulseResult{Err: err}
	}
	h := newHistory()
	w := &beater{session: c, history: h}
	w.run(writing, time.Second/time.Duration(p.options.Rate))
	if ctx.Err() != nil { // interrupted: nobody waits for more than is needed
		time.AfterFunc(time.Second, cancel)
		return w.leave(context.Cause(ctx))
	}
	return w.part(whole, p.options.Spec, lines)
}

// beater is the writer of a pulse. It keeps no history but what it has to answer for.
type beater struct {
	session session
	history *history // its clock

	number int64
	book   ledger
	last   time.Duration // of an acknowledged write
	result PulseResult
}

func (b *beater) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			b.waited()
			return
		case <-tick.C:
			b.step()
		}
	}
}

func (b *beater) step() {
	b.number++
	mark, err := b.session.Set(pulsePath, text(b.number))
	if err != nil {
		b.result.Err = err
		return
	}
	b.waited()
	b.result.Err = nil
	b.last = b.history.now()
	b.result.Writes++
	b.result.Lost += b.book.ack(mark.Version, b.number)
}

// waited takes the time since the last acknowledged write for a stall, if it is the longest.
func (b *beater) waited() {
	if b.result.Writes > 0 {
		b.result.Stall = max(b.result.Stall, b.history.now()-b.last)
	}
}

// leave removes the znode and no more.
func (b *beater) leave(why error) PulseResult {
	b.result.Err = errors.Join(why, lift(b.session, []string{pulsePath}))
	return b.result
}

// part reads what every member shows and removes the znode.
func (b *beater) part(ctx context.Context, s *bootstrap.Spec, l *lines) PulseResult {
	ctx, cancel := context.WithTimeout(ctx, partFor)
	defer cancel()
	worst := 0
	var errs []error
	if b.result.Err != nil {
		errs = append(errs, fmt.Errorf("the last write: %w", b.result.Err))
	}
	for host, d := range l.dialers() {
		shown, err := showOn(ctx, s, host, d, []string{pulsePath})
		if err != nil {
			errs = append(errs, fmt.Errorf("not read through %s: %w", host, err))
			continue
		}
		worst = max(worst, b.book.missingFrom(shown[0]))
	}
	b.result.Lost += worst
	errs = append(errs, lift(b.session, []string{pulsePath}))
	b.result.Err = errors.Join(errs...)
	return b.result
}

// showOn opens a session with one member and returns what it shows of the keys.
func showOn(ctx context.Context, s *bootstrap.Spec, host string, d zookeeper.Dialer, paths []string) ([]final, error) {
	c, err := zookeeper.Dial(ctx, s, host, d)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return show(c, paths)
}
