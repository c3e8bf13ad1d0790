package strictyaml

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrEmpty: there is no document in the file.
var ErrEmpty = errors.New("the file is empty")

// Pos is a place in a document; Line and Col count from 1, Source is the whole line.
type Pos struct {
	Line, Col int
	Source    string
}

// Fault is one thing that could not be read.
type Fault struct {
	Path Path
	Pos  Pos
	Err  error
}

// Document is what was read, for asking where things stood.
type Document struct {
	lines []string
	pos   map[Path]Pos
}

// Decode reads one YAML document into the struct that into points to. The error says that
// src is not a document at all; faults are about single places, and what has none of them
// was read nevertheless.
func Decode(src []byte, into any) (*Document, []Fault, error) {
	root, err := parse(src)
	if err != nil {
		return nil, nil, err
	}
	d := &decoder{within: map[*yaml.Node]bool{}, doc: &Document{
		lines: strings.Split(strings.ReplaceAll(string(src), "\r\n", "\n"), "\n"),
		pos:   map[Path]Pos{},
	}}
	d.value("", root, reflect.ValueOf(into).Elem())
	return d.doc, d.faults, nil
}

// Pos returns where p or its nearest parent stood; the zero Pos when there is neither.
func (d *Document) Pos(p Path) Pos {
	for ; p != ""; p = p.Parent() {
		if pos, ok := d.pos[p]; ok {
			return pos
		}
	}
	return Pos{}
}

// Has reports whether the document says something at p itself.
func (d *Document) Has(p Path) bool {
	_, ok := d.pos[p]
	return ok
}

func (d *Document) at(n *yaml.Node) Pos {
	pos := Pos{Line: n.Line, Col: n.Column}
	if n.Line >= 1 && n.Line <= len(d.lines) {
		pos.Source = d.lines[n.Line-1]
	}
	return pos
}

func parse(src []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, ErrEmpty
		}
		return nil, err
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("want one YAML document, found more")
	}
	return doc.Content[0], nil
}
