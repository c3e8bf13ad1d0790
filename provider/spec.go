package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/zkboot/zkboot/bootstrap"
)

// settled reports whether everything that makes up the Spec is known. Before that no host
// is asked: it may not exist yet.
func (k kind) settled(raw tftypes.Value) bool {
	var attributes map[string]tftypes.Value
	if !raw.IsKnown() || raw.IsNull() || raw.As(&attributes) != nil {
		return false
	}
	for name, v := range attributes {
		if _, ok := k.place(name); ok && !v.IsFullyKnown() {
			return false
		}
	}
	return true
}

// sameSpec reports whether two objects of the resource make one Spec.
func (k kind) sameSpec(a, b tftypes.Value) bool {
	var x, y map[string]tftypes.Value
	if a.IsNull() || b.IsNull() || a.As(&x) != nil || b.As(&y) != nil {
		return false
	}
	for name, v := range x {
		if _, ok := k.place(name); ok && !v.Equal(y[name]) {
			return false
		}
	}
	return true
}

// specOf builds the Spec of a settled resource. It does not validate it.
func (k kind) specOf(raw tftypes.Value, ssh bootstrap.SSH) (*bootstrap.Spec, error) {
	var attributes map[string]tftypes.Value
	if err := raw.As(&attributes); err != nil {
		return nil, err
	}
	all, own := map[string]any{}, map[string]any{}
	for name, v := range attributes {
		section, ok := k.place(name)
		if !ok || v.IsNull() {
			continue
		}
		is, err := tree(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if section == "" {
			all[name] = is
		} else {
			own[name] = is
		}
	}
	all[k.section] = k.fill(all, own)
	spec := &bootstrap.Spec{}
	if err := decode(all, spec); err != nil {
		return nil, err
	}
	spec.SSH = ssh
	return spec, nil
}

// sshOf reads the ssh settings of the provider block. What is missing there comes from the
// environment: ZKBOOT_SSH_USER, _PORT, _IDENTITY_FILES (a list such as PATH is one),
// _KNOWN_HOSTS_FILE, _ACCEPT_NEW_FILE, _CONFIG_FILE and _PATIENCE.
func sshOf(raw tftypes.Value, getenv func(string) string) (bootstrap.SSH, error) {
	var attributes map[string]tftypes.Value
	if err := raw.As(&attributes); err != nil {
		return bootstrap.SSH{}, err
	}
	all := map[string]any{}
	if block, err := tree(attributes["ssh"]); err != nil {
		return bootstrap.SSH{}, err
	} else if block, ok := block.(map[string]any); ok {
		all = block
	}
	for _, e := range []struct{ key, variable string }{
		{"user", "ZKBOOT_SSH_USER"}, {"known_hosts_file", "ZKBOOT_SSH_KNOWN_HOSTS_FILE"},
		{"accept_new_file", "ZKBOOT_SSH_ACCEPT_NEW_FILE"}, {"config_file", "ZKBOOT_SSH_CONFIG_FILE"},
		{"patience", "ZKBOOT_SSH_PATIENCE"},
	} {
		if v := getenv(e.variable); v != "" && all[e.key] == nil {
			all[e.key] = v
		}
	}
	if v := getenv("ZKBOOT_SSH_IDENTITY_FILES"); v != "" && all["identity_files"] == nil {
		all["identity_files"] = filepath.SplitList(v)
	}
	if v := getenv("ZKBOOT_SSH_PORT"); v != "" && all["port"] == nil {
		port, err := strconv.Atoi(v)
		if err != nil {
			return bootstrap.SSH{}, fmt.Errorf("ZKBOOT_SSH_PORT: want a port, found %q", v)
		}
		all["port"] = port
	}
	var ssh bootstrap.SSH
	return ssh, decode(all, &ssh)
}

// decode reads a tree into a part of a Spec. A name that the Spec does not know is an
// error, not a setting that is silently lost.
func decode(from map[string]any, to any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

// tree turns a known value into maps, lists and scalars as encoding/json has them. An
// attribute that is null is left out.
func tree(v tftypes.Value) (any, error) {
	if v.IsNull() {
		return nil, nil
	}
	switch t := v.Type(); {
	case t.Is(tftypes.String):
		var s string
		err := v.As(&s)
		return s, err
	case t.Is(tftypes.Bool):
		var b bool
		err := v.As(&b)
		return b, err
	case t.Is(tftypes.Number):
		var n big.Float
		err := v.As(&n)
		return json.Number(n.Text('f', -1)), err
	case t.Is(tftypes.List{}), t.Is(tftypes.Set{}):
		return branches(v)
	}
	var in map[string]tftypes.Value
	if err := v.As(&in); err != nil {
		return nil, err
	}
	_, object := v.Type().(tftypes.Object)
	out := map[string]any{}
	for name, v := range in {
		if object && v.IsNull() {
			continue
		}
		var err error
		if out[name], err = tree(v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}

func branches(v tftypes.Value) (any, error) {
	var in []tftypes.Value
	if err := v.As(&in); err != nil {
		return nil, err
	}
	out := make([]any, len(in))
	for i, v := range in {
		var err error
		if out[i], err = tree(v); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return out, nil
}

// valueOf is the reverse of tree: it makes a value of a type. What is missing from an object
// is null; a name that the type does not have is an error.
func valueOf(t tftypes.Type, from any) (tftypes.Value, error) {
	if from == nil {
		return tftypes.NewValue(t, nil), nil
	}
	switch t := t.(type) {
	case tftypes.Object:
		in, ok := from.(map[string]any)
		if !ok {
			return tftypes.Value{}, fmt.Errorf("want an object, found %T", from)
		}
		return objectOf(t, in)
	case tftypes.Map:
		in, ok := from.(map[string]any)
		if !ok {
			return tftypes.Value{}, fmt.Errorf("want a map, found %T", from)
		}
		out := map[string]tftypes.Value{}
		for name, v := range in {
			is, err := valueOf(t.ElementType, v)
			if err != nil {
				return is, fmt.Errorf("[%q]: %w", name, err)
			}
			out[name] = is
		}
		return tftypes.NewValue(t, out), nil
	case tftypes.List:
		in, ok := from.([]any)
		if !ok {
			return tftypes.Value{}, fmt.Errorf("want a list, found %T", from)
		}
		out := []tftypes.Value{}
		for i, v := range in {
			is, err := valueOf(t.ElementType, v)
			if err != nil {
				return is, fmt.Errorf("[%d]: %w", i, err)
			}
			out = append(out, is)
		}
		return tftypes.NewValue(t, out), nil
	}
	return scalarOf(t, from)
}

func objectOf(t tftypes.Object, in map[string]any) (tftypes.Value, error) {
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if _, ok := t.AttributeTypes[name]; !ok {
			return tftypes.Value{}, fmt.Errorf("no attribute %q", name)
		}
	}
	out := map[string]tftypes.Value{}
	for name, inner := range t.AttributeTypes {
		is, err := valueOf(inner, in[name])
		if err != nil {
			return is, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = is
	}
	return tftypes.NewValue(t, out), nil
}

// scalarOf makes a text, a switch or a number.
func scalarOf(t tftypes.Type, from any) (tftypes.Value, error) {
	if n, ok := from.(json.Number); ok {
		f, _, err := big.ParseFloat(n.String(), 10, 64, big.ToNearestEven)
		if err != nil {
			return tftypes.Value{}, err
		}
		from = f
	}
	if err := tftypes.ValidateValue(t, from); err != nil {
		return tftypes.Value{}, err
	}
	return tftypes.NewValue(t, from), nil
}
