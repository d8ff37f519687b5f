package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/pack"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// RestartName is argv[0] of the program that starts a container again, in place
// of the monitor; argv[1] is the descriptor of what TakeOver reads. It is this
// program, in the user namespace, as a member.
const RestartName = "nook-restart"

// Pauses before a restart: they double from first to last, and begin anew after a
// run that was not short. Docker's figures.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = time.Minute
	notShort   = 10 * time.Second
)

// stopFile in the container's directory says that its user ended it: the restart
// policy rests until it is started again.
const stopFile = "stopped"

// MarkStopped keeps the restart policy of c from working against its user.
func MarkStopped(c *state.Container) error {
	f, err := os.OpenFile(filepath.Join(c.Dir(), stopFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile
	}
	if err != nil {
		return fmt.Errorf("mark %s as stopped: %w", c.Name, err)
	}
	return f.Close()
}

// ClearStopped lets the restart policy work again.
func ClearStopped(c *state.Container) error {
	err := os.Remove(filepath.Join(c.Dir(), stopFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Stopped reports whether its user ended c.
func Stopped(c *state.Container) bool {
	_, err := os.Lstat(filepath.Join(c.Dir(), stopFile))
	return err == nil
}

// again reports whether the container is to be started again after run.
func again(c *state.Container, run state.Run) bool {
	if c.Spec.Remove || Stopped(c) {
		return false
	}
	switch r := c.Spec.Restart; r.Policy {
	case spec.RestartAlways, spec.RestartUnlessStopped:
		return true
	case spec.RestartOnFailure:
		return run.ExitCode != 0 && (r.Max == 0 || run.Restarts < r.Max)
	default:
		return false
	}
}

// pause is how long to wait after run, which came after a pause of last.
func pause(last time.Duration, run state.Run) time.Duration {
	if last == 0 || run.Finished.Sub(run.Started) >= notShort {
		return firstPause
	}
	return min(2*last, lastPause)
}

// Handover is what one start leaves to the next.
type Handover struct {
	Store    state.Store
	Dir      string
	Known    state.Known
	Lock     int
	Restarts int             // how often it was started again, with this time
	Pause    time.Duration   // that came before
	Resume   json.RawMessage // Monitor.Resume
}

// restart waits, and becomes the program that starts the container again. It
// returns without an error if the container was stopped meanwhile.
func (m *Monitor) restart(run state.Run) error {
	h := Handover{
		Store: m.Container.Store(), Dir: m.Container.Dir(), Known: m.Container.Known(), Restarts: run.Restarts + 1, Pause: pause(m.Pause, run), Resume: m.Resume,
	}
	timer := time.NewTimer(h.Pause)
	defer timer.Stop()
	select {
	case <-m.term.signals: // of stop and rm, which wait for us to let go, or of the system
		return nil
	case <-timer.C:
	}
	if Stopped(m.Container) {
		return nil
	}
	var err error
	if h.Lock, err = m.Container.PassOn(); err != nil {
		return err
	}
	data, err := pack.Marshal(h)
	if err != nil {
		return err
	}
	fd, err := kern.Memfd("restart", data)
	if err != nil {
		return err
	}
	for _, keep := range []int{fd, memberFD} {
		if err := sys.SetCloseOnExec(keep, false); err != nil {
			return err
		}
	}
	runtime.LockOSThread()
	if err := kern.UnblockSignals(); err != nil { // handOver's work, where a monitor was made by Become
		return err
	}
	return syscall.Exec("/proc/self/exe", []string{RestartName, strconv.Itoa(fd)}, environ())
}

// memberFD is userns.MemberFD; a test compares them. The package itself is too
// much for a process that stays.
const memberFD = 3

// TakeOver reads what a monitor left in the descriptor that arg names, and takes
// the container over.
func TakeOver(arg string) (*Handover, *state.Container, error) {
	fd, err := strconv.Atoi(arg)
	if err != nil {
		return nil, nil, fmt.Errorf("take over: descriptor %q: %w", arg, err)
	}
	var h Handover
	if err := readFD(fd, &h); err != nil {
		return nil, nil, fmt.Errorf("take over: %w", err)
	}
	if err := sys.SetCloseOnExec(memberFD, true); err != nil {
		return nil, nil, err
	}
	lock, err := sys.Adopt(h.Lock, "monitor.lock")
	if err != nil {
		return nil, nil, err
	}
	c := h.Store.Adopt(h.Dir, h.Known, lock)
	return &h, c, c.Reload() // there was a pause
}
