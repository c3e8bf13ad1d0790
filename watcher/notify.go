package watcher

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// readyWithin is how long a start waits for the first pass. After it the unit is ready
	// all the same: a host whose registry is down shall boot, and STATUS says what is missing.
	readyWithin = 5 * time.Second
	readyLook   = 50 * time.Millisecond
	tellEvery   = 5 * time.Second // with no watchdog
)

func (w *Watcher) notify(state string) {
	if w.Notify != nil {
		w.Notify(state)
	}
}

// notifyReloading says when the reload began, which Type=notify-reload needs (sd_notify(3),
// systemd 253) and older ones ignore.
func (w *Watcher) notifyReloading() {
	w.notify("RELOADING=1\n" + daemon.SdNotifyMonotonicUsec())
}

// tell keeps the service manager informed until ctx ends.
func (w *Watcher) tell(ctx context.Context) {
	if w.Notify == nil {
		return
	}
	w.awaitReady(ctx)
	w.notify("READY=1")
	every := tellEvery
	if w.Watchdog > 0 {
		every = min(every, w.Watchdog/3)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for last := ""; ; {
		if text, alive := w.pulse(ctx, every); alive {
			if w.Watchdog > 0 {
				w.notify("WATCHDOG=1")
			}
			if text != last {
				w.notify("STATUS=" + text)
			}
			last = text
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// awaitReady returns when every service was served from somewhere, or after readyWithin.
func (w *Watcher) awaitReady(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	ticker := time.NewTicker(readyLook)
	defer ticker.Stop()
	for !w.settled() {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *Watcher) settled() bool {
	now := w.current()
	if now.discovery == nil {
		return true
	}
	for _, s := range now.discovery.Services() {
		if s.Applied.IsZero() {
			return false
		}
	}
	return true
}

// pulse asks every part how it stands. No answer in time means that one is stuck, and the
// watchdog is for that: a part is not alive because this goroutine is.
func (w *Watcher) pulse(ctx context.Context, within time.Duration) (text string, alive bool) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	now := w.current()
	if now.discovery != nil && now.discovery.Alive(ctx) != nil {
		return "", false
	}
	got := make(chan string, 1)
	go func() { got <- w.Status("").Summary() }() // waits for every lock that there is
	select {
	case text := <-got:
		return text, true
	case <-ctx.Done():
		return "", false
	}
}

// Summary is one line for people.
func (s Status) Summary() string {
	var parts []string
	unknown, held, instances := 0, 0, 0
	for _, one := range s.Services {
		instances += len(one.Instances)
		if one.Truth == Unknown {
			unknown++
		}
		if one.Held != nil {
			held++
		}
	}
	if s.HAProxy != nil {
		text := fmt.Sprintf("serving %d services with %d instances", len(s.Services), instances)
		if unknown > 0 {
			text += fmt.Sprintf(", %d not readable now", unknown)
		}
		if held > 0 {
			text += fmt.Sprintf(", %d held by the guard", held)
		}
		parts = append(parts, text)
	}
	if n := len(s.Registrations); n > 0 {
		announced := 0
		for _, r := range s.Registrations {
			if r.Announced {
				announced++
			}
		}
		parts = append(parts, fmt.Sprintf("%d of %d registrations announced", announced, n))
	}
	for _, r := range s.Registries {
		if !r.Connected {
			parts = append(parts, fmt.Sprintf("registry %s: %s", r.Name, r.State))
		}
	}
	if s.Refused != "" {
		parts = append(parts, "the newest configuration was refused")
	}
	return strings.Join(parts, "; ")
}
