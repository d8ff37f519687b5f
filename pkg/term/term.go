// Package term prepares the user's terminal for a container's.
package term

import (
	"os"

	"github.com/nook-containers/nook/pkg/sys"
)

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool {
	if f == nil {
		return false
	}
	_, err := sys.GetTermios(f)
	return err == nil
}

// MakeRaw lets every key through to the container. Restore undoes it; it may be
// called more than once.
func MakeRaw(f *os.File) (restore func(), err error) {
	old, err := sys.GetTermios(f)
	if err != nil {
		return nil, err
	}
	if err := sys.SetTermios(f, old.Raw()); err != nil {
		return nil, err
	}
	return func() { _ = sys.SetTermios(f, old) }, nil
}

// Size returns the rows and columns of f.
func Size(f *os.File) (rows, cols uint16, err error) { return sys.WindowSize(f) }
