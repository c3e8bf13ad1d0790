package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is everything one run found.
type result struct {
	Machine machine   `json:"machine"`
	Started time.Time `json:"started"`
	Figures []figure  `json:"figures"`
}

// machine says where it was measured, and how busy that was: figures of a machine that does
// other things at the same time are not to be compared.
type machine struct {
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel"`
	Load   string `json:"load"` // of the last 1, 5 and 15 minutes, when the bench began
	Go     string `json:"go"`
}

func thisMachine() machine {
	m := machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), Kernel: "unknown", Load: "unknown"}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(b))[:3], " ")
	}
	return m
}

// figure is one measured number with its target.
type figure struct {
	Name     string               `json:"figure"`
	Measured float64              `json:"measured"`
	Unit     string               `json:"unit,omitempty"`
	Min      *float64             `json:"min,omitempty"` // of the target
	Max      *float64             `json:"max,omitempty"`
	Verdict  string               `json:"verdict"` // ok, over, under, "-" without a target
	Note     string               `json:"note,omitempty"`
	Samples  map[string][]float64 `json:"samples,omitempty"` // what it was made of, in order
	Failed   string               `json:"failed,omitempty"`  // why it could not be measured
}

// judged returns f with its verdict.
func (f figure) judged() figure {
	switch {
	case f.Min == nil && f.Max == nil:
		f.Verdict = "-"
	case f.Max != nil && f.Measured > *f.Max:
		f.Verdict = "over"
	case f.Min != nil && f.Measured < *f.Min:
		f.Verdict = "under"
	default:
		f.Verdict = "ok"
	}
	return f
}

// target is the bounds as text.
func (f figure) target() string {
	switch {
	case f.Min == nil && f.Max == nil:
		return "-"
	case f.Min == nil:
		return "<= " + f.quantity(*f.Max)
	case f.Max == nil:
		return ">= " + f.quantity(*f.Min)
	}
	return fmt.Sprintf("%g to %s", *f.Min, f.quantity(*f.Max))
}

// quantity writes v with the unit of f.
func (f figure) quantity(v float64) string {
	number := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
	if f.Unit == "" || f.Unit == "x" {
		return number + f.Unit
	}
	return number + " " + f.Unit
}

// writeText prints the table and, below it, what stands behind each figure.
func (r result) writeText(w io.Writer) error {
	fmt.Fprintf(w, "%d CPUs, Linux %s, load %s at the start, %s, %s\n\n",
		r.Machine.CPUs, r.Machine.Kernel, r.Machine.Load, r.Machine.Go, r.Started.Format(time.RFC3339))
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "FIGURE\tMEASURED\tTARGET\tVERDICT")
	for _, f := range r.Figures {
		if f.Failed != "" {
			fmt.Fprintf(tab, "%s\tnot measured\t-\t-\n", f.Name)
			continue
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\n", f.Name, f.quantity(f.Measured), f.target(), f.Verdict)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, f := range r.Figures {
		if why := f.Failed + f.Note; why != "" {
			if _, err := fmt.Fprintf(w, "%s: %s\n", f.Name, why); err != nil {
				return err
			}
		}
	}
	return nil
}

// median returns the middle of the samples, or the mean of the two in the middle.
func median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// list writes samples, each in the given format, for a note.
func list(samples []float64, format string) string {
	text := make([]string, len(samples))
	for i, s := range samples {
		text[i] = fmt.Sprintf(format, s)
	}
	return strings.Join(text, " ")
}
