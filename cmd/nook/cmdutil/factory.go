// Package cmdutil is what every command of the CLI shares.
package cmdutil

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/registry"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
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
	CDIDirs       []string // with descriptions of devices; default those of the host and the user
	Runtime       string   // external OCI runtime; empty: our own
	CgroupManager string   // systemd, cgroupfs; empty: what is right here
}

// Factory hands commands what they need. Nothing is opened before it is asked
// for: "nook --help" must not touch the disk.
type Factory struct {
	Streams
	Globals Globals
	Version string
	Args    []string // the command line after the program's name
	Environ []string // the user's environment
	Inside  bool     // this process already is in the user namespace
	Paths   func() (config.Paths, error)

	// FindsImages tells that the store will look an image up by a short name: what
	// those mean is then read while the store is opened.
	FindsImages bool

	helper registry.HelperFunc // see CredentialHelper
	mute   bool                // nobody would see a notice
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

// Report prints err and its advice as the last lines of a failed command.
func (f *Factory) Report(err error) {
	fmt.Fprintf(f.Err, "Error: %v\n", err)
	if hint := problem.HintOf(err); hint != "" {
		fmt.Fprintf(f.Err, "hint: %s\n", hint)
	}
}

// Notice tells the user something that is not an error.
func (f *Factory) Notice(text string) { fmt.Fprintf(f.Err, "notice: %s\n", text) }

// Say gives a notice that matters until the host changes, once a boot.
func (f *Factory) Say(text string) {
	if text == "" || f.mute {
		return
	}
	if p, err := f.Paths(); err == nil {
		sum := sha256.Sum256([]byte(text))
		said := filepath.Join(p.Run, "said-"+hex.EncodeToString(sum[:8]))
		file, err := os.OpenFile(said, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, os.ErrExist) {
			return
		}
		file.Close()
	}
	f.Notice(text)
}

// Silence points the standard streams at /dev/null: whoever waits for their end
// must not wait for this process.
func (f *Factory) Silence() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer null.Close()
	for fd := range 3 {
		_ = sys.Replace(fd, null) // nothing else can be done about it
	}
}

// State is the record of containers that belongs to the store in use.
func (f *Factory) State() (state.Store, error) {
	p, err := f.Paths()
	if err != nil {
		return state.Store{}, err
	}
	realm, err := userns.Realm(p.Run)
	if err != nil {
		return state.Store{}, err
	}
	if f.Globals.Root == "" {
		return state.Store{Dir: p.Data, Run: p.Run, Realm: realm}, nil
	}
	// Another store has other containers; they lie beside its layers.
	root, err := filepath.Abs(f.Globals.Root)
	if err != nil {
		return state.Store{}, err
	}
	return state.Store{Dir: filepath.Join(root, "nook"), Run: filepath.Join(p.Run, "at-"+rootTag(root)), Realm: realm}, nil
}

// rootTag is a short name for a graph root.
func rootTag(root string) string {
	sum := sha256.Sum256([]byte(root))
	return hex.EncodeToString(sum[:6])
}
