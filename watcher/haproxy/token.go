package haproxy

import (
	"slices"
	"strings"
)

// isName says whether s can be part of a proxy's name.
func isName(s string) bool {
	return s != "" && len(s) <= 100 && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}) < 0
}

// word renders a value as exactly one word of HAProxy's configuration: between single
// quotes nothing means anything (configuration.txt 2.6 2.2).
func (w *writer) word(field, s string) string {
	if !printable(s) || s == "" {
		w.refuse(field, "%q is not one line of text", s)
		return "refused"
	}
	plain := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,*?&~", r))
	}) < 0
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// words passes the rest of a line through. It can be wrong, which `haproxy -c` says, but it
// cannot be a second line.
func (w *writer) words(field, s string) string {
	if !printable(s) || strings.TrimSpace(s) == "" {
		w.refuse(field, "%q is not one line of text", s)
		return "refused"
	}
	return s
}

// sections are the words that begin a section of the configuration, wherever they stand
// first on a line (cfg_register_section in the source, 2.6 to 3.2), and what would get in the
// way of the slots.
var notRaw = []string{
	"acme", "backend", "cache", "crt-store", "defaults", "fcgi-app", "frontend", "global", "http-errors", "listen", "log-forward",
	"log-profile", "mailers", "namespace_list", "peers", "program", "resolvers", "ring", "traces", "userlist",
	"server", "server-template", "dispatch", "load-server-state-from-file", "setenv",
}

// raw passes an operator's own lines through, each as one line of the section it is for.
func (w *writer) raw(field string, lines []string) {
	for _, l := range lines {
		first, _, _ := strings.Cut(strings.TrimSpace(l), " ")
		switch {
		case !printable(l):
			w.refuse(field, "%q is not one line of text", l)
		case !isKeyword(first):
			// A quoted or escaped keyword would be unquoted by HAProxy; a dot begins a directive.
			w.refuse(field, "%q does not begin with a keyword", l)
		case slices.Contains(notRaw, strings.ToLower(first)):
			w.refuse(field, "%q would begin a section, or stand in the way of the servers", l)
		default:
			w.line("    %s", strings.TrimSpace(l))
		}
	}
}

func isKeyword(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}) < 0
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// hasRaw says whether an operator's own lines of a backend begin with a keyword.
func hasRaw(lines []string, keyword string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), keyword) })
}
