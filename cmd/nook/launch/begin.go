package launch

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/oci/seed"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
	"github.com/nook-containers/nook/userns"
)

// Inside is the process behind LaunchName, which has a second beginning: while its
// other packages are initialised, and main reads what it is asked for, a goroutine
// enters the user namespace and starts the init of the container, in its control group
// where it can make that.
type Inside struct {
	Conn    *attach.Conn
	Control *os.File // what Conn frames

	entered chan error
	next    chan func(*seed.Seed)

	found   chan struct{} // closed when what follows is final
	host    cgroups.Host
	hostErr error
	group   *cgroups.Group
}

// Birth is how the init of a container is born.
type Birth struct {
	Clone uintptr // CLONE_NEW* flags of its namespaces; 0: it is to wait for more
	// Group is the name of its control group, below what is the user's; empty: it is
	// to wait for more, and is born in its parent's.
	Group string
}

// begun is what init began; it is nil in any other process.
var begun *Inside //nolint:gochecknoglobals // handed from init to main

func begin() {
	begun = &Inside{entered: make(chan error, 1), next: make(chan func(*seed.Seed)), found: make(chan struct{})}
	go begun.run()
}

// run keeps its thread: the container is to live no longer than that.
func (i *Inside) run() {
	runtime.LockOSThread()
	if slack, err := sys.TimerSlack(); err == nil { // the watchdog may have made this thread
		_ = kern.SetTimerSlack(slack)
	}
	b, err := i.enter()
	i.entered <- err
	if err != nil {
		return
	}
	i.findGroups(b.Group)
	var s *seed.Seed
	if b.Clone != 0 {
		var home *os.File
		if i.group != nil {
			home = i.group.File()
		}
		s, _ = seed.Sow(b.Clone, nil, home) // why not comes up again when it is needed
	}
	(<-i.next)(s)
}

// findGroups finds out where this process is in the tree of control groups, and makes
// one called name where that part of it is ours.
func (i *Inside) findGroups(name string) {
	defer close(i.found)
	if i.host, i.hostErr = cgroups.Find(); i.hostErr != nil || name == "" || i.host.Base == "" {
		return
	}
	i.group, _ = cgroups.Make(filepath.Join(i.host.Base, name)) // as with Sow
}

// Groups returns what was found out. The group, which may be nil, is for the caller to
// close or remove.
func (i *Inside) Groups() (cgroups.Host, *cgroups.Group, error) {
	<-i.found
	return i.host, i.group, i.hostErr
}

// enter ends with the first frame, which says how init is born.
func (i *Inside) enter() (b Birth, err error) {
	if err := userns.Ready(); err != nil {
		return b, err
	}
	// Of what this process was started with nothing is for those that it starts.
	if err := kern.CloexecFrom(QuestionsFD); err != nil {
		return b, fmt.Errorf("close_range: %w", err)
	}
	// Keys typed at the user's terminal are the outer half's business.
	if err := sys.Setsid(); err != nil {
		return b, err
	}
	_ = sys.SetProcessName("nook") // else it is called "exe" in the user's top(1)
	if i.Control, err = sys.Adopt(ControlFD, "control socket"); err != nil {
		return b, err
	}
	i.Conn = attach.New(i.Control)
	t, payload, err := i.Conn.Read()
	if err != nil {
		return b, err
	}
	if t != attach.Sow || len(payload) < 8 {
		return b, fmt.Errorf("read the request: frame type %d of %d bytes", t, len(payload))
	}
	return Birth{Clone: uintptr(binary.BigEndian.Uint64(payload)), Group: string(payload[8:])}, nil
}

// Enter waits until this process is in the user namespace and its client has sent the
// first frame. io.EOF: the client's command line was wrong.
func Enter() (*Inside, error) { return begun, <-begun.entered }

// Continue runs next on the thread that init was started by, and returns when it does.
// It gets init where there is one, and closes it.
func (i *Inside) Continue(next func(*seed.Seed) error) error {
	done := make(chan error)
	i.next <- func(s *seed.Seed) { done <- next(s) }
	return <-done
}

// Ask sends the request behind LaunchName: how the container's init is born; then the
// request itself, which is between the caller and the one that reads it.
func Ask(conn *attach.Conn, b Birth, request []byte) error {
	first := append(binary.BigEndian.AppendUint64(nil, uint64(b.Clone)), b.Group...)
	if err := conn.Write(attach.Sow, first); err != nil {
		return err
	}
	return conn.Write(attach.Open, request)
}
