package image

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/term"
)

// redrawEvery bounds how often bars are drawn: often enough to look alive.
const redrawEvery = 100 * time.Millisecond

// progress tells what a pull does. On a terminal the layers under way are bars
// below everything said so far, drawn again in place; elsewhere there is one line
// per layer, when it is done. It is a store.Progress.
type progress struct {
	mu    sync.Mutex
	w     io.Writer  // nil: silent
	width func() int // columns; nil: no terminal
	now   func() time.Time

	active []*layerProgress // in the order they began
	drawn  int              // lines of bars on the screen
	last   time.Time        // when they were drawn
}

// newProgress writes to w, with bars if it is a terminal that can move its cursor.
func newProgress(w io.Writer) *progress {
	p := &progress{w: w, now: time.Now}
	if f, ok := w.(*os.File); ok && term.IsTerminal(f) {
		p.width = func() int {
			_, cols, err := term.Size(f)
			if err != nil || cols == 0 {
				return 80
			}
			return int(cols)
		}
	}
	return p
}

// say prints one line above the bars.
func (p *progress) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print(line)
}

func (p *progress) print(lines ...string) {
	if p.w == nil {
		return
	}
	var b strings.Builder
	b.WriteString(p.erase())
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	b.WriteString(p.bars())
	_, _ = io.WriteString(p.w, b.String()) // nobody to tell
}

// erase returns what takes the bars off the screen.
func (p *progress) erase() string {
	if p.drawn == 0 {
		return ""
	}
	up := p.drawn
	p.drawn = 0
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", up)
}

// bars returns the bars, and notes that they are on the screen.
func (p *progress) bars() string {
	if p.width == nil {
		return ""
	}
	var b strings.Builder
	cols := p.width()
	for _, l := range p.active {
		b.WriteString(bar(l.name, l.done, l.size, cols) + "\n")
	}
	p.drawn, p.last = len(p.active), p.now()
	return b.String()
}

// bar draws one layer in less than cols columns, so that it never wraps. size is
// -1 if it is not known. Pure.
func bar(name string, done, size int64, cols int) string {
	head := "Copying blob " + name + " "
	tail := " " + bytesText(done)
	if size >= 0 {
		tail += " / " + bytesText(size)
	}
	room := cols - 1 - len(head) - len(tail) - 2
	if size <= 0 || room < 5 {
		s := head + strings.TrimPrefix(tail, " ")
		return s[:max(0, min(len(s), cols-1))]
	}
	fill := int(int64(room) * min(done, size) / size)
	return head + "[" + strings.Repeat("=", fill) + strings.Repeat("-", room-fill) + "]" + tail
}

// bytesText is n in binary units with one digit after the point, from KiB on.
func bytesText(n int64) string {
	f, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// finish removes bars that an error left behind.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active = nil
	p.print()
}

// Layer begins a layer.
func (p *progress) Layer(digest string, size int64) store.LayerProgress {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, hex, _ := strings.Cut(digest, ":")
	l := &layerProgress{p: p, name: hex[:min(12, len(hex))], size: size}
	p.active = append(p.active, l)
	return l
}

// layerProgress is one layer under way.
type layerProgress struct {
	p          *progress
	name       string
	done, size int64
}

// Add counts bytes, and draws if it is time.
func (l *layerProgress) Add(n int64) {
	p := l.p
	p.mu.Lock()
	defer p.mu.Unlock()
	l.done += n
	if p.width != nil && p.now().Sub(p.last) >= redrawEvery {
		p.print()
	}
}

// Done turns the layer into a line that stays.
func (l *layerProgress) Done(status string) {
	p := l.p
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, a := range p.active {
		if a == l {
			p.active = append(p.active[:i:i], p.active[i+1:]...)
			break
		}
	}
	p.print(strings.TrimRight("Copying blob "+l.name+" "+status, " "))
}

// Watch calls put with what tells w about its layers; a nil w is silent.
func Watch(w io.Writer, put func(store.Progress) error) error {
	p := newProgress(w)
	defer p.finish()
	return put(p)
}
