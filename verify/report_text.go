package verify

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the report for a terminal: plain characters, no colours, one
// line a check, and below those that did not pass why and what to do.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, s := range r.sections() {
		fmt.Fprintf(&b, "%s: %s\n", s.title, WorstOf(s.checks))
		writeChecks(&b, s.checks)
		if s.fsync != nil {
			writeFsync(&b, *s.fsync)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "verdict: %s\n", r.Verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeChecks aligns the lines of the checks with each other; reasons are
// folded in afterwards, because they would stretch the columns.
func writeChecks(b *strings.Builder, checks []Check) {
	var table strings.Builder
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, c := range checks {
		// A strings.Builder does not fail.
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", c.Verdict, c.ID, oneLine(c.Text), limits(c))
	}
	_ = tw.Flush()
	lines := strings.Split(table.String(), "\n")
	for i, c := range checks {
		fmt.Fprintln(b, strings.TrimRight(lines[i], " "))
		if c.Why != "" {
			fmt.Fprintf(b, "         why: %s\n", oneLine(c.Why))
		}
		if c.Hint != "" {
			fmt.Fprintf(b, "         hint: %s\n", oneLine(c.Hint))
		}
	}
}

// limits prints "warn above 10 ms, fail above 50 ms".
func limits(c Check) string {
	about, _ := info(c.ID)
	side := "above"
	if about.Floor {
		side = "below"
	}
	var parts []string
	if c.Warn != nil {
		parts = append(parts, "warn "+side+" "+formatFigure(c.Unit, *c.Warn))
	}
	if c.Fail != nil {
		parts = append(parts, "fail "+side+" "+formatFigure(c.Unit, *c.Fail))
	}
	return strings.Join(parts, ", ")
}

func writeFsync(b *strings.Builder, f FsyncResult) {
	ms := func(v float64) string { return formatFigure(unitMS, v) }
	fmt.Fprintf(b, "  fsync in %s: %d syncs, %s a second, p50 %s, p90 %s, p99 %s", f.Dir.Path, f.Samples,
		significant(f.OpsPerSecond), ms(f.P50), ms(f.P90), ms(f.P99))
	if f.P999 != nil {
		fmt.Fprintf(b, ", p99.9 %s", ms(*f.P999))
	}
	fmt.Fprintf(b, ", max %s\n", ms(f.Max))
	phase := func(name string, l Latency, more string) {
		fmt.Fprintf(b, "    %s: %d syncs, p50 %s, p99 %s, max %s%s\n", name, l.Samples, ms(l.P50), ms(l.P99), ms(l.Max), more)
	}
	if f.Paced != nil {
		phase("paced", *f.Paced, "")
	}
	if f.Interference != nil {
		phase("beside a snapshot", f.Interference.Latency, fmt.Sprintf(", p99 %sx", significant(f.Interference.Ratio)))
	}
	for _, s := range f.Sizes {
		phase(fmt.Sprintf("%d bytes", s.Bytes), s.Latency, "")
	}
}

// oneLine keeps foreign text, such as an error with line breaks, in its line.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
