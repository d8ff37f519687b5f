package image

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/nook-containers/nook/pkg/store"
)

// layerLines tells of each layer when it is done, one line each, on standard
// error: what a log or a terminal can both show.
type layerLines struct {
	mu sync.Mutex
	w  io.Writer
}

// progressTo returns what store.Put is to report to. With no writer that is nil:
// nobody.
func progressTo(w io.Writer) store.Progress {
	if w == nil {
		return nil
	}
	return &layerLines{w: w}
}

func (l *layerLines) Layer(digest string, _ int64) store.LayerProgress {
	return &layerLine{all: l, digest: digest}
}

type layerLine struct {
	all    *layerLines
	digest string
}

func (l *layerLine) Add(int64) {}

func (l *layerLine) Done(status string) {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	_, hex, _ := strings.Cut(l.digest, ":")
	fmt.Fprintf(l.all.w, "Layer %s %s\n", hex[:min(12, len(hex))], status)
}
