package config

import (
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		`a b`:            {"a", "b"},
		`  a   b  `:      {"a", "b"},
		`"a b" 'c d'`:    {"a b", "c d"},
		`a"b c"'d e'f`:   {"ab cd ef"},
		`a\ b \# \\`:     {"a b", "#", `\`},
		`"" ''`:          {"", ""},
		`"'" '"'`:        {"'", `"`},
		`\' \"`:          {"'", `"`},
		`^/a\.b$ '\x'`:   {`^/a\.b$`, `\x`},
		`"\$5" \$5 '$5'`: {"$5", `\$5`, "$5"},
		`"a # b" 'c#d'`:  {"a # b", "c#d"},
		`a\x41 \t\r\n`:   {"aA", "\t\r\n"},
	} {
		got, err := words(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", line, got, err, want)
		}
		if is := parseLine(line); !slices.Equal(is.args, want) {
			t.Errorf("HAProxy reads %s as %q, want %q", line, is.args, want)
		}
	}
	for line, want := range map[string]string{
		"":                            "an empty one",
		"   ":                         "an empty one",
		"a\nb":                        "control characters, found U+000A",
		"a\tb":                        "control characters, found U+0009",
		"a\x00":                       "control characters, found U+0000",
		"a\u2028":                     "control characters, found U+2028",
		"a\xff":                       "valid UTF-8",
		`a "b`:                        `found an open "`,
		`a 'b\'`:                      "",
		`a 'b`:                        "found an open '",
		`a # b`:                       "want no comment",
		`a#b`:                         "want no comment",
		`"$HOME"`:                     "no environment variables",
		`"${HOME}"`:                   "no environment variables",
		`a ${HOME}`:                   "found ${",
		`a \`:                         "behind the backslash",
		`\x4`:                         `hex digits other than 00 behind \x`,
		`\x00`:                        `hex digits other than 00 behind \x`,
		`\xgg`:                        `hex digits other than 00 behind \x`,
		strings.Repeat("a ", 61):      "at most 60 words",
		strings.Repeat("a", 1025):     "at most 1024 bytes",
		strings.Repeat("ü", 513):      "at most 1024 bytes",
		`a ` + strings.Repeat("'", 3): "balanced quotes",
	} {
		_, err := words(line)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v; want %q", line, err, want)
		}
	}
}

// A line that words accepts is, to HAProxy, one line of the same words.
func FuzzWords(f *testing.F) {
	for _, s := range []string{`a "b c" 'd' \#`, `x "\$y" $z`, `\x41\n`, "a\nglobal", `"`, `\`, `a'b'"c"`, `"\x24{A}"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		w, err := words(line)
		if err != nil {
			return
		}
		if strings.ContainsAny(line, "\n\r\x00") {
			t.Fatalf("accepted %q, which is not one line", line)
		}
		is := parseLine(line)
		if is.failed || is.comment || is.variable || !slices.Equal(is.args, w) {
			t.Fatalf("%q: we read %q, HAProxy %+v", line, w, is)
		}
	})
}

// Whatever is accepted where a value is put between blanks is one word to HAProxy, or as
// many as are meant.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"inventory", "127.0.0.1:80", "*:80", "GET /x", "hdr(X)", "/run/a", "a b", "a#", `"a"`, "[::1]:80", "uri len 3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		accepts := func(check func(k checker)) bool {
			var found Findings
			check(checker{found: &found})
			return len(found) == 0
		}
		route := func(set func(r *Route)) bool {
			c := Config{Routes: map[string]Route{"a": {Service: "s", Bind: "127.0.0.1:1"}}}
			fill(&c)
			r := c.Routes["a"]
			set(&r)
			return accepts(func(k checker) { r.check(k, "") })
		}
		for what, ok := range map[string]bool{
			"name": accepts(func(k checker) { k.name(s) }), "zone": s != "" && accepts(func(k checker) { k.zone(s) }),
			"file": accepts(func(k checker) { k.file(s) }), "hostPort": hostPort(s) == nil,
			"bind":   accepts(func(k checker) { new(listeners).add(k, s, "") }),
			"cookie": s != "" && route(func(r *Route) { r.Cookie = s }),
		} {
			if is := parseLine(s); ok && (is.failed || is.comment || is.variable || !slices.Equal(is.args, []string{s})) {
				t.Errorf("%s %q is accepted, HAProxy reads %+v", what, s, is)
			}
		}
		for what, ok := range map[string]bool{
			"check.http": s != "" && route(func(r *Route) { r.Check.HTTP = s }), "balance": s != "" && route(func(r *Route) { r.Balance = s }),
		} {
			if is := parseLine(s); ok && (is.failed || is.comment || is.variable || strings.Join(is.args, " ") != s) {
				t.Errorf("%s %q is accepted, HAProxy reads %+v", what, s, is)
			}
		}
	})
}

// parsed is what HAProxy makes of a line.
type parsed struct {
	args                      []string
	failed, comment, variable bool
}

// parseLine is parse_line of HAProxy's src/tools.c (2.6.0) with the options of readcfgfile,
// put into Go statement by statement: the judge of our own reading. It stops at a variable.
func parseLine(in string) parsed {
	var p parsed
	var out []byte
	in = strings.TrimLeft(in, " \t\n\v\f\r") + "\x00\x00\x00\x00" // readcfgfile skips leading blanks
	squote, dquote := false, false
	space := func(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' }
	hex := func(b byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", b) >= 0 }
	i := 0
scan:
	for {
		c := in[i]
		switch {
		case c == 0 || c == '\n' || c == '\r':
			break scan
		case c == '#' && !squote && !dquote:
			p.comment = true
			break scan
		case c == '"' && !squote:
			dquote = !dquote
			i++
		case c == '\'' && !dquote:
			squote = !squote
			i++
		case c == '\\' && !squote:
			send := c
			switch n := in[i+1]; {
			case n == ' ' || n == '\\' || n == '#' || n == '\'' || n == '"':
				send = n
				i++
			case n == 't', n == 'n', n == 'r':
				send = map[byte]byte{'t': '\t', 'n': '\n', 'r': '\r'}[n]
				i++
			case n == '$' && dquote:
				send = n
				i++
			case n == 'x':
				if !hex(in[i+2]) || !hex(in[i+3]) {
					p.failed = true
					break scan
				}
				send = nibble(in[i+2])<<4 | nibble(in[i+3])
				i += 3
			}
			i++
			out = append(out, send)
		case space(c) && !squote && !dquote:
			for space(in[i]) {
				i++
			}
			p.args = append(p.args, string(out))
			out = nil
		case c == '$' && dquote:
			p.variable = true
			break scan
		default:
			out = append(out, c)
			i++
		}
	}
	p.args = append(p.args, string(out))
	p.failed = p.failed || squote || dquote
	// A word behind trailing blanks is as empty as the end of the line.
	if n := len(in) - 4; len(p.args) > 1 && len(out) == 0 && n > 0 && space(in[n-1]) {
		p.args = p.args[:len(p.args)-1]
	}
	return p
}

func nibble(b byte) byte {
	switch {
	case b >= 'a':
		return b - 'a' + 10
	case b >= 'A':
		return b - 'A' + 10
	}
	return b - '0'
}
