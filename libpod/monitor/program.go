package monitor

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nook-containers/nook/libpod/netprog/carrier"
	"github.com/nook-containers/nook/pkg/sys"
)

// Program carries the container's network in place of Nets. It is a child of this
// process, which nobody has waited for.
type Program struct {
	Child *sys.Child
	Plan  carrier.Plan
}

// programBrief is a Program for the stage.
type programBrief struct {
	PID  int
	Plan carrier.Plan
}

// lastStart is the longest pause before the program is started again; the first is
// firstTry, and each is twice the one before.
const lastStart = time.Minute

// reviver starts the program again where it dies before the container.
type reviver struct {
	plan  carrier.Plan
	life  context.Context //nolint:containedctx // the container's
	end   context.CancelFunc
	ended chan struct{}

	mu    sync.Mutex
	child *sys.Child // nil: none now
}

// revive returns nil without a program.
func (p *Program) revive(ctx context.Context) *reviver {
	if p == nil {
		return nil
	}
	r := &reviver{plan: p.Plan, child: p.Child, ended: make(chan struct{})}
	r.life, r.end = context.WithCancel(ctx)
	go func() {
		defer close(r.ended)
		r.watch(p.Child)
	}()
	return r
}

// watch waits for the end of the program, and starts the next one.
func (r *reviver) watch(child *sys.Child) {
	for child != nil {
		_, _ = child.Wait() // how it ended makes no difference
		child = r.another()
	}
}

// another starts the program, sooner or later. Nil: the container has ended.
func (r *reviver) another() *sys.Child {
	r.hold(nil)
	for wait := firstTry; ; wait = min(2*wait, lastStart) {
		select {
		case <-r.life.Done():
			return nil
		case <-time.After(wait):
		}
		child, err := r.plan.Start(r.life)
		switch {
		case err == nil && r.hold(child):
			return child
		case err == nil: // it ended meanwhile
			_ = child.Kill()
			_, _ = child.Wait()
			return nil
		case errors.Is(err, os.ErrNotExist):
			if _, err := os.Stat("/proc/" + strconv.Itoa(r.plan.PID)); err != nil {
				return nil // no first process any more
			}
		}
	}
}

// hold makes child the one to kill, unless it is too late.
func (r *reviver) hold(child *sys.Child) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.child = child
	return r.life.Err() == nil
}

// stop ends the program.
func (r *reviver) stop() {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.end()
	if r.child != nil {
		_ = r.child.Kill() // it may have ended
	}
	r.mu.Unlock()
	<-r.ended
}
