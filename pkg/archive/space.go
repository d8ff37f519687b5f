package archive

import (
	"fmt"
	"os"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys"
)

// spaceGuard stops a layer before it has filled the file system: a few megabytes
// of zeros can unpack to terabytes, and a full disk hurts everybody on it.
type spaceGuard struct {
	dir   *os.File
	name  string
	since int    // bytes written since the last look
	step  int    // bytes between two looks
	floor uint64 // bytes to leave free
}

// open looks at the file system of f, which stays the caller's; messages call the
// place name.
func (g *spaceGuard) open(f *os.File, name string) error {
	g.dir, g.name = f, name
	free, _, err := sys.Space(f)
	// On a small or nearly full file system a sixteenth must do.
	g.floor = min(spareSpace, free/16)
	g.step = int(min(spaceStep, max(g.floor/2, copyBuffer))) //nolint:gosec // small
	return err
}

// wrote counts n bytes that are about to be written.
func (g *spaceGuard) wrote(n int) error {
	if g.since += n; g.since < g.step {
		return nil
	}
	return g.check()
}

func (g *spaceGuard) check() error {
	g.since = 0
	free, files, err := sys.Space(g.dir)
	if err != nil {
		return err
	}
	if free < g.floor || files == 0 {
		return &os.PathError{Op: "unpack", Path: g.name, Err: fmt.Errorf("%w (%d MiB and %d files free)", syscall.ENOSPC, free>>20, files)}
	}
	return nil
}
