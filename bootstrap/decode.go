package bootstrap

import (
	"encoding"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder reads a YAML tree into a Spec by tables of fields, and reports every unknown
// key, double key and wrong type with its place, not just the first.
type decoder struct {
	src    *source
	report Report
}

// source remembers where the places of a Spec are in the file it came from.
type source struct {
	name  string
	lines []string
	pos   map[Path]Pos
}

// locate gives the findings of r the position of their path or of its nearest parent.
func (s *source) locate(r Report) Report {
	if s == nil {
		return r
	}
	for i, f := range r.Findings {
		if f.Pos.Line != 0 || f.Path == "" {
			continue
		}
		for p := f.Path; p != ""; p = parent(p) {
			if pos, ok := s.pos[p]; ok {
				r.Findings[i].Pos = pos
				break
			}
		}
	}
	return r
}

// parent returns the path that p was derived from.
func parent(p Path) Path {
	s := string(p)
	if strings.HasSuffix(s, "]") {
		// A key is quoted, so that a bracket or dot within it is never taken for ours.
		for i := len(s) - 2; i >= 0; i-- {
			if s[i] != '[' {
				continue
			}
			in := s[i+1 : len(s)-1]
			if _, err := strconv.Unquote(in); err == nil {
				return Path(s[:i])
			}
			if _, err := strconv.Atoi(in); err == nil {
				return Path(s[:i])
			}
		}
	}
	i := strings.LastIndexByte(s, '.')
	return Path(s[:max(i, 0)])
}

func (s *source) mark(p Path, n *yaml.Node) {
	pos := Pos{File: s.name, Line: n.Line, Col: n.Column}
	if n.Line >= 1 && n.Line <= len(s.lines) {
		pos.Source = s.lines[n.Line-1]
	}
	s.pos[p] = pos
}

// reader reads one node into wherever it was made for.
type reader func(d *decoder, p Path, n *yaml.Node)

// fields maps the keys of one mapping to their readers.
type fields map[string]reader

func (d *decoder) errorf(p Path, n *yaml.Node, format string, args ...any) {
	d.src.mark(p, n)
	d.report.Errorf(p, format, args...)
}

// object reads a mapping with known keys.
func object(fs fields) reader {
	return func(d *decoder, p Path, n *yaml.Node) {
		d.mapping(p, n, func(key *yaml.Node, at Path, value *yaml.Node) {
			read, ok := fs[key.Value]
			if !ok {
				d.errorf(at, key, "unknown key %q%s", key.Value, didYouMean(key.Value, slices.Sorted(maps.Keys(fs))))
				return
			}
			read(d, at, value)
		}, Path.Field)
	}
}

// entries reads a mapping with free keys; entry returns the reader of one value and what
// to do once it is read.
func entries[V any](to *map[string]V, entry func(v *V) reader) reader {
	return func(d *decoder, p Path, n *yaml.Node) {
		d.mapping(p, n, func(key *yaml.Node, at Path, value *yaml.Node) {
			var v V
			entry(&v)(d, at, value)
			if *to == nil {
				*to = map[string]V{}
			}
			(*to)[key.Value] = v
		}, Path.Key)
	}
}

// optional reads into a pointer that stays nil when the key is missing.
func optional[V any](to **V, entry func(v *V) reader) reader {
	return func(d *decoder, p Path, n *yaml.Node) {
		v := new(V)
		entry(v)(d, p, n)
		*to = v
	}
}

func (d *decoder) mapping(p Path, n *yaml.Node, each func(key *yaml.Node, at Path, value *yaml.Node), child func(Path, string) Path) {
	n = deref(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // "hosts:" with nothing behind it
	}
	if n.Kind != yaml.MappingNode {
		d.errorf(p, n, "want a mapping, found %s", kindName(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := child(p, key.Value)
		if line, dup := seen[key.Value]; dup {
			d.errorf(at, key, "key %q is already set in line %d", key.Value, line)
			continue
		}
		seen[key.Value] = key.Line
		d.src.mark(at, value)
		each(key, at, value)
	}
}

func list(to *[]string) reader {
	return func(d *decoder, p Path, n *yaml.Node) {
		n = deref(n)
		if n.Kind != yaml.SequenceNode {
			d.errorf(p, n, "want a list, found %s", kindName(n))
			return
		}
		out := make([]string, len(n.Content))
		for i, item := range n.Content {
			d.src.mark(p.Index(i), item)
			str(&out[i])(d, p.Index(i), item)
		}
		*to = out
	}
}

// str reads a scalar as text. Numbers and booleans are taken as they are written, so that
// a value such as 0640 or on is never reinterpreted.
func str(to *string) reader {
	return func(d *decoder, p Path, n *yaml.Node) {
		n = deref(n)
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			d.errorf(p, n, "want text, found %s", kindName(n))
			return
		}
		*to = n.Value
	}
}

func integer(to *int) reader {
	return func(d *decoder, p Path, n *yaml.Node) {
		n = deref(n)
		v, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil {
			d.errorf(p, n, "want a whole number, found %s", kindName(n))
			return
		}
		*to = v
	}
}

func boolean(to *bool) reader {
	return func(d *decoder, p Path, n *yaml.Node) {
		n = deref(n)
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			d.errorf(p, n, "want true or false, found %s", kindName(n))
			return
		}
		*to = n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
	}
}

// text reads a scalar through a type's own syntax: a duration, a size.
func text(to encoding.TextUnmarshaler) reader {
	return func(d *decoder, p Path, n *yaml.Node) {
		n = deref(n)
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			d.errorf(p, n, "want text, found %s", kindName(n))
			return
		}
		if err := to.UnmarshalText([]byte(n.Value)); err != nil {
			d.errorf(p, n, "%w", err)
		}
	}
}

func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return fmt.Sprintf("%q", n.Value)
}

// didYouMean suggests the known name nearest to an unknown one.
func didYouMean(got string, known []string) string {
	best, dist := "", 3
	for _, k := range known {
		if n := editDistance(strings.ToLower(got), strings.ToLower(k)); n < dist {
			best, dist = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return "; known here: " + strings.Join(known, ", ")
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
