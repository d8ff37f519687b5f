// Package monitor is the process that looks after a running container: it holds
// the container's lock, shows it to clients, and puts its end on disk.
//
// # Theory of operation
//
// The process that started the container becomes its monitor: it is the parent of
// the container's init, and init dies with it. A container that runs in the
// background does not need the engine that made it, so Become replaces that by an
// early stage of the same program with execve: the pid stays, and with it the
// record lock and the parenthood, and the engine's memory is gone. What the stage
// needs are open descriptors and a few words in a memory file.
//
// The monitor answers on the socket "attach" in the container's directory for this
// boot. It imports little: all of it is in memory as long as the container runs.
package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/health"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/sys"
)

// SocketName is the socket in the container's run directory.
const SocketName = "attach"

// Hello is the Open frame of a client that attaches.
type Hello struct {
	NoStdin bool        `json:"noStdin,omitempty"`
	Quiet   bool        `json:"quiet,omitempty"`  // it wants to hear of the end only
	Start   bool        `json:"start,omitempty"`  // the container is initialized, and is to be started
	Leave   bool        `json:"leave,omitempty"`  // with Start, it goes when the command runs
	Check   bool        `json:"check,omitempty"`  // it wants a health check, and the Checked frame in answer
	Health  bool        `json:"health,omitempty"` // the record has another health check, and it wants the Answered frame
	Size    attach.Size `json:"size,omitzero"`    // of its terminal; 0 by 0: it has none
	Net     *NetCall    `json:"net,omitempty"`    // it wants this done, and the Answered frame
	Ports   *PortCall   `json:"ports,omitempty"`  // likewise
}

// Checked is the Checked frame.
type Checked struct {
	health.Answer

	Error string `json:"error,omitempty"` // there was no check
}

// A Monitor looks after one container, whose command runs.
type Monitor struct {
	Container *state.Container // held by this process
	Run       state.Run        // on disk, without an end
	// Streams of the container: the master of its terminal, or our ends of pipes.
	// Stdin is nil where it has none; all are where it has its user's.
	Terminal, Stdin, Stdout, Stderr *os.File
	First                           *os.File // pidfd of the container's init
	Listen                          *os.File // the socket for clients, or nil
	Mounts                          *os.File // mount namespace, where not all processes end with the first; or nil
	Owner                           *os.File // connection of the client it runs for, or nil
	Wait                            func() (syscall.WaitStatus, error)
	Group                           *cgroups.Group // that the container is in; nil: none of its own
	Nets                            []*Net         // that it is a member of
	NetProgram                      *Program       // carries its network in place of Nets; nil: none
	// Free gives back what the container has of images, before anybody hears of its
	// end: who does may remove them. nil: nothing.
	Free func() error

	Pause  time.Duration   // before this run, where it is a restart
	Resume json.RawMessage // for who starts the container again, or runs a health check

	// StopSignal asks the container to end, and StopGrace is how long it may take:
	// where it is not healthy, or this process is told to end.
	StopSignal syscall.Signal
	StopGrace  time.Duration

	term *terminator // what SIGTERM does to this process
	keep *keeper     // of Nets, while it serves
	prog *reviver    // of NetProgram, while it serves
	oom  *cgroups.OOMWatch
	rest *rest // nil: not that of the stage
}

// Listen makes the socket of a container.
func Listen(c *state.Container) (*os.File, error) {
	if err := os.MkdirAll(c.RunDir(), 0o700); err != nil {
		return nil, err
	}
	return sys.ListenUnix(filepath.Join(c.RunDir(), SocketName))
}

// Dial connects to the socket of a container.
func Dial(c *state.Container) (*os.File, error) {
	return sys.DialUnix(filepath.Join(c.RunDir(), SocketName))
}

// Serve looks after the container until it has ended and that is on disk, or it
// is out of sight where it is to be removed. Only then clients hear of the end. If
// its restart policy wants the container again this process still holds it.
func (m *Monitor) Serve(ctx context.Context) (run state.Run, restart bool) {
	m.Heed()
	heeded := m.term.watch(m)
	out := openLog(m.Container, m.Run)
	streams := m.streams()
	streams.Log = out.write
	hub := attach.NewHub(streams)
	if m.Owner != nil {
		hub.Serve(attach.New(m.Owner), attach.Options{Owner: true, NoInput: m.Stdin == nil && m.Terminal == nil})
	}
	hub.Start()
	m.keep = newKeeper(m.Nets, m.Run.PID, m.recordPorts)
	m.prog = m.NetProgram.revive(ctx)
	doctors := m.openPractice(ctx)
	m.watchMemory()
	if m.Listen != nil {
		go m.accept(hub, doctors)
	}
	stopTimer := m.limitTime()
	status, err := m.Wait()
	stopTimer()
	heeded()
	sick := doctors.close()
	m.endAll() // they may hold the streams
	m.keep.depart()
	hub.Drained()
	lost := out.close()
	exit := attach.Exit{Code: ExitCode(status)}
	if err != nil {
		exit = attach.Exit{Code: failed, Error: err.Error()}
	}
	m.close()
	oom, err := m.giveBack()
	if err != nil && exit.Error == "" {
		exit.Error = err.Error() // the command's own exit code stays
	}
	run = m.Run
	run.OOMKilled = oom
	run.Finished, run.ExitCode, run.Error = time.Now(), exit.Code, exit.Error
	if lost != nil && run.Error == "" {
		run.Error = lost.Error() // for inspect; the user saw the output
	}
	_ = m.Container.Reload() // it may have another restart policy by now
	restart = (sick || again(m.Container, run)) && !m.term.told.Load()
	run.Again = restart
	events.TellEnd(m.Container, exit.Code)
	m.keep.end() // before another process can start it
	exit = m.finish(run, restart, exit)
	if !restart {
		m.leavePod()
	}
	hub.End(exit)
	return run, restart
}

// giveBack gives back what the container has of images and removes its control group,
// with whatever is left in it. It tells whether the kernel ran out of memory for it.
func (m *Monitor) giveBack() (oom bool, err error) {
	m.prog.stop()
	if m.Free != nil {
		err = errors.Join(err, m.Free())
	}
	if m.Group == nil {
		return false, err
	}
	kills, gerr := cgroups.OOMKills(m.Group.Dir())
	return kills > 0, errors.Join(err, gerr, m.oom.Close(), m.Group.Remove())
}

// oomPause is how often, at most, it is told that the kernel runs out of memory for a
// container.
const oomPause = 100 * time.Millisecond

// watchMemory tells when the kernel kills processes of the container for want of
// memory. Where that can't be watched, inspect has it all the same.
func (m *Monitor) watchMemory() {
	if m.Group != nil {
		m.oom, _ = cgroups.WatchOOM(m.Group.Dir(), oomPause, func() { events.Tell(m.Container, events.OOM) })
	}
}

// recordPorts puts it on disk what is published. The keeper calls it, one at a time,
// and not once the container's end is.
func (m *Monitor) recordPorts(ports []spec.Port) error {
	m.Run.Ports = ports
	return m.Container.WriteRun(m.Run)
}

// Killed is the exit code of what SIGKILL has ended.
const Killed = 128 + int(syscall.SIGKILL)

// limitTime ends the container when its time is over.
func (m *Monitor) limitTime() (stop func()) {
	limit := time.Duration(m.Container.Spec.Timeout) * time.Second
	if limit == 0 || m.First == nil {
		return func() {}
	}
	t := time.AfterFunc(time.Until(m.Run.Started.Add(limit)), func() {
		_ = sys.PidfdSignal(m.First, syscall.SIGKILL) // it may have ended
	})
	return func() { t.Stop() }
}

// failed is nook's own exit status, as docker-run(1) and podman-run(1) have it.
const failed = 125

// finish puts the end on disk. A container to be removed leaves every listing
// instead; its files are still there.
func (m *Monitor) finish(run state.Run, restart bool, exit attach.Exit) attach.Exit { //nolint:revive // what again said
	c := m.Container
	var err error
	if c.Spec.Remove {
		err = errors.Join(c.Hide(), volume.HideOwn(c.Store(), c.ID))
	} else {
		err = c.WriteRun(run)
	}
	if !restart && !c.Spec.Remove {
		c.Release() // who hears of the end may start it again
	}
	if err != nil && exit.Error == "" {
		exit.Error = err.Error() // the command's own exit code stays
	}
	return exit
}

// acceptPause is how long a client waits while the process can open nothing.
const acceptPause = 100 * time.Millisecond

func (m *Monitor) accept(hub *attach.Hub, p *practice) {
	for {
		client, err := sys.Accept(m.Listen)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil { // no descriptor or no memory is left
			<-time.After(acceptPause)
			continue
		}
		go m.greet(hub, p, client)
	}
}

func (m *Monitor) greet(hub *attach.Hub, doctors *practice, client *os.File) {
	defer m.rest.soon()
	conn := attach.New(client)
	t, p, err := conn.Read()
	var hello Hello
	if err != nil || t != attach.Open || json.Unmarshal(p, &hello) != nil {
		conn.Close()
		return
	}
	if hello.Check {
		defer conn.Close()
		answer, err := doctors.ask()
		checked := Checked{Answer: answer}
		if err != nil {
			checked.Error = err.Error()
		}
		_ = conn.WriteJSON(attach.Checked, checked) // it may have left
		return
	}
	if hello.Health {
		defer conn.Close()
		_ = conn.WriteJSON(attach.Answered, answered(nil, doctors.change())) // it may have left
		return
	}
	if hello.Net != nil {
		defer conn.Close()
		_ = conn.WriteJSON(attach.Answered, m.keep.call(*hello.Net)) // it may have left
		return
	}
	if hello.Ports != nil {
		defer conn.Close()
		_ = conn.WriteJSON(attach.Answered, m.keep.callPorts(*hello.Ports)) // it may have left
		return
	}
	if err := conn.WriteJSON(attach.Started, attach.Start{ID: m.Container.ID, PID: m.Run.PID}); err != nil {
		conn.Close()
		return
	}
	if !hello.Quiet {
		events.Tell(m.Container, events.Attach)
	}
	session := hub.Serve(conn, attach.Options{NoInput: hello.NoStdin, NoOutput: hello.Quiet})
	defer func() { <-session.Left() }()
	if m.Terminal != nil && hello.Size != (attach.Size{}) {
		// To a new client the screen is empty. Only a size that changes makes programs
		// draw it again; a wrong one is no reason to refuse.
		_ = sys.SetWindowSize(m.Terminal, hello.Size.Rows+1, hello.Size.Cols+1)
		_ = sys.SetWindowSize(m.Terminal, hello.Size.Rows, hello.Size.Cols)
	}
}

// streams shows the container's streams to a Hub.
func (m *Monitor) streams() attach.Container {
	c := attach.Container{
		Signal: func(sig syscall.Signal) error { return sys.PidfdSignal(m.First, sig) },
		Busy:   sync.OnceFunc(useProcessors),
	}
	if m.Terminal != nil {
		c.TTY, c.Stdin, c.Stdout = true, m.Terminal, m.Terminal
		c.Resize = func(size attach.Size) error { return sys.SetWindowSize(m.Terminal, size.Rows, size.Cols) }
		return c
	}
	if m.Stdout == nil { // passed through
		return c
	}
	c.Stdout, c.Stderr = m.Stdout, m.Stderr
	if m.Stdin != nil {
		c.Stdin = m.Stdin
	}
	c.CloseOut = func(t attach.Type) error {
		if t == attach.Stderr {
			return m.Stderr.Close()
		}
		return m.Stdout.Close()
	}
	return c
}

func (m *Monitor) close() {
	for _, f := range []*os.File{m.Terminal, m.Stdin, m.Stdout, m.Stderr, m.First, m.Mounts, m.Listen} {
		if f != nil {
			_ = f.Close() // some are closed already, and nothing was written
		}
	}
}

// ExitCode counts as the shell does: 128+n after signal n.
func ExitCode(st syscall.WaitStatus) int {
	if st.Signaled() {
		return 128 + int(st.Signal())
	}
	return st.ExitStatus()
}
