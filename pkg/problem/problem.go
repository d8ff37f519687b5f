// Package problem attaches advice to errors.
//
// An error says what failed; a hint says what the reader can do about it. The
// two stay apart so that tests and callers match on the error (errors.Is) while
// only cmd/nook/root prints the hint, on its own line.
package problem

import (
	"errors"
	"fmt"
)

type hinted struct {
	err     error
	hint    string
	command string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// Hint returns err carrying one line of advice. It returns nil for a nil err.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: fmt.Sprintf(format, args...)}
}

// Run is Hint for one command that removes the cause, and can be run again. In it
// "sudo " stands before each program that needs root.
func Run(err error, command string) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: "run: " + command, command: command}
}

// CommandOf returns the command of the advice that HintOf returns, "" where that is
// no single command.
func CommandOf(err error) string {
	if h, ok := errors.AsType[*hinted](err); ok {
		return h.command
	}
	return ""
}

// HintOf returns the advice nearest to the top of err's chain, or "".
func HintOf(err error) string {
	if h, ok := errors.AsType[*hinted](err); ok {
		return h.hint
	}
	return ""
}
