package drill

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// owner is a session with a znode that goes with it.
type owner interface {
	session
	CreateEphemeral(path string, data []byte) error
	Session() int64
}

// partFor bounds what a pulse does when the work is over: reading its znode through every
// member.
const partFor = 30 * time.Second

// leaveFor is what is left of that when the run is interrupted.
const leaveFor = time.Second

// PulseOptions say what to write to.
type PulseOptions struct {
	Spec *bootstrap.Spec
	Open Opener // the pulse has connections of its own
	Rate int    // writes a second; 0 means DefaultPulse
}

// DefaultPulse is what a pulse writes a second: enough to see a stall of a hundredth of a
// second, and one write under way at most.
const DefaultPulse = 100

// Pulse writes to one znode while somebody else works on the members. The znode stands at
// the root, is ephemeral and has a name of its own, as those of canaries: nothing is left of
// a run that is killed, and two runs do not meet.
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
	Lapsed int           // times that the session expired, with the znode: what was written until then is not judged
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
	if r.Lapsed > 0 {
		line += fmt.Sprintf(" (the session expired %d times; what was written before is not judged)", r.Lapsed)
	}
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

// Stop ends the writing, reads the znode through every member and ends the session, with
// which the znode goes. It takes about partFor at most.
func (p *Pulse) Stop() PulseResult {
	p.cancel()
	<-p.done
	return p.result
}

// beat writes until writing ends. ctx is that of the whole run: when it ends too, as by an
// interrupt, nothing is read any more.
func (p *Pulse) beat(ctx, writing context.Context) PulseResult {
	members := p.options.Spec.MemberNames()
	whole, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	lines := newLines(whole, members, p.options.Open)
	defer lines.close()
	reaching, reached := context.WithTimeout(writing, openFor)
	_, _ = lines.hosts(reaching) // those that are missing may come later
	reached()
	c, err := zookeeper.Roam(whole, p.options.Spec, members[0], lines.dialers())
	if err != nil {
		return PulseResult{Err: err}
	}
	defer c.Close()
	// A session that is not answered is closed when the work is over: the calls end with it.
	defer context.AfterFunc(writing, func() { time.AfterFunc(partFor, cancel) })()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(leaveFor, cancel) })()
	token := make([]byte, 8)
	_, _ = rand.Read(token) // never fails: https://pkg.go.dev/crypto/rand#Read
	w := &beater{session: c, history: newHistory(), path: "/zkboot-pulse-" + hex.EncodeToString(token)}
	if err := w.lay(); err != nil {
		return PulseResult{Err: err}
	}
	w.run(writing, time.Second/time.Duration(p.options.Rate))
	if ctx.Err() != nil { // interrupted: nobody waits for more than is needed
		w.result.Err = context.Cause(ctx)
		return w.result
	}
	return w.part(whole, p.options.Spec, lines)
}

// beater is the writer of a pulse. It keeps no history but what it has to answer for.
type beater struct {
	session owner
	history *history // its clock
	path    string

	id     int64 // of the session that made the znode
	number int64
	book   ledger
	last   time.Duration // of an acknowledged write
	result PulseResult
}

// lay makes the znode.
func (b *beater) lay() error {
	err := b.session.CreateEphemeral(b.path, text(0))
	if errors.Is(err, zookeeper.ErrUnanswered) { // once more: what is there now is the first try's
		if err = b.session.CreateEphemeral(b.path, text(0)); errors.Is(err, zookeeper.ErrNodeExists) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("creating %s: %w", b.path, err)
	}
	b.id, b.book = b.session.Session(), ledger{}
	return nil
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
	mark, err := b.session.Set(b.path, text(b.number))
	if errors.Is(err, zookeeper.ErrNoNode) {
		err = b.vanished()
	}
	if b.result.Err = err; err != nil || mark == (zookeeper.Mark{}) {
		return
	}
	b.waited()
	b.last = b.history.now()
	b.result.Writes++
	b.result.Lost += b.book.ack(mark.Version, b.number)
}

// vanished makes the znode anew. Where it did not go with its session, the ensemble lost it.
func (b *beater) vanished() error {
	if b.session.Session() == b.id {
		b.result.Lost += len(b.book.entries)
	} else {
		b.result.Lapsed++
	}
	return b.lay()
}

// waited takes the time since the last acknowledged write for a stall, if it is the longest.
func (b *beater) waited() {
	if b.result.Writes > 0 {
		b.result.Stall = max(b.result.Stall, b.history.now()-b.last)
	}
}

// part reads what every member shows.
func (b *beater) part(ctx context.Context, s *bootstrap.Spec, l *lines) PulseResult {
	ctx, cancel := context.WithTimeout(ctx, partFor)
	defer cancel()
	worst := 0
	var errs []error
	if b.result.Err != nil {
		errs = append(errs, fmt.Errorf("the last write: %w", b.result.Err))
	}
	for host, d := range l.dialers() {
		shown, err := showOn(ctx, s, host, d, []string{b.path})
		if err != nil {
			errs = append(errs, fmt.Errorf("not read through %s: %w", host, err))
			continue
		}
		worst = max(worst, b.book.missingFrom(shown[0]))
	}
	b.result.Lost += worst
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
