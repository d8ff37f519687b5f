package userns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

func membersPath(dir string) string { return filepath.Join(dir, "userns.members") }

// A gate is the open lock files. Only a process that is not a member may open
// it: close would end the membership.
type gate struct {
	dir     string
	lock    *os.File // userns.lock
	members *os.File // userns.members
	create  *os.File // userns.create; nil unless we wait for the exclusive lock
}

func openGate(dir string) (*gate, error) {
	if err := makeRunDir(dir); err != nil {
		return nil, err
	}
	lock, err := openLock(filepath.Join(dir, "userns.lock"))
	if err != nil {
		return nil, err
	}
	members, err := openLock(membersPath(dir))
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &gate{dir: dir, lock: lock, members: members}, nil
}

// makeRunDir makes dir and refuses one that belongs to somebody else, who could
// hold the locks for ever.
func makeRunDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return problem.Hint(fmt.Errorf("make run directory: %w", err), "run: export XDG_RUNTIME_DIR=/run/user/%d", os.Geteuid())
	}
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return problem.Hint(fmt.Errorf("run directory %s: belongs to uid %d, not to %d", dir, st.Uid, os.Geteuid()),
			"run: export XDG_RUNTIME_DIR=/run/user/%d", os.Geteuid())
	}
	return nil
}

func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
}

// passOn is the gate of a process that is a member itself: it passes MemberFD on
// instead of opening the file.
func passOn(ctx context.Context, dir string) (*gate, error) {
	lock, err := openLock(filepath.Join(dir, "userns.lock"))
	if err != nil {
		return nil, err
	}
	g := &gate{dir: dir, lock: lock}
	if err := wait(ctx, lock, sys.LockShared); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// close drops what this process has of the locks. What the new process was sent
// stays locked.
func (g *gate) close() {
	for _, f := range []*os.File{g.lock, g.members, g.create} {
		if f != nil {
			f.Close()
		}
	}
}

// enter returns a member whose namespace to join, with userns.lock shared, or
// nil, with userns.lock exclusive, where there is none.
func (g *gate) enter(ctx context.Context) (*member, error) {
	err := sys.TryLockShared(g.lock) // as a rule nobody is in the way
	if errors.Is(err, sys.ErrLocked) {
		err = wait(ctx, g.lock, sys.LockShared)
	}
	if err != nil {
		return nil, err
	}
	if m, err := g.find(ctx); m != nil || err != nil {
		return m, err
	}
	if err := sys.Unlock(g.lock); err != nil {
		return nil, err
	}
	if g.create, err = openLock(filepath.Join(g.dir, "userns.create")); err != nil {
		return nil, err
	}
	if err := wait(ctx, g.create, sys.Lock); err != nil {
		return nil, err
	}
	for _, lock := range []func(*os.File) error{sys.LockShared, sys.Lock} {
		if err := wait(ctx, g.lock, lock); err != nil {
			return nil, err
		}
		if m, err := g.find(ctx); m != nil || err != nil {
			return m, errors.Join(err, g.share())
		}
	}
	return nil, nil //nolint:nilnil // no member, and nothing wrong
}

// share makes room for the others: whoever joins needs the shared lock only.
func (g *gate) share() error {
	err := sys.LockShared(g.lock)
	return errors.Join(err, sys.Unlock(g.create))
}

// wait calls lock on f. If ctx ends first, f must not be used any more; the lock
// is dropped as soon as it is there.
func wait(ctx context.Context, f *os.File, lock func(*os.File) error) error {
	done := make(chan error, 1)
	go func() { done <- lock(f) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("lock %s: %w", f.Name(), context.Cause(ctx))
	}
}

// A member is a process in the user's namespace.
type member struct {
	pid    int
	ns     *os.File // its user namespace
	single bool     // which maps one id only
}

// find returns a member with its namespace open, or nil where there is none that
// can be joined. userns.lock must be held.
func (g *gate) find(ctx context.Context) (*member, error) {
	for ctx.Err() == nil {
		pid, err := sys.RecordHolder(g.members)
		if err != nil {
			return nil, noRecordLocks(g.dir, err)
		}
		if pid <= 0 { // nobody, or behind a pid namespace, where /proc does not show it
			return nil, nil //nolint:nilnil // no member, and nothing wrong
		}
		m, err := openMember(pid)
		again, aerr := sys.RecordHolder(g.members)
		if aerr == nil && again == pid {
			return m, err
		}
		if m != nil { // it ended meanwhile, and its pid may be another's
			m.ns.Close()
		}
	}
	return nil, fmt.Errorf("look for the user namespace: %w", context.Cause(ctx))
}

// openMember opens the user namespace of process pid, or returns nil where it is
// not a child of ours that we own.
func openMember(pid int) (*member, error) {
	proc := "/proc/" + strconv.Itoa(pid)
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return nil, err // the /proc of another pid namespace: pids mean others there
	}
	ns, err := os.Open(proc + "/ns/user")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil, nil //nolint:nilnil // gone, which find notices
	}
	if err != nil {
		return nil, fmt.Errorf("open user namespace: %w", err)
	}
	mine, err := joinable(ns)
	if err != nil || !mine {
		ns.Close()
		return nil, err
	}
	m := &member{pid: pid, ns: ns}
	if u, err := (Host{}).readMap(proc + "/uid_map"); err == nil {
		m.single = size(u) == 1
	}
	return m, nil
}

// joinable reports whether ns is a user namespace that this user made right
// below the one that this process is in.
func joinable(ns *os.File) (bool, error) {
	owner, err := sys.UserNSOwner(ns)
	if err != nil || owner != uint32(os.Geteuid()) {
		return false, err
	}
	parent, err := sys.UserNSParent(ns)
	if errors.Is(err, syscall.EPERM) { // not below ours, or ours itself
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer parent.Close()
	a, err := parent.Stat()
	if err != nil {
		return false, err
	}
	b, err := os.Stat("/proc/self/ns/user")
	return err == nil && os.SameFile(a, b), err
}

// noRecordLocks explains a file system that cannot do record locks.
func noRecordLocks(dir string, err error) error {
	name, ferr := sys.FSName(dir)
	if ferr != nil {
		return errors.Join(err, ferr)
	}
	return problem.Hint(fmt.Errorf("run directory %s: file system %s: %w", dir, name, err),
		"put it on a local file system: run: export XDG_RUNTIME_DIR=/run/user/%d", os.Geteuid())
}
