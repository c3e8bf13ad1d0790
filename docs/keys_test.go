package docs

import (
	"encoding"
	"reflect"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// keys are the paths of a spec, with * for the names in a mapping.
type keys struct{ leaves, branches []string }

// specKeys walks the fields of Spec. The ssh section of a host has the keys of the site's,
// which are described once, and an address, which the site's may not have.
func specKeys() keys {
	var k keys
	k.walk("", reflect.TypeFor[bootstrap.Spec]())
	k.leaves = append(k.leaves, "hosts.*.ssh.address")
	return k
}

func (k *keys) walk(path string, t reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case path == "hosts.*.ssh", t == reflect.TypeFor[verify.Override](),
		reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		k.leaves = append(k.leaves, path)
	case t.Kind() == reflect.Struct:
		k.branches = append(k.branches, path)
		for i := range t.NumField() {
			name := strings.Split(t.Field(i).Tag.Get("json"), ",")[0]
			if name == "" || path == "ssh" && name == "address" {
				continue
			}
			k.walk(strings.TrimPrefix(path+"."+name, "."), t.Field(i).Type)
		}
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		k.branches = append(k.branches, path)
		k.walk(path+".*", t.Elem())
	default:
		k.leaves = append(k.leaves, path)
	}
}
