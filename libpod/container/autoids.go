package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

// How many ids a container of --userns=auto has that names no size: those of its
// image's accounts, but at least minAuto and at most maxAuto (podman-run(1)). The
// account of nobody asks for none.
const (
	minAuto, maxAuto = 1024, 65536
)

// idsFile is locked in the ranges that are about to be given away, byte N for id N
// of the shared user namespace. It stays empty.
const idsFile = "auto-ids.lock"

// chooseIDs finds out which ids a user namespace has that has none yet. With
// --userns=auto they are such that no other container of the kind has: its own for
// certain until letGo is called, and from its commit on. Where no size is asked for
// estimate says how many.
func (e *Engine) chooseIDs(u *spec.UserNS, estimate func() (uint32, error)) (letGo func(), err error) {
	switch {
	case u.Mode == spec.UserNSPath && u.From == "":
		return func() {}, lookIntoUserNS(u)
	case u.Mode != spec.UserNSAuto || u.From != "":
		return func() {}, nil
	}
	if u.Size == 0 {
		if u.Size, err = estimate(); err != nil {
			return nil, err
		}
	}
	shared, err := userns.Current()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(e.State.Dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(e.State.Dir, idsFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	ok, err := e.reserveIDs(f, shared, u)
	if err == nil && !ok {
		n, _ := shared.Size()
		err = problem.Hint(fmt.Errorf("--userns auto: no %d ids in a row are left of your %d", u.Size, n),
			"remove a container of the kind, or ask for less: --userns auto:size=%d", max(u.Size/4, 1))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

// reserveIDs looks again each time that it has a range to itself: another process
// may have given it to a container in the meantime.
func (e *Engine) reserveIDs(f *os.File, shared userns.Map, u *spec.UserNS) (bool, error) {
	for _, r := range userns.FreeRanges(shared, u.Size, e.takenIDs()) {
		err := sys.LockRange(f, int64(r.Start), int64(r.Count))
		if errors.Is(err, sys.ErrLocked) {
			continue
		}
		if err != nil {
			return false, err
		}
		free := true
		for _, t := range e.takenIDs() {
			free = free && (uint64(t.Start)+uint64(t.Count) <= uint64(r.Start) || uint64(r.Start)+uint64(r.Count) <= uint64(t.Start))
		}
		if free {
			u.First = r.Start
			return true, nil
		}
	}
	return false, nil
}

func (e *Engine) takenIDs() []userns.Range {
	all, _ := e.State.List() // a record that cannot be read cannot be started either
	var out []userns.Range
	for _, c := range all {
		if u := c.Spec.UserNS; u.Mode == spec.UserNSAuto {
			out = append(out, userns.Range{Start: u.First, Count: u.Size})
		}
	}
	return out
}

// estimate looks which ids the image's accounts and the container's user have.
func (e *Engine) estimate(cfg *state.Config) (uint32, error) {
	root, err := e.filesToBe(cfg)
	if err != nil {
		return 0, err
	}
	acc, err := readAccounts(root.Mount)
	if err := errors.Join(err, root.Close()); err != nil {
		return 0, err
	}
	top := max(largestID(acc.passwd), largestID(acc.group))
	if who, err := resolveUser(userOf(cfg.Spec, cfg.Image), cfg.Spec.Groups, acc); err == nil {
		top = max(top, who.UID, who.GID)
	}
	return min(max(top+1, minAuto), maxAuto), nil
}

// filesToBe are the files that a container of cfg will have.
func (e *Engine) filesToBe(cfg *state.Config) (*store.RootFS, error) {
	if cfg.Spec.RootFS == "" {
		return e.Layers.MountImage(cfg.ImageID, "", true)
	}
	dir, err := store.BindRoot(cfg.Spec.RootFS)
	if err != nil {
		return nil, err
	}
	return &store.RootFS{Mount: dir}, nil
}

// largestID is the largest of field 2 of an account file, which is below maxAuto.
func largestID(file []byte) (top uint32) {
	for line := range bytes.Lines(file) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) < 3 {
			continue
		}
		if n, err := strconv.ParseUint(f[2], 10, 32); err == nil && n < maxAuto && n != nobody {
			top = max(top, uint32(n))
		}
	}
	return top
}
