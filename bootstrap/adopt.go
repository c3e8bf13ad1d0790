package bootstrap

import (
	"cmp"
	"path"
	"regexp"
	"slices"
)

// Adopt says where servers that zkboot did not set up have their zoo.cfg, and which unit
// runs them, so that a plan can take them over with their data. It stays in the spec
// afterwards: the unit named here is kept from running beside ours.
type Adopt struct {
	Config string `json:"config,omitempty"` // default /etc/zookeeper/conf/zoo.cfg
	Unit   string `json:"unit,omitempty"`   // default zookeeper.service
}

// Where Debian's packages zookeeper and zookeeperd have them.
const (
	AdoptConfig = "/etc/zookeeper/conf/zoo.cfg"
	AdoptUnit   = "zookeeper.service"
)

// WithDefaults fills in what Debian's package has.
func (a Adopt) WithDefaults() Adopt {
	return Adopt{Config: cmp.Or(a.Config, AdoptConfig), Unit: cmp.Or(a.Unit, AdoptUnit)}
}

// serviceRE is the name of a service of systemd.
var serviceRE = regexp.MustCompile(`^[A-Za-z0-9:_.@-]{1,200}\.service$`)

func (a *Adopt) validate(r *Report, p Path) {
	if a == nil {
		return
	}
	is := a.WithDefaults()
	if !path.IsAbs(is.Config) || path.Clean(is.Config) != is.Config {
		r.Errorf(p.Field("config"), "want the absolute path of a zoo.cfg, found %q", is.Config)
	}
	if !serviceRE.MatchString(is.Unit) {
		r.Errorf(p.Field("unit"), "want the name of a service such as zookeeper.service, found %q", is.Unit)
	}
}

// Takeover is how a unit of ours comes to do what somebody else's unit does today, with the
// same data. It is data that a role makes of what was seen.
type Takeover struct {
	// Standing: the other's program was in service on the host before us. The hardware gate
	// has nothing to decide there any more; above all it must not keep a member down that was
	// stopped in its turn. Verify judges the host by its figures.
	Standing bool
	// Steps have no owner, because what they are about is not ours: nothing gives it back
	// later. Those about units come before everything else of the host's turn, files before
	// the first file of the owner, so that whoever sees one of these knows that they are there.
	Steps []Step
	// Late names wanted things that the other's program still uses, so that they change only
	// in the turn, when it is stopped, although no restart follows from them.
	Late []ID
	// Instead is what new things take the place of; see Step.
	Instead map[ID]Resource
}

// before puts the steps of a takeover where they belong among those of the owner.
func (t Takeover) before(steps []Step) []Step {
	if len(t.Steps) == 0 {
		return steps
	}
	var first, last []Step
	for _, s := range t.Steps {
		if s.Target.Kind() == KindUnit {
			first = append(first, s)
		} else {
			last = append(last, s)
		}
	}
	start := slices.IndexFunc(steps, func(s Step) bool { return slices.Index(kinds, s.Target.Kind()) >= slices.Index(kinds, KindFile) })
	if start < 0 {
		start = len(steps)
	}
	return slices.Concat(first, steps[:start], last, steps[start:])
}
