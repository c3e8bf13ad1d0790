package verify

import (
	"encoding/xml"
	"io"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the report in the JUnit XML form that CI systems read: a
// suite for each host, pair and the ensemble, a case for each check. A warning
// passes with its reason as output, because JUnit has none; unknown and n/a are
// skipped.
func (r Report) WriteJUnit(w io.Writer) error {
	all := junitSuites{Name: "zkboot verify"}
	for _, s := range r.sections() {
		suite := junitSuite{Name: s.name, Tests: len(s.checks)}
		for _, c := range s.checks {
			jc := junitCase{Class: s.name, Name: c.ID}
			switch c.Verdict {
			case Pass, Warn:
				jc.Out = line(c)
			case Unknown, NotApplicable:
				jc.Skipped = &junitMessage{Message: string(c.Verdict) + ": " + oneLine(c.Why)}
				suite.Skipped++
			default:
				jc.Failure = &junitMessage{Message: oneLine(c.Why), Text: line(c)}
				suite.Failures++
			}
			suite.Cases = append(suite.Cases, jc)
		}
		all.Suites = append(all.Suites, suite)
		all.Tests += suite.Tests
		all.Failures += suite.Failures
		all.Skipped += suite.Skipped
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// line says everything about a check in one line.
func line(c Check) string {
	text := string(c.Verdict) + ": " + oneLine(c.Text)
	for _, part := range []string{limits(c), c.Why, c.Hint} {
		if part != "" {
			text += "; " + oneLine(part)
		}
	}
	return text
}
