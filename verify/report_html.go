package verify

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed report.html.tmpl
var htmlPage string

// WriteHTML writes the report as one page that needs nothing else: no script,
// no font, no picture.
func (r Report) WriteHTML(w io.Writer) error {
	page, err := template.New("report").Funcs(template.FuncMap{
		"limits":  limits,
		"worst":   WorstOf,
		"ms":      func(v float64) string { return formatFigure(unitMS, v) },
		"class":   func(v Verdict) string { return "v" + map[Verdict]string{Pass: "p", Warn: "w", Fail: "f"}[v] },
		"samples": func(n int64) string { return significant(float64(n)) },
	}).Parse(htmlPage)
	if err != nil {
		return err
	}
	type view struct {
		Title  string
		Checks []Check
		Fsync  *FsyncResult
	}
	var sections []view
	for _, s := range r.sections() {
		sections = append(sections, view{s.title, s.checks, s.fsync})
	}
	return page.Execute(w, map[string]any{"Verdict": r.Verdict, "Sections": sections})
}
