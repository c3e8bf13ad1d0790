package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/zkboot/zkboot/strictyaml"
)

// Load reads the file called name, fills in the defaults and validates the result. When
// anything is wrong the error is of type Findings and has all of it, each with its place.
func Load(name string, src []byte) (*Config, error) {
	c := &Config{}
	doc, faults, err := strictyaml.Decode(src, c)
	if err != nil {
		return nil, Findings{{File: name, Line: 1, Col: 1, Text: err.Error()}}
	}
	l := loading{name: name, doc: doc, faulty: map[path]bool{}}
	for _, f := range faults {
		l.add(f.Path, f.Pos, f.Err.Error())
		l.faulty[f.Path] = true
	}
	for _, d := range fill(c) {
		// Zero stands for the default, so a zero that was written down would be lost in silence.
		if doc.Has(d.at) && !l.isFaulty(d.at) {
			l.add(d.at, doc.Pos(d.at), "leave it out for the default, which is "+d.value+": an empty value or 0 means nothing else")
		}
	}
	for _, f := range c.Validate() {
		// What could not be read is not judged by what stands in its place.
		if !l.isFaulty(path(f.Path)) {
			l.add(path(f.Path), doc.Pos(path(f.Path)), f.Text)
		}
	}
	if len(l.found) > 0 {
		slices.SortStableFunc(l.found, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
		})
		return nil, l.found
	}
	return c, nil
}

// loading collects what is wrong with one file.
type loading struct {
	name   string
	doc    *strictyaml.Document
	found  Findings
	faulty map[path]bool // places that could not be read
}

func (l *loading) add(p path, pos strictyaml.Pos, text string) {
	l.found = append(l.found, Finding{Path: string(p), File: l.name, Line: pos.Line, Col: pos.Col, Text: text})
}

// isFaulty reports whether p or what it is part of could not be read.
func (l *loading) isFaulty(p path) bool {
	for ; p != ""; p = p.Parent() {
		if l.faulty[p] {
			return true
		}
	}
	return false
}

// Marshal writes a configuration as YAML that Load reads back. The same configuration
// makes the same bytes, so that a file that is right is never written again.
//
// It goes by JSON, which is YAML: what yaml 3.0.6 makes of some texts of several lines
// (a first line that is empty or begins with a tab) it cannot read back itself.
func Marshal(c *Config) ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(ascii(text), &root); err != nil {
		return nil, err
	}
	restyle(&root)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&root); err != nil {
		return nil, err
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// ascii escapes what JSON may have in its texts as it is and YAML may not.
func ascii(text []byte) []byte {
	var out []byte
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r <= 0xffff:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = fmt.Appendf(out, `\U%08x`, r)
		}
	}
	return out
}

// restyle turns JSON's braces and quotes into what people write, and leaves quotes where
// text would otherwise become a block.
func restyle(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && strings.ContainsFunc(n.Value, unicode.IsControl) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, part := range n.Content {
		restyle(part)
	}
}
