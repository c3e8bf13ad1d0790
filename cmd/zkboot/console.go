package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// console is the terminal, as far as there is one.
type console struct {
	asks   bool                   // a person can answer on stdin
	draws  bool                   // stderr can be redrawn
	width  func() int             // columns of stderr
	secret func() (string, error) // reads a line without echo
	// restore puts echo back when a secret is given up on.
	restore func()
}

// newConsole finds out what the given files are. A dumb terminal cannot be redrawn.
func newConsole(in, out *os.File, kind string) console {
	c := console{
		asks:    term.IsTerminal(int(in.Fd())),
		draws:   term.IsTerminal(int(out.Fd())) && kind != "dumb",
		restore: func() {},
	}
	c.width = func() int {
		w, _, err := term.GetSize(int(out.Fd()))
		if err != nil || w <= 0 {
			return 80
		}
		return w
	}
	c.secret = func() (string, error) {
		b, err := term.ReadPassword(int(in.Fd()))
		return string(b), err
	}
	if state, err := term.GetState(int(in.Fd())); err == nil {
		c.restore = func() { _ = term.Restore(int(in.Fd()), state) } // the terminal is gone: nobody sees it
	}
	return c
}

// errNoTerminal is returned where a question would have to be asked and nobody is there.
var errNoTerminal = errors.New("there is no terminal to ask on")

// confirm asks a question that only "y" and "yes" answer with yes.
func (a *app) confirm(ctx context.Context, question string) (bool, error) {
	if !a.console.asks {
		return false, errNoTerminal
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answer, err := await(ctx, func() (string, error) { return bufio.NewReader(a.stdin).ReadString('\n') })
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(a.stderr)
		err = nil
	}
	if err != nil {
		return false, err
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}

// askSecret asks for something that is not echoed.
func (a *app) askSecret(ctx context.Context, prompt string) (string, error) {
	if !a.console.asks {
		return "", errNoTerminal
	}
	fmt.Fprintf(a.stderr, "%s: ", prompt)
	defer fmt.Fprintln(a.stderr)
	s, err := await(ctx, a.console.secret)
	if ctx.Err() != nil {
		a.console.restore()
	}
	return s, err
}

// await returns when read does or ctx ends. A read from a terminal cannot be interrupted:
// its goroutine is left behind for the program, which is about to end, to take down.
func await(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := read()
		got <- answer{text, err}
	}()
	select {
	case a := <-got:
		return a.text, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
