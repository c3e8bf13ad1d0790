package config_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/strictyaml"
	"github.com/zkboot/zkboot/watcher/config"
)

// Load must survive anything. What it accepts reads back as the same and stays accepted.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(full(f)))
	f.Add([]byte(small))
	f.Add([]byte(`{"host": "a", "routes": {"a": {"frontend": ["acl x path \"/\""]}}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := config.Load("f.yaml", src)
		if (c == nil) == (err == nil) {
			t.Fatalf("configuration %v with error %v", c, err)
		}
		if c != nil {
			roundTrip(t, c)
		}
	})
}

// Nothing is lost or bent on the way through a file, valid or not.
func TestMarshalKeepsEverything(t *testing.T) {
	times := rapid.Custom(func(t *rapid.T) config.Duration { return config.Duration(rapid.Int64().Draw(t, "ns")) })
	shares := rapid.Custom(func(t *rapid.T) config.Percent { return config.Percent(rapid.IntRange(1, 100).Draw(t, "percent")) })
	all := rapid.MakeCustom[config.Config](rapid.MakeConfig{Types: map[reflect.Type]*rapid.Generator[any]{
		reflect.TypeFor[config.Duration](): times.AsAny(),
		reflect.TypeFor[config.Percent]():  shares.AsAny(),
	}})
	rapid.Check(t, func(t *rapid.T) {
		want := all.Draw(t, "config")
		b, err := config.Marshal(&want)
		if err != nil {
			t.Fatal(err)
		}
		var got config.Config
		_, faults, err := strictyaml.Decode(b, &got)
		if err != nil || len(faults) > 0 {
			t.Fatalf("%v, %v\n%s", err, faults, b)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-written +read):\n%s\n%s", diff, b)
		}
	})
}
