package main

import (
	"errors"

	"github.com/zkboot/zkboot/bootstrap"
)

// Exit codes; the package comment says what they promise.
const (
	codeOK          = 0
	codeFailed      = 1
	codeChanges     = 2
	codeUnfit       = 3
	codeLocked      = 4
	codeInterrupted = 130 // 128 + SIGINT, as shells report it
)

// exitError ends a command with a code. A nil err means that everything has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return "already reported"
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// said ends a command whose findings are printed already.
func said(code int) error { return &exitError{code: code} }

// codeOf tells the code of an apply that failed with the given report. A lock that is
// taken says nothing about the hardware, so it wins.
func codeOf(r bootstrap.Report) int {
	err := r.Err()
	switch {
	case err == nil:
		return codeOK
	case errors.Is(err, bootstrap.ErrLocked):
		return codeLocked
	case errors.Is(err, bootstrap.ErrHardware):
		return codeUnfit
	}
	return codeFailed
}
