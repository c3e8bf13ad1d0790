package drill

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// The verdicts.
const (
	Pass = "pass"
	Fail = "fail"
)

// Result is what a drill found; its JSON is a contract with scripts. Times are in
// milliseconds.
type Result struct {
	Fault        string `json:"fault"`
	Writes       int    `json:"writes"`       // acknowledged
	WriteGapMS   int64  `json:"write_gap_ms"` // the longest time that one client was without an acknowledged write
	LostAcks     int    `json:"lost_acks"`
	TwoLeaders   int    `json:"two_leaders"` // moments in which two leaders took writes
	DigestsEqual bool   `json:"digests_equal"`
	Verdict      string `json:"verdict"`

	Hosts         []string            `json:"hosts"`           // that the fault hit
	GapLimitMS    int64               `json:"gap_limit_ms"`    // what WriteGapMS is held against
	Refused       int                 `json:"refused"`         // writes that were answered with no, or never sent
	Unknown       int                 `json:"unknown"`         // writes of which nobody knows
	Reads         int                 `json:"reads"`           // that were answered
	Linearizable  string              `json:"linearizable"`    // yes, no, or undecided when the search took too long
	Elections     int                 `json:"elections"`       // times that another member became leader
	DeposedLeader int                 `json:"deposed_leader"`  // polls that found a deposed leader which had not noticed; it takes no writes
	Suspects      []zookeeper.Suspect `json:"suspects"`        // members that must not be restarted as they are
	Why           []string            `json:"why"`             // what the verdict rests on, when it is fail
	WholeAfterMS  int64               `json:"whole_after_ms"`  // from the begin of the fault until all members were together again; 0: never
	FaultLastsMS  int64               `json:"fault_lasted_ms"` // 0: it does not last
}

// evidence is all that the verdict rests on.
type evidence struct {
	fault    Fault
	timing   Timing
	victims  []string
	ops      []op
	roaming  int           // clients 0 to roaming-1 follow the members
	end      time.Duration // of the writing
	full     bool
	lasted   time.Duration
	whole    time.Duration
	finals   map[string][]final
	unread   []string // members through which the end could not be read, with the reason
	apart    error    // why the members did not come together, nil when they did
	suspects []zookeeper.Suspect
	tally    tally
}

// judge turns evidence into a Result. It is pure.
func judge(e evidence) Result {
	longest, since := gap(e.ops, e.roaming, e.end)
	limit := e.fault.Gap(e.timing, e.lasted)
	r := Result{
		Fault: e.fault.Name, Hosts: e.victims, WriteGapMS: longest.Milliseconds(), GapLimitMS: limit.Milliseconds(),
		LostAcks: lostAcks(e.ops, e.finals), TwoLeaders: twoLeaders(e.ops) + e.tally.two, DigestsEqual: e.apart == nil,
		Elections: e.tally.changes, DeposedLeader: e.tally.deposed, Suspects: e.suspects, Verdict: Pass,
		WholeAfterMS: e.whole.Milliseconds(), FaultLastsMS: e.lasted.Milliseconds(), Why: []string{},
	}
	if r.Hosts == nil {
		r.Hosts = []string{}
	}
	if r.Suspects == nil {
		r.Suspects = []zookeeper.Suspect{}
	}
	for _, o := range e.ops {
		switch {
		case o.read && o.outcome == acked:
			r.Reads++
		case o.read:
		case o.outcome == acked:
			r.Writes++
		case o.outcome == refused:
			r.Refused++
		default:
			r.Unknown++
		}
	}
	why := func(bad bool, format string, args ...any) {
		if bad {
			r.Verdict, r.Why = Fail, append(r.Why, fmt.Sprintf(format, args...))
		}
	}
	order := linearizable(e.ops)
	r.Linearizable = map[porcupine.CheckResult]string{porcupine.Ok: "yes", porcupine.Illegal: "no", porcupine.Unknown: "undecided"}[order]
	why(r.LostAcks > 0, "%d acknowledged writes are lost", r.LostAcks)
	why(r.TwoLeaders > 0, "two leaders took writes, %d times", r.TwoLeaders)
	why(order == porcupine.Illegal, "what was read could not have come from one register: a stale or a lost value")
	why(order == porcupine.Unknown, "whether what was read could have come from one register was not decided within %s", checkFor)
	why(longest > limit, "a client was without an acknowledged write for %.1fs, from %.1fs on; expected %.1fs at most",
		longest.Seconds(), since.Seconds(), limit.Seconds())
	why(e.apart != nil, "the members did not come together: %v", e.apart)
	for _, s := range e.suspects {
		why(true, "%s is suspect: %s; next: %s", s.Host, s.Why, s.Next)
	}
	for _, u := range e.unread {
		why(true, "the end could not be read: %s", u)
	}
	why(e.full, "the history is full after %d operations: give a lower --rate or a shorter --duration", maxOps)
	return r
}

// WriteJSON writes the result as one JSON object.
func (r Result) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the result for a person.
func (r Result) WriteText(w io.Writer) error {
	var b strings.Builder
	on := ""
	if len(r.Hosts) > 0 {
		on = " on " + strings.Join(r.Hosts, ", ")
	}
	fmt.Fprintf(&b, "%s%s: %s\n", r.Fault, on, r.Verdict)
	fmt.Fprintf(&b, "  writes         %d acknowledged, %d refused, %d unknown; %d reads\n", r.Writes, r.Refused, r.Unknown, r.Reads)
	fmt.Fprintf(&b, "  longest stall  %.1fs (at most %.1fs)\n", float64(r.WriteGapMS)/1000, float64(r.GapLimitMS)/1000)
	fmt.Fprintf(&b, "  lost           %d\n", r.LostAcks)
	fmt.Fprintf(&b, "  two leaders    %d (%d elections, a deposed leader seen %d times)\n", r.TwoLeaders, r.Elections, r.DeposedLeader)
	fmt.Fprintf(&b, "  linearizable   %s\n", r.Linearizable)
	fmt.Fprintf(&b, "  digests equal  %t\n", r.DigestsEqual)
	for _, why := range r.Why {
		fmt.Fprintf(&b, "  because        %s\n", why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
