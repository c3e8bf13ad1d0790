package sidecar

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// askLimit bounds one question to a zkwatch, and answerLimit its answer, in bytes: 10,000
// instances take about 2 MiB.
const (
	askLimit    = 5 * time.Second
	answerLimit = 16 << 20
)

// answer is what a zkwatch says of itself at /v1/status, as far as it is needed here.
type answer struct {
	Version       string         `json:"version"`
	Services      []served       `json:"services"`
	Registrations []registration `json:"registrations"`
}

// served is one service as a host serves it.
type served struct {
	Service   string            `json:"service"`
	Truth     string            `json:"truth"` // known, empty or unknown
	Reason    string            `json:"reason"`
	Revision  int64             `json:"revision"`
	Instances []json.RawMessage `json:"instances"`
	Held      *struct {
		From int    `json:"from"`
		To   int    `json:"to"`
		Rule string `json:"rule"`
	} `json:"held"`
	Pending bool `json:"pending"`
}

// current reports whether what is served is what the registry last said.
func (s served) current() bool { return s.Truth != "unknown" && s.Held == nil && !s.Pending }

type registration struct {
	Name      string `json:"name"`
	Healthy   bool   `json:"healthy"`
	Announced bool   `json:"announced"`
	Draining  bool   `json:"draining"`
	Why       string `json:"why"`
}

func (a answer) service(name string) (served, bool) {
	for _, s := range a.Services {
		if s.Service == name {
			return s, true
		}
	}
	return served{}, false
}

func (a answer) registration(name string) (registration, bool) {
	for _, r := range a.Registrations {
		if r.Name == name {
			return r, true
		}
	}
	return registration{}, false
}

// heard is what was learned of one host.
type heard struct {
	node
	answer
	err error // it did not answer
}

// askAll asks the zkwatch of every application host, all at once.
func askAll(ctx context.Context, s *bootstrap.Spec, hosts bootstrap.Hosts) []heard {
	all := nodes(s)
	out := make([]heard, len(all))
	var wg sync.WaitGroup
	for i, n := range all {
		wg.Go(func() {
			out[i] = heard{node: n}
			host, ok := hosts[n.host]
			if !ok {
				out[i].err = fmt.Errorf("%w: it was not opened", bootstrap.ErrUnreachable)
				return
			}
			out[i].answer, out[i].err = ask(ctx, host)
		})
	}
	wg.Wait()
	return out
}

// ask reads the status of the zkwatch on a host, which listens there on loopback alone.
func ask(ctx context.Context, host bootstrap.Host) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askLimit, fmt.Errorf("no answer within %s", askLimit))
	defer cancel()
	transport := &http.Transport{DialContext: host.DialContext, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	url := fmt.Sprintf("http://127.0.0.1:%d/v1/status", statusPort)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return answer{}, fmt.Errorf("zkwatch does not answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return answer{}, fmt.Errorf("the answer of zkwatch broke off: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("zkwatch answers %s: %.200s", resp.Status, strings.TrimSpace(string(body)))
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, fmt.Errorf("the answer of zkwatch cannot be read, it may be of another version: %w", err)
	}
	return a, nil
}
