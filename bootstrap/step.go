package bootstrap

import (
	"fmt"
	"strings"
)

// Action is what a Step does to its resource.
type Action string

// ActionAdopt and ActionRelease change the owner's manifest alone: the thing is already
// as wanted, or another owner on the host still needs it.
const (
	ActionCreate  Action = "create"
	ActionUpdate  Action = "update"
	ActionAdopt   Action = "adopt"
	ActionDelete  Action = "delete"
	ActionRelease Action = "release"
	// The actions below make nothing that is wanted, so that they leave no trace in a manifest.

	// ActionRestart gives a unit a new process although nothing of it changes.
	ActionRestart Action = "restart"
	// ActionKill ends the main process of a running unit with SIGKILL, as a crash would, and
	// leaves it to systemd to start it again: a drill.
	ActionKill Action = "kill"
	// ActionStop ends the process of a unit. Whatever is cut off behind it, the next plan
	// sees a unit that does not run, and starts it.
	ActionStop Action = "stop"
	// ActionFetch downloads the wanted version of an installed package and installs nothing.
	ActionFetch Action = "fetch"
	// ActionUpgrade brings an installed package to the wanted version, which must be newer,
	// and holds it there.
	ActionUpgrade Action = "upgrade"
	// ActionReboot boots the machine anew. It is the last step of a Change: the connection
	// dies of it.
	ActionReboot Action = "reboot"
)

// Traceless reports whether the action leaves manifests as they are.
func (a Action) Traceless() bool {
	switch a {
	case ActionRestart, ActionKill, ActionStop, ActionFetch, ActionUpgrade, ActionReboot:
		return true
	}
	return false
}

// Step is one change of one thing on one host. It is data: it can be printed, stored
// and sent. The host refuses it with ErrStale when the thing is no longer as Was says. A
// step without an owner is not written into any manifest: formation uses it for files
// that the server itself takes over.
type Step struct {
	Action  Action `json:"action"`
	Owner   Owner  `json:"owner,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	Target  ID     `json:"target"`         // the thing the step is about
	Was     Thing  `json:"was"`            // null: absent
	Want    Thing  `json:"want"`           // null: to be deleted or released
	Wipe    bool   `json:"wipe,omitempty"` // a delete may take data with it
	From    Path   `json:"from,omitempty"` // the place in the spec that asks for it
	// Instead is what a thing that is created takes the place of elsewhere, for whoever reads
	// the plan: the file of the server that is taken over. The host does not look at it.
	Instead Thing `json:"instead,omitzero"`
}

// String is one line: the action and the thing, such as
// "update file /etc/zookeeper/main/zoo.cfg". It is stable.
func (s Step) String() string {
	line := fmt.Sprintf("%s %s %s", s.Action, s.Target.Kind(), s.Target.Name())
	if boot, ok := s.Want.Resource.(Boot); ok {
		return strings.TrimSpace("reboot the host " + boot.reason())
	}
	if want, ok := s.Want.Resource.(Package); ok && s.Action.Traceless() {
		was, _ := s.Was.Resource.(Package)
		return fmt.Sprintf("%s (%s -> %s)", line, was.Version, want.Version)
	}
	if s.Action.Traceless() {
		return line
	}
	if u, ok := s.Want.Resource.(Unit); ok && u.Running {
		if was, ok := s.Was.Resource.(Unit); ok && was.Running && was.Rev != u.Rev {
			line += " (restart)"
		} else if !ok || !was.Running {
			line += " (start)"
		}
	}
	if s.Wipe {
		line += " with its data"
	}
	return line
}

// Differences are what the step changes in its thing.
func (s Step) Differences() []Difference {
	if s.Want.Resource == nil || s.Action == ActionAdopt || s.Action == ActionRelease || s.Action.Traceless() {
		return nil
	}
	if s.Was.Resource == nil && s.Instead.Resource != nil {
		return s.Want.Drift(s.Instead.Resource)
	}
	return s.Want.Drift(s.Was.Resource)
}

// Detail renders the differences for a person, one line each; whole contents are cut to
// the lines that differ.
func (s Step) Detail() []string {
	var out []string
	for _, d := range s.Differences() {
		switch {
		case d.Field == "":
		case d.Field == "content" && s.Was.Resource != nil:
			out = append(out, lineDiff(d.Was, d.Want)...)
		case d.Field == "content":
		case d.Was == "":
			out = append(out, fmt.Sprintf("+ %s = %s", d.Field, d.Want))
		case d.Want == "":
			out = append(out, fmt.Sprintf("- %s = %s", d.Field, d.Was))
		default:
			out = append(out, fmt.Sprintf("~ %s: %s -> %s", d.Field, d.Was, d.Want))
		}
	}
	return out
}

// lineDiff lists the lines that only one side has, in their order. It is for reading,
// not for patching.
func lineDiff(was, want string) []string {
	a, b := strings.Split(was, "\n"), strings.Split(want, "\n")
	var out []string
	for _, l := range missing(a, b) {
		out = append(out, "- "+l)
	}
	for _, l := range missing(b, a) {
		out = append(out, "+ "+l)
	}
	return out
}

func missing(in, from []string) []string {
	count := map[string]int{}
	for _, l := range from {
		count[l]++
	}
	var out []string
	for _, l := range in {
		if count[l] > 0 {
			count[l]--
			continue
		}
		out = append(out, l)
	}
	return out
}

// StepError says which step of a Change was refused or broke. The steps before it are
// done, those after it are not.
type StepError struct {
	Index int  // in the steps given to Change
	Step  Step // the step itself
	Err   error
}

// Error implements error.
func (e *StepError) Error() string { return e.Step.String() + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }
