package provider

import (
	"errors"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/zkboot/zkboot/bootstrap"
)

// diagnostics turns the findings of a resource into diagnostics. Each points at the
// attribute that it is about, by the name that Terraform has for it; one about a host alone
// points at the host.
func (k kind) diagnostics(r bootstrap.Report) diag.Diagnostics {
	var out diag.Diagnostics
	for _, f := range r.Findings {
		at, ok := k.attribute(f.Path)
		switch {
		case ok:
			f.Path = bootstrap.Path(at.String())
		case f.Host != "":
			at = path.Root("hosts").AtMapKey(f.Host)
		}
		out.Append(diagnostic(f, at))
	}
	return out
}

// diagnostic says in its summary where it happened, and below what was expected, what was
// seen and what to do next. An empty path points nowhere.
func diagnostic(f bootstrap.Finding, at path.Path) diag.Diagnostic {
	where := make([]string, 0, 3)
	for _, part := range []string{string(f.Path), f.Host, f.Step} {
		if part != "" {
			where = append(where, part)
		}
	}
	if len(where) == 0 {
		where = append(where, "zkboot")
	}
	summary, detail := strings.Join(where, ": "), f.Text
	if f.Hint != "" {
		detail += "\n\nNext: " + f.Hint
	}
	var d diag.Diagnostic = diag.NewErrorDiagnostic(summary, detail)
	if f.Severity == bootstrap.SeverityWarning {
		d = diag.NewWarningDiagnostic(summary, detail)
	}
	if len(at.Steps()) == 0 {
		return d
	}
	return diag.WithPath(at, d)
}

// unreachableWarns makes warnings of the findings about hosts that could not be asked.
func unreachableWarns(r bootstrap.Report) bootstrap.Report {
	return warn(r, func(f bootstrap.Finding) bool { return errors.Is(f, bootstrap.ErrUnreachable) })
}

// warn makes warnings of the errors that which picks.
func warn(r bootstrap.Report, which func(bootstrap.Finding) bool) bootstrap.Report {
	var out bootstrap.Report
	for _, f := range r.Findings {
		if which(f) {
			f.Severity = bootstrap.SeverityWarning
		}
		out.Add(f)
	}
	return out
}

// attribute returns the attribute of the resource that a place in the spec was written in,
// or false when it was not written there: ssh is in the provider block.
func (k kind) attribute(p bootstrap.Path) (path.Path, bool) {
	steps, err := split(p)
	if err != nil || len(steps) == 0 {
		return path.Empty(), false
	}
	if steps[0].field == k.section {
		if steps = steps[min(k.depth, len(steps)):]; len(steps) == 0 {
			return path.Empty(), false
		}
	}
	if _, ok := k.place(steps[0].field); !ok {
		return path.Empty(), false
	}
	return join(steps), true
}

// sshAttribute returns the attribute of the provider block that a place in the spec was
// written in, or false when it was not written there.
func sshAttribute(p bootstrap.Path) (path.Path, bool) {
	steps, err := split(p)
	if err != nil || len(steps) == 0 || steps[0].field != "ssh" {
		return path.Empty(), false
	}
	return join(steps), true
}

// step is one step of a bootstrap.Path: a field, or a key when keyed, or else an index.
type step struct {
	field string
	key   string
	keyed bool
	index int
}

func join(steps []step) path.Path {
	at := path.Empty()
	for _, s := range steps {
		switch {
		case s.field != "":
			at = at.AtName(s.field)
		case s.keyed:
			at = at.AtMapKey(s.key)
		default:
			at = at.AtListIndex(s.index)
		}
	}
	return at
}

// errPath is what split returns for text that no bootstrap.Path has.
var errPath = errors.New("not a path of a spec")

// split takes a path such as hosts["zk2"].ssh.identity_files[0] apart.
func split(p bootstrap.Path) ([]step, error) {
	var steps []step
	for rest := string(p); rest != ""; {
		inside, bracket := strings.CutPrefix(rest, "[")
		if !bracket {
			name := strings.TrimPrefix(rest, ".")
			end := strings.IndexAny(name, ".[")
			if end < 0 {
				end = len(name)
			}
			if end == 0 || (rest != name) == (len(steps) == 0) {
				return nil, errPath
			}
			steps, rest = append(steps, step{field: name[:end]}), name[end:]
			continue
		}
		s, after, err := splitBracket(inside)
		if err != nil || len(steps) == 0 {
			return nil, errPath
		}
		steps, rest = append(steps, s), after
	}
	return steps, nil
}

// splitBracket reads a quoted key or an index up to its closing bracket. A quoted key may
// hold brackets and dots of its own.
func splitBracket(inside string) (step, string, error) {
	if quoted, err := strconv.QuotedPrefix(inside); err == nil {
		key, err := strconv.Unquote(quoted)
		after, closed := strings.CutPrefix(inside[len(quoted):], "]")
		if err != nil || !closed {
			return step{}, "", errPath
		}
		return step{key: key, keyed: true}, after, nil
	}
	digits, after, closed := strings.Cut(inside, "]")
	n, err := strconv.Atoi(digits)
	if err != nil || !closed || n < 0 {
		return step{}, "", errPath
	}
	return step{index: n}, after, nil
}
