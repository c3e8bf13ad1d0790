package haproxy

import (
	"net/netip"
	"slices"
	"strconv"
)

// slots returns how many slots a backend with live instances gets: half as many again, but
// at least spare, in steps of four so that the file's shape rarely changes.
func slots(live, spare int) int {
	n := max(live+(live+1)/2, live+spare)
	return (n + 3) / 4 * 4
}

// slotCount returns how many slots the file gives this backend. It is what HAProxy has, as
// long as that is enough; a reload is the occasion to have room again, or to give much up.
func (b *backend) slotCount(spare int, reload bool) int {
	have, live := b.slotsNow(), len(b.targets())
	n := slots(live, spare)
	if have > 0 && live <= have && !(reload && (n > have || n < have/2)) {
		n = have
	}
	if b.limit > 0 {
		n = min(n, b.limit)
	}
	return n
}

// slotsNow returns how many slots HAProxy has for the backend.
func (b *backend) slotsNow() int {
	n := 0
	for _, s := range b.servers {
		if _, ok := slotIndex(s); ok {
			n++
		}
	}
	return n
}

// targets returns what the backend shall serve: what is wanted, or as long as that is not
// known, what it serves now.
func (b *backend) targets() []target {
	if b.known {
		return b.wanted()
	}
	var out []target
	for _, s := range b.servers {
		if s.admin != maint && !s.foreign {
			out = append(out, target{addr: s.addr, weight: s.weight, drain: s.admin == drain})
		}
	}
	return out
}

// layout returns the slots that a new worker shall start with, so that it serves at once
// what is served now: each instance in a slot stays there, the others take free ones. A
// server in drain has weight 0 in the file, which means the same (configuration.txt 2.6 5.2
// "weight").
func (b *backend) layout(count int) []slotLine {
	out := make([]slotLine, count)
	for i := range out {
		out[i] = slotLine{addr: placeholder, free: true}
	}
	at := b.byAddress()
	var rest []target
	for _, t := range b.targets() {
		n, ok := b.slotOf(at, t.addr)
		if !ok {
			rest = append(rest, t)
			continue
		}
		for len(out) <= n {
			out = append(out, slotLine{addr: placeholder, free: true})
		}
		out[n] = newSlotLine(t)
	}
	slices.SortFunc(rest, func(a, b target) int { return a.addr.Compare(b.addr) })
	n := 0
	for _, t := range rest {
		for n < len(out) && !out[n].free {
			n++
		}
		switch {
		case n < len(out):
			out[n] = newSlotLine(t)
		case b.limit == 0 || n < b.limit:
			out = append(out, newSlotLine(t))
		}
	}
	return out
}

func newSlotLine(t target) slotLine {
	if t.drain {
		t.weight = 0
	}
	return slotLine{addr: t.addr, weight: t.weight}
}

// slotOf returns the index of the slot in which an address is served.
func (b *backend) slotOf(at map[netip.AddrPort]int, addr netip.AddrPort) (int, bool) {
	i, ok := at[addr]
	if !ok || b.servers[i].admin == maint {
		return 0, false
	}
	return slotIndex(b.servers[i])
}

// slotIndex returns the place of a server among the slots, or false for one that is none.
func slotIndex(s server) (int, bool) {
	kind, n, ok := number(s.name)
	return n - 1, ok && kind == 's' && !s.foreign
}

// prime takes over the slots of a file, for as long as HAProxy itself cannot be asked.
func (b *backend) prime(lines []slotLine) {
	b.touch()
	b.servers = make([]server, len(lines))
	for i, l := range lines {
		s := server{name: slotName(i + 1), id: i + 1, addr: l.addr, weight: l.weight, admin: ready}
		if l.free {
			s.admin = maint
		}
		b.servers[i] = s
	}
}

// overflowing counts the servers beyond the slots, which come after all of those.
func (b *backend) overflowing() int {
	n := 0
	for _, s := range slices.Backward(b.servers) {
		if _, ok := slotIndex(s); ok {
			break
		}
		if s.overflow() && !s.foreign {
			n++
		}
	}
	return n
}

// folds says whether so many servers live beyond the slots that a reload shall give all of
// them slots. The bound grows with the backend, so that growth costs few reloads.
func (b *backend) folds() bool {
	n := b.overflowing()
	return n > max(8, (len(b.servers)-n)/2) && len(b.targets()) > len(b.servers)-n
}

// section is a backend's slots as they stand in the file.
type section struct {
	text  []byte
	slots int
}

// section returns the slots of the file for this backend. It is kept until something
// changes: all sections of ten thousand servers take milliseconds.
func (b *backend) section(spare int, reload bool) section {
	kept := &b.sections[0]
	if reload {
		kept = &b.sections[1]
	}
	if kept.text == nil {
		lines := b.layout(b.slotCount(spare, reload))
		*kept = section{text: renderSlots(lines), slots: len(lines)}
	}
	return *kept
}

// touch says that the sections may be others now.
func (b *backend) touch() { b.sections, b.quiet = [2]section{}, false }

// shapeKey names a file by everything but addresses and weights: what `haproxy -c` and a
// load depend on.
func shapeKey(d document, slots func(backend string) int) string {
	key := []byte(d.shape)
	for _, name := range d.backends() {
		key = append(append(append(key, ' '), name...), '=')
		key = strconv.AppendInt(key, int64(slots(name)), 10)
	}
	return string(key)
}
