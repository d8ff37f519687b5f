package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/sys"
)

var errNoFuse = errors.New("fuse-overlayfs is not installed")

// fuseProgram finds fuse-overlayfs.
func (s *Store) fuseProgram() (path string, ok bool) {
	if s.cfg.fuse != "" {
		return s.cfg.fuse, true
	}
	path, err := exec.LookPath("fuse-overlayfs")
	return path, err == nil
}

// mountFuseAt mounts by fuse-overlayfs at the container's own directory, in this
// process's mount namespace, and takes the mount from there at once. The daemon
// ends when the mount does.
func (s *Store) mountFuseAt(l *layout) (*os.File, error) {
	program, ok := s.fuseProgram()
	if !ok {
		return nil, remedy.Missing(errNoFuse, remedy.FuseOverlayfs())
	}
	if err := mkdir(l.merged); err != nil {
		return nil, err
	}
	log, err := tempIn(s.o.RunRoot)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(program, "-o", fuseOptions(l), l.merged) //nolint:noctx // returns as soon as it has mounted
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = log, log // a file: the daemon may keep a pipe open
	if err := sys.PlainTimers(cmd.Run); err != nil {
		return nil, fmt.Errorf("%s: %w%s", program, err, said(log))
	}
	return sys.Detach(l.merged)
}

// said is what a program wrote to its log, for an error message.
func said(log *os.File) string {
	out, err := io.ReadAll(io.NewSectionReader(log, 0, 1<<10))
	if out = bytes.TrimSpace(out); err != nil || len(out) == 0 {
		return ""
	}
	return ": " + strings.ReplaceAll(string(out), "\n", "; ")
}

// fuseOptions are mount options of fuse-overlayfs(1).
func fuseOptions(l *layout) string {
	escape := strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`)
	lower := make([]string, 0, len(l.lower))
	for _, dir := range l.lower {
		lower = append(lower, escape.Replace(dir))
	}
	opts := []string{
		"lowerdir=" + strings.Join(lower, ":"),
		"upperdir=" + escape.Replace(l.upper),
		"workdir=" + escape.Replace(l.work),
	}
	if l.volatile {
		opts = append(opts, "volatile")
	}
	if l.maps != nil {
		opts = append(opts, "uidmapping="+fuseMap(l.maps.UIDs), "gidmapping="+fuseMap(l.maps.GIDs))
	}
	return strings.Join(append(opts, "nodev"), ",")
}

// fuseMap writes a map as fuse-overlayfs takes it: id on disk, id shown, number;
// all with colons.
func fuseMap(maps []IDMap) string {
	parts := make([]string, 0, len(maps))
	for _, m := range maps {
		parts = append(parts, fmt.Sprintf("%d:%d:%d", m.Inside, m.Outside, m.Size))
	}
	return strings.Join(parts, ":")
}
