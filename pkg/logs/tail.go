package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// tailBlock is how much of a log's end is looked at first; then twice as much,
	// and so on.
	tailBlock = 64 << 10
	// tailPatience is how far back a line is followed to its beginning.
	tailPatience = 4 << 20
)

// seekTail moves to the last lines that are wanted. It counts the lines that begin
// in a part of the log's end, taking more of it until they are enough; Next leaves
// out what is too much. The first record of a stream there may go on with a line
// from before, so it must not be among those that show, unless the search for
// another record of the stream took too long. ends are the sizes of the generations.
func (r *Reader) seekTail(ends []int64) error {
	for back := int64(tailBlock); ; back *= 2 {
		gen, off, err := r.place(ends, back)
		if err != nil {
			return err
		}
		begun, unsure, err := r.count(ends, gen, off)
		if err != nil {
			return err
		}
		surplus := begun - r.opts.Tail
		if gen == 0 && off == 0 || surplus >= unsure || surplus >= 0 && back > tailPatience {
			closeAll(r.gens[:gen])
			r.gens = r.gens[gen:]
			r.begin(off)
			r.skip = max(0, surplus)
			return nil
		}
	}
}

// place returns the beginning of the line that is so many bytes before the log's
// end.
func (r *Reader) place(ends []int64, back int64) (gen int, off int64, err error) {
	for gen = len(r.gens) - 1; gen > 0 && ends[gen] < back; gen-- {
		back -= ends[gen]
	}
	off, err = boundary(r.gens[gen].file, max(0, ends[gen]-back))
	return gen, off, err
}

// count counts the wanted lines that begin behind a place; the first unsure ones
// have all those in them that may have begun before it.
func (r *Reader) count(ends []int64, gen int, off int64) (begun, unsure int, err error) {
	var open, seen [streams]bool
	for i := gen; i < len(r.gens); i++ {
		l := lines{file: r.gens[i].file, off: off, limit: ends[i]}
		off = 0
		for {
			line, err := l.next(nil)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return 0, 0, err
			}
			rec, ok := r.dec.decode(line)
			if !ok {
				continue
			}
			s := rec.Stream
			if !open[s] && r.opts.selects(rec.Time) {
				begun++
			}
			if !seen[s] {
				seen[s], unsure = true, begun
			}
			open[s] = rec.Partial
		}
	}
	return begun, unsure, nil
}

// boundary returns where the last line that begins before end does so: behind the
// last newline before end.
func boundary(file io.ReaderAt, end int64) (int64, error) {
	buf := make([]byte, tailBlock)
	for end > 0 {
		start := max(0, end-tailBlock)
		n, err := file.ReadAt(buf[:end-start], start)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("read log: %w", err)
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}
