package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MAX_LINE_ARGS of HAProxy 2.6 is 64; a line has to leave room for what is put before it.
const maxWords = 60

// words cuts a line into words as HAProxy does (parse_line in src/tools.c, 2.6.0;
// configuration.txt 2.2) and refuses what would not be one whole line of just these words
// wherever it is put: control characters, comments, unbalanced quotes, a backslash at the
// end, and environment variables.
func words(line string) ([]string, error) {
	if err := plain(line, 1024); err != nil {
		return nil, err
	}
	s := scanner{in: line}
	for s.at < len(s.in) && s.err == nil {
		s.step()
	}
	switch {
	case s.err != nil:
		return nil, s.err
	case s.quote != 0:
		return nil, fmt.Errorf("want balanced quotes, found an open %c", s.quote)
	case strings.Contains(line, "${"):
		return nil, errors.New("want no environment variables, found ${")
	}
	s.end()
	if len(s.words) == 0 {
		return nil, errors.New("want a line, found an empty one")
	}
	if len(s.words) > maxWords {
		return nil, fmt.Errorf("want at most %d words, found %d", maxWords, len(s.words))
	}
	return s.words, nil
}

// scanner cuts one line into words.
type scanner struct {
	in    string
	at    int
	quote byte // the quote that is open, or 0
	word  strings.Builder
	begun bool // a word has begun, though it may be empty so far
	words []string
	err   error
}

func (s *scanner) emit(b byte) { s.word.WriteByte(b); s.begun = true }

func (s *scanner) end() {
	if s.begun {
		s.words = append(s.words, s.word.String())
	}
	s.word.Reset()
	s.begun = false
}

func (s *scanner) step() {
	b := s.in[s.at]
	s.at++
	switch {
	case b == s.quote:
		s.quote = 0
	case (b == '"' || b == '\'') && s.quote == 0:
		s.quote, s.begun = b, true
	case b == '\\' && s.quote != '\'':
		s.escape()
	case b == '#' && s.quote == 0:
		s.err = errors.New(`want no comment: put the # in quotes or write \#`)
	case b == ' ' && s.quote == 0:
		s.end()
	case b == '$' && s.quote == '"':
		s.err = errors.New(`want no environment variables: within double quotes write \$ for a $`)
	default:
		s.emit(b)
	}
}

// escape reads what follows a backslash that is not within single quotes.
func (s *scanner) escape() {
	if s.at == len(s.in) {
		s.err = errors.New("want something behind the backslash at the end")
		return
	}
	b := s.in[s.at]
	switch {
	case strings.IndexByte(` \#'"`, b) >= 0 || b == '$' && s.quote == '"':
		s.emit(b)
	case b == 't':
		s.emit('\t')
	case b == 'n':
		s.emit('\n')
	case b == 'r':
		s.emit('\r')
	case b == 'x':
		hex := s.in[s.at+1 : min(s.at+3, len(s.in))]
		n, err := strconv.ParseUint(hex, 16, 8)
		if err != nil || len(hex) != 2 || n == 0 {
			s.err = fmt.Errorf(`want two hex digits other than 00 behind \x, found %q`, hex)
			return
		}
		s.emit(byte(n))
		s.at += 2
	default: // HAProxy leaves other pairs as they are, such as \. of a regular expression
		s.emit('\\')
		return
	}
	s.at++
}
