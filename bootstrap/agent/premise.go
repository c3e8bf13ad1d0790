package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// shown bounds the length of a value in a message.
const shown = 64

// moved says how a thing differs from the premise of a step, or "" when it does not.
// What changes by itself is no difference: whether a unit runs and with which
// revision, and what a later sysctl.d file says. A file whose step compares it as
// properties is held against its premise in the same way, because ZooKeeper rewrites
// its zoo.cfg at every reconfig.
func moved(s bootstrap.Step, now bootstrap.Resource) string {
	was := s.Was.Resource
	switch {
	case was == nil && now == nil:
		return ""
	case was == nil:
		return "it was absent and is there now"
	case now == nil:
		return "it was there and is gone"
	}
	rule := s.Want.Resource
	if rule == nil { // to be deleted
		rule = was
	}
	a, b := settled(was, rule), settled(now, rule)
	var out []string
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if !bytes.Equal(a[k], b[k]) {
			out = append(out, tell(k, a[k], b[k]))
		}
	}
	return strings.Join(out, "; ")
}

// settled returns the fields of a seen thing that do not change by themselves, as JSON.
func settled(r, rule bootstrap.Resource) map[string]json.RawMessage {
	switch v := r.(type) {
	case bootstrap.Unit:
		v.Running, v.Rev = false, ""
		r = v
	case bootstrap.Sysctl:
		v.OverriddenBy = ""
		r = v
	case bootstrap.Boot:
		v.Why, v.Up = "", false
		r = v
	case bootstrap.Dir: // not seen on the host but remembered by a manifest
		v.Contents, v.Data = false, false
		r = v
	case bootstrap.File:
		r = settledFile(v, rule)
	}
	fields := map[string]json.RawMessage{}
	b, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(b, &fields)
	}
	if err != nil { // every resource is a struct of plain fields
		fields["json"] = json.RawMessage(err.Error())
	}
	return fields
}

// settledFile leaves the sum to stand for the content. What a manifest remembers of a
// file (its fills) is not part of the premise.
func settledFile(f bootstrap.File, rule bootstrap.Resource) bootstrap.File {
	w, _ := rule.(bootstrap.File)
	switch {
	case w.Compare == bootstrap.ComparePresence:
		return bootstrap.File{Path: f.Path}
	case w.Compare == bootstrap.CompareProperties && f.Content != "":
		p := bootstrap.Properties(f.Content)
		for _, k := range w.Keep {
			delete(p, k)
		}
		b, err := json.Marshal(p) // sorts the keys
		if err == nil {
			f.Sum = bootstrap.File{Content: string(b)}.ContentSum()
		}
	}
	return bootstrap.File{Path: f.Path, Sum: f.Sum, Mode: f.Mode, Owner: f.Owner, Group: f.Group}
}

// tell describes one field. Contents and keys are named but not shown.
func tell(field string, was, now json.RawMessage) string {
	switch {
	case field == "sum" || field == "content" || field == "key" || len(was)+len(now) > 2*shown:
		if field == "sum" {
			field = "content"
		}
		return field + " is another"
	case field == "mode":
		return fmt.Sprintf("mode was %s, is %s", octal(was), octal(now))
	}
	return fmt.Sprintf("%s was %s, is %s", field, or(was, "unset"), or(now, "unset"))
}

func octal(b json.RawMessage) string {
	var mode uint32
	if err := json.Unmarshal(b, &mode); err != nil {
		return string(b)
	}
	return fmt.Sprintf("%04o", mode)
}

func or(b json.RawMessage, empty string) string {
	if len(b) == 0 {
		return empty
	}
	return string(b)
}
