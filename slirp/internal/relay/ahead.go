package relay

import (
	"encoding/binary"
	"slices"
)

const (
	// maxAhead is how many pieces are kept that came after a gap. They are in the window,
	// so their bytes are bounded; what many small ones cost beside is not.
	maxAhead = 64

	// maxBlocks are what fits into the options beside nothing else (RFC 2018, section 3).
	maxBlocks = 4
)

// A piece of what the guest sends came after a gap.
type piece struct {
	from seq
	data []byte
}

func (p *piece) to() seq { return p.from + seq(len(p.data)) } //nolint:gosec // a length

// keep notes what s carries, which came after a gap. The guest hears of it, and need not
// send it again.
func (f *flow) keep(s *Segment) {
	from, parts := s.seq(), s.Payload
	if over := (from + seq(s.size())).after(f.edge); over > 0 { //nolint:gosec // a length
		parts = clip(parts, max(0, s.size()-over))
	}
	// The first piece that ends behind from, and what of s is new before and after it.
	i := 0
	for i < len(f.ahead) && f.ahead[i].to().after(from) < 0 {
		i++
	}
	if i < len(f.ahead) {
		if known := f.ahead[i].to().after(from); f.ahead[i].from.after(from) <= 0 {
			if n := min(known, len(parts[0])+len(parts[1])); n > 0 {
				from, parts = from+seq(n), cut(parts, n) //nolint:gosec // a length
			}
		}
	}
	next := i
	for next < len(f.ahead) && f.ahead[next].from.after(from) < 0 {
		next++
	}
	if next < len(f.ahead) {
		parts = clip(parts, min(len(parts[0])+len(parts[1]), f.ahead[next].from.after(from)))
	}
	if len(parts[0])+len(parts[1]) == 0 {
		return
	}
	f.insert(next, from, slices.Concat(parts[0], parts[1]))
}

// insert puts data before the i-th piece, as a part of its neighbours where it touches
// them.
func (f *flow) insert(i int, from seq, data []byte) {
	switch {
	case i > 0 && f.ahead[i-1].to() == from:
		i--
		f.ahead[i].data = append(f.ahead[i].data, data...)
	case len(f.ahead) == maxAhead:
		return
	default:
		f.ahead = slices.Insert(f.ahead, i, piece{from, data})
	}
	f.newest = f.ahead[i].from
	if i+1 < len(f.ahead) && f.ahead[i].to() == f.ahead[i+1].from {
		f.ahead[i].data = append(f.ahead[i].data, f.ahead[i+1].data...)
		f.ahead = slices.Delete(f.ahead, i+1, i+2)
	}
}

// join takes the pieces that there is no gap before any more, and reports whether f goes
// on.
func (f *flow) join() bool {
	for len(f.ahead) > 0 {
		p := &f.ahead[0]
		known := f.rcvNxt.after(p.from)
		if known < 0 {
			return true
		}
		if known < len(p.data) {
			data := p.data[known:]
			f.rcvNxt += seq(len(data)) //nolint:gosec // a length
			if !f.write([2][]byte{data}) {
				return false
			}
		}
		if f.ahead = slices.Delete(f.ahead, 0, 1); len(f.ahead) == 0 {
			f.ahead = nil
		}
	}
	return true
}

// blocks writes the option that tells of the pieces, the newest first, and returns its
// length with what fills it up (RFC 2018, section 4).
func (f *flow) blocks(b []byte) int {
	if !f.sack || len(f.ahead) == 0 {
		return 0
	}
	b[0], b[1], b[2] = 1, 1, 5
	n := 4
	add := func(p *piece) {
		binary.BigEndian.PutUint32(b[n:], uint32(p.from))
		binary.BigEndian.PutUint32(b[n+4:], uint32(p.to()))
		n += 8
	}
	for i := range f.ahead {
		if f.ahead[i].from == f.newest {
			add(&f.ahead[i])
		}
	}
	for i := range f.ahead {
		if n < 4+8*maxBlocks && f.ahead[i].from != f.newest {
			add(&f.ahead[i])
		}
	}
	b[3] = byte(n - 2) //nolint:gosec // at most 34
	return n
}
