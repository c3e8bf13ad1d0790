package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a Load: what is meant to show that nothing fails must not be what breaks it.
const (
	maxLoadTime     = 10 * time.Minute
	maxLoadRate     = 2000
	maxLoadRequests = 200_000
	loadWorkers     = 32
	loadTimeout     = 10 * time.Second // of one request
	bodyLimit       = 256              // bytes of an answer that are looked at
)

// Load is a bounded run of GET requests at a steady rate, half of them on connections that
// are kept, half on new ones.
type Load struct {
	URL  string        // http; the host is an IP address
	For  time.Duration // at most 10m
	Rate int           // requests a second, at most 2000
}

// Result is what became of a Load. A request has failed unless it was answered with 200.
type Result struct {
	Requests int
	Failed   int
	Slowest  time.Duration // of the requests that did not fail
	Answers  []Count       // first line of the answers, the most frequent first
	Errors   []Count       // why requests failed
}

// Count is a text and how often it came.
type Count struct {
	Text string
	N    int
}

// String is one line for a person, and one more for each kind of failure.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests, %d failed, slowest %s", r.Requests, r.Failed, r.Slowest.Round(time.Millisecond))
	for i, a := range r.Answers {
		sep := ", "
		if i == 0 {
			sep = "; answered by "
		}
		fmt.Fprintf(&b, "%s%s (%d)", sep, a.Text, a.N)
	}
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "\n  %d x %s", e.N, e.Text)
	}
	return b.String()
}

func (l Load) validate() error {
	var errs []error
	if l.For <= 0 || l.For > maxLoadTime {
		errs = append(errs, fmt.Errorf("for: %s: want up to %s", l.For, maxLoadTime))
	}
	if l.Rate < 1 || l.Rate > maxLoadRate {
		errs = append(errs, fmt.Errorf("rate: %d: want 1 to %d requests a second", l.Rate, maxLoadRate))
	}
	if n := l.requests(); len(errs) == 0 && n > maxLoadRequests {
		errs = append(errs, fmt.Errorf("%d requests: want at most %d", n, maxLoadRequests))
	}
	return errors.Join(errs...)
}

func (l Load) requests() int { return int(l.For.Seconds() * float64(l.Rate)) }

// Traffic sends the requests of a Load from inside the host, and returns when all have
// ended: where answers are slow, with fewer than asked for. It ends early, without an
// error, when ctx does.
func (h *Host) Traffic(ctx context.Context, l Load) (Result, error) {
	if err := l.validate(); err != nil {
		return Result{}, fmt.Errorf("traffic: %w", err)
	}
	dial, done, err := h.guest.dialer(ctx)
	if err != nil {
		return Result{}, h.errorf("traffic: %w", err)
	}
	defer done()
	return send(ctx, l, dial), nil
}

// tally counts outcomes as they come.
type tally struct {
	mu      sync.Mutex
	result  Result
	answers map[string]int
	errors  map[string]int
}

func (t *tally) add(answer string, took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.Requests++
	if err != nil {
		t.result.Failed++
		t.errors[err.Error()]++
		return
	}
	t.answers[answer]++
	t.result.Slowest = max(t.result.Slowest, took)
}

func counts(of map[string]int) []Count {
	var out []Count
	for text, n := range of {
		out = append(out, Count{text, n})
	}
	slices.SortFunc(out, func(a, b Count) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Text, b.Text)) })
	return out
}

// send sends request number i at i/rate after the start, or as soon as a worker is free.
func send(ctx context.Context, l Load, dial dialFunc) Result {
	t := tally{answers: map[string]int{}, errors: map[string]int{}}
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: loadWorkers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: loadTimeout}
	start, every := time.Now(), time.Second/time.Duration(l.Rate)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(loadWorkers, l.requests()) {
		workers.Go(func() {
			due := time.NewTimer(0)
			defer due.Stop()
			for i := next.Add(1) - 1; i < int64(l.requests()); i = next.Add(1) - 1 {
				due.Reset(time.Until(start.Add(time.Duration(i) * every)))
				select {
				case <-ctx.Done():
					return
				case <-due.C:
				}
				began := time.Now()
				if began.Sub(start) > l.For+loadTimeout {
					return // far behind: what is left would only make it longer
				}
				answer, err := get(ctx, client, l.URL, i%2 == 0)
				if ctx.Err() != nil {
					return // cut short, which says nothing about the service
				}
				t.add(answer, time.Since(began), err)
			}
		})
	}
	workers.Wait()
	t.result.Answers, t.result.Errors = counts(t.answers), counts(t.errors)
	return t.result
}

// get returns the first line of the answer. Errors lack what differs from one to the next.
func get(ctx context.Context, client *http.Client, url string, keep bool) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Close = !keep
	resp, err := client.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) { // says the port of this end too
			err = fmt.Errorf("%s: %w", op.Op, op.Err)
		}
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	if err != nil {
		return "", fmt.Errorf("the answer broke off: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status)
	}
	line, _, _ := strings.Cut(string(body), "\n")
	return line, nil
}
