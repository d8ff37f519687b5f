package netd

import (
	"runtime"
	"runtime/debug"
	"sync"
)

const (
	// traffic is how many frames it takes for a look at what they left.
	traffic = 256
	// worth is how much heap and stacks are, for the first time, worth a collection, in bytes. That
	// time costs a megabyte for good, in lists that the run-time keeps for each size.
	worth = 9 << 18
)

// garbage is collected when there was traffic, and not at all while the process
// rests: two minutes after a collection the run-time would have another one, and so
// on, for nothing.
type garbage struct {
	mu     sync.Mutex // nobody waits while holding it
	awake  bool
	frames uint64 // when it was last swept; of calm
	goal   int    // GOGC, while nothing is collected; 0: it is
}

// wake has it collected as usual.
func (g *garbage) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.awake = true
	if g.goal != 0 {
		debug.SetGCPercent(g.goal)
		g.goal = 0
	}
}

// rest comes before sweep: who is woken in between is not put to sleep.
func (g *garbage) rest() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.awake = false
}

// sweep collects what traffic has left, of which there were so many frames so far.
func (g *garbage) sweep(frames uint64) {
	if frames-g.frames < traffic {
		return
	}
	g.frames = frames
	m := new(runtime.MemStats)
	if runtime.ReadMemStats(m); m.NumGC == 0 && m.HeapInuse+m.StackInuse < worth {
		return
	}
	debug.FreeOSMemory()
	debug.FreeOSMemory() // pools let go of what they have at the second time
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.awake && g.goal == 0 {
		g.goal = debug.SetGCPercent(-1)
	}
}
