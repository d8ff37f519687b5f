package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

const (
	memoryEvents = "memory.events"
	eventOOM     = "oom_kill"
)

// OOMKills counts the processes of the group that the kernel killed for want of
// memory; 0 where nothing counts them.
func OOMKills(dir string) (uint64, error) {
	if dir == "" {
		return 0, nil
	}
	s, err := read(dir, memoryEvents)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return flat(s)[eventOOM], err
}

// An OOMWatch hears of it when the kernel kills processes of a group for want of
// memory.
type OOMWatch struct {
	f     *os.File
	pause time.Duration
	told  func()

	kills uint64 // the goroutine's until ended is closed
	over  chan struct{}
	ended chan struct{}
}

// WatchOOM calls told whenever more processes have been killed than before, but at
// most once in each pause: the file that tells of it also changes many times a second
// where a group merely comes up against its limit. It is nil where nothing counts
// them: the group has no memory controller, or is not there (dir is empty).
func WatchOOM(dir string, pause time.Duration, told func()) (*OOMWatch, error) {
	if dir == "" {
		return nil, nil //nolint:nilnil // its methods do
	}
	f, err := os.Open(filepath.Join(dir, memoryEvents))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, fmt.Errorf("watch memory: %w", err)
	}
	return watchOOM(f, pause, told), nil
}

func watchOOM(f *os.File, pause time.Duration, told func()) *OOMWatch {
	w := &OOMWatch{f: f, pause: pause, told: told, over: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		_ = sys.Notices(f, w.look) // it ends with Close
	}()
	return w
}

func (w *OOMWatch) look() {
	w.count()
	select {
	case <-w.over:
	case <-time.After(w.pause):
	}
}

func (w *OOMWatch) count() {
	buf := make([]byte, 512)                   // seven numbers with their names
	n, err := w.f.ReadAt(buf, 0)               // io.EOF: all was read
	if n == 0 || n == len(buf) && err == nil { // the group is gone
		return
	}
	if kills := flat(string(buf[:n]))[eventOOM]; kills > w.kills {
		w.kills = kills
		w.told()
	}
}

// Close looks once more, and ends the watch. It may be called on nil.
func (w *OOMWatch) Close() error {
	if w == nil {
		return nil
	}
	close(w.over)
	_ = w.f.SetReadDeadline(time.Now()) // where that fails nothing waits
	<-w.ended
	w.count()
	return w.f.Close()
}
