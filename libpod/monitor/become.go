package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/health"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/pack"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// Name is argv[0] of the stage; argv[1] is the descriptor of its brief.
const Name = "nook-monitor"

// settled is when the stage has done what it does once, and shrinks.
const settled = 200 * time.Millisecond

// brief is what the stage cannot tell from its descriptors. Numbers are
// descriptors, -1 for none.
type brief struct {
	Store                           state.Store
	Dir                             string // of the container's record
	Known                           state.Known
	Run                             state.Run
	Lock                            int
	Terminal, Stdin, Stdout, Stderr int
	First, Mounts                   int
	Listen, Owner, Group            int
	Kept                            []int // stay open until the end
	Nets                            []netBrief
	NetProgram                      *programBrief // nil: none
	Pause                           time.Duration
	Resume                          json.RawMessage
	StopSignal                      syscall.Signal
	StopGrace                       time.Duration
	HugePages                       bool // what it starts may have some
	Told                            bool // SIGTERM has come
}

// Become replaces this program by the stage that does what Serve does, on the
// calling thread, and returns only on an error. kept are descriptors that the
// stage has no use for, and keeps open. Whoever is a member of the user namespace
// has made that survive execve. The caller has locked the thread.
//
// Go may be one of many threads here; execve ends the others, and with them the
// children that die with them. So it must be the thread that started init.
func (m *Monitor) Become(kept ...*os.File) error {
	lock, err := m.Container.PassOn()
	if err != nil {
		return err
	}
	b := brief{
		Store: m.Container.Store(), Dir: m.Container.Dir(), Known: m.Container.Known(), Run: m.Run, Lock: lock, Pause: m.Pause, Resume: m.Resume,
		StopSignal: m.StopSignal, StopGrace: m.StopGrace,
	}
	for _, p := range []struct {
		fd *int
		f  *os.File
	}{
		{&b.Terminal, m.Terminal},
		{&b.Stdin, m.Stdin},
		{&b.Stdout, m.Stdout},
		{&b.Stderr, m.Stderr},
		{&b.First, m.First},
		{&b.Mounts, m.Mounts},
		{&b.Listen, m.Listen},
		{&b.Owner, m.Owner},
		{&b.Group, m.groupFile()},
	} {
		if *p.fd, err = passOn(p.f); err != nil {
			return err
		}
	}
	for _, f := range kept {
		fd, err := passOn(f)
		if err != nil {
			return err
		}
		b.Kept = append(b.Kept, fd)
	}
	if b.Nets, err = passOnNets(m.Nets); err != nil {
		return err
	}
	if p := m.NetProgram; p != nil {
		b.NetProgram = &programBrief{p.Child.Pid, p.Plan}
	}
	if m.term != nil {
		if err := m.term.handOver(); err != nil {
			return err
		}
		b.Told = m.term.take()
	}
	err = b.exec()
	if b.Told {
		m.term.give()
	}
	return err
}

// exec replaces this program by the stage that b is for. It returns only on an error.
func (b *brief) exec() error {
	b.HugePages = kern.HugePages()
	data, err := pack.Marshal(b)
	if err != nil {
		return fmt.Errorf("brief the monitor: %w", err)
	}
	fd, err := kern.Memfd("monitor", data)
	if err != nil {
		return fmt.Errorf("brief the monitor: %w", err)
	}
	if err := sys.SetCloseOnExec(fd, false); err != nil {
		return err
	}
	env := append(environ(), oneProcessor)
	_ = kern.NoHugePages() // the runtime's first page would be one
	err = syscall.Exec("/proc/self/exe", []string{Name, strconv.Itoa(fd)}, env)
	b.allowHugePages()
	return fmt.Errorf("become the monitor: %w", err)
}

// oneProcessor is in the environment of the stage: what else it would keep for a
// second one pays only where much is copied.
const oneProcessor = "GOMAXPROCS=1"

// useProcessors undoes oneProcessor: the copies of two streams and of their log
// overlap.
func useProcessors() {
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), min(processors, runtime.NumCPU())))
}

const processors = 2

// environ is this process's environment for the program that it turns into.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(s string) bool { return s == oneProcessor }) //nolint:forbidigo // handed on unread
}

// patience is how long AwaitCalm waits.
const patience = 2 * time.Second

// AwaitCalm lets other starts go first, before Become, which takes a tenth of a start's
// processor time. It returns at once where Serve has something to do, or gets it.
func (m *Monitor) AwaitCalm() {
	s := m.Container.Spec
	if m.Owner != nil || m.NetProgram != nil || s.Timeout != 0 || s.Resources.Memory != 0 || health.Test(s.Health, m.Container.Image.Health) != nil {
		return
	}
	wakes := []*os.File{m.First, m.Terminal, m.Stdout, m.Stderr, m.Listen}
	for _, n := range m.Nets {
		wakes = append(wakes, n.Conn.File())
	}
	wakes = slices.DeleteFunc(wakes, func(f *os.File) bool { return f == nil })
	sys.AwaitCalm(patience, func() bool { return len(m.term.signals) > 0 }, wakes...)
}

func (m *Monitor) groupFile() *os.File {
	if m.Group == nil {
		return nil
	}
	return m.Group.File()
}

// passOn lets f survive execve and returns its number, -1 for nil.
func passOn(f *os.File) (int, error) {
	if f == nil {
		return -1, nil
	}
	fd := int(f.Fd()) //nolint:gosec // a descriptor
	return fd, sys.SetCloseOnExec(fd, false)
}

// Stage is the program that Become turns into. It does not return.
func Stage() {
	_ = sys.SetProcessName(Name) // a name is all it is
	code := 0
	if err := serveBrief(); err != nil {
		code = failed // nobody listens: the container dies with its monitor, and its record tells that
	}
	os.Exit(code) //nolint:forbidigo // the process is this stage
}

func serveBrief() error {
	if len(os.Args) != 2 {
		return syscall.EINVAL
	}
	fd, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	var b brief
	if err := readFD(fd, &b); err != nil {
		return err
	}
	sys.KeepPagesSmall()
	b.allowHugePages()
	m, err := b.monitor()
	if err != nil {
		return err
	}
	m.rest = newRest()
	run, restart := m.Serve(context.Background()) //nolint:forbidigo // the process is this stage
	if restart {
		err = m.restart(run)
	}
	// Nothing is left of an ephemeral container but its directory and its volumes; what
	// the store keeps of others goes with the next sweep, for which this program is too small.
	if c := m.Container; c.Spec.Remove && (c.KeepsLayer() || c.ImageID == "") {
		err = m.Container.Empty(func(id string) error { return volume.DropOwn(m.Container.Store(), id) })
	}
	m.Container.Release()
	return err
}

// allowHugePages undoes what Become did for the start of the stage alone.
func (b *brief) allowHugePages() {
	if b.HugePages {
		_ = kern.AllowHugePages()
	}
}

// rest has the process shrink whenever it has done nothing for a while.
type rest struct {
	timer  *time.Timer
	rester *sys.Rester
}

func newRest() *rest {
	r := sys.NewRester()
	return &rest{time.AfterFunc(settled, r.Now), r}
}

// soon has the while begin anew. Without a rest the process is an engine that has
// somebody in front of it.
func (r *rest) soon() {
	if r != nil {
		r.timer.Reset(settled)
	}
}

// readFD unpacks a memory file and closes it.
func readFD(fd int, v any) error {
	f := os.NewFile(uintptr(fd), "brief")
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	data := make([]byte, fi.Size())
	if _, err := f.ReadAt(data, 0); err != nil {
		return err
	}
	return pack.Unmarshal(data, v)
}

// monitor takes over the descriptors.
func (b *brief) monitor() (*Monitor, error) {
	term := newTerminator()
	if b.Told {
		term.give()
	}
	m := &Monitor{term: term, Run: b.Run, Pause: b.Pause, Resume: b.Resume, StopSignal: b.StopSignal, StopGrace: b.StopGrace}
	for _, p := range []struct {
		fd int
		f  **os.File
	}{
		{b.Terminal, &m.Terminal},
		{b.Stdin, &m.Stdin},
		{b.Stdout, &m.Stdout},
		{b.Stderr, &m.Stderr},
		{b.First, &m.First},
		{b.Mounts, &m.Mounts},
		{b.Listen, &m.Listen},
		{b.Owner, &m.Owner},
	} {
		if p.fd < 0 {
			continue
		}
		f, err := adopt(p.fd)
		if err != nil {
			return nil, err
		}
		*p.f = f
	}
	for _, n := range b.Nets {
		net, err := n.net()
		if err != nil {
			return nil, err
		}
		m.Nets = append(m.Nets, net)
	}
	if err := b.adoptGroup(m); err != nil {
		return nil, err
	}
	if err := b.adoptKept(m); err != nil {
		return nil, err
	}
	lock, err := sys.Adopt(b.Lock, "monitor.lock")
	if err != nil {
		return nil, err
	}
	m.Container = b.Store.Adopt(b.Dir, b.Known, lock)
	m.Wait = sys.ChildOf(b.Run.PID).Wait
	if p := b.NetProgram; p != nil {
		m.NetProgram = &Program{sys.ChildOf(p.PID), p.Plan}
	}
	return m, nil
}

// adopt takes over a descriptor that is waited for: not blocking, so that it needs
// no thread of its own.
func adopt(fd int) (*os.File, error) {
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return sys.Adopt(fd, "inherited")
}

func (b *brief) adoptKept(m *Monitor) error {
	for _, fd := range b.Kept {
		if err := sys.SetCloseOnExec(fd, true); err != nil {
			return err
		}
	}
	m.Free = func() error {
		var errs []error
		for _, fd := range b.Kept {
			errs = append(errs, sys.CloseFD(fd))
		}
		return errors.Join(errs...)
	}
	return nil
}

func (b *brief) adoptGroup(m *Monitor) error {
	if b.Group < 0 {
		return nil
	}
	dir, err := sys.Adopt(b.Group, b.Run.Cgroup)
	if err != nil {
		return err
	}
	m.Group = cgroups.Adopt(b.Run.Cgroup, dir)
	return nil
}
