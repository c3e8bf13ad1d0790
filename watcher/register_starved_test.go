package watcher

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// tellRegistry is a registrar that says on standard output what it is told.
type tellRegistry struct{}

func (tellRegistry) Announce(_ context.Context, a Announcement) (Announced, error) {
	fmt.Println("announce", a.Name)
	return Announced{}, nil
}

func (tellRegistry) Withdraw(_ context.Context, name string) error {
	fmt.Println("withdraw", name)
	return nil
}

// watchOne is a process with one registration, until its standard input ends.
func watchOne(t *testing.T, url string) {
	r := &Registrations{Registrars: map[string]Registrar{"main": tellRegistry{}}, Config: &config.Config{Address: "10.0.0.1",
		Services: map[string]config.Service{"shop": {Registry: "main"}},
		Register: map[string]config.Registration{"shop-1": {Service: "shop", Port: 1, Check: config.ServiceCheck{HTTP: url,
			Interval: config.Duration(500 * time.Millisecond), Timeout: config.Duration(500 * time.Millisecond), Rise: 1, Fall: 1}}}}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		s := r.Status()[0]
		fmt.Println("healthy", s.Healthy, "ignored", s.Ignored, "checks", s.Checks)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// moody is a web service that does to its asker, a process, what a test wants.
type moody struct {
	asker atomic.Pointer[os.Process]
	mood  chan func(r *http.Request, w http.ResponseWriter) // of the next request; then it passes again
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case mood := <-m.mood:
		mood(r, w)
	default:
	}
}

// pause keeps the asker from running.
func (m *moody) pause(t *testing.T, d time.Duration) {
	if err := m.asker.Load().Signal(syscall.SIGSTOP); err != nil {
		t.Error(err)
	}
	<-time.After(d)
	if err := m.asker.Load().Signal(syscall.SIGCONT); err != nil {
		t.Error(err)
	}
}

// A process that is paused in the middle of a check finds it timed out when it goes on, and
// one that was paused for long meets services that suffered with it. It must not withdraw
// anything because of that, even where one failure is enough; and it must withdraw a
// service that really hangs.
func TestStarvedProcessHoldsItsState(t *testing.T) {
	if url := os.Getenv("ZKWATCH_TEST_STARVED"); url != "" {
		watchOne(t, url)
		return
	}
	m := &moody{mood: make(chan func(*http.Request, http.ResponseWriter), 1)}
	s := httptest.NewServer(m)
	defer s.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStarvedProcessHoldsItsState$")
	cmd.Env = append(os.Environ(), "ZKWATCH_TEST_STARVED="+s.URL)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.asker.Store(cmd.Process)
	lines := bufio.NewScanner(out)
	next := func() string {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the process ended: %v", lines.Err())
		}
		return lines.Text()
	}
	checks := 0 // that were done
	status := func(want string) {
		t.Helper()
		got, before := "", checks
		eventually(t, want+" after another check", func() bool {
			fmt.Fprintln(in)
			line := next()
			got, _, _ = strings.Cut(line, " checks ")
			fmt.Sscanf(line, got+" checks %d", &checks)
			return got == want && checks > before || !strings.HasPrefix(got, "healthy true")
		})
		if got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	if got := next(); got != "announce shop-1" {
		t.Fatalf("got %q first", got)
	}
	for i := range 2 {
		m.mood <- func(r *http.Request, _ http.ResponseWriter) {
			m.pause(t, 700*time.Millisecond)
			<-r.Context().Done()
		}
		status(fmt.Sprintf("healthy true ignored %d", i+1))
	}
	status("healthy true ignored 2") // a check is just over, so the next is 450 ms away
	m.mood <- func(_ *http.Request, w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }
	m.pause(t, 2*time.Second)
	status("healthy true ignored 3")
	m.mood <- func(r *http.Request, _ http.ResponseWriter) { <-r.Context().Done() }
	if got := next(); got != "withdraw shop-1" {
		t.Errorf("the service hangs: %q, want that it is withdrawn", got)
	}
	in.Close()
	for lines.Scan() {
		continue // the test's own verdict
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process: %v", err)
	}
}
