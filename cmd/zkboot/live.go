package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// redrawEvery bounds how often the terminal is redrawn.
const redrawEvery = 100 * time.Millisecond

// live shows what runs right now in one line a host, redrawn in place. What ended scrolls
// up above them as the plain lines that are written elsewhere.
type live struct {
	mu      sync.Mutex
	w       io.Writer
	width   func() int
	running []task // in the order of their start
	ended   bytes.Buffer
	shown   string // the lines that stand below the cursor's first line
	held    int    // by how many questions

	stop chan struct{}
	wg   sync.WaitGroup
}

type task struct {
	host, step, note string
	since            time.Time
}

// newLive starts drawing; close ends it.
func newLive(w io.Writer, width func() int) *live {
	l := &live{w: w, width: width, stop: make(chan struct{})}
	l.wg.Go(func() {
		tick := time.NewTicker(redrawEvery)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				l.mu.Lock()
				if l.held == 0 {
					l.draw(l.block(now))
				}
				l.mu.Unlock()
			case <-l.stop:
				return
			}
		}
	})
	return l
}

func (l *live) event(ev bootstrap.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	is := func(t task) bool { return t.host == ev.Host && t.step == ev.Step }
	switch ev.Kind {
	case bootstrap.EventStarted:
		l.running = append(l.running, task{host: ev.Host, step: ev.Step, since: time.Now()})
	case bootstrap.EventNote:
		for i, t := range slices.Backward(l.running) {
			if t.host == ev.Host {
				l.running[i].note = ev.Step
				return
			}
		}
		l.ended.WriteString(eventText(ev))
	default:
		l.running = slices.DeleteFunc(l.running, is)
		l.ended.WriteString(eventText(ev))
	}
}

// draw replaces the live lines. Nothing is written when nothing is different.
func (l *live) draw(block string) {
	if block == l.shown && l.ended.Len() == 0 {
		return
	}
	var b bytes.Buffer
	if n := strings.Count(l.shown, "\n"); n > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", n) // cursor up to the first live line
	}
	b.WriteString("\x1b[J") // clear to the end of the screen
	l.ended.WriteTo(&b)
	b.WriteString(block)
	l.shown = block
	l.w.Write(b.Bytes()) // one write, so that the screen never shows half of it
}

// block renders one line a host, the site last, each with what started there last.
func (l *live) block(now time.Time) string {
	last := map[string]task{}
	for _, t := range l.running {
		last[t.host] = t
	}
	var hosts []string
	for h := range last {
		if h != "" {
			hosts = append(hosts, h)
		}
	}
	slices.Sort(hosts)
	if _, ok := last[""]; ok {
		hosts = append(hosts, "")
	}
	var b strings.Builder
	width := l.width() - 1
	for _, h := range hosts {
		t := last[h]
		line := fmt.Sprintf("%s  %s  %ds", siteName(h), t.step, int(now.Sub(t.since).Seconds()))
		if t.note != "" {
			line += "  " + t.note
		}
		b.WriteString(cut(line, width) + "\n")
	}
	return b.String()
}

// cut shortens a line, for one that wraps would be two to move the cursor over.
func cut(line string, width int) string {
	r := []rune(line)
	if width < 1 || len(r) <= width {
		return line
	}
	return string(r[:width])
}

func (l *live) report(r bootstrap.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = r.WriteText(&l.ended) // a buffer takes everything
}

// hold takes the live lines away and leaves the cursor where they were.
func (l *live) hold() func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw("")
	l.held++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.held--
	}
}

func (l *live) close() {
	close(l.stop)
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw("")
}
