package logs

import (
	"bytes"
	"errors"
	"io"
)

const (
	// readSize is how much one read(2) of a log asks for.
	readSize = 256 << 10
	// maxLine is how long a line of a log may be: one with all of MaxPiece
	// escaped has less. What is longer is passed over.
	maxLine = 1 << 20
)

// lines reads the whole lines of a file that may grow. An unfinished line at its
// end is read anew each time, from where it begins: it may have been taken back
// and another one be there.
type lines struct {
	file   io.ReaderAt
	off    int64 // where the next line begins
	limit  int64 // end of what is read; negative: the file's
	data   []byte
	buf    []byte
	passed int  // bytes of data behind off that have no newline
	long   bool // the line at off is too long: pass over its rest
}

func (l *lines) reset(file io.ReaderAt, off, limit int64) {
	*l = lines{file: file, off: off, limit: limit, buf: l.buf}
}

// next returns the next line without its newline, or io.EOF if none is whole.
// before runs before each read of the file.
func (l *lines) next(before func() error) ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.data[l.passed:], '\n'); i >= 0 {
			n := l.passed + i
			line := l.data[:n]
			l.data, l.off, l.passed = l.data[n+1:], l.off+int64(n)+1, 0
			if l.long {
				l.long = false
				continue
			}
			return line, nil
		}
		l.passed = len(l.data)
		if l.passed > maxLine {
			l.off += int64(l.passed)
			l.data, l.passed, l.long = nil, 0, true
		}
		if before != nil {
			if err := before(); err != nil {
				return nil, err
			}
		}
		if err := l.fill(); err != nil {
			l.data, l.passed = nil, 0
			return nil, err
		}
	}
}

// fill reads more behind data.
func (l *lines) fill() error {
	at := l.off + int64(len(l.data))
	want := int64(readSize)
	if l.limit >= 0 {
		want = min(want, l.limit-at)
	}
	if want <= 0 {
		return io.EOF
	}
	if cap(l.buf) < len(l.data)+int(want) {
		grown := make([]byte, len(l.data)+readSize)
		copy(grown, l.data)
		l.buf = grown
	} else {
		copy(l.buf[:cap(l.buf)], l.data)
	}
	l.buf = l.buf[:cap(l.buf)]
	n, err := l.file.ReadAt(l.buf[len(l.data):len(l.data)+int(want)], at)
	l.data = l.buf[:len(l.data)+n]
	if n > 0 || errors.Is(err, io.EOF) {
		err = nil
	}
	if n == 0 && err == nil {
		return io.EOF
	}
	return err
}
