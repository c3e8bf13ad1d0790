package strictyaml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/strictyaml"
)

type pace time.Duration

func (p *pace) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*p = pace(d)
	return err
}

type box struct {
	Name  string            `json:"name"`
	Count int               `json:"count,omitempty"`
	Open  bool              `json:"open"`
	Pace  pace              `json:"pace"`
	Limit *int              `json:"limit"`
	Words []string          `json:"words"`
	Codes []int             `json:"codes"`
	Tags  map[string]string `json:"tags"`
	Inner map[string]box    `json:"inner"`
	Lid   struct {
		Colour string `json:"colour"`
	} `json:"lid"`
	Secret string `json:"-"`
}

func TestDecodeReadsEveryKind(t *testing.T) {
	seven := 7
	want := box{Name: "a", Count: 3, Open: true, Pace: pace(time.Second), Limit: &seven, Words: []string{"0640", "on", "1.50"},
		Codes: []int{200, 204}, Tags: map[string]string{"x": "yes"}, Inner: map[string]box{"i.n": {Name: "a"}}}
	want.Lid.Colour = "red"
	for name, src := range map[string]string{
		"yaml": "name: &n a\ncount: 3\nopen: true\npace: 1s\nlimit: 7\nwords: [0640, on, 1.50]\ncodes: [200, 204]\ntags: {x: yes}\ninner: {i.n: {name: *n}}\nlid: {colour: red}\n",
		"json": "{\"name\":\"a\",\n\t\"count\":3,\"open\":true,\"pace\":\"1s\",\"limit\":7,\"words\":[\"0640\",\"on\",\"1.50\"],\"codes\":[200,204],\"tags\":{\"x\":\"yes\"},\"inner\":{\"i.n\":{\"name\":\"a\"}},\"lid\":{\"colour\":\"red\"}}",
	} {
		t.Run(name, func(t *testing.T) {
			var got box
			doc, faults, err := strictyaml.Decode([]byte(src), &got)
			if err != nil || len(faults) > 0 {
				t.Fatal(err, faults)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !doc.Has(`inner["i.n"].name`) || doc.Has(`inner["i.n"].count`) {
				t.Error("Has must tell what the document says from what it leaves out")
			}
		})
	}
}

// Each document has exactly these faults, at exactly these places.
func TestDecodeReportsEveryFault(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		want      []string // "line:col path: part of the text"
	}{
		{"unknown keys", "nmae: x\ncount: 1\nsecret: y", []string{`1:1 nmae: unknown key "nmae"; did you mean "name"?`, `3:1 secret: unknown key "secret"; known here: codes, count,`}},
		{"double key", "name: x\nlid:\n  colour: red\n  colour: blue", []string{`4:3 lid.colour: key "colour" is already set in line 3`}},
		{"double entry", "tags:\n  a: x\n  a: y", []string{`3:3 tags["a"]: already set in line 2`}},
		{"wrong kinds", "name: [x]\ncount: many\nopen: yes\npace: soon\nwords: x\ncodes: [1, x]\ntags: [x]\nlid: x", []string{
			`1:7 name: want text, found a list`, `2:8 count: want a whole number, found "many"`, `3:7 open: want true or false, found "yes"`,
			`4:7 pace: invalid duration`, `5:8 words: want a list, found "x"`, `6:12 codes[1]: want a whole number`, `7:7 tags: want a mapping, found a list`, `8:6 lid: want a mapping`}},
		{"nothing where text is wanted", "name:\npace: ~\ncount: null\nopen:\nwords:", []string{`1:6 name: want text, found nothing`, `2:7 pace: want text, found nothing`,
			`3:8 count: want a whole number, found nothing`, `4:6 open: want true or false, found nothing`, `5:7 words: want a list, found nothing`}},
		{"text in quotes is no truth and may be a number", "open: \"true\"\ncount: \"4\"", []string{`1:7 open: want true or false`}},
		{"binary", "name: !!binary aGk=", []string{`1:7 name: want text, found binary data`}},
		{"a list as a key", "? [a]\n: b", []string{`1:3 : want text as a key, found a list`}},
		{"merge keys are keys", "lid:\n  <<: {colour: red}", []string{`2:3 lid.<<: unknown key "<<"`}},
		{"an alias that contains itself", "inner: &a\n  b: {inner: *a}", []string{`2:14 inner["b"].inner: an alias that contains itself`}},
		{"deep", "inner:\n  a.b:\n    inner: {\"c]\": {count: x}}", []string{`3:27 inner["a.b"].inner["c]"].count: want a whole number`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got box
			_, faults, err := strictyaml.Decode([]byte(tt.src), &got)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range faults {
				is := fmt.Sprintf("%d:%d %s: %v", f.Pos.Line, f.Pos.Col, f.Path, f.Err)
				if i >= len(tt.want) {
					t.Errorf("unexpected fault: %s", is)
					continue
				}
				place, text, _ := strings.Cut(tt.want[i], ": ")
				if !strings.HasPrefix(is, place+": ") || !strings.Contains(is, text) {
					t.Errorf("want %s\ngot  %s", tt.want[i], is)
				}
				if want := strings.Split(tt.src, "\n")[f.Pos.Line-1]; f.Pos.Source != want {
					t.Errorf("source line %q, want %q", f.Pos.Source, want)
				}
			}
			if len(faults) < len(tt.want) {
				t.Errorf("missing: %v", tt.want[len(faults):])
			}
		})
	}
}

// One fault does not keep the rest from being read.
func TestDecodeReadsWhatIsRight(t *testing.T) {
	var got box
	_, faults, err := strictyaml.Decode([]byte("count: x\nname: a\nhosts:"), &got)
	if err != nil || len(faults) != 2 || got.Name != "a" {
		t.Errorf("name %q, faults %v, error %v", got.Name, faults, err)
	}
}

func TestDecodeRefusesWhatIsNoDocument(t *testing.T) {
	for _, tt := range []struct{ name, src, want string }{
		{"empty", "", "the file is empty"},
		{"comment only", "# nothing\n", "the file is empty"},
		{"two documents", "name: a\n---\nname: b\n", "want one YAML document"},
		{"broken", "name: [", "did not find expected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := strictyaml.Decode([]byte(tt.src), &box{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("want %q, got %v", tt.want, err)
			}
			if is := errors.Is(err, strictyaml.ErrEmpty); is != strings.Contains(tt.want, "empty") {
				t.Errorf("ErrEmpty: %v", is)
			}
		})
	}
}

func TestPosFindsTheNearestParent(t *testing.T) {
	doc, _, err := strictyaml.Decode([]byte("inner:\n  a.b:\n    words: [x, y]\n"), &box{})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[strictyaml.Path]string{
		`inner["a.b"].words[1]`:    "3:16",
		`inner["a.b"].words[7]`:    "3:12",
		`inner["a.b"].lid.colour`:  "3:5",
		`inner["no[1].x"].words`:   "2:3",
		`name`:                     "0:0",
		``:                         "0:0",
		strictyaml.Path("inner[x"): "0:0",
	} {
		p := doc.Pos(path)
		if got := fmt.Sprintf("%d:%d", p.Line, p.Col); got != want {
			t.Errorf("%s is at %s, want %s", path, got, want)
		}
	}
}

func TestPathsOfOneParentDoNotAlias(t *testing.T) {
	p := strictyaml.Path("").Field("a").Key("b.c").Index(3)
	x, y := p.Field("x"), p.Field("y")
	if x != `a["b.c"][3].x` || y != `a["b.c"][3].y` {
		t.Errorf("%s, %s", x, y)
	}
	for want, got := x.Parent(), p; want != ""; want, got = want.Parent(), got.Parent() {
		if want != got {
			t.Errorf("parent %q, want %q", want, got)
		}
	}
}

// Decode must survive anything, and say where every fault stands.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("inner: &a {b: {inner: *a}}"))
	f.Add([]byte("? [a]\n: b"))
	f.Add([]byte("name: !!binary x\nlid: {<<: {}}\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		doc, faults, err := strictyaml.Decode(src, &box{})
		if (doc == nil) != (err != nil) {
			t.Fatalf("document %v with error %v", doc, err)
		}
		for _, x := range faults {
			if x.Pos.Line < 1 || x.Pos.Col < 1 {
				t.Fatalf("a fault without a place: %+v", x)
			}
		}
	})
}
