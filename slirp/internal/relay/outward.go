package relay

import (
	"github.com/nook-containers/nook/pkg/sys"
)

const (
	// maxWindow is how much a guest may send before it is acknowledged: with less, it
	// waits for us, and with more, the queue of the link overflows where segments are short.
	maxWindow = 1 << 20
	ourScale  = 7

	// prompt is how much is acknowledged at once, in bytes.
	prompt = 16 << 10
)

// limit is how much may be held for the host, and room how much more.
func (f *flow) limit() int { return min(maxWindow, f.r.share) }

func (f *flow) room() int { return max(0, f.limit()-len(f.held)) }

// take handles what s carries, and reports whether f goes on.
func (f *flow) take(s *Segment) bool {
	parts, n, fin := s.Payload, s.size(), s.has(flagFIN)
	known := f.rcvNxt.after(s.seq())
	switch {
	case known == 0 && n == 0 && !fin:
		return true
	case known < 0 && !f.guestFIN:
		f.keep(s)
		f.acknowledge()
		return true
	case known < 0, known > n, known == n && !fin, f.guestFIN: // nothing new: a probe too
		f.acknowledge()
		return true
	}
	parts, n = cut(parts, known), n-known
	if space := f.edge.after(f.rcvNxt); n > space {
		parts, n, fin = clip(parts, space), space, false
	}
	f.owe()
	if n > 0 {
		f.rcvNxt += seq(n) //nolint:gosec // a length
		if !f.write(parts) || !f.join() {
			return false
		}
	}
	if fin {
		f.rcvNxt++
		f.guestFIN, f.ahead = true, nil
		f.settle()
	}
	return true
}

// owe notes that an acknowledgement is to be sent. It is, with the next segment, or
// with Flush.
func (f *flow) owe() {
	if !f.owes {
		f.owes, f.waited = true, false
		f.r.owing = append(f.r.owing, f)
	}
}

// write gives parts to the host's socket, and holds what that does not take. It reports
// whether f goes on.
func (f *flow) write(parts [2][]byte) bool {
	if len(f.held) == 0 {
		n, err := sys.Writev(f.fd, parts[:])
		if err != nil && !sys.WouldBlock(err) {
			f.reset()
			return false
		}
		f.r.Network.Moved(n, 0)
		parts = cut(parts, n)
	}
	f.held = append(append(f.held, parts[0]...), parts[1]...)
	return true
}

// release gives to the socket what was held for it, and reports whether f goes on.
func (f *flow) release() bool {
	for len(f.held) > 0 {
		n, err := sys.Writev(f.fd, [][]byte{f.held})
		if sys.WouldBlock(err) {
			break
		}
		if err != nil {
			f.reset()
			return false
		}
		f.r.Network.Moved(n, 0)
		f.held = f.held[n:]
	}
	if len(f.held) == 0 {
		f.held = nil
		f.settle()
	}
	// The guest hears of room when there is much more than it knows of.
	if f.state == open && !f.guestFIN && f.room()-f.edge.after(f.rcvNxt) >= min(2*f.mss, f.limit()/2) {
		f.acknowledge()
	}
	return f.state == open
}

// announce is the window that the next segment tells. It never takes back what was
// told (RFC 9293, section 3.8.6), but for less than the step that windows are told in.
func (f *flow) announce() uint16 {
	w := min(f.room()>>f.rcvScale, 65535)
	if told := f.edge.after(f.rcvNxt); w<<f.rcvScale < told {
		return uint16((told + 1<<f.rcvScale - 1) >> f.rcvScale) //nolint:gosec // was told
	}
	f.edge = f.rcvNxt + seq(w<<f.rcvScale) //nolint:gosec // at most 30 bits
	return uint16(w)
}

// cut is parts without the first n bytes, clip with only those.
func cut(parts [2][]byte, n int) [2][]byte {
	m := min(n, len(parts[0]))
	return [2][]byte{parts[0][m:], parts[1][n-m:]}
}

func clip(parts [2][]byte, n int) [2][]byte {
	m := min(n, len(parts[0]))
	return [2][]byte{parts[0][:m], parts[1][:n-m]}
}
