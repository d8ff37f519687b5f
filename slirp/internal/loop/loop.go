// Package loop runs the small steps of many flows in one goroutine.
//
// # Theory of operation
//
// A loop asks one epoll(7) list what has happened, tells the sources, runs the tasks
// that these and others have left, and lets the goroutines run that were woken by all
// that, until there is nothing more. What happens to a flow so costs neither a
// goroutine's turn nor, as a rule, a system call to find out that there is no more.
//
// Then it sleeps, but not at once: where the last sleeps were short, as between a
// question and its answer, it looks for the next event for a while first, because a
// processor that sleeps takes longer to wake up than many an answer takes. It sleeps at
// once where looking has been of no use several times, where there is one processor only,
// and while there is bulk data, which needs the processors. A loop without events costs
// nothing.
//
// It sleeps in the run-time's poller, which watches the epoll list, so that its thread
// is free for other goroutines. A loop that does not sleep would keep that poller from
// being asked; once in a while it is.
package loop

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

const (
	// lookFor is how long the loop looks for the next event before it sleeps.
	lookFor = 60 * time.Microsecond

	// soon is how short a wait is that makes it look the next time; after trust waits
	// that were longer it sleeps at once.
	soon  = 200 * time.Microsecond
	trust = 4

	// breath is how long the run-time's poller may go without being asked.
	breath = time.Millisecond

	// quiet is how long there has been no bulk before the loop looks again.
	quiet = 10 * time.Millisecond

	maxEvents = 64
)

// A Source has a descriptor that a loop watches.
type Source interface {
	// Ready says what has happened to it. It runs in the loop, and does not wait.
	Ready(events sys.PollEvents)
}

// A Task is something to do in a loop, which does not wait.
type Task interface{ Run() }

// Func is a function as a task.
type Func func()

// Run calls f.
func (f Func) Run() { f() }

// A Loop runs until it is closed. Its methods are safe for concurrent use.
type Loop struct {
	poll *sys.Epoll
	rest func(awake bool)
	done chan struct{}

	mu      sync.Mutex
	sources []source
	free    []uint32
	tasks   []Task
	closed  bool

	asleep atomic.Bool
	bulk   atomic.Int64 // when there was some

	// of the loop's goroutine
	spare  []Task
	events [maxEvents]sys.PollEvent
	credit int       // waits that may be longer than soon until it sleeps at once
	asked  time.Time // when the run-time's poller was
	many   bool      // processors
}

type source struct {
	s          Source
	generation uint32
}

// An ID names a source of a loop.
type ID struct{ slot, generation uint32 }

// Start starts a loop. rest, which may be nil, is called in it before it sleeps, and
// with awake set before it goes on, if it is likely to look before it sleeps again.
func Start(rest func(awake bool)) (*Loop, error) {
	poll, err := sys.NewEpoll()
	if err != nil {
		return nil, err
	}
	if rest == nil {
		rest = func(bool) {}
	}
	l := &Loop{poll: poll, rest: rest, done: make(chan struct{}), asked: time.Now(), many: runtime.NumCPU() > 1}
	go l.run()
	return l, nil
}

// Close ends the loop and waits for it. Tasks that are left do not run.
func (l *Loop) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.poll.Wake()
	<-l.done
	return l.poll.Close()
}

// Add makes s the source of what happens to fd, a socket: each change once. It ends
// with Forget, and closing the descriptor.
func (l *Loop) Add(fd int, s Source) (ID, error) {
	id := l.enter(s)
	if err := l.poll.Add(fd, id.token()); err != nil {
		l.Forget(id)
		return ID{}, err
	}
	return id, nil
}

// AddReader makes s a source that is told that fd can be read, again and again while
// it can. It ends with Remove.
func (l *Loop) AddReader(fd int, s Source) (ID, error) {
	id := l.enter(s)
	if err := l.poll.AddReader(fd, id.token()); err != nil {
		l.Forget(id)
		return ID{}, err
	}
	return id, nil
}

// Forget ends a source whose descriptor is about to be closed.
func (l *Loop) Forget(id ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := &l.sources[id.slot]; at.generation == id.generation {
		at.s = nil
		at.generation++
		l.free = append(l.free, id.slot)
	}
}

// Remove ends a source whose descriptor stays open.
func (l *Loop) Remove(id ID, fd int) error {
	l.Forget(id)
	return l.poll.Remove(fd)
}

func (l *Loop) enter(s Source) ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		slot := l.free[n-1]
		l.free = l.free[:n-1]
		l.sources[slot].s = s
		return ID{slot, l.sources[slot].generation}
	}
	l.sources = append(l.sources, source{s: s})
	return ID{slot: uint32(len(l.sources) - 1)} //nolint:gosec // a count of descriptors
}

func (i ID) token() uint64 { return uint64(i.generation)<<32 | uint64(i.slot) }

func (l *Loop) source(token uint64) Source {
	slot, generation := uint32(token), uint32(token>>32) //nolint:gosec // the halves
	l.mu.Lock()
	defer l.mu.Unlock()
	if int(slot) >= len(l.sources) || l.sources[slot].generation != generation {
		return nil
	}
	return l.sources[slot].s
}

// Do runs t soon, after what Do got before, unless the loop ends.
func (l *Loop) Do(t Task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.tasks = append(l.tasks, t)
	if l.asleep.Load() && l.asleep.Swap(false) {
		l.poll.Wake()
	}
}

// Sync runs fn in the loop and waits for it. It must not be called there. Where the
// loop has ended the error is os.ErrClosed.
func (l *Loop) Sync(fn func() error) error {
	result := make(chan error, 1)
	l.Do(Func(func() { result <- fn() }))
	select {
	case err := <-result:
		return err
	case <-l.done:
		return os.ErrClosed
	}
}

// Bulk tells the loop that there is so much to do that its processor is better given
// to others than kept.
func (l *Loop) Bulk() { l.bulk.Store(time.Now().UnixNano()) }

func (l *Loop) run() {
	defer close(l.done)
	for {
		n, _ := l.poll.Poll(l.events[:])
		busy := l.tell(n)
		if busy {
			runtime.Gosched() // to what was woken: its tasks come with ours
		}
		if l.runTasks() {
			busy = true
		}
		if busy && !l.gasp() || !busy && !l.idle() {
			return
		}
	}
}

// tell tells the sources of the first n events, and reports whether there were any.
func (l *Loop) tell(n int) bool {
	for i := range l.events[:n] {
		if s := l.source(l.events[i].Token()); s != nil {
			s.Ready(l.events[i].Events())
		}
	}
	return n > 0
}

// runTasks runs the tasks that there are now.
func (l *Loop) runTasks() bool {
	l.mu.Lock()
	tasks := l.tasks
	l.tasks = l.spare[:0]
	l.mu.Unlock()
	for i, t := range tasks {
		tasks[i] = nil
		t.Run()
	}
	l.spare = tasks
	return len(tasks) > 0
}

// waiting reports whether there are tasks, or an end.
func (l *Loop) waiting() (tasks, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.tasks) > 0, l.closed
}

// idle waits for an event or a task, and reports whether to go on.
func (l *Loop) idle() bool {
	began := time.Now()
	if l.looks(began) && l.find(began) {
		l.credit = trust
		return l.gasp()
	}
	ok := l.sleep()
	l.asked = time.Now()
	if l.asked.Sub(began) < soon {
		l.credit = min(l.credit+1, trust)
	} else {
		l.credit = max(l.credit-1, 0)
	}
	l.rest(l.looks(l.asked))
	return ok
}

// looks reports whether to look for events before sleeping.
func (l *Loop) looks(now time.Time) bool {
	return l.many && l.credit > 0 && now.UnixNano()-l.bulk.Load() > int64(quiet)
}

// find looks for an event or a task for a while.
func (l *Loop) find(began time.Time) bool {
	for {
		runtime.Gosched()
		if tasks, closed := l.waiting(); tasks || closed {
			return true
		}
		if n, _ := l.poll.Poll(l.events[:]); n > 0 {
			l.tell(n)
			return true
		}
		if time.Since(began) > lookFor {
			return false
		}
	}
}

// gasp lets the run-time's poller be asked, if that was long ago, and reports whether
// to go on.
func (l *Loop) gasp() bool {
	if _, closed := l.waiting(); closed {
		return false
	}
	if time.Since(l.asked) < breath {
		return true
	}
	l.poll.Wake()
	ok := l.sleep()
	l.asked = time.Now()
	l.rest(l.looks(l.asked))
	return ok
}

// sleep waits until there is an event, which it tells, or a task, and reports whether
// to go on.
func (l *Loop) sleep() bool {
	l.rest(false)
	l.asleep.Store(true)
	tasks, closed := l.waiting()
	if closed {
		return false
	}
	if tasks {
		l.asleep.Store(false)
		return true
	}
	n, err := l.poll.Wait(l.events[:])
	l.asleep.Store(false)
	if err != nil {
		return false
	}
	l.tell(n)
	return true
}
