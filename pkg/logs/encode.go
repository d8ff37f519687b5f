package logs

import (
	"bytes"
	"encoding/binary"
	"time"
	"unicode/utf8"
)

// MaxPiece is how many bytes of a line one record holds; a longer line becomes
// several (16 KiB, as Docker and Kubernetes have it).
const MaxPiece = 16 << 10

// encoder writes records in one format. It remembers the time as text: all
// records of a chunk have the same.
type encoder interface {
	// at sets the time of the next records.
	at(now time.Time)
	// record appends one piece of a line.
	record(buf []byte, s Stream, p piece) []byte
	// keep returns how many bytes at the end of an unfinished piece must wait
	// for what follows them.
	keep(text []byte) int
}

// piece is a line, or as much of it as one record has.
type piece struct {
	text  []byte
	whole bool // the newline, which is left out, follows
}

// TimeFormat is RFC 3339 with all nine digits: one length for every record.
const TimeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// k8sEncoder is the format of Kubernetes' container runtimes:
//
//	2026-01-02T03:04:05.000000006Z stdout F text
//
// (k8s.io/cri-api, "ContainerLog"; conmon calls it k8s-file).
type k8sEncoder struct {
	now  time.Time
	head [streams][2][]byte // by stream, and whether the line is whole
}

func (e *k8sEncoder) at(now time.Time) {
	if now.Equal(e.now) && e.head[0][0] != nil {
		return
	}
	e.now = now
	for s := range streams {
		for whole, flag := range [2]string{" P ", " F "} {
			h := now.UTC().AppendFormat(e.head[s][whole][:0], TimeFormat)
			h = append(append(append(h, ' '), s.String()...), flag...)
			e.head[s][whole] = h
		}
	}
}

func (e *k8sEncoder) record(buf []byte, s Stream, p piece) []byte {
	head := e.head[s][0]
	if p.whole {
		head = e.head[s][1]
	}
	return append(append(append(buf, head...), p.text...), '\n')
}

func (*k8sEncoder) keep([]byte) int { return 0 }

// jsonEncoder is Docker's format (moby, daemon/logger/jsonfilelog): the log field
// has the newline of a whole line.
//
//	{"log":"text\n","stream":"stdout","attrs":{"tag":"web"},"time":"2026-01-02T03:04:05.000000006Z"}
type jsonEncoder struct {
	attrs []byte // with the comma before it
	now   time.Time
	tail  [streams][]byte
}

func newJSONEncoder(tag string) *jsonEncoder {
	e := &jsonEncoder{}
	if tag != "" {
		e.attrs = append(appendJSON([]byte(`,"attrs":{"tag":"`), []byte(tag)), `"}`...)
	}
	return e
}

func (e *jsonEncoder) at(now time.Time) {
	if now.Equal(e.now) && e.tail[0] != nil {
		return
	}
	e.now = now
	for s := range streams {
		t := append(append(e.tail[s][:0], `","stream":"`...), s.String()...)
		t = append(append(append(t, '"'), e.attrs...), `,"time":"`...)
		e.tail[s] = append(now.UTC().AppendFormat(t, TimeFormat), "\"}\n"...)
	}
}

func (e *jsonEncoder) record(buf []byte, s Stream, p piece) []byte {
	buf = appendJSON(append(buf, `{"log":"`...), p.text)
	if p.whole {
		buf = append(buf, `\n`...)
	}
	return append(buf, e.tail[s]...)
}

// keep holds back a rune that is cut in two: each half alone would be replaced.
func (*jsonEncoder) keep(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// appendJSON appends s as the inside of a JSON string. Bytes that are no UTF-8
// become U+FFFD.
func appendJSON(buf, s []byte) []byte {
	for len(s) > 0 {
		n := plain(s)
		buf = append(buf, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			break
		}
		size := 1
		if s[0] < utf8.RuneSelf {
			buf = appendEscaped(buf, s[0])
		} else if _, size = utf8.DecodeRune(s); size == 1 {
			buf = append(buf, "\ufffd"...)
		} else {
			buf = append(buf, s[:size]...)
		}
		s = s[size:]
	}
	return buf
}

// plain returns how many bytes at the beginning of s stand for themselves in a
// JSON string. It looks at eight at a time: subtracting borrows into the highest
// bit of a byte that is too small.
func plain(s []byte) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; n+8 <= len(s); n += 8 {
		x := binary.LittleEndian.Uint64(s[n:])
		if (x|(x-each*' ')|((x^each*'"')-each)|((x^each*'\\')-each))&high != 0 {
			break
		}
	}
	for n < len(s) && s[n] >= ' ' && s[n] < utf8.RuneSelf && s[n] != '"' && s[n] != '\\' {
		n++
	}
	return n
}

func appendEscaped(buf []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(buf, '\\', c)
	case '\t':
		return append(buf, `\t`...)
	case '\r':
		return append(buf, `\r`...)
	case '\n':
		return append(buf, `\n`...)
	}
	return append(buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// cut takes the first piece of a line off b.
func cut(b []byte) (p piece, rest []byte) {
	if i := bytes.IndexByte(b[:min(len(b), MaxPiece+1)], '\n'); i >= 0 {
		return piece{b[:i], true}, b[i+1:]
	}
	n := min(len(b), MaxPiece)
	return piece{text: b[:n]}, b[n:]
}
