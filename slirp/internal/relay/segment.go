package relay

import (
	"encoding/binary"
	"net/netip"
)

// The flags of a segment (RFC 9293, section 3.1).
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
)

const (
	headerLen  = 20
	optionsLen = 12 // of our SYN
	maxOptions = 40

	// maxPayload is what an IP packet of 65535 bytes holds behind an IPv4 header.
	maxPayload = 65535 - 20 - headerLen

	// minMSS and defaultMSS are of RFC 9293, section 3.7.1, and of what Linux takes for
	// the least that anybody means (ip-sysctl, tcp_min_snd_mss).
	defaultMSS = 536
	minMSS     = 48

	maxScale = 14 // RFC 7323, section 2.3
)

// A Segment is one that a guest sent.
type Segment struct {
	Guest, Remote netip.AddrPort
	Header        []byte    // whole, with options
	Payload       [2][]byte // in one or two pieces, valid during the call
	Quote         []byte    // the IP header and eight bytes more, as ICMP errors quote them
}

// Header returns the TCP header that b begins with, nil where there is none.
func Header(b []byte) []byte {
	if len(b) < headerLen {
		return nil
	}
	n := int(b[12]>>4) * 4
	if n < headerLen || n > len(b) {
		return nil
	}
	return b[:n]
}

func (s *Segment) seq() seq        { return seq(binary.BigEndian.Uint32(s.Header[4:])) }
func (s *Segment) ack() seq        { return seq(binary.BigEndian.Uint32(s.Header[8:])) }
func (s *Segment) flags() byte     { return s.Header[13] }
func (s *Segment) window() int     { return int(binary.BigEndian.Uint16(s.Header[14:])) }
func (s *Segment) size() int       { return len(s.Payload[0]) + len(s.Payload[1]) }
func (s *Segment) has(f byte) bool { return s.Header[13]&f != 0 }

// options are what a SYN says: the largest segment that its sender takes, the scale of
// its windows, -1 for none, and whether it understands what came after a gap.
func (s *Segment) options() (mss, scale int, sack bool) {
	mss, scale = defaultMSS, -1
	for b := s.Header[headerLen:]; len(b) > 0; {
		if b[0] == 0 { // the end
			break
		}
		if b[0] == 1 { // nothing
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			break
		}
		switch {
		case b[0] == 2 && b[1] == 4:
			mss = max(minMSS, int(binary.BigEndian.Uint16(b[2:])))
		case b[0] == 3 && b[1] == 3:
			scale = min(int(b[2]), maxScale)
		case b[0] == 4 && b[1] == 2:
			sack = true
		}
		b = b[b[1]:]
	}
	return mss, scale, sack
}

// A seq is a sequence number. They go round, so what is compared is their distance.
type seq uint32

// after is how far s comes after t, negative where it comes before.
func (s seq) after(t seq) int { return int(int32(s - t)) } //nolint:gosec // RFC 9293, section 3.4

// A head is what we say in the header of a segment.
type head struct {
	at, ack seq
	flags   byte
	window  uint16
	options int // their length in bytes
}

// put writes h as the header of a segment for the guest, without a checksum.
func (k key) put(b []byte, h head) {
	binary.BigEndian.PutUint16(b, k.remote.Port())
	binary.BigEndian.PutUint16(b[2:], k.guest.Port())
	binary.BigEndian.PutUint32(b[4:], uint32(h.at))
	binary.BigEndian.PutUint32(b[8:], uint32(h.ack))
	b[12], b[13] = byte((headerLen+h.options)/4<<4), h.flags //nolint:gosec // at most 60 bytes
	binary.BigEndian.PutUint16(b[14:], h.window)
	binary.BigEndian.PutUint32(b[16:], 0)
}

// putOptions adds the options of a SYN: mss, scale unless that is negative, and sack.
func putOptions(b []byte, mss, scale int, sack bool) { //nolint:revive // an option
	o := b[headerLen:]
	o[0], o[1] = 2, 4
	binary.BigEndian.PutUint16(o[2:], uint16(mss)) //nolint:gosec // at most the MTU
	copy(o[4:], []byte{1, 1, 1, 1, 1, 1, 1, 1})
	if scale >= 0 {
		o[5], o[6], o[7] = 3, 3, byte(scale) //nolint:gosec // at most 14
	}
	if sack {
		o[10], o[11] = 4, 2
	}
}
