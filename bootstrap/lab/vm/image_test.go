package vm

import "testing"

// Every part of a recipe decides the image's name: machines of a standing lab keep theirs.
func TestRecipeKey(t *testing.T) {
	r := recipe{Script: "a", Cloud: "b", Suite: "c", Mirror: "d", Security: "e", AptConf: "f", Size: "g", Packages: []string{"h"}}
	key := func(r recipe) string {
		k, err := r.key()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	seen := map[string]string{key(r): "nothing"}
	for name, edit := range map[string]func(*recipe){
		"script":   func(r *recipe) { r.Script = "x" },
		"cloud":    func(r *recipe) { r.Cloud = "x" },
		"suite":    func(r *recipe) { r.Suite = "x" },
		"mirror":   func(r *recipe) { r.Mirror = "x" },
		"security": func(r *recipe) { r.Security = "x" },
		"apt":      func(r *recipe) { r.AptConf = "x" },
		"size":     func(r *recipe) { r.Size = "x" },
		"packages": func(r *recipe) { r.Packages = []string{"x"} },
	} {
		c := r
		edit(&c)
		if other, ok := seen[key(c)]; ok {
			t.Errorf("changing %s gives the key of changing %s", name, other)
		}
		seen[key(c)] = name
	}
}

func TestMissingNamesAllAndWhatToDo(t *testing.T) {
	err := missing("sh", "no-such-program", "nor-this-one")
	if want := "missing no-such-program, nor-this-one: run scripts/vm-deps.sh"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := missing("sh"); err != nil {
		t.Errorf("sh is there: %v", err)
	}
}
