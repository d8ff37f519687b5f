package member

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys"
)

// Name is argv[0] of the process; argv[1] is its directory.
const Name = "nook-net"

// ListenFD is the listening socket in the process. On the descriptor before comes
// what makes it a member of the user namespace (userns.Ready).
const ListenFD = MemberFD + 1

// tries is how often a process may end just when it is asked. One that ends
// because it is idle does so with the lock held; more than two in a row mean that
// it crashes.
const tries = 4

// The files of a network's directory.
func lockPath(dir string) string { return filepath.Join(dir, "lock") }

// SocketPath is where the process listens.
func SocketPath(dir string) string { return filepath.Join(dir, "socket") }

// LogPath is where the process of the network writes what went wrong.
func LogPath(dir string) string { return filepath.Join(dir, "log") }

func lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return err
}

// Dial connects to the process of the network in dir. ErrNone: there is none.
func Dial(dir string) (*Conn, error) {
	f, err := sys.DialPackets(SocketPath(dir))
	for _, none := range []error{syscall.ENOENT, syscall.ECONNREFUSED, syscall.ENOTDIR} {
		if errors.Is(err, none) {
			return nil, fmt.Errorf("%w: %w", ErrNone, err)
		}
	}
	if err != nil {
		return nil, err
	}
	return NewConn(f), nil
}

// ErrNone means that the network has no process.
var ErrNone = errors.New("the network has no process")

// Connect is Dial that starts the process where there is none. The caller is a
// member of the user namespace, by descriptor MemberFD, or in none.
func Connect(dir string) (*Conn, error) {
	c, err := Dial(dir)
	if !errors.Is(err, ErrNone) {
		return c, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory of the network: %w", err)
	}
	lock, err := OpenLock(dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := sys.Lock(lock); err != nil {
		return nil, err
	}
	if c, err = Dial(dir); !errors.Is(err, ErrNone) {
		return c, err
	}
	l, err := sys.ListenPackets(SocketPath(dir))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if err := start(dir, l); err != nil {
		return nil, fmt.Errorf("start the network's process: %w", err)
	}
	return Dial(dir)
}

// OpenLock opens the lock of the network in dir.
func OpenLock(dir string) (*os.File, error) {
	return os.OpenFile(lockPath(dir), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
}

// Entered is the answer to Enter.
type Entered struct {
	Reply

	Files []*os.File // what came with it
}

// Enter connects and asks r, with files, starting the process if need be.
func Enter(dir string, r Request, files ...*os.File) (*Conn, Entered, error) {
	for try := 1; ; try++ {
		c, err := Connect(dir)
		if err != nil {
			return nil, Entered{}, err
		}
		reply, got, err := c.Ask(r, files...)
		if err == nil {
			return c, Entered{reply, got}, nil
		}
		c.Close()
		if !Lost(err) {
			return nil, Entered{}, err
		}
		if try == tries {
			return nil, Entered{}, fmt.Errorf("%w; see %s", err, LogPath(dir))
		}
	}
}

// memory is when the garbage collector of the process works harder, in bytes: its
// buffers, slirp.Limits.BufferBytes, twice.
const memory = "256MiB"

// garbage is how much of it there may be, in percent of what is in use: that is so
// little that collecting at the usual 100 would take an eighth of the time of short
// connections. A network that is idle gives it back.
const garbage = "400"

// start starts the process with the listening socket l. It has none of this
// process's streams, and is not its child.
func start(dir string, l *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	log, err := os.OpenFile(LogPath(dir), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	ours, theirs, err := sys.SocketPair()
	if err != nil {
		return err
	}
	defer ours.Close()
	defer theirs.Close()
	f := &sys.NSFork{
		Args: []string{Name, dir}, Dir: "/", Files: []*os.File{null, null, log, theirs, l}, Detach: true, SmallPages: true,
		Env: append(environ(), "GOMEMLIMIT="+memory, "GOGC="+garbage, "GOMAXPROCS=1"), // until it has work
	}
	child, err := f.Start()
	if err != nil {
		return err
	}
	merr := makeMember(ours) // it waits for that as long as there is somebody to send it
	_, err = child.Executed()
	return errors.Join(err, merr)
}

// environ is what the process gets of this one's environment: a resolver's and the
// run-time's settings, not the user's secrets.
func environ() []string {
	var out []string
	for _, name := range []string{"HOME", "PATH", "LANG", "GOTRACEBACK", "GODEBUG", "LOCALDOMAIN", "RES_OPTIONS"} {
		if v, ok := os.LookupEnv(name); ok { //nolint:forbidigo // handed on unread
			out = append(out, name+"="+v)
		}
	}
	return out
}

// MemberFD is userns.MemberFD; a test compares them. The package itself is too
// much for a process that stays.
const MemberFD = 3

// makeMember sends what userns.Ready waits for on the other end of sock. As long
// as this process is a member there is no other user namespace, so the lock is
// free or shared.
func makeMember(sock *os.File) error {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(MemberFD))
	if err != nil || filepath.Base(path) != "userns.members" {
		return sys.SendFDs(sock, []byte{1}) // root needs no user namespace
	}
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(path), "userns.lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := sys.LockShared(lock); err != nil {
		return err
	}
	return sys.SendFDs(sock, []byte{1}, MemberFD, int(lock.Fd())) //nolint:gosec // a descriptor
}
