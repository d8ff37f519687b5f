package loop

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

const patience = 10 * time.Second

func start(t *testing.T, rest func(bool)) *Loop {
	t.Helper()
	l, err := Start(rest)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func await(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatal("still no ", what)
	}
}

// pair is two connected sockets that do not block.
func pair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

// drain reads a descriptor until there is nothing, and tells how much there was.
type drain struct {
	fd    int
	total atomic.Int64
	ended chan struct{}
	once  sync.Once
}

func newDrain(fd int) *drain { return &drain{fd: fd, ended: make(chan struct{})} }

func (d *drain) Ready(ev sys.PollEvents) {
	b := make([]byte, 512)
	for {
		n, err := syscall.Read(d.fd, b)
		if n <= 0 {
			if n == 0 && err == nil && ev&sys.PollRdHup != 0 {
				d.once.Do(func() { close(d.ended) })
			}
			return
		}
		d.total.Add(int64(n))
	}
}

// TestTasks wants tasks to run in the order in which they were left, also those that
// are left by another one, and while the loop sleeps.
func TestTasks(t *testing.T) {
	l := start(t, nil)
	for range 50 {
		var got []int
		done := make(chan struct{})
		l.Do(Func(func() {
			got = append(got, 1)
			l.Do(Func(func() { got = append(got, 3); close(done) }))
		}))
		l.Do(Func(func() { got = append(got, 2) }))
		await(t, "third task", done)
		if got[0] != 1 || len(got) != 3 {
			t.Fatalf("ran as %v", got)
		}
	}
	want := errors.New("this")
	if err := l.Sync(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("Sync: %v", err)
	}
}

// TestManySources has many sockets written to by many goroutines, and closes one end
// of each: all bytes and all ends must be told.
func TestManySources(t *testing.T) {
	l := start(t, nil)
	const sockets, rounds = 200, 20
	var writers sync.WaitGroup
	drains := make([]*drain, sockets)
	for i := range drains {
		a, b := pair(t)
		drains[i] = newDrain(a)
		id, err := l.Add(a, drains[i])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			l.Forget(id)
			_ = syscall.Close(a)
		})
		writers.Go(func() {
			for range rounds {
				if _, err := syscall.Write(b, []byte("x")); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(i%7) * 10 * time.Microsecond)
			}
			_ = syscall.Close(b)
		})
	}
	writers.Wait()
	for i, d := range drains {
		await(t, "end of file", d.ended)
		if got := d.total.Load(); got != rounds {
			t.Errorf("socket %d: %d bytes, want %d", i, got, rounds)
		}
	}
}

// counter counts what it is told.
type counter struct{ n atomic.Int64 }

func (c *counter) Ready(sys.PollEvents) { c.n.Add(1) }

// TestForget wants a source that was forgotten not to be told what happens to the next
// one, whose descriptor and slot are the same.
func TestForget(t *testing.T) {
	l := start(t, nil)
	for range 100 {
		a, b := pair(t)
		old := &counter{}
		id, err := l.Add(a, old)
		if err != nil {
			t.Fatal(err)
		}
		told := int64(0)
		_ = l.Sync(func() error { // in the loop nothing is told meanwhile
			l.Forget(id)
			told = old.n.Load()
			return syscall.Close(a)
		})
		_ = syscall.Close(b)
		c, d := pair(t)
		next := newDrain(c)
		other, err := l.Add(c, next)
		if err != nil {
			t.Fatal(err)
		}
		if other.slot != id.slot || other.generation == id.generation {
			t.Fatalf("slot %v after %v", other, id)
		}
		_ = syscall.Close(d)
		await(t, "end of file", next.ended)
		l.Forget(id) // of no effect
		if l.source(other.token()) == nil {
			t.Fatal("the old name ends the new source")
		}
		if old.n.Load() != told {
			t.Fatal("a forgotten source is told something")
		}
		l.Forget(other)
		_ = syscall.Close(c)
	}
}

// once takes one byte each time it is told.
type once struct {
	fd   int
	left int
	done chan struct{}
}

func (o *once) Ready(sys.PollEvents) {
	if n, _ := syscall.Read(o.fd, make([]byte, 1)); n == 1 {
		if o.left--; o.left == 0 {
			close(o.done)
		}
	}
}

// TestReader wants a reader to be told until it has read all.
func TestReader(t *testing.T) {
	l := start(t, nil)
	a, b := pair(t)
	defer syscall.Close(a)
	defer syscall.Close(b)
	if _, err := syscall.Write(b, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	o := &once{fd: a, left: 100, done: make(chan struct{})}
	id, err := l.AddReader(a, o)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "last byte", o.done)
	if err := l.Remove(id, a); err != nil {
		t.Error(err)
	}
}

// TestRest wants the loop to say that it rests, as the last thing it says, and to use no
// processor then.
func TestRest(t *testing.T) {
	var awake atomic.Bool
	l := start(t, func(a bool) { awake.Store(a) })
	for range 1000 {
		_ = l.Sync(func() error { return nil }) // which makes it look
	}
	deadline := time.Now().Add(patience)
	for awake.Load() || !l.asleep.Load() {
		if time.Now().After(deadline) {
			t.Fatal("does not rest")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestPollerIsAsked wants a goroutine that waits in the run-time's poller to get its
// turn though the loop always has something to do.
func TestPollerIsAsked(t *testing.T) {
	l := start(t, nil)
	var stop atomic.Bool
	defer stop.Store(true)
	var again func()
	again = func() {
		if !stop.Load() {
			l.Do(Func(again))
		}
	}
	l.Do(Func(again))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	got := make(chan struct{})
	go func() {
		if n, _ := r.Read(make([]byte, 1)); n == 1 {
			close(got)
		}
	}()
	if _, err := w.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	await(t, "turn of the poller", got)
}

// TestCloseWhileBusy closes loops that others use.
func TestCloseWhileBusy(t *testing.T) {
	for range 50 {
		l, err := Start(nil)
		if err != nil {
			t.Fatal(err)
		}
		a, b := pair(t)
		if _, err := l.Add(a, newDrain(a)); err != nil {
			t.Fatal(err)
		}
		var users sync.WaitGroup
		for range 4 {
			users.Go(func() {
				for range 100 {
					l.Do(Func(func() {}))
					_, _ = syscall.Write(b, []byte("x"))
				}
			})
		}
		_ = l.Sync(func() error { return nil })
		users.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		l.Do(Func(func() { t.Error("a task runs after the end") }))
		if err := l.Sync(func() error { return nil }); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Sync after the end: %v", err)
		}
		_ = syscall.Close(a)
		_ = syscall.Close(b)
	}
}
