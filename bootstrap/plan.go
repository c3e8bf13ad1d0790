package bootstrap

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/verify"
)

// Plan is what Apply will do, as data. What its String prints is what is applied: there is
// no second path for a dry run. It holds no secret and can be stored and read back.
type Plan struct {
	Format int         `json:"format"` // PlanFormat
	Spec   *Spec       `json:"spec"`
	Intent Intent      `json:"intent"`
	Seen   Fingerprint `json:"seen"`
	Prove  []Proof     `json:"prove,omitempty"` // hardware probes, before anything is changed
	Waves  []Wave      `json:"waves,omitempty"`
}

// PlanFormat is the format of a stored Plan.
const PlanFormat = 1

// Fingerprint holds State.Fingerprint by host: a Plan is refused with ErrStale when a host
// has changed since.
type Fingerprint map[string]string

// Proof is one hardware probe of the gate.
type Proof struct {
	Host  string           `json:"host"`
	Owner Owner            `json:"owner"`
	Dir   string           `json:"dir"` // whose disk is probed
	Needs verify.HostNeeds `json:"needs"`
}

// Wave is a part of a Plan that ends before the next one begins. Its site steps come
// first, then the steps of its hosts, then site steps that need these: all hosts at once, or, when Rolling, one host at a
// time in the order that the Role picks, with Before and After around each turn. In a wave
// that is not rolling they stand around the whole.
type Wave struct {
	Title   string            `json:"title"`
	Role    string            `json:"role,omitempty"` // Rolling: who picks the next host
	Rolling bool              `json:"rolling,omitempty"`
	Rule    string            `json:"rule,omitempty"` // Rolling: the order in words
	Site    []SiteStep        `json:"site,omitempty"`
	Before  []SiteStep        `json:"before,omitempty"`
	After   []SiteStep        `json:"after,omitempty"`
	Steps   map[string][]Step `json:"steps,omitempty"` // by host
	Then    []SiteStep        `json:"then,omitempty"`
}

// Hosts returns the hosts that have steps in the wave, sorted.
func (w Wave) Hosts() []string { return slices.Sorted(maps.Keys(w.Steps)) }

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Waves) == 0 }

// Counts returns the number of hosts that change and of steps in all, site steps and the hosts
// that these are about included.
func (p *Plan) Counts() (hosts, steps int) {
	changed := map[string]bool{}
	for _, w := range p.Waves {
		steps += len(w.Site) + len(w.Then)
		for _, st := range slices.Concat(w.Site, w.Then) {
			for _, h := range st.Hosts {
				changed[h] = true
			}
		}
		for h, s := range w.Steps {
			changed[h] = true
			steps += len(s)
		}
	}
	return len(changed), steps
}

// Size is Counts in words, such as "3 steps on 1 host".
func (p *Plan) Size() string {
	hosts, steps := p.Counts()
	return plural(steps, "step") + " on " + plural(hosts, "host")
}

// String prints every step by wave and host, in a stable order, with what changes in
// things that are there already.
func (p *Plan) String() string {
	var b strings.Builder
	if p.Empty() {
		fmt.Fprintf(&b, "%s: nothing to do on %s\n", p.Spec.Name, plural(len(p.Spec.Hosts), "host"))
		return b.String()
	}
	fmt.Fprintf(&b, "%s: %s in %s\n", p.Spec.Name, p.Size(), plural(len(p.Waves), "wave"))
	if len(p.Prove) > 0 {
		b.WriteString("\nfirst, before any change: prove the hardware\n")
		for _, q := range p.Prove {
			fmt.Fprintf(&b, "  %s: fsync latency below %s\n", q.Host, q.Dir)
		}
	}
	for i, w := range p.Waves {
		fmt.Fprintf(&b, "\nwave %d: %s\n", i+1, w.Title)
		w.print(&b)
	}
	return b.String()
}

func (w Wave) print(b *strings.Builder) {
	if w.Rolling {
		fmt.Fprintf(b, "  rule: %s\n", w.Rule)
	}
	gates := func(when string, list []SiteStep) {
		for _, g := range list {
			fmt.Fprintf(b, "  %s: %s\n", when, g.Title)
		}
	}
	each := ""
	if w.Rolling {
		each = " each turn"
	}
	gates("gate before"+each, w.Before)
	gates("site", w.Site)
	for _, h := range w.Hosts() {
		fmt.Fprintf(b, "  %s\n", h)
		for _, s := range w.Steps[h] {
			fmt.Fprintf(b, "    %s\n", s)
			if s.Action == ActionUpdate || s.Instead.Resource != nil {
				for _, line := range s.Detail() {
					fmt.Fprintf(b, "      %s\n", line)
				}
			}
		}
	}
	gates("site", w.Then)
	gates("gate after"+each, w.After)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
