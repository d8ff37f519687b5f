package sys

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PollEvents says what has happened to a descriptor (epoll_ctl(2)).
type PollEvents uint32

// The events that Epoll reports.
const (
	PollIn    PollEvents = unix.EPOLLIN
	PollOut   PollEvents = unix.EPOLLOUT
	PollErr   PollEvents = unix.EPOLLERR
	PollHup   PollEvents = unix.EPOLLHUP
	PollRdHup PollEvents = unix.EPOLLRDHUP // the other end has stopped sending
)

// A PollEvent is what Poll reports about one descriptor.
type PollEvent struct{ ev unix.EpollEvent }

// Events are what has happened.
func (e *PollEvent) Events() PollEvents { return PollEvents(e.ev.Events) }

// Token is what the descriptor was added with.
func (e *PollEvent) Token() uint64 {
	return uint64(uint32(e.ev.Fd)) | uint64(uint32(e.ev.Pad))<<32 //nolint:gosec // the halves of a token
}

// An Epoll is an interest list of its own (epoll(7)) beside the one of Go's
// run-time, for a goroutine that looks at many descriptors with one call, and again
// before it sleeps. Sleeping is up to the run-time, whose poller watches this list.
type Epoll struct {
	fd   int
	wake int // an eventfd(2)
	file *os.File
	raw  syscall.RawConn
}

// wakeToken is of the descriptor that Wake writes to.
const wakeToken = ^uint64(0)

// NewEpoll makes an empty list.
func NewEpoll() (*Epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), CloseFD(fd))
	}
	e := &Epoll{fd: fd, wake: wake}
	// The run-time's poller takes only what does not block.
	err = unix.SetNonblock(fd, true)
	if err == nil {
		err = e.add(wake, wakeToken, unix.EPOLLIN|unix.EPOLLET)
	}
	if err != nil {
		return nil, errors.Join(err, CloseFD(wake), CloseFD(fd))
	}
	e.file = os.NewFile(uintptr(fd), "epoll")
	if e.raw, err = e.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Close ends the list, when nobody uses it any more.
func (e *Epoll) Close() error { return errors.Join(e.file.Close(), CloseFD(e.wake)) }

// Add reports each change of fd, a socket, once (EPOLLET). It ends with the last
// descriptor of the socket.
func (e *Epoll) Add(fd int, token uint64) error {
	return e.add(fd, token, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET)
}

// AddReader reports that fd can be read as long as it can.
func (e *Epoll) AddReader(fd int, token uint64) error { return e.add(fd, token, unix.EPOLLIN) }

func (e *Epoll) add(fd int, token uint64, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32))} //nolint:gosec // the halves of a token
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(e.fd), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl EPOLL_CTL_ADD", errno)
	}
	return nil
}

// Remove takes fd from the list.
func (e *Epoll) Remove(fd int) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(e.fd), unix.EPOLL_CTL_DEL, uintptr(fd), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl EPOLL_CTL_DEL", errno)
	}
	return nil
}

// Poll returns how many of events, which is not empty, have been filled in. It does
// not wait. A Wake is not among them, but counts as woken.
func (e *Epoll) Poll(events []PollEvent) (n int, woken bool) {
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 { // the list is closed
			return 0, false
		}
		n = int(r) //nolint:gosec // at most len(events)
		break
	}
	for i := range events[:n] {
		if events[i].Token() == wakeToken {
			var b [8]byte
			_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(e.wake), uintptr(unsafe.Pointer(&b)), uintptr(len(b)))
			n--
			events[i] = events[n]
			return n, true
		}
	}
	return n, false
}

// Wait is Poll that waits until there is something. The thread is free meanwhile
// for other goroutines.
func (e *Epoll) Wait(events []PollEvent) (n int, err error) {
	err = readRaw(e.raw, func(uintptr) bool {
		var woken bool
		n, woken = e.Poll(events)
		return n > 0 || woken
	})
	return n, err
}

// Wake makes Wait return, now or the next time.
func (e *Epoll) Wake() {
	b := [8]byte{1} // any number will do
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(e.wake), uintptr(unsafe.Pointer(&b)), uintptr(len(b)))
}
