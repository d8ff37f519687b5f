package userns

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/nook-containers/nook/pkg/sys"
)

// MemberFD is the descriptor of userns.members in every process that Start made,
// from Ready until the process ends: closing it would end the membership. It is
// close-on-exec; a member that replaces itself by execve calls KeepOnExec first.
// In a process that is no member (see the package comment) the number is taken
// all the same.
const MemberFD = 3

// ErrAbandoned means that the starting process ended before this one had its ids.
// It was killed, or it has reported its own error: there is nobody to tell.
var ErrAbandoned = errors.New("the process that started this one is gone")

// Ready waits until this process has its ids, and makes it a member of the
// namespace. Until then it has the overflow ids and must not touch files.
func Ready() error {
	var b [1]byte
	_, fds, err := sys.RecvFDs(MemberFD, b[:], 2)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("enter user namespace: %w", ErrAbandoned)
	}
	if err != nil {
		return fmt.Errorf("enter user namespace: %w", err)
	}
	// Ambient capabilities have done their work: who becomes another user, or execs
	// for one, must not find them inheritable.
	if err := sys.DropInheritable(); err != nil && !errors.Is(err, sys.ErrUnsupported) {
		return fmt.Errorf("enter user namespace: %w", err)
	}
	if err := sys.SetCloseOnExec(MemberFD, true); err != nil {
		return fmt.Errorf("enter user namespace: %w", err)
	}
	if len(fds) != 2 {
		return nil
	}
	if err := join(fds[0], fds[1]); err != nil {
		return fmt.Errorf("enter user namespace: %w", err)
	}
	return nil
}

// join makes this process a member and drops the lock that it was started under.
func join(members, lock int) error {
	if err := sys.MoveFD(members, MemberFD); err != nil {
		return err
	}
	if err := sys.ShareRecordLock(MemberFD); err != nil {
		return fmt.Errorf("userns.members: %w", err)
	}
	f := os.NewFile(uintptr(lock), "userns.lock")
	defer f.Close()
	return sys.Unlock(f) // the starter has it open too
}

// KeepOnExec lets MemberFD, and with it the membership, survive the execve that
// the caller is about to do. The new program must set MemberFD close-on-exec
// again, before it starts any other program (sys.SetCloseOnExec).
func KeepOnExec() error { return sys.SetCloseOnExec(MemberFD, false) }

// files are what the new process needs to become a member, in Ready's order.
func (g *gate) files() []int {
	if g == nil {
		return nil
	}
	members := MemberFD
	if g.members != nil {
		members = int(g.members.Fd())
	}
	return []int{members, int(g.lock.Fd())}
}
