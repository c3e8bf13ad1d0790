package bootstrap

import (
	"errors"
	"fmt"

	"github.com/zkboot/zkboot/strictyaml"
)

// source remembers the file that a Spec came from.
type source struct {
	name string
	doc  *strictyaml.Document
}

// Load reads a Spec from YAML and validates it. Reading is strict: unknown and double
// keys are errors. Every finding has its path and its place in the file called name. The
// Spec is nil when the report failed.
func Load(name string, src []byte) (*Spec, Report) {
	var r Report
	s := &Spec{}
	doc, faults, err := strictyaml.Decode(src, s)
	if err != nil {
		if errors.Is(err, strictyaml.ErrEmpty) {
			err = fmt.Errorf("%w; `zkboot init` writes one to start from", err)
		}
		r.Add(Finding{Severity: SeverityError, Pos: Pos{File: name, Line: 1, Col: 1}, Text: err.Error(), Err: err})
		return nil, r
	}
	s.source = &source{name: name, doc: doc}
	for _, f := range faults {
		r.Add(Finding{Severity: SeverityError, Path: f.Path, Pos: s.source.pos(f.Pos), Text: f.Err.Error(), Err: f.Err})
	}
	r.Merge(s.Validate())
	if r.Failed() {
		return nil, r
	}
	return s, r
}

func (s *source) pos(p strictyaml.Pos) Pos {
	return Pos{File: s.name, Line: p.Line, Col: p.Col, Source: p.Source}
}

// locate gives the findings of r the position of their path or of its nearest parent.
func (s *source) locate(r Report) Report {
	if s == nil {
		return r
	}
	for i, f := range r.Findings {
		if p := s.doc.Pos(f.Path); f.Pos.Line == 0 && p.Line != 0 {
			r.Findings[i].Pos = s.pos(p)
		}
	}
	return r
}
