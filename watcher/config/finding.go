package config

import (
	"fmt"
	"strings"

	"github.com/zkboot/zkboot/strictyaml"
)

// Finding is one thing that is wrong with a configuration: its path, such as
// routes["inventory"].bind, what was wanted and what was found. Line and Col are zero when
// the file does not say anything there, File too when there is no file.
type Finding struct {
	Path      string
	File      string
	Line, Col int
	Text      string
}

// Error renders the finding on one line.
func (f Finding) Error() string {
	var place string
	if f.File != "" {
		place = f.File + ": "
	}
	if f.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Col)
	}
	if f.Path != "" {
		place += f.Path + ": "
	}
	return place + f.Text
}

// Findings are all that is wrong with a configuration. They are an error when there is one.
type Findings []Finding

// Error renders one line for each finding.
func (f Findings) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns the findings as an error, nil when there are none: an empty Findings in an
// error variable would not be nil.
func (f Findings) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

type path = strictyaml.Path

// checker collects findings about the part of a configuration that it was made for.
type checker struct {
	found *Findings
	at    path
}

func (c checker) field(name string) checker { c.at = c.at.Field(name); return c }
func (c checker) key(name string) checker   { c.at = c.at.Key(name); return c }
func (c checker) index(i int) checker       { c.at = c.at.Index(i); return c }

func (c checker) errorf(format string, args ...any) {
	*c.found = append(*c.found, Finding{Path: string(c.at), Text: fmt.Sprintf(format, args...)})
}

// say adds err, when there is one.
func (c checker) say(err error) {
	if err != nil {
		c.errorf("%v", err)
	}
}
