package strictyaml

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder walks a YAML tree and a Go value side by side. yaml's own KnownFields stops at
// the first unknown key and turns `no` into false where text is wanted, so the walk is ours.
type decoder struct {
	doc    *Document
	faults []Fault
	within map[*yaml.Node]bool // nodes that are being read: an alias may lead back to one
}

func (d *decoder) faultf(p Path, n *yaml.Node, format string, args ...any) {
	d.faults = append(d.faults, Fault{Path: p, Pos: d.doc.at(n), Err: fmt.Errorf(format, args...)})
}

// value reads n into v. Types with a syntax of their own read themselves.
func (d *decoder) value(p Path, n *yaml.Node, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		to := reflect.New(v.Type().Elem())
		d.value(p, n, to.Elem())
		v.Set(to)
		return
	}
	alias := n
	n = deref(n)
	if d.within[n] {
		d.faultf(p, alias, "want an end, found an alias that contains itself")
		return
	}
	d.within[n] = true
	defer delete(d.within, n)
	if own, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if d.isText(p, n) {
			if err := own.UnmarshalText([]byte(n.Value)); err != nil {
				d.faultf(p, n, "%w", err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(p, n, v)
	case reflect.Map:
		d.entries(p, n, v)
	case reflect.Slice:
		d.list(p, n, v)
	case reflect.String:
		// Numbers and booleans are taken as they are written, so that a value such as 0640
		// or on is never reinterpreted.
		if d.isText(p, n) {
			v.SetString(n.Value)
		}
	case reflect.Int:
		d.number(p, n, v)
	case reflect.Bool:
		d.truth(p, n, v)
	default:
		d.faultf(p, n, "%s cannot be read from a file", v.Type())
	}
}

func (d *decoder) number(p Path, n *yaml.Node, v reflect.Value) {
	i, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.faultf(p, n, "want a whole number, found %s", kindName(n))
		return
	}
	v.SetInt(int64(i))
}

func (d *decoder) truth(p Path, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		d.faultf(p, n, "want true or false, found %s", kindName(n))
		return
	}
	v.SetBool(strings.EqualFold(n.Value, "true"))
}

// object reads a mapping with known keys.
func (d *decoder) object(p Path, n *yaml.Node, v reflect.Value) {
	known := fields(v)
	d.mapping(p, n, Path.Field, func(key, value *yaml.Node, at Path) {
		to, ok := known[key.Value]
		if !ok {
			d.faultf(at, key, "unknown key %q%s", key.Value, didYouMean(key.Value, slices.Sorted(maps.Keys(known))))
			return
		}
		d.value(at, value, to)
	})
}

// fields returns the fields of a struct by their names in a file.
func fields(v reflect.Value) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			out[name] = v.Field(i)
		}
	}
	return out
}

// entries reads a mapping with free keys.
func (d *decoder) entries(p Path, n *yaml.Node, v reflect.Value) {
	d.mapping(p, n, Path.Key, func(key, value *yaml.Node, at Path) {
		to := reflect.New(v.Type().Elem()).Elem()
		d.value(at, value, to)
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), to)
	})
}

func (d *decoder) mapping(p Path, n *yaml.Node, child func(Path, string) Path, each func(key, value *yaml.Node, at Path)) {
	if isNull(n) {
		return // "hosts:" with nothing behind it
	}
	if n.Kind != yaml.MappingNode {
		d.faultf(p, n, "want a mapping, found %s", kindName(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.faultf(p, key, "want text as a key, found %s", kindName(key))
			continue
		}
		at := child(p, key.Value)
		if line, dup := seen[key.Value]; dup {
			d.faultf(at, n.Content[i], "key %q is already set in line %d", key.Value, line)
			continue
		}
		seen[key.Value] = n.Content[i].Line
		d.doc.pos[at] = d.doc.at(value)
		each(key, value, at)
	}
}

// list reads a sequence; an empty one reads as none.
func (d *decoder) list(p Path, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.faultf(p, n, "want a list, found %s", kindName(n))
		return
	}
	if len(n.Content) == 0 {
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.doc.pos[p.Index(i)] = d.doc.at(item)
		d.value(p.Index(i), item, out.Index(i))
	}
	v.Set(out)
}

func (d *decoder) isText(p Path, n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || isNull(n) || n.Tag == "!!binary" {
		d.faultf(p, n, "want text, found %s", kindName(n))
		return false
	}
	return true
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	case n.Tag == "!!binary":
		return "binary data"
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
