// Package cmdutil is what every command of the CLI shares.
package cmdutil

import (
	"fmt"
	"os"

	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/registry"
)

// Streams are the command's input and outputs.
type Streams struct {
	In       *os.File
	Out, Err *os.File
}

// Globals are the flags before the verb.
type Globals struct {
	Root          string // store's graph root; default Paths.Data/storage
	RunRoot       string // store's run root; default Paths.Run/storage
	StorageDriver string // overlay (default) or vfs
	StorageOpts   []string
	Runtime       string // external OCI runtime; empty: our own
	LogLevel      string
}

// Factory hands commands what they need. Nothing is opened before it is asked
// for: "nook --help" must not touch the disk.
type Factory struct {
	Streams
	Globals Globals
	Version string // of this program
	Paths   func() (config.Paths, error)
	// Inside reports whether this process already is in the user namespace.
	Inside bool

	helper registry.HelperFunc // see CredentialHelper
}

// ExitError carries an exit status that is not an error of nook's own: the
// container's, or a documented one. Nothing is printed for it unless Err is set.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

func (e *ExitError) Unwrap() error { return e.Err }
