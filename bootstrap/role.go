package bootstrap

import (
	"context"

	"github.com/zkboot/zkboot/verify"
)

// Role is one part that hosts can play: a member of the ensemble, a sidecar. Everything
// but Do and Prove is pure. The list of roles is a literal handed to the Engine.
type Role interface {
	// Name is the second half of the role's Owner, such as "zookeeper".
	Name() string
	// Validate checks the role's part of a spec without looking at any host.
	Validate(s *Spec) Report
	// Queries lists what to look at on a host besides what its manifests own.
	Queries(s *Spec, host string) []ID
	// Compile says what each host must have. Hosts that the role does not want anything
	// on are missing from the map; findings carry paths into the spec.
	Compile(s *Spec, now Site) (map[string]Desired, Report)
	// Next picks the next site step for the intent, or false when there is none. It
	// returns an error that wraps ErrRefused, with the reason, when the way to what is
	// wanted is not safe from here.
	Next(s *Spec, now Site, in Intent) (SiteStep, bool, error)
	// Do carries out a site step: formation, gate, canary. It is safe to repeat.
	Do(ctx context.Context, s *Spec, h Hosts, st SiteStep) error
	// Prove judges the role as a whole for Verify. It only looks, but for the canary
	// znode that it writes and removes.
	Prove(ctx context.Context, s *Spec, now Site, h Hosts) []verify.Check
}

// Desired is what one role wants on one host.
type Desired struct {
	Resources []Resource
	From      map[ID]Path // where in the spec a resource comes from
	// Needs is what the role asks of the machine; the hardware gate judges it where there is
	// a SyncDir.
	Needs verify.HostNeeds
	// SyncDir is the directory whose fsync latency the role lives by, "" when none.
	SyncDir string
	// Cluster is written into the manifest, see ClusterID.
	Cluster string
	// Takeover is what makes room for a unit that takes turns where somebody else's does its
	// work today; the zero value where nothing does.
	Takeover Takeover
}

// Verb is what the operator wants of the site.
type Verb string

// The verbs. VerbTurn is the Engine's own question in a rolling wave: whose turn is it
// among Intent.Hosts?
const (
	VerbConverge Verb = "converge"
	VerbDestroy  Verb = "destroy"
	// VerbRestart gives every unit that takes turns a new process, though nothing has changed.
	// Of a Role it asks whether that is safe: Next refuses, or has no site step.
	VerbRestart Verb = "restart"
	// VerbReplace converges, and has the hosts it names come back without what they hold: what
	// lies there is taken away and copied from the others.
	VerbReplace Verb = "replace"
	// VerbRestore puts a backup in the place of the data: Next gives the site step that does
	// it, for which Intent.Backup says what.
	VerbRestore Verb = "restore"
	// VerbRestored is the Engine's own question at the end of a restore: which site step
	// proves it?
	VerbRestored Verb = "restored"
	// VerbUpgrade brings every package that a unit with turns runs on, and that the spec does
	// not pin, to what apt offers. Of a Role it asks what VerbRestart asks, and whether those
	// versions may follow the ones that are there.
	VerbUpgrade Verb = "upgrade"
	// VerbReboot reboots every host that has such a unit. Of a Role it asks what VerbRestart
	// asks.
	VerbReboot Verb = "reboot"
	VerbTurn   Verb = "turn"
)

// Intent is a verb with its objects.
type Intent struct {
	Verb  Verb     `json:"verb"`
	Hosts []string `json:"hosts,omitempty"`
	Wipe  bool     `json:"wipe,omitempty"` // destroy: take the data as well
	// Reachable lets a destroy go on without the hosts that cannot be reached.
	Reachable bool `json:"reachable,omitempty"`
	// Required keeps a reboot to the hosts that say they need one.
	Required bool `json:"required,omitempty"`
	// Probe forces the hardware probe even on hosts with a stored verdict.
	Probe bool `json:"probe,omitempty"`
	// Backup is what a restore puts back.
	Backup *Backup `json:"backup,omitempty"`
}

// SiteStep is a change or a check of the site as a whole. It is data, like a Step; the
// role that made it carries it out.
type SiteStep struct {
	Role  string   `json:"role"`
	Name  string   `json:"name"`            // such as "form", "quorum without", "canary"
	Hosts []string `json:"hosts,omitempty"` // whom it is about; "turn": whose turn it is; none: the hosts of its wave
	Title string   `json:"title"`           // one line for the operator
	// Backup is what a step of a restore puts back or proves.
	Backup *Backup `json:"backup,omitempty"`
}

// Gated is a Role whose hosts change one at a time. Gates returns what must hold before
// and after the turn of a host; the Engine asks Role.Do to see to it. An empty host asks
// for the gates as they are printed in a plan.
type Gated interface {
	Gates(host string) (before, after []SiteStep)
}

// Mover is a Role whose set of hosts changes while it serves: a member joins, leaves, comes
// back with an empty disk. Moves lists these changes in the order in which they are safe; it
// is pure, and returns an error that wraps ErrRefused where there is no safe way.
type Mover interface {
	Moves(s *Spec, now Site, in Intent) ([]Move, error)
}

// Move is one change of a role's set of hosts. It becomes a wave of its own: first the gates
// Before and the steps of the Site, then the steps of its Hosts (the start of whoever joins,
// the removal of whoever leaves), what is to be done Then, and the gates After.
type Move struct {
	Title                     string
	Hosts                     []string
	Before, Site, Then, After []SiteStep
}
