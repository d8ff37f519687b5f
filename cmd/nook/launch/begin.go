package launch

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/pkg/oci/seed"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
	"github.com/nook-containers/nook/userns"
)

// Inside is the process behind LaunchName, which has a second beginning: while its
// other packages are initialised, and main reads what it is asked for, a goroutine
// enters the user namespace and starts the init of the container.
type Inside struct {
	Conn    *attach.Conn
	Control *os.File // what Conn frames

	entered chan error
	next    chan func(*seed.Seed)
}

// begun is what init began; it is nil in any other process.
var begun *Inside //nolint:gochecknoglobals // handed from init to main

func begin() {
	begun = &Inside{entered: make(chan error, 1), next: make(chan func(*seed.Seed))}
	go begun.run()
}

// run keeps its thread: the container is to live no longer than that.
func (i *Inside) run() {
	runtime.LockOSThread()
	if slack, err := sys.TimerSlack(); err == nil { // the watchdog may have made this thread
		_ = kern.SetTimerSlack(slack)
	}
	clone, err := i.enter()
	i.entered <- err
	var s *seed.Seed
	if clone != 0 {
		s, _ = seed.Sow(clone, nil, nil) // why not comes up again when it is needed
	}
	(<-i.next)(s)
}

// enter ends with the first frame, which says how init is cloned.
func (i *Inside) enter() (clone uintptr, err error) {
	if err := userns.Ready(); err != nil {
		return 0, err
	}
	// Of what this process was started with nothing is for those that it starts.
	if err := kern.CloexecFrom(QuestionsFD); err != nil {
		return 0, fmt.Errorf("close_range: %w", err)
	}
	// Keys typed at the user's terminal are the outer half's business.
	if err := sys.Setsid(); err != nil {
		return 0, err
	}
	_ = sys.SetProcessName("nook") // else it is called "exe" in the user's top(1)
	if i.Control, err = sys.Adopt(ControlFD, "control socket"); err != nil {
		return 0, err
	}
	i.Conn = attach.New(i.Control)
	t, payload, err := i.Conn.Read()
	if err != nil {
		return 0, err
	}
	if t != attach.Sow || len(payload) != 8 {
		return 0, fmt.Errorf("read the request: frame type %d of %d bytes", t, len(payload))
	}
	return uintptr(binary.BigEndian.Uint64(payload)), nil
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

// Ask sends the request behind LaunchName: the CLONE_NEW* flags of the namespaces that
// the container's init is born in, 0 where it is to wait for more; then the request
// itself, which is between the caller and the one that reads it.
func Ask(conn *attach.Conn, clone uintptr, request []byte) error {
	if err := conn.Write(attach.Sow, binary.BigEndian.AppendUint64(nil, uint64(clone))); err != nil {
		return err
	}
	return conn.Write(attach.Open, request)
}
