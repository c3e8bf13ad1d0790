package haproxy

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// shapeVariable tells a running HAProxy's structure: the file sets it in the environment,
// and "show env" reads it back from the worker, whoever reloaded it and whatever lies on
// disk by now.
const shapeVariable = "ZKWATCH_SHAPE"

// document is the structure of the file: its text with gaps where the slots of a backend
// and the shape itself are put in.
type document struct {
	lines []string // a gap is a line that begins with gap
	shape string   // the same for two files that differ in slots alone
}

const (
	gap      = "\x00"
	gapShape = gap + "shape"
	gapSlots = gap + "slots " // and the name of the backend
)

// slotLine is one slot as the file has it.
type slotLine struct {
	addr   netip.AddrPort
	weight int
	free   bool
}

func newDocument(lines []string) document {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return document{lines: lines, shape: hex.EncodeToString(sum[:8])}
}

// backends returns the names of the backends that have slots.
func (d document) backends() []string {
	var out []string
	for _, l := range d.lines {
		if name, ok := strings.CutPrefix(l, gapSlots); ok {
			out = append(out, name)
		}
	}
	return out
}

// write fills the gaps; slots returns the lines of a backend. It writes in small pieces: the
// file of ten thousand instances has a megabyte, and is never in memory as a whole.
func (d document) write(to io.Writer, slots func(backend string) []byte) error {
	w := bufio.NewWriterSize(to, 32<<10) // keeps its first error
	for _, line := range d.lines {
		switch {
		case line == gapShape:
			fmt.Fprintf(w, "    setenv %s %s\n", shapeVariable, d.shape)
		case strings.HasPrefix(line, gapSlots):
			_, _ = w.Write(slots(strings.TrimPrefix(line, gapSlots)))
		default:
			_, _ = w.WriteString(line)
			_ = w.WriteByte('\n')
		}
	}
	return w.Flush()
}

func renderSlots(lines []slotLine) []byte {
	var b bytes.Buffer
	b.Grow(len(lines) * 56)
	for i, s := range lines {
		s.render(&b, i+1)
	}
	return bytes.Clone(b.Bytes()) // it is kept: no room for more
}

func (s slotLine) render(b *bytes.Buffer, n int) {
	line := b.AvailableBuffer()
	line = append(line, "    server s"...)
	line = strconv.AppendInt(line, int64(n), 10)
	line = append(line, ' ')
	line = s.addr.AppendTo(line)
	line = append(line, " id "...)
	line = strconv.AppendInt(line, int64(n), 10)
	if s.free {
		line = append(line, " disabled\n"...)
	} else {
		line = append(line, " weight "...)
		line = strconv.AppendInt(line, int64(s.weight), 10)
		line = append(line, '\n')
	}
	b.Write(line)
}

// parseDocument takes a file of ours apart again. It returns false for a file that this
// package did not write, or that was changed by hand outside of its slots.
func parseDocument(file []byte) (d document, slots map[string][]slotLine, ok bool) {
	slots = map[string][]slotLine{}
	var lines []string
	var backend, shape string
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "backend "+prefix); ok {
			name, _, _ = strings.Cut(name, " ")
			backend = prefix + name
		}
		if value, ok := strings.CutPrefix(line, "    setenv "+shapeVariable+" "); ok {
			shape, line = value, gapShape
		}
		if words, ok := strings.CutPrefix(line, "    server s"); ok && backend != "" {
			s, err := parseSlot(words, len(slots[backend])+1)
			if err != nil {
				return document{}, nil, false
			}
			if len(slots[backend]) == 0 {
				lines = append(lines, gapSlots+backend)
			}
			slots[backend] = append(slots[backend], s)
			continue
		}
		if strings.HasPrefix(line, gap) && line != gapShape {
			return document{}, nil, false
		}
		lines = append(lines, line)
	}
	d = newDocument(lines)
	return d, slots, shape != "" && shape == d.shape
}

func parseSlot(words string, n int) (slotLine, error) {
	f := strings.Fields(words)
	if len(f) < 5 || f[0] != strconv.Itoa(n) || f[2] != "id" || f[3] != f[0] {
		return slotLine{}, fmt.Errorf("%q is not slot %d", words, n)
	}
	addr, err := netip.ParseAddrPort(f[1])
	if err != nil {
		return slotLine{}, err
	}
	switch {
	case len(f) == 5 && f[4] == "disabled":
		return slotLine{addr: addr, free: true}, nil
	case len(f) == 6 && f[4] == "weight":
		w, err := strconv.Atoi(f[5])
		return slotLine{addr: addr, weight: w}, err
	}
	return slotLine{}, fmt.Errorf("%q is not a slot", words)
}
