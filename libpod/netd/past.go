package netd

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/pkg/statefile"
)

// past is a member of the process before this one.
type past struct {
	ID  string `json:"id"`
	PID int    `json:"pid"` // of its monitor
}

// pastFile is the file of a process's members.
type pastFile struct {
	Version int    `json:"version"`
	Members []past `json:"members"`
}

func pastPath(dir string) string { return filepath.Join(dir, "members.json") }

func writePast(dir string, list []past) error {
	return statefile.WriteVolatile(pastPath(dir), pastFile{Version: member.Version, Members: list})
}

// anyLeft reports whether a member of the former process, other than id, may still
// be there. One whose pid is another's by now costs a pause.
func anyLeft(dir, id string) bool {
	var f pastFile
	if err := statefile.Read(pastPath(dir), &f); err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return slices.ContainsFunc(f.Members, func(p past) bool {
		return p.ID != id && syscall.Kill(p.PID, 0) != syscall.ESRCH
	})
}
