package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

const (
	// keys are written by clients that follow the members; each member has one more.
	keys = 4
	// pinnedEvery is how often a client that is with one member writes and reads.
	pinnedEvery = 100 * time.Millisecond
	// settleWrites are written once all members are together again: they keep a digest of
	// their data every 128 transactions, so that there is one behind the fault to compare.
	settleWrites = 300
	// startFor bounds the wait for members that are not together when a drill begins.
	startFor = 20 * time.Second
	// tryFor bounds one look at the whole ensemble; a host may have to be connected to anew.
	tryFor = 5 * time.Second
	// tidyFor bounds mending, reading the end, and removing znodes, each by itself.
	tidyFor = 90 * time.Second
)

// Hand does a fault to members and takes it back. Mend takes back all that lasts, and is
// called also when Do broke.
type Hand interface {
	Do(ctx context.Context, f Fault, victims []string) error
	Mend(ctx context.Context, victims []string) error
}

// Options say what to drill.
type Options struct {
	Spec     *bootstrap.Spec
	Open     Opener // the drill has connections of its own
	Hand     func(bootstrap.Hosts) Hand
	Fault    Fault
	Rate     int           // writes a second of the clients that follow the members
	Duration time.Duration // of the writing; recovery may take longer
	Who      string        // is told to whoever finds the hosts locked
	Say      func(string)  // progress, may be nil
}

// The bounds of Options.
const (
	DefaultRate = 200
	MaxRate     = 1000
	MinDuration = 8 * time.Second
	MaxDuration = 5 * time.Minute
)

// Validate refuses what cannot be drilled, before any host is asked.
func (o Options) Validate() error {
	s := o.Spec
	switch {
	case s.Ensemble == nil:
		return fmt.Errorf("%s has no ensemble to drill", s.Name)
	case o.Rate < keys || o.Rate > MaxRate:
		return fmt.Errorf("rate %d: want %d to %d writes a second", o.Rate, keys, MaxRate)
	case o.Duration < MinDuration || o.Duration > MaxDuration:
		return fmt.Errorf("duration %s: want %s to %s", o.Duration, MinDuration, MaxDuration)
	}
	voters := 0
	for _, m := range s.Ensemble.Members {
		if m.Voter() {
			voters++
		}
	}
	if voters < 3 {
		return fmt.Errorf("%w: %s has %d voters; with fewer than 3 no member can be missed, and a drill would be an outage", bootstrap.ErrRefused, s.Name, voters)
	}
	return nil
}

// run is one drill.
type run struct {
	Options
	members []string
	lines   *lines
	paths   []string
	history *history
	watcher *watcher
	hand    Hand
	before  zookeeper.Errors
	roamers []*zookeeper.Client
	pinned  []*zookeeper.Client
}

// Run drills. An error means that nothing was found out; whatever was begun is mended and
// removed then, as it is when ctx ends.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	r := &run{Options: o, members: o.Spec.MemberNames(), history: newHistory()}
	whole, cancel := context.WithCancel(context.WithoutCancel(ctx)) // of connections: tidying needs them
	defer cancel()
	r.lines = newLines(whole, r.members, o.Open)
	defer r.lines.close()
	if err := r.ready(ctx); err != nil {
		return Result{}, err
	}
	defer func() {
		for _, c := range slices.Concat(r.roamers, r.pinned) {
			c.Close()
		}
	}()
	if err := r.connect(whole); err != nil {
		return Result{}, err
	}
	defer r.tidy(whole)
	if err := lay(r.roamers[0], r.paths); err != nil {
		return Result{}, err
	}
	e, err := r.drill(ctx)
	if err != nil {
		return Result{}, err
	}
	return judge(e), nil
}

// ready takes the locks, so that nobody changes the members meanwhile, and refuses an
// ensemble that is not whole.
func (r *run) ready(ctx context.Context) error {
	hosts, err := r.lines.hosts(ctx)
	if err != nil {
		return err
	}
	for _, name := range hosts.Names() {
		if err := hosts[name].Lock(ctx, r.Who); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	r.Say("looking whether every member is in sync and holds the same data")
	bounded, cancel := context.WithTimeout(ctx, startFor)
	defer cancel()
	if err := zookeeper.Agree(bounded, r.Spec, hosts); err != nil {
		return fmt.Errorf("%w: the ensemble must be whole before a drill: %w", bootstrap.ErrRefused, err)
	}
	r.before = zookeeper.CountErrors(bounded, r.Spec, hosts)
	for _, host := range r.members {
		if n := r.before[host]; n > 0 {
			r.Say(fmt.Sprintf("%s has counted %d unrecoverable errors before: of its disk, or of leaders that it lost", host, n))
		}
	}
	r.hand = r.Hand(hosts)
	return nil
}

// connect opens the sessions: some that follow the members, each beginning with another
// one, and one with each member, so that also a deposed leader is asked for writes.
func (r *run) connect(ctx context.Context) error {
	for k := range keys {
		c, err := zookeeper.Roam(ctx, r.Spec, r.members[k%len(r.members)], r.lines.dialers())
		if err != nil {
			return err
		}
		r.roamers, r.paths = append(r.roamers, c), append(r.paths, fmt.Sprintf("/zkboot-drill-%d", k))
	}
	for _, host := range r.members {
		c, err := zookeeper.Dial(ctx, r.Spec, host, r.lines.all[host])
		if err != nil {
			return err
		}
		r.pinned, r.paths = append(r.pinned, c), append(r.paths, "/zkboot-drill-"+host)
	}
	r.watcher = &watcher{spec: r.Spec, lines: r.lines}
	return nil
}

// clients are those that write: who follows the members first.
func (r *run) clients() []*client {
	var out []*client
	every := time.Second * keys / time.Duration(r.Rate)
	for i, c := range r.roamers {
		out = append(out, &client{id: i, session: c, paths: r.paths, key: i, every: every, history: r.history})
	}
	for i, c := range r.pinned {
		id := keys + i
		out = append(out, &client{id: id, session: c, paths: r.paths, key: id, every: pinnedEvery, reads: true, history: r.history})
	}
	return out
}

// drill writes while the fault comes and goes.
func (r *run) drill(ctx context.Context) (evidence, error) {
	r.history.begin = time.Now()
	e := evidence{fault: r.Fault, timing: zookeeper.TimingOf(r.Spec), roaming: keys}
	looking, blind := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); r.watcher.run(looking) }()
	defer func() { blind(); <-watched }()
	writers := start(ctx, r.clients())
	defer writers.stop()
	r.Say(fmt.Sprintf("%d writes a second by %d clients, reads through %d members", r.Rate, keys, len(r.members)))

	if err := r.rest(ctx, r.Duration/4); err != nil {
		return e, err
	}
	if err := r.wrote(keys); err != nil {
		return e, err
	}
	began := r.history.now()
	if err := r.hurt(ctx, &e); err != nil {
		return e, err
	}
	if e.apart = r.together(ctx, e.timing); e.apart == nil {
		e.whole = r.history.now() - began
		r.Say(fmt.Sprintf("all members are together again, %.1fs after the fault began", e.whole.Seconds()))
		if err := r.write(ctx, settleWrites); err != nil {
			return e, err
		}
		if err := r.rest(ctx, r.Duration-r.history.now()); err != nil {
			return e, err
		}
	}
	if ctx.Err() != nil {
		return e, context.Cause(ctx)
	}
	writers.stop()
	e.end = r.history.now()
	r.conclude(ctx, &e)
	e.ops, e.full, e.tally = r.history.seen(), r.history.full, r.watcher.total()
	return e, context.Cause(ctx)
}

// hurt does the fault, lets it stand and takes it back.
func (r *run) hurt(ctx context.Context, e *evidence) (err error) {
	if e.victims, err = r.Fault.victims(r.watcher.latest(), r.members); err != nil || len(e.victims) == 0 {
		return errors.Join(err, r.rest(ctx, r.Duration/2))
	}
	r.Say(fmt.Sprintf("%s: %v", r.Fault.Name, e.victims))
	begin := time.Now()
	defer func() {
		if err != nil { // at once, before anybody waits for clients that hang
			err = errors.Join(err, r.mend(context.WithoutCancel(ctx), e.victims))
		}
	}()
	if err := r.hand.Do(ctx, r.Fault, e.victims); err != nil {
		return fmt.Errorf("%s: %w", r.Fault.Name, err)
	}
	if !r.Fault.Lasts {
		return nil
	}
	if err := r.rest(ctx, r.Duration/2); err != nil {
		return err
	}
	r.Say(fmt.Sprintf("mending %v", e.victims))
	if err := r.mend(ctx, e.victims); err != nil {
		return err
	}
	e.lasted = time.Since(begin)
	return nil
}

func (r *run) mend(ctx context.Context, victims []string) error {
	ctx, cancel := context.WithTimeout(ctx, tidyFor)
	defer cancel()
	if err := r.hand.Mend(ctx, victims); err != nil {
		return fmt.Errorf("mend %v: %w", victims, err)
	}
	return nil
}

// conclude reads the end through every member, without any writer, and compares the data.
func (r *run) conclude(ctx context.Context, e *evidence) {
	if e.apart == nil {
		e.apart = r.together(ctx, e.timing)
	}
	bounded, cancel := context.WithTimeout(ctx, tidyFor)
	defer cancel()
	e.finals = map[string][]final{}
	for _, host := range r.members {
		shown, err := showOn(bounded, r.Spec, host, r.lines.all[host], r.paths)
		if err != nil {
			e.unread = append(e.unread, fmt.Sprintf("through %s: %v", host, err))
			continue
		}
		e.finals[host] = shown
	}
	if hosts, err := r.lines.hosts(bounded); err == nil {
		e.suspects = zookeeper.Suspects(bounded, r.Spec, hosts, r.before, r.watcher.total().epochs())
	} else {
		e.unread = append(e.unread, err.Error())
	}
}

// together waits until all members are whole. Members that were started just now are
// granted what the gates grant them; different data heals by no waiting.
func (r *run) together(ctx context.Context, t Timing) error {
	ctx, cancel := context.WithTimeout(ctx, t.Join+time.Minute)
	defer cancel()
	var last error
	for {
		err := r.agree(ctx)
		if err == nil || zookeeper.Diverged(err) {
			return err
		}
		if last == nil || ctx.Err() == nil { // a look that was cut short says little
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(lookEvery):
		}
	}
}

func (r *run) agree(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	hosts, err := r.lines.hosts(ctx)
	if err != nil {
		return err
	}
	if err = zookeeper.Agree(ctx, r.Spec, hosts); err != nil {
		r.lines.check(context.WithoutCancel(ctx), hosts)
	}
	return err
}

// rest waits; the clients go on.
func (r *run) rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wrote fails unless each of the first n clients has had an acknowledged write.
func (r *run) wrote(n int) error {
	ops := r.history.seen()
	for c := range n {
		if !slices.ContainsFunc(ops, func(o op) bool { return o.client == c && !o.read && o.outcome == acked }) {
			return fmt.Errorf("client %d had no acknowledged write within %.1fs, before any fault", c, r.history.now().Seconds())
		}
	}
	return nil
}

// write waits until the clients have had n more acknowledged writes, or two minutes are over.
func (r *run) write(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for range n {
		select {
		case <-r.history.changed():
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d writes: %w", n, context.Cause(ctx))
		}
	}
	return nil
}

// tidy removes the znodes.
func (r *run) tidy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tidyFor)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { // a session that hangs ends with its connections
		for _, c := range r.roamers {
			c.Close()
		}
	})
	defer stop()
	if err := lift(r.roamers[0], r.paths); err != nil {
		r.Say(err.Error())
	}
}
